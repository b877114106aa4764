"""Made-up figures of a source, for tests of what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.report.breakdown import FailureBreakdown
from registration_pipeline.report.data import (
    AuditFigures,
    DayFigures,
    InventoryFigures,
    JobFigures,
    Report,
    SourceReport,
)
from registration_pipeline.tracking.failures.files import FailureRow
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.status import SourceStatus, UnitCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW: Final = datetime(2026, 11, 27, 6, 12, tzinfo=UTC)
HOSTILE: Final = (
    'raw/<script src="https://evil.example/x.js">&"\'/\u202egpj.exe\n\x1b[31m\udcff<img src=x onerror=alert(1)>.jpg'
)


def row(key: str, reason: str = "invalid_file", **changes: Any) -> FailureRow:
    """Return a row of the failure log."""
    facts: dict[str, Any] = {
        "source": "fleet",
        "key": key,
        "object_url": None,
        "unit_id": "unit",
        "objects": 1,
        "chunk_id": "20261127T020000Z-images-00000",
        "attempt": 1,
        "stage": "registration",
        "reason": reason,
        "message": f"can't read {key}",
        "subtask_uuid": None,
        "at": NOW,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return FailureRow(**(facts | changes))


def breakdown(rows: Iterable[FailureRow], **options: Any) -> FailureBreakdown:
    """Return what has counted these rows."""
    counting = FailureBreakdown(**options)
    assert len(list(counting.watch(rows))) == counting.tally.rows
    return counting


def empty_source(name: str = "new") -> SourceReport:
    """Return the report of a source that was never listed."""
    return SourceReport(
        source=name,
        uri="gs://bucket/",
        folder=name,
        timezone="UTC",
        stale_after_hours=36,
        status=SourceStatus(source=name),
        failures=breakdown(()).figures(),
    )


def busy_source(name: str = "fleet", *, nights: int = 30) -> SourceReport:
    """Return the report of a source with failures after that many nights."""
    rows = [row(HOSTILE), *(row(f"raw/site-{number % 4}/{number}.jpg") for number in range(40))]
    rows += [row(f"raw/x/{number}.tmp", "unsupported_type", stage="plan", chunk_id=None) for number in range(9)]
    times = [NOW - timedelta(days=nights - 1 - night, hours=4) for night in range(nights)]
    return SourceReport(
        source=name,
        uri=f"s3://bucket/{HOSTILE}",
        folder=HOSTILE,
        timezone="UTC",
        stale_after_hours=36,
        status=SourceStatus(
            source=name,
            objects=12_000,
            excluded=400,
            rejected=9,
            registered=11_450,
            pending=100,
            failed=41,
            changed=3,
            deleted=7,
            units=UnitCounts(registered=11_450, pending=100, failed=41),
            chunks={ChunkState.SUCCEEDED: 11, ChunkState.PARTIALLY_FAILED: 1},
            inventory_id="20261127T020000Z",
            last_sync_at=NOW - timedelta(hours=4),
        ),
        failures=breakdown(rows).figures(),
        inventories=tuple(
            InventoryFigures(
                inventory_id=f"{at:%Y%m%dT%H%M%SZ}",
                at=at,
                objects=12_000 - 100 * (nights - night),
                bytes=(12_000 - 100 * (nights - night)) * 2_000_000,
                seconds=12.5,
                requests=13,
            )
            for night, at in enumerate(times)
        ),
        days=tuple(
            DayFigures(
                day=at.date(),
                last_at=at + timedelta(minutes=20),
                jobs=JobFigures(
                    jobs=3, median_seconds=30 + night, p95_seconds=90, busy_seconds=60, objects_per_second=200
                ),
                registered=11_450 // nights,
                registered_total=11_450 // nights * (night + 1),
            )
            for night, at in enumerate(times)
        ),
        jobs=JobFigures(jobs=90, median_seconds=45, p95_seconds=90, busy_seconds=1_800, objects_per_second=6.4),
        audit=AuditFigures(
            audit_id="20261126T000000Z",
            at=NOW - timedelta(days=1),
            inventory_id="20261126T020000Z",
            items=11_450,
            findings={"missing": 0, "changed": 3},
            is_clean=False,
        ),
    )


def report_of(*sources: SourceReport) -> Report:
    """Return a report of these sources."""
    return Report(at=NOW, version="0.1.0", state=f"/srv/{HOSTILE}", sources=sources)
