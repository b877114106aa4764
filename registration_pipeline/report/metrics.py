"""The figures of sources as a Prometheus text file, for the textfile collector of the node exporter and the like.

One file for all sources: a sync replaces the series of its source and keeps those of the others. What does not belong here:
the figures themselves (``gather.py``).
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from registration_pipeline.report.data import SourceReport

_PREFIX: Final = "registration_pipeline_"
_STATES: Final = ("registered", "pending", "failed", "rejected", "excluded")
BUCKETS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400)
"""Upper bounds of the histogram of upload jobs, in seconds: from a warm small chunk to ``job_timeout_seconds``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFigures:
    """What the run that ends now was like.

    Args:
        ended_at: UTC.
        seconds: since its process began with it; None: not known.
        encord_requests: that its process made to Encord.
        job_seconds: of every upload job of the source that ended with a verdict, in this run or before.
    """

    ended_at: datetime
    seconds: float | None
    encord_requests: int
    job_seconds: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric.

    Args:
        name: without the prefix; its unit is the last word.
        text: its help.
        labels: besides ``source``.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    is_histogram: bool = False


_OBJECTS = _Metric("objects", "Objects of the latest inventory by state; each is in one.", ("state",))
_UNITS = _Metric("units", "Units of the latest inventory by state.", ("state",))
_CHUNKS = _Metric("chunks", "Chunks by state.", ("state",))
_FAILED = _Metric("failures_objects", "Objects behind the rows of the failure log, by reason.", ("stage", "reason"))
_ATTENTION = _Metric(
    "attention_objects", "Objects that a person has to act on: failed ones, and rejected ones not accepted."
)
_CHANGED = _Metric("changed_objects", "Registered objects that are other ones in the bucket now.")
_DELETED = _Metric("deleted_objects", "Registered objects that the bucket does not hold any more.")
_UPSERTS = _Metric("upsert_units", "Units by the state of the metadata that was sent again.", ("state",))
_LINKED = _Metric("dataset_units", "Registered units by whether they are linked to the dataset.", ("state",))
_BUCKET_OBJECTS = _Metric("bucket_objects", "Objects in the latest inventory.")
_BUCKET_BYTES = _Metric("bucket_bytes", "Bytes in the latest inventory.")
_LISTED_AT = _Metric("last_inventory_timestamp_seconds", "When the latest inventory began, in Unix time.")
_LISTED_FOR = _Metric("last_inventory_duration_seconds", "How long the latest inventory took.")
_LISTED_BY = _Metric("last_inventory_requests", "Requests to the store of the latest inventory.")
_SYNCED_AT = _Metric("last_sync_timestamp_seconds", "When the last sync came to its end, in Unix time.")
_SYNCED_FOR = _Metric("last_sync_duration_seconds", "How long the last sync took.")
_SYNCED_BY = _Metric("last_sync_encord_requests", "Requests to Encord of the last sync.")
_JOBS = _Metric(
    "upload_job_duration_seconds", "From Encord's acceptance of a manifest to the verdict.", is_histogram=True
)
_AUDITED_AT = _Metric("last_audit_timestamp_seconds", "When the last audit began, in Unix time.")
_FINDINGS = _Metric("audit_findings", "Rows of the last audit by finding.", ("finding",))
METRICS: Final = (
    *(_OBJECTS, _UNITS, _CHUNKS, _FAILED, _ATTENTION, _CHANGED, _DELETED, _UPSERTS, _LINKED),
    *(_BUCKET_OBJECTS, _BUCKET_BYTES, _LISTED_AT, _LISTED_FOR, _LISTED_BY),
    *(_SYNCED_AT, _SYNCED_FOR, _SYNCED_BY, _JOBS, _AUDITED_AT, _FINDINGS),
)
"""Every metric, in the order of the file."""

Series = tuple[_Metric, tuple[str, ...], float]


def write_metrics(path: Path, report: SourceReport, sync: SyncFigures, sources: Iterable[str]) -> None:
    """Write the file again with the series of a source replaced. Readers see the old file or the new one, whole.

    Args:
        path: the file; its folder has to exist.
        report: of the source.
        sync: the run that ends.
        sources: that are configured; series of others are dropped.

    Raises:
        OSError: it can't be written.
    """
    from prometheus_client import CollectorRegistry, write_to_textfile

    with _alone(path):
        kept = set(sources) - {report.source}
        registry = CollectorRegistry()
        registry.register(_Families(report, sync, _others(path, kept)))
        write_to_textfile(os.fspath(path), registry)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes of this machine from writing the file at the same time: what they add would be lost."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _others(path: Path, sources: set[str]) -> dict[str, list[Any]]:
    """Return the samples of those sources by metric, as the file has them; nothing if it can't be understood."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
    return {
        family.name: [sample for sample in family.samples if sample.labels.get("source") in sources]
        for family in families
    }


class _Families:
    """What the library collects: every metric with the samples of the source, and with those of the others."""

    def __init__(self, report: SourceReport, sync: SyncFigures, others: Mapping[str, list[Any]]) -> None:
        self._source, self._sync, self._others = report.source, sync, others
        self._series: dict[str, list[Series]] = {}
        for one in [*_state(report), *_bucket(report), *_run(sync), *_audit(report)]:
            self._series.setdefault(one[0].name, []).append(one)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics that have a sample."""
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        for metric in METRICS:
            kind: Any = HistogramMetricFamily if metric.is_histogram else GaugeMetricFamily
            family = kind(_PREFIX + metric.name, metric.text, labels=("source", *metric.labels))
            for _, labels, value in self._series.get(metric.name, ()):
                family.add_metric((self._source, *labels), value)
            if metric.is_histogram:
                counts = _cumulative(self._sync.job_seconds)
                family.add_metric((self._source,), counts, sum(self._sync.job_seconds))
            family.samples.extend(self._others.get(family.name, ()))
            if family.samples:
                yield family


def _cumulative(seconds: Sequence[float]) -> list[tuple[str, float]]:
    """Return the upper bounds and how many jobs took at most that long."""
    counts = [0] * (len(BUCKETS) + 1)
    for one in seconds:
        counts[bisect_left(BUCKETS, one)] += 1
    return list(zip([*map(str, BUCKETS), "+Inf"], map(float, accumulate(counts)), strict=True))


def _state(report: SourceReport) -> Iterator[Series]:
    status = report.status
    yield from ((_OBJECTS, (name,), getattr(status, name)) for name in _STATES)
    yield from ((_UNITS, (name,), getattr(status.units, name)) for name in ("registered", "pending", "failed"))
    yield from ((_CHUNKS, (state.value,), status.chunks.get(state, 0)) for state in ChunkState)
    yield from ((_FAILED, (one.stage, one.reason), one.objects) for one in report.failures.reasons)
    yield _ATTENTION, (), report.attention
    yield _CHANGED, (), status.changed
    yield _DELETED, (), status.deleted
    if status.upserts is not None:
        yield from ((_UPSERTS, (name,), count) for name, count in asdict(status.upserts).items())
    if status.dataset is not None:
        yield from ((_LINKED, (name,), count) for name, count in asdict(status.dataset).items())


def _bucket(report: SourceReport) -> Iterator[Series]:
    if report.inventories:
        latest = report.inventories[-1]
        yield _BUCKET_OBJECTS, (), latest.objects
        yield _BUCKET_BYTES, (), latest.bytes
        yield _LISTED_AT, (), latest.at.timestamp()
        yield _LISTED_FOR, (), latest.seconds
        yield _LISTED_BY, (), latest.requests


def _run(sync: SyncFigures) -> Iterator[Series]:
    yield _SYNCED_AT, (), sync.ended_at.timestamp()
    if sync.seconds is not None:
        yield _SYNCED_FOR, (), round(sync.seconds, 3)
    yield _SYNCED_BY, (), sync.encord_requests


def _audit(report: SourceReport) -> Iterator[Series]:
    if report.audit is not None:
        yield _AUDITED_AT, (), report.audit.at.timestamp()
        yield from ((_FINDINGS, (finding,), count) for finding, count in report.audit.findings.items())
