"""Where the marks of a chart are: axes with round values, lines, bars. Drawn by ``templates/charts.html.jinja``.

Positions are per cent of the plot, from its top left corner: the plot stretches with the page, and its labels, which are text
beside it, do not. What does not belong here: which figures are shown (``page.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

_STEPS: Final = (1, 2, 2.5, 5, 10)
_Y_TICKS: Final = 4
_X_LABELS: Final = 4
_DAY_STEPS: Final = (1, 2, 3, 7, 14, 28, 56, 91, 182, 364)
_SHORTEST: Final = timedelta(hours=1)
"""Of a time that an axis shows."""

_BAR_SHARE: Final = 0.72
"""Of the place of a bar that it fills."""

_THINNEST: Final = 0.6
"""Per cent of the height that a bar which is not zero has at least, so that it is seen."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis.

    Args:
        at: position, in per cent.
        edge: ``start`` or ``end`` where a centred label would leave the chart, else ``middle``.
    """

    at: float
    label: str
    edge: str = "middle"


@dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Args:
        name: for the legend.
        style: a class of the style sheet.
        path: of SVG.
        dots: the path of its points, where there are few.
    """

    name: str
    style: str
    path: str
    dots: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, with what it says."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart.

    Args:
        title: its heading.
        summary: what it shows, in words, for those who do not see it.
        unit: of the vertical axis.
        points: of the longest line, or bars.
    """

    title: str
    summary: str
    unit: str
    points: int
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()


def drawn_from(points: int, chart: Chart) -> Chart:
    """Return a chart with so few points that nothing can be seen in it as its sentence alone."""
    return chart if chart.points >= points else replace(chart, x_ticks=(), y_ticks=(), lines=(), bars=())


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time, to be drawn as a line."""

    name: str
    style: str
    points: Sequence[tuple[datetime, float]]


def line_chart(
    title: str, summary: str, unit: str, series: Sequence[Series], *, label: Callable[[float], str], whole: bool = False
) -> Chart:
    """Draw lines over time; the vertical axis begins at 0.

    Args:
        label: what stands beside a value of the vertical axis.
        whole: values are counts: no tick lies between two whole numbers.
    """
    points = [point for one in series for point in one.points]
    begin, end = min(at for at, _ in points), max(at for at, _ in points)
    if end - begin < _SHORTEST:  # a single point is in the middle
        begin, end = begin - _SHORTEST / 2, end + _SHORTEST / 2
    ticks = round_ticks(max(value for _, value in points), whole=whole)
    seconds = (end - begin).total_seconds()

    def place(at: datetime, value: float) -> tuple[float, float]:
        return 100 * (at - begin).total_seconds() / seconds, 100 - 100 * value / ticks[-1]

    return Chart(
        title=title,
        summary=summary,
        unit=unit,
        points=max(len(one.points) for one in series),
        x_ticks=tuple(_time_ticks(begin, end)),
        y_ticks=tuple(Tick(100 - 100 * tick / ticks[-1], label(tick)) for tick in ticks),
        lines=tuple(_line(one, [place(at, value) for at, value in one.points]) for one in series if one.points),
    )


_MOST_DOTS: Final = 40


def _line(series: Series, places: Sequence[tuple[float, float]]) -> Line:
    path = "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in places)
    dots = "".join(f"M{x:.2f} {y:.2f}h0" for x, y in places) if len(places) <= _MOST_DOTS else ""
    return Line(series.name, series.style, path, dots)


def bar_chart(
    title: str,
    summary: str,
    unit: str,
    values: Sequence[tuple[date, float]],
    *,
    style: str,
    label: Callable[[float], str],
    whole: bool = False,
) -> Chart:
    """Draw a bar for each day, side by side in the order of days; negative values are drawn as 0.

    Args:
        style: a class of the style sheet.
        label: what stands beside a value of the vertical axis.
        whole: values are counts.
    """
    ticks = round_ticks(max(value for _, value in values), whole=whole)
    place = 100 / len(values)
    bars = tuple(
        _bar(number * place, place, 100 * max(0.0, value) / ticks[-1], style, f"{day:%-d %b %Y}: {label(value)} {unit}")
        for number, (day, value) in enumerate(values)
    )
    step = ceil(len(values) / _X_LABELS)
    shown = [(number, day) for number, (day, _) in enumerate(values) if number % step == 0]
    return Chart(
        title=title,
        summary=summary,
        unit=unit,
        points=len(values),
        x_ticks=tuple(_edged((number + 0.5) * place, f"{day:%-d %b}") for number, day in shown),
        y_ticks=tuple(Tick(100 - 100 * tick / ticks[-1], label(tick)) for tick in ticks),
        bars=bars,
    )


def _bar(left: float, place: float, height: float, style: str, title: str) -> Bar:
    height = max(height, _THINNEST) if height else 0.0
    width = min(place * _BAR_SHARE, 8.0)
    return Bar(left + (place - width) / 2, 100 - height, width, height, style, title)


def round_ticks(most: float, *, whole: bool = False) -> list[float]:
    """Return the round values of an axis from 0 to at least ``most``, evenly spaced: four steps or so."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / _Y_TICKS
    magnitude = 10.0 ** floor(log10(rough))
    step = next(factor * magnitude for factor in _STEPS if factor * magnitude >= rough * (1 - 1e-9))
    if whole:
        step = float(ceil(step - 1e-9))
    return [step * number for number in range(ceil(most / step - 1e-9) + 1)]


def _time_ticks(begin: datetime, end: datetime) -> list[Tick]:
    """Return labelled midnights, four at most; where the time has none, its beginning and its end."""
    first = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    if first < begin:
        first += timedelta(days=1)
    days = (end - first).days
    if days < 1:
        return [Tick(0, f"{begin:%-d %b, %H:%M}", "start"), Tick(100, f"{end:%-d %b, %H:%M}", "end")]
    step = next((one for one in _DAY_STEPS if days / one < _X_LABELS), ceil(days / (_X_LABELS - 1)))
    seconds = (end - begin).total_seconds()
    return [
        _edged(100 * (at - begin).total_seconds() / seconds, f"{at:%-d %b}")
        for at in (first + timedelta(days=step * number) for number in range(days // step + 1))
    ]


_EDGE: Final = 4
"""Per cent from either end within which a centred label would leave the chart of a phone."""


def _edged(at: float, label: str) -> Tick:
    return Tick(at, label, "start" if at < _EDGE else "end" if at > 100 - _EDGE else "middle")
