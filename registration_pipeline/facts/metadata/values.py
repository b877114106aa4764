"""Values of client metadata as JSON: their canonical text, how they are merged, and what no value may be.

What does not belong here: the types of ``metadata_schema`` (``schema_check.py``) and where values come from.

``$encord`` holds the embeddings of frames and their configuration, and is merged into its depth: configuration by key, frames
one by one, embedding by embedding. Everything else is merged key by key, and a value is never mixed from two.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.limits import INTEGER_RANGE, MAX_DEPTH
from registration_pipeline.settings.metadata import ENCORD_KEY, field_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_FRAMES: Final = "frames"
_CONFIG: Final = "config"

_FRAME_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
"""Of a frame, or seconds."""

_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
"""A text in canonical JSON."""

_OTHER_FORM: Final = re.compile(r"[0-9][eE]|\s")
"""Outside of texts: numbers with exponents, which are written in many ways, and blanks, which canonical JSON has none of."""

_MOST_DEPTH: Final = MAX_DEPTH - 15
"""Objects and lists within each other; the rest is for the manifest around them."""

_MOST_SHOWN: Final = 80
"""Characters of a value in a message."""

_MOST_LISTED: Final = 100
"""Problems of one object in a message."""

_NOT_STORED: Final = re.compile("[\0\ud800-\udfff]")
"""Characters that no text in PostgreSQL's jsonb can hold, which is where Encord keeps metadata."""


class ValueProblem(NamedTuple):
    """What is wrong with a value.

    Args:
        field: its name; of a value inside another one with the way to it.
        value: as JSON, shortened.
        rule: that it breaks, e.g. ``must be a finite number``.
    """

    field: str
    value: str
    rule: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"field {shown(self.field)} has the value {self.value}: {self.rule}"


def canonical(values: Mapping[str, Any]) -> str | None:
    """Return the canonical JSON of values without problems: sorted keys, ASCII, no blanks; None: there are none.

    Raises:
        ValueError: a number is NaN or infinite.
        TypeError: a value has no JSON form.
    """
    if not values:
        return None
    return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def merged(texts: Sequence[str | None]) -> str | None:
    """Return canonical JSON of all values; later texts win, key by key, and inside ``$encord`` embedding by embedding.

    Args:
        texts: canonical JSON each; None: no values. A single one is given back as it is, without being read.
    """
    given = [text for text in texts if text is not None]
    if len(given) < 2:  # noqa: PLR2004
        return given[0] if given else None
    return canonical(merged_values(given))


def merged_values(texts: Iterable[str]) -> dict[str, Any]:
    """Return all values of texts as ``merged`` does, as a mapping.

    Raises:
        ValueError: a text is not JSON.
    """
    values: dict[str, Any] = {}
    for text in texts:
        _merge_into(values, json.loads(text))
    return values


def sent_bytes(text: str) -> int:
    """Return the length of JSON as the SDK sends it, with a blank after every comma and colon.

    Canonical JSON is not parsed for that: the SDK writes everything else as ``canonical`` does.
    """
    bare = _STRING.sub("", text)
    if not text.isascii() or "\x7f" in text or _OTHER_FORM.search(bare):
        return len(json.dumps(json.loads(text)))
    return len(text) + bare.count(",") + bare.count(":")


def filled(first: str | None, *later: str | None) -> str | None:
    """Return canonical JSON of the first values; what they lack is taken from later ones, the earliest first.

    Args:
        first: canonical JSON of a unit's first object; None: no values.
        later: of its other objects, in their order.
    """
    # The same text again adds nothing, and frames of one clip often have one.
    return merged([*dict.fromkeys((first, *later))][::-1])


def prefixed(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return values with the prefix of their entry before every name, also before those of the embeddings of frames."""
    if not prefix:
        return dict(values)
    return {
        name if name == ENCORD_KEY else prefix + name: _prefixed_frames(value, prefix) if name == ENCORD_KEY else value
        for name, value in values.items()
    }


def without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without those that are null: they say nothing and hide no value of an earlier entry."""
    return {name: value for name, value in values.items() if value is not None}


def value_problems(values: Mapping[str, Any]) -> list[ValueProblem]:
    """Return what is wrong with values whatever their entry and schema; empty: nothing.

    Names must be ones that Encord accepts and not the pipeline's own; numbers must be finite and whole ones fit into 64 bits;
    texts must be ones that Encord can store; and ``$encord`` must have the form of key frames.

    Args:
        values: without nulls; of any types.
    """
    problems: list[ValueProblem] = []
    for name, value in values.items():
        if name == ENCORD_KEY:
            problems += _frames_problems(value)
            continue
        if (problem := _name_problem(name)) is not None:
            problems.append(ValueProblem(str(name), shown(value), f"the name {problem}"))
        problems += _inside(str(name), value, 1)
    return problems


def embeddings_of_frames(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield of every embedding of a frame where it is, its name and its numbers.

    Args:
        values: without problems.
    """
    frames = values[ENCORD_KEY].get(_FRAMES, {}) if ENCORD_KEY in values else {}
    for number, embeddings in frames.items():
        for name, value in embeddings.items():
            yield f"{ENCORD_KEY}.{_FRAMES}.{number}.{name}", name, value


def problem_message(key: str, place: str, problems: Sequence[ValueProblem]) -> str:
    """Return the message of an object whose values have problems.

    Args:
        key: of the object.
        place: where the values are, e.g. ``row 7 of labels.csv`` or ``sidecar 'a.png.json'``.
        problems: at least one; the first 100 are listed.
    """
    listed = "; ".join(map(str, problems[:_MOST_LISTED]))
    others = f"; and {len(problems) - _MOST_LISTED:,} more" if len(problems) > _MOST_LISTED else ""
    return (
        f"{key!r} has metadata that can't be sent ({place}): {listed}{others}. Correct the values or leave them out; the next "
        "sync reads them again"
    )


def shown(value: object) -> str:
    """Return a value as JSON in ASCII for a message, shortened."""
    if isinstance(value, int) and value not in INTEGER_RANGE and value.bit_length() > _MOST_SHOWN * 3:
        return f"a whole number of {value.bit_length():,} bits"
    text = ascii(value) if isinstance(value, dict | list | tuple) else json.dumps(value, default=repr)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _merge_into(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    encord, more = values.get(ENCORD_KEY), later.get(ENCORD_KEY)
    values.update(later)
    if isinstance(encord, dict) and isinstance(more, dict):
        _merge_deep(encord, more)
        values[ENCORD_KEY] = encord


def _merge_deep(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    for name, value in later.items():
        if isinstance(values.get(name), dict) and isinstance(value, dict):
            _merge_deep(values[name], value)
        else:
            values[name] = value


def _prefixed_frames(encord: Any, prefix: str) -> Any:
    frames = encord.get(_FRAMES) if isinstance(encord, dict) else None
    if not isinstance(frames, dict):
        return encord
    named = {
        number: {prefix + name: value for name, value in embeddings.items()}
        if isinstance(embeddings, dict)
        else embeddings
        for number, embeddings in frames.items()
    }
    return {**encord, _FRAMES: named}


def _name_problem(name: object) -> str | None:
    return field_name_problem(name) if isinstance(name, str) else "is not a text"


def _inside(field: str, value: Any, depth: int) -> Iterator[ValueProblem]:
    """Yield the problems of a value and of all that it holds."""
    if (rule := _rule_broken_by(value)) is not None:
        yield ValueProblem(field, shown(value), rule)
    elif isinstance(value, dict | list | tuple):
        if depth >= _MOST_DEPTH:
            yield ValueProblem(
                field[:_MOST_SHOWN], "…", f"has more than {_MOST_DEPTH} objects and lists within each other"
            )
            return
        yield from _inside_all(field, value.items() if isinstance(value, dict) else enumerate(value), depth + 1)


def _inside_all(field: str, items: Iterable[tuple[Any, Any]], depth: int) -> Iterator[ValueProblem]:
    for name, value in items:
        if type(value) is float and math.isfinite(value) and type(name) is int:
            continue  # nearly all that there is, in embeddings
        place = f"{field}[{name}]" if isinstance(name, int) else f"{field}.{name}"
        if not isinstance(name, int) and (rule := _text_rule(name)) is not None:
            yield ValueProblem(field, shown(name), f"a name in it {rule}")
        yield from _inside(place, value, depth)


def _rule_broken_by(value: Any) -> str | None:
    """Return the rule that a value by itself breaks."""
    if value is None or isinstance(value, bool | dict | list | tuple):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    if isinstance(value, int):
        return None if value in INTEGER_RANGE else "must be a whole number of at most 64 bits"
    return _text_rule(value)


def _text_rule(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be a JSON value, and is a {type(value).__name__}"
    return (
        "must be a text that Encord can store, without U+0000 and halves of pairs"
        if _NOT_STORED.search(value)
        else None
    )


def _frames_problems(encord: Any) -> Iterator[ValueProblem]:
    if not isinstance(encord, dict):
        yield ValueProblem(ENCORD_KEY, shown(encord), f"must be an object with {_FRAMES} and {_CONFIG}")
        return
    for name, value in encord.items():
        if name not in (_FRAMES, _CONFIG) or not isinstance(value, dict):
            rule = f"must be an object with {_FRAMES} and {_CONFIG}, which are objects themselves"
            yield ValueProblem(ENCORD_KEY, shown(name), rule)
        elif name == _CONFIG:
            yield from _inside_all(f"{ENCORD_KEY}.{_CONFIG}", value.items(), 3)
        else:
            for number, embeddings in value.items():
                yield from _frame_problems(number, embeddings)


def _frame_problems(number: Any, embeddings: Any) -> Iterator[ValueProblem]:
    place = f"{ENCORD_KEY}.{_FRAMES}"
    if not isinstance(number, str) or not _FRAME_NUMBER.fullmatch(number):
        yield ValueProblem(place, shown(number), "must have numbers of frames, or seconds, as its names")
        return
    if not isinstance(embeddings, dict):
        yield ValueProblem(f"{place}.{number}", shown(embeddings), "must be an object of embeddings")
        return
    for name, values in embeddings.items():
        field = f"{place}.{number}.{name}"
        if (problem := _name_problem(name)) is not None:
            yield ValueProblem(field, shown(name), f"the name of the embedding {problem}")
        if isinstance(values, list | tuple) and all(type(one) in (int, float) for one in values):
            yield from _inside_all(field, enumerate(values), 5)
        else:
            yield ValueProblem(field, shown(values), "must be a list of numbers")
