"""A strict check of five-field cron expressions, so that a typing error shows before the first night.

What does not belong here: when a schedule is due (Dagster's daemon decides). Everything accepted here is accepted by
Dagster; its extensions (seconds, ``L``, ``#``, hashed and random fields) are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_ITEM = re.compile(r"(?:(?P<any>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    lowest: int
    highest: int
    words: Mapping[str, int] = field(default_factory=dict)


_MONTHS = {
    word: number
    for number, word in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_DAYS = {word: number for number, word in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_DAY_OF_MONTH, _MONTH = 2, 3
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def cron_problem(expression: str) -> str | None:
    """Return what is wrong with a cron expression, or None. The expression itself is not quoted."""
    lowered = expression.strip().lower()
    if lowered.startswith("@"):
        return None if lowered in _MACROS else f"the only words with @ are {', '.join(_MACROS)}"
    parts = lowered.split()
    if len(parts) != len(_FIELDS):
        return "must have five fields: minute, hour, day of month, month, day of week, e.g. 0 2 * * *"
    chosen = []
    for cron_field, part in zip(_FIELDS, parts, strict=True):
        try:
            chosen.append(_field_values(cron_field, part))
        except ValueError as error:
            return f"the {cron_field.name} field {error}"
    days, months = chosen[_DAY_OF_MONTH], chosen[_MONTH]
    if min(days) > max(_MONTH_LENGTHS[month - 1] for month in months):
        return "it never comes due: none of the months named has that day"
    return None


def _field_values(cron_field: _Field, text: str) -> set[int]:
    values: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError("is made of numbers, ranges (1-5), steps (*/15) and lists (1,15)")
        values |= _item_values(cron_field, match)
    return values


def _item_values(cron_field: _Field, match: re.Match[str]) -> set[int]:
    step = int(match["step"] or 1)
    if not 1 <= step <= cron_field.highest:
        raise ValueError(f"has a step outside 1 to {cron_field.highest}")
    if match["any"]:
        return set(range(cron_field.lowest, cron_field.highest + 1, step))
    first = _number(cron_field, match["first"])
    last = first if match["last"] is None else _number(cron_field, match["last"])
    if match["last"] is None and match["step"] is not None:
        raise ValueError("has a step after a single number; write a range or *, e.g. 0-30/5")
    if first > last:
        raise ValueError("has a range that runs backwards")
    return set(range(first, last + 1, step))


def _number(cron_field: _Field, text: str) -> int:
    if text in cron_field.words:
        return cron_field.words[text]
    if not text.isdecimal():
        words = f" or one of {', '.join(cron_field.words)}" if cron_field.words else ""
        raise ValueError(f"must hold numbers{words}")
    if not cron_field.lowest <= int(text) <= cron_field.highest:
        raise ValueError(f"goes from {cron_field.lowest} to {cron_field.highest}")
    return int(text)
