"""The report as one HTML page that needs nothing else: no script, no network, its style and charts inside.

What is shown of which figure is decided here; its form, in ``templates/``. Every text from outside is spelled out
(``printable``) and escaped by Jinja.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from registration_pipeline.counted import counted
from registration_pipeline.foreign_text import printable
from registration_pipeline.report import numbers
from registration_pipeline.report.charts import Chart, Series, bar_chart, drawn_from, line_chart
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jinja2 import Environment

    from registration_pipeline.report.data import DayFigures, Report, SourceReport

_TABLE_DAYS: Final = 31
"""Days in the table; the charts show more."""

_FEWEST_POINTS: Final = 3
"""Points from which a chart is drawn; below, its sentence says it all."""

_SHORT_JOBS: Final = 600
"""Seconds up to which the axis of job durations is in seconds."""

STATES: Final = ("registered", "pending", "failed", "rejected", "excluded")
"""The five places that an object can be in, as they are drawn."""

_MEANINGS: Final = {
    "registered": "in Encord",
    "pending": "due, or waiting",
    "failed": "Encord did not accept it",
    "rejected": "not sent, Encord would not accept it",
    "excluded": "a rule of yours excludes it",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a source comes to, in one line.

    Args:
        style: ``good``, ``waiting`` or ``bad``.
    """

    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the funnel.

    Args:
        lost: how many objects the step before had and this one has not.
        state: theirs.
    """

    name: str
    objects: int
    lost: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One source as the page shows it."""

    report: SourceReport
    verdict: Verdict
    notes: tuple[str, ...]
    funnel: tuple[Step, ...]
    charts: tuple[Chart, ...]
    chunks: tuple[tuple[str, int], ...]
    days: tuple[DayFigures, ...]

    @property
    def wanted(self) -> int:
        """Objects that the rules do not exclude."""
        return self.report.status.objects - self.report.status.excluded


def render(report: Report) -> str:
    """Return the page. It is text that UTF-8 can carry, whatever is in the keys."""
    sections = [_section(source, report.at) for source in report.sources]
    totals = {name: sum(getattr(one.status, name) for one in report.sources) for name in ("objects", *STATES)}
    page = _environment().get_template("page.html.jinja")
    return page.render(report=report, sections=sections, totals=totals, states=STATES, meanings=_MEANINGS)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("registration_pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "size": numbers.size,
        "seconds": numbers.seconds,
        "rate": numbers.rate,
        "moment": numbers.moment,
        "foreign": _foreign,
        "words": lambda text: str(text).replace("_", " "),
    }
    environment.globals |= {
        "share": numbers.share,
        "width": numbers.width,
        "before": numbers.before,
        "counted": counted,
    }
    return environment


def _foreign(value: object) -> str:
    """Return a text from outside as one line of visible characters; lone surrogates are spelled out, too."""
    return printable(str(value)).replace("\n", "\\n")


def _section(source: SourceReport, at: datetime) -> Section:
    status = source.status
    chunks = [(state.value.replace("_", " "), status.chunks.get(state, 0)) for state in ChunkState]
    return Section(
        report=source,
        verdict=_verdict(source, at),
        notes=status.disagreements,
        funnel=_funnel(source),
        charts=tuple(_charts(source)),
        chunks=tuple((name, count) for name, count in chunks if count),
        days=source.days[-_TABLE_DAYS:][::-1],
    )


def _verdict(source: SourceReport, at: datetime) -> Verdict:
    status = source.status
    if status.inventory_id is None:
        return Verdict("waiting", "Not listed yet")
    bad = next(_problems(source, at), None)
    if bad is not None:
        return Verdict("bad", bad)
    if status.pending:
        return Verdict("waiting", f"{counted(status.pending, 'object')} pending")
    return Verdict("good", "Everything is registered") if status.objects else Verdict("waiting", "The bucket is empty")


def _problems(source: SourceReport, at: datetime) -> Iterator[str]:
    """Yield what a person has to act on, the worst first."""
    status = source.status
    if status.disagreements:
        yield "The numbers do not add up"
    if source.attention:
        yield f"{counted(source.attention, 'object')} {'needs' if source.attention == 1 else 'need'} attention"
    if status.upserts and status.upserts.failed:
        yield f"New metadata of {counted(status.upserts.failed, 'unit')} was not sent"
    if status.dataset and status.dataset.failed:
        yield f"{counted(status.dataset.failed, 'unit')} not linked to the dataset"
    if source.is_stale(at):
        yield f"No sync for more than {source.stale_after_hours} hours"


def _funnel(source: SourceReport) -> tuple[Step, ...]:
    """Return how many objects are left after each step; each step loses those of one state."""
    status, steps = source.status, []
    left, lost, of = status.objects, 0, ""
    for name, state in (
        ("in the bucket", "excluded"),
        ("wanted by the rules", "rejected"),
        ("that Encord accepts", "pending"),
        ("concluded by Encord", "failed"),
        ("registered", ""),
    ):
        steps.append(Step(name, left, lost, of))
        lost, of = getattr(status, state) if state else 0, state
        left -= lost
    return tuple(steps)


def _charts(source: SourceReport) -> list[Chart]:
    charts = []
    listed = [(one.at, one.objects) for one in source.inventories]
    registered = [(one.last_at, one.registered_total) for one in source.days]
    if listed:
        latest = source.inventories[-1]
        since = f"{listed[0][0]:%-d %b %Y}"
        charts.append(
            line_chart(
                "Objects in the bucket, and registered",
                f"{counted(len(listed), 'inventory')} since {since}: from {listed[0][1]:,} to "
                f"{latest.objects:,} objects; {registered[-1][1] if registered else 0:,} registered so far.",
                "objects",
                [Series("in the bucket", "bucket", listed), Series("registered so far", "registered", registered)],
                label=numbers.short_count,
                whole=True,
            )
        )
        charts.append(
            line_chart(
                "Size of the bucket",
                f"From {numbers.size(source.inventories[0].bytes)} to {numbers.size(latest.bytes)} since {since}.",
                "bytes",
                [Series("bytes in the bucket", "bucket", [(one.at, one.bytes) for one in source.inventories])],
                label=numbers.size,
                whole=True,
            )
        )
    if source.days:
        best = max(source.days, key=lambda one: one.registered)
        charts.append(
            bar_chart(
                "Registered each day",
                f"{counted(len(source.days), 'day')} with a verdict; the most on {best.day:%-d %b %Y}: {best.registered:,} "
                "objects.",
                "objects",
                [(one.day, one.registered) for one in source.days],
                style="registered",
                label=numbers.short_count,
                whole=True,
            )
        )
    charts += _job_charts(source)
    return [drawn_from(_FEWEST_POINTS, one) for one in charts]


def _job_charts(source: SourceReport) -> list[Chart]:
    days = [one for one in source.days if one.jobs.median_seconds is not None]
    if not days:
        return []
    times = [one.last_at for one in days]
    medians = [one.jobs.median_seconds or 0.0 for one in days]
    tails = [one.jobs.p95_seconds or 0.0 for one in days]
    rates = [(one.day, one.jobs.objects_per_second or 0.0) for one in days]
    are_short = max(tails) < _SHORT_JOBS
    return [
        line_chart(
            "How long upload jobs take",
            f"Half of all jobs took at most {numbers.seconds(source.jobs.median_seconds)}, 95 of 100 at most "
            f"{numbers.seconds(source.jobs.p95_seconds)}, from Encord's acceptance to the verdict.",
            "seconds",
            [
                Series("95 of 100 jobs", "tail", list(zip(times, tails, strict=True))),
                Series("half of all jobs (median)", "median", list(zip(times, medians, strict=True))),
            ],
            label=lambda value: f"{value:g} s" if are_short else numbers.seconds(value),
        ),
        bar_chart(
            "Throughput",
            f"{numbers.rate(source.jobs.objects_per_second)} objects a second over all jobs, while any job was open.",
            "objects a second",
            rates,
            style="bucket",
            label=numbers.short_count,
        ),
    ]
