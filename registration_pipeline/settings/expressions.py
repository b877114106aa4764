"""Regular expressions in registration.yaml: those that may take exponential time for a key are refused.

What does not belong here: which named groups an expression needs (``units.py``).

Python's engine tries every way to divide a text between repetitions. The number of ways is exponential only where what is
repeated can itself match in several ways: then each round multiplies them. Without that it is a power of the key's length.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

# The standard library has no public name for its parser. A test compares what is refused with the time that it takes.
_PARSER: Final[Any] = importlib.import_module("re._parser")

_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT"})
_WRITTEN_OUT: Final = 3
"""So few rounds are no more than the same text written one after the other."""
_TOO_SLOW: Final = (
    "may take exponential time for a key: it repeats something that can match in several ways; write the inner repetition so "
    "that it gives nothing back, e.g. (?:[^/]++/)* for (?:[^/]+/)*"
)


def expression_problem(text: str) -> str | None:
    """Return what is wrong with a regular expression, or None."""
    try:
        parsed = _PARSER.parse(text)
        re.compile(text)
    except re.error as error:
        return f"is not a regular expression: {error}"
    except (RecursionError, OverflowError):
        return "is not a regular expression that can be read: it is nested too deeply, or repeats too often"
    return _TOO_SLOW if _multiplies(parsed) else None


def _multiplies(pattern: Any, times: int = 1) -> bool:
    """Return whether a part is repeated that can match in several ways.

    Args:
        pattern: the part.
        times: how often what it is in repeats it: few repetitions within few are many.
    """
    for operation, argument in pattern:
        is_repeat = str(operation) in _REPEATS
        rounds = times * max(argument[1], 1) if is_repeat else times
        if is_repeat and rounds > _WRITTEN_OUT and _is_choice(argument[2]):
            return True
        if any(_multiplies(part, rounds) for part in _parts(argument)):
            return True
    return False


def _is_choice(pattern: Any) -> bool:
    """Return whether a part can match one text in several ways; what gives nothing back can't."""
    for operation, argument in pattern:
        name = str(operation)
        if name == "BRANCH" or (name in _REPEATS and argument[0] != argument[1]):
            return True
        if (name in _REPEATS or name in {"SUBPATTERN", "GROUPREF_EXISTS"}) and any(map(_is_choice, _parts(argument))):
            return True
    return False


def _parts(argument: Any) -> list[Any]:
    """Return the patterns within the argument of an operation."""
    if isinstance(argument, _PARSER.SubPattern):
        return [argument]
    if isinstance(argument, (tuple, list)):
        return [part for each in argument for part in _parts(each)]
    return []
