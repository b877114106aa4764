"""Reads a JSON object from bytes, and says the place, line and column, of whatever is not strict JSON.

What does not belong here: what the values mean and which of them Encord accepts (``facts/metadata/values.py``).

Python's parser is fast and lenient: it accepts a key twice, NaN and Infinity, numbers that no 64 bits hold, and halves of
surrogate pairs, and where it refuses these it can't say where they are. So it reads, with a hook for each; only a text that it
refuses is walked through again, token by token, to find the place.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NamedTuple

from registration_pipeline.limits import INTEGER_RANGE, MAX_DEPTH

MOST_DEPTH: Final = MAX_DEPTH - 15
"""Objects and lists within each other; the rest is for the manifest around them."""

_MOST_SHOWN: Final = 60
_MOST_DIGITS: Final = 20
"""No number with more digits and a sign fits into 64 bits."""

_BOM: Final = "\ufeff"
_TOKEN: Final = re.compile(
    r"(?P<blank>[ \t\n\r]+)"
    r'|(?P<string>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*")'
    r"|(?P<number>-?[0-9][0-9.eE+-]*)"
    r"|(?P<word>-?[A-Za-z]+)"
    r"|(?P<mark>[{}\[\]:,])",
    re.DOTALL,
)
_NOT_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


class NotStrictJSONError(ValueError):
    """The bytes are not what was wanted; the text says what is wrong, and where."""


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """Something that the parser accepts and this module does not."""


class _Problem(NamedTuple):
    position: int
    text: str


def json_object(content: bytes) -> dict[str, Any]:
    """Return the object that the content is; a byte order mark may come first.

    Numbers are whole ones of at most 64 bits, or finite; no key comes twice in an object; and every text can be written as
    UTF-8.

    Raises:
        NotStrictJSONError: it is not one JSON object. The text has the line and the column, both from 1, in characters.
    """
    text = _decoded(content)
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        earlier, here = _first_problem(text), _Problem(error.pos, f"is not JSON: {error.msg}")
        raise _placed(text, here if earlier is None or earlier.position > error.pos else earlier) from None
    except (RecursionError, _Refused):
        raise _placed(text, _first_problem(text) or _Problem(0, _DEEP)) from None
    is_deep = text.count("{") + text.count("[") > MOST_DEPTH and _depth(found) > MOST_DEPTH
    if is_deep or ("\\u" in text and _has_half_pair(found)):
        raise _placed(text, _first_problem(text) or _Problem(0, _DEEP))
    if not isinstance(found, dict):
        begin = len(text) - len(text.lstrip())
        raise _placed(text, _Problem(begin, f"is JSON, but is not an object: it is {_named(found)}"))
    return found


_DEEP: Final = f"has more than {MOST_DEPTH} objects and lists within each other"


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise NotStrictJSONError(
            f"is not UTF-8 at line {line}, column {column}: byte 0x{content[error.start]:02x}. Write it as UTF-8"
        ) from None
    if not text.strip():
        raise NotStrictJSONError("is empty, and must be a JSON object such as {}")
    return text


def _placed(text: str, problem: _Problem) -> NotStrictJSONError:
    before = text[: problem.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return NotStrictJSONError(f"{problem.text} (line {line}, column {column})")


def _named(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return "null" if value is None else names[type(value)]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused
    return found


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS or (number := int(digits)) not in INTEGER_RANGE:
        raise _Refused
    return number


def _float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise _Refused
    return number


def _constant(_: str) -> Any:
    raise _Refused


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_whole, parse_float=_float, parse_constant=_constant
)


def _depth(value: Any) -> int:
    """Return how many objects and lists are within each other at the most."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _has_half_pair(value: Any) -> bool:
    return _HALF_PAIR.search(json.dumps(value, ensure_ascii=False)) is not None


def _first_problem(text: str) -> _Problem | None:
    """Return the first thing that the parser accepts and this module does not; None: there is none before it is not JSON."""
    keys: list[set[str] | None] = []
    position, is_key = 0, False
    while token := _TOKEN.match(text, position):
        kind, written, position = str(token.lastgroup), token[0], token.end()
        problem = _problem_of(kind, written)
        if kind == "mark":
            if written in "{[":
                keys.append(set() if written == "{" else None)
                problem = _DEEP if len(keys) > MOST_DEPTH else None
            elif written in "}]":
                keys = keys[:-1]
            is_key = written in "{," and bool(keys) and keys[-1] is not None
        elif kind == "string" and is_key and keys[-1] is not None and problem is None:
            try:
                name = json.loads(written)
            except ValueError:
                return None
            problem = f"has the key {_shown(written)} twice in one object" if name in keys[-1] else None
            keys[-1].add(name)
            is_key = False
        if problem is not None:
            return _Problem(token.start(), problem)
    return None


def _problem_of(kind: str, written: str) -> str | None:
    if kind == "word" and written in _NOT_NUMBERS:
        return f"has {written}, which is not JSON; leave the value out, or write null"
    if kind == "number":
        try:
            json.loads(written, parse_int=_whole, parse_float=_float)
        except _Refused:
            rule = "at most 64 bits" if written.lstrip("-").isdigit() else "a finite value"
            return f"has the number {_shown(written)}, and numbers must have {rule}; write it as a text"
        except ValueError:
            return None
    if kind == "string" and "\\u" in written:
        try:
            is_half = _HALF_PAIR.search(json.loads(written)) is not None
        except ValueError:
            return None
        return (
            f"has the text {_shown(written)} with half of a surrogate pair, which is not a character"
            if is_half
            else None
        )
    return None


def _shown(written: str) -> str:
    cut = written if len(written) <= _MOST_SHOWN else f"{written[:_MOST_SHOWN]}..."
    return cut.encode("ascii", "backslashreplace").decode()
