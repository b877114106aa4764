"""How figures are written for people: counts, sizes, seconds, shares, ages. No figure is computed here."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_THOUSAND: Final = 1000
_SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SHORT: Final = ("", "k", "M", "G")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def count(value: int) -> str:
    """Return a count with separators."""
    return f"{value:,}"


def short_count(value: float) -> str:
    """Return a count for an axis: ``2.5k``, ``12M``."""
    return "".join(_scaled(value, _SHORT))


def size(value: float) -> str:
    """Return bytes in decimal units: ``1.5 TB``."""
    return " ".join(_scaled(value, _SIZES))


def _scaled(value: float, units: tuple[str, ...]) -> tuple[str, str]:
    power = 0
    while round(value, 1) >= _THOUSAND and power < len(units) - 1:
        value, power = value / _THOUSAND, power + 1
    text = f"{value:.1f}" if power and value < 100 else f"{value:.0f}" if power or value >= 1 else f"{value:.2g}"  # noqa: PLR2004
    return text.removesuffix(".0"), units[power]


def seconds(value: float | None) -> str:
    """Return a duration in its largest fitting units: ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value is None:
        return "-"
    if value < _MINUTE:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min" + (f" {whole % _MINUTE} s" if whole % _MINUTE else "")
    if whole < _DAY:
        return f"{whole // _HOUR} h" + (f" {whole % _HOUR // _MINUTE} min" if whole % _HOUR // _MINUTE else "")
    return f"{whole // _DAY} d" + (f" {whole % _DAY // _HOUR} h" if whole % _DAY // _HOUR else "")


def rate(value: float | None) -> str:
    """Return objects a second."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004


def share(part: int, whole: int) -> str:
    """Return a share in per cent, rounded down, so that 100 % means all and 0 % means none."""
    if not whole:
        return "-"
    if 0 < part < whole:
        tenths = min(999, max(1, floor(1000 * part / whole)))
        return f"{tenths / 10:.1f} %"
    return "100 %" if part else "0 %"


def width(part: float, whole: float) -> float:
    """Return a share in per cent as a number for drawing."""
    return round(100 * part / whole, 3) if whole else 0.0


def moment(at: datetime) -> str:
    """Return a time to the minute, in UTC."""
    return f"{at:%-d %b %Y, %H:%M} UTC"


def before(passed: timedelta) -> str:
    """Return how long before the report something was: a page that was saved does not know how old it is."""
    whole = max(0, int(passed.total_seconds()))
    if whole < 2 * _MINUTE:
        return "just before this report"
    if whole < 2 * _HOUR:
        return f"{whole // _MINUTE} min before this report"
    long = f"{whole // _HOUR} h" if whole < 2 * _DAY else f"{whole // _DAY} days"
    return f"{long} before this report"
