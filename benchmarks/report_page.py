"""The report of a source after thirty nights, one object in a hundred refused: its page, and what a night adds for it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.synthetic import SyntheticLister
from benchmarks.table import Table, megabytes, seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Stopwatch
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.outcomes import Outcome

NIGHTS = 30
_LAST_NIGHT = datetime(2026, 11, 26, 2, tzinfo=UTC)
_FAILED_ONE_IN = 100
_REASONS = (
    ("unreadable", "The object can't be read: 403 Forbidden"),
    ("invalid_file", "cannot identify image file"),
    ("service_error", "The service is temporarily unavailable"),
)


def run(objects: int, folder: Path) -> Table:
    """Measure at the objects and ten times as many, with everything that is written below ``folder``."""
    table = Table(
        f"report_page: a source after {NIGHTS} nights, one object in {_FAILED_ONE_IN} refused",
        ("objects", "what", "time", "CPU", "peak memory", "of which libraries", "page"),
    )
    for size in (objects, objects * 10):
        environ = environment(write_configuration(folder / str(size)))
        run_stage(prepare, environ, objects=size)
        for name, stage in (("`failures --json`, for comparison", count_failures), ("`report --out`", write_page)):
            found = run_stage(stage, environ, folder=str(folder))
            page = f"{found.facts['bytes']:,} bytes" if "bytes" in found.facts else ""
            times = (seconds_text(found.seconds), seconds_text(found.cpu_seconds))
            memory = (megabytes(found.peak_bytes), megabytes(found.libraries_bytes))
            table.add(f"{size:,}", name, *times, *memory, page)
    return table


def prepare(watch: Stopwatch, *, objects: int) -> None:
    """Stage: list and plan night after night, and write what registering the chunks would have written."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.planning.plan import plan_source
    from registration_pipeline.tracking.journal.journal import Journal

    with watch:
        project, source = load_project()
        for night in range(1, NIGHTS + 1):
            began = _LAST_NIGHT - timedelta(days=NIGHTS - night)
            lister = SyntheticLister(objects // 2 + objects // 2 * night // NIGHTS)
            take_inventory(lister=lister, store=project.store, source=SOURCE, clock=_always(began))
            plan = plan_source(store=project.store, source=source, clock=_always(began + timedelta(minutes=5)))
            for number, chunk in enumerate(plan.chunks):
                _register(project.store, chunk, began + timedelta(minutes=6, seconds=3 * number), random.Random(number))
        Journal(project.store, SOURCE).summarise()


def _always(at: datetime) -> Callable[[], datetime]:
    return lambda: at


def _register(store: Any, chunk: PlannedChunk, sent_at: datetime, draw: random.Random) -> None:
    from registration_pipeline.planning.wave import read_chunk_units
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.tracking.journal.states import ChunkState, JournalEvent, JournalEventKind
    from registration_pipeline.tracking.outcomes import ChunkOutcomes, write_outcomes

    at = sent_at + timedelta(seconds=20 + draw.random() * 40)
    units = read_chunk_units(store, SOURCE, chunk)
    outcomes = [_outcome(unit, at, draw) for unit in units]
    failed = sum(not one.verdict.is_registered for one in outcomes)
    reasons: dict[str, int] = {}
    for one in outcomes:
        if one.reason is not None:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
    named = write_outcomes(store, SOURCE, chunk.chunk_id, 1, ChunkOutcomes.of(outcomes))
    verdict: dict[str, Any] = {"state": ChunkState.PARTIALLY_FAILED if failed else ChunkState.SUCCEEDED}
    verdict |= {"registered": len(outcomes) - failed, "failed": failed, "reasons": reasons, "outcomes": named}
    for kind, when, facts in (
        (JournalEventKind.INTENT, sent_at, {"folder_uuid": "f" * 36, "manifest_sha256": "a" * 64}),
        (JournalEventKind.JOB, sent_at, {"job_id": "b" * 36}),
        (JournalEventKind.VERDICT, at, verdict),
    ):
        Journal(store, SOURCE).append(JournalEvent(kind=kind, chunk_id=chunk.chunk_id, attempt=1, at=when, **facts))


def _outcome(unit: Any, at: datetime, draw: random.Random) -> Outcome:
    from registration_pipeline.objects import FailureReason
    from registration_pipeline.tracking.outcomes import Outcome, Verdict

    entry = unit.objects[0]
    if draw.randrange(_FAILED_ONE_IN):
        return Outcome(entry.key, entry.object_url, unit.unit_id, Verdict.REGISTERED, 1, at, item_uuid="e" * 36)
    reason, message = draw.choices(_REASONS, (6, 3, 1))[0]
    facts: dict[str, Any] = {
        "reason": FailureReason(reason),
        "message": message,
        "trace_id": f"{draw.getrandbits(128):032x}",
    }
    return Outcome(entry.key, entry.object_url, unit.unit_id, Verdict.FAILED, 1, at, **facts)


def count_failures(watch: Stopwatch, *, folder: str) -> None:
    """Stage: go through the failure log, as the command ``failures`` does."""
    del folder
    project, source = load_project()
    import registration_pipeline.project.upserts
    import registration_pipeline.tracking.latest_view  # noqa: F401 - outside the clock

    with watch:
        watch.facts["rows"] = sum(1 for _ in project.failures(source))


def write_page(watch: Stopwatch, *, folder: str) -> None:
    """Stage: gather the report and write the page."""
    from pathlib import Path

    import jinja2  # noqa: F401 - outside the clock

    import registration_pipeline.tracking.latest_view  # noqa: F401 - outside the clock
    from registration_pipeline.report.files import page_bytes
    from registration_pipeline.report.gather import gather_report

    project, source = load_project()
    with watch:
        data = page_bytes(gather_report(project, [source]))
    Path(folder, "report.html").write_bytes(data)
    watch.facts["bytes"] = len(data)
