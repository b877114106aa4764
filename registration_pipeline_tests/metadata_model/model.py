"""What client metadata must come to, computed with dictionaries and loops: nothing here is shared with the pipeline."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any, NamedTuple

WAITS = "waits"


class Entry(NamedTuple):
    """One entry of ``metadata`` and what it holds.

    Args:
        way: pattern, table, sidecar or object_metadata.
        settings: as in the configuration.
        rows: key -> values, None (a row without values), or ``{"problem": …, "message": …}``. No row: nothing is known.
    """

    way: str
    settings: dict[str, Any]
    rows: dict[str, Any]


class Expected(NamedTuple):
    """What becomes of an object by its metadata.

    Args:
        fate: ``waits``, a reason of rejection, or an empty text.
        values: what is sent.
    """

    fate: str
    values: dict[str, Any]


def expected(entries: list[Entry], schema: dict[str, Any], key: str) -> Expected:
    """Return what becomes of an object.

    Args:
        entries: in their order.
        schema: field -> number, boolean, varchar or a list of options.
        key: of the object, below ``raw/`` in what patterns see.
    """
    values: dict[str, Any] = {}
    problems, waits = [], False
    for entry in entries:
        if entry.way == "pattern":
            found: Any = _of_pattern(entry, schema, key)
        elif key in entry.rows:
            found = entry.rows[key]
        else:
            waits |= entry.way == "object_metadata"
            found = None
        if found is not None and found.get("problem") == "waiting":
            waits = True
        elif found is not None and "problem" in found:
            problems.append(found["problem"])
        elif found is not None:
            values = _over(values, found)
    if waits:
        return Expected(WAITS, {})
    if problems:
        return Expected(problems[0], {})
    if any(name in schema and not _is_of(schema[name], value) for name, value in values.items()):
        return Expected("invalid_metadata", {})
    return Expected("", values)


def of_unit(members: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of a unit whose members have these, in their order."""
    values: dict[str, Any] = {}
    for member in reversed(members):
        values = _over(values, member)
    return values


def _of_pattern(entry: Entry, schema: dict[str, Any], key: str) -> dict[str, Any] | None:
    match = re.search(entry.settings["pattern"], key.removeprefix("raw/"))
    if match is None:
        return None
    prefix = entry.settings.get("prefix", "")
    return {
        prefix + name: _typed(schema.get(prefix + name), text)
        for name, text in match.groupdict().items()
        if text is not None
    }


def _typed(kind: Any, text: str) -> Any:
    if kind == "number" and re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def _is_of(kind: Any, value: Any) -> bool:
    if isinstance(kind, list):
        return value in kind and isinstance(value, str)
    types: dict[str, tuple[type, ...]] = {"number": (int, float), "boolean": (bool,), "varchar": (str,)}
    return type(value) in types[kind]


def _over(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    merged = deepcopy(values)
    for name, value in later.items():
        if name == "$encord" and name in merged:
            for part in ("config", "frames"):
                for inner, content in value.get(part, {}).items():
                    place = merged[name].setdefault(part, {})
                    place[inner] = {**place.get(inner, {}), **content} if part == "frames" else content
        else:
            merged[name] = deepcopy(value)
    return merged
