"""What is not registered and why, a row per failed unit and per rejected object, and where that is kept.

Excluded objects are not here (the user asked for it), nor are pending ones (nothing has gone wrong). What a row is and how it
becomes a file is in ``files.py``.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import StateConflictError
from registration_pipeline.planning.wave import read_census
from registration_pipeline.state.ahead import each
from registration_pipeline.state.layout import failure_log_name, failures_name
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tracking.failures.files import (
    FOR_ITS_UNIT,
    STAGE_PLAN,
    STAGE_REGISTRATION,
    FailureRow,
    write_failures,
)
from registration_pipeline.tracking.outcomes import failed_units, read_outcomes
from registration_pipeline.tracking.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.planning.wave import Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.outcomes import ChunkOutcomes
    from registration_pipeline.tracking.snapshot import SourceSnapshot


def chunk_failures(
    source: str,
    chunk_id: str,
    outcomes: ChunkOutcomes,
    *,
    gone: Collection[str] = (),
    stage: str = STAGE_REGISTRATION,
) -> list[FailureRow]:
    """Return the failed units of one chunk; where Encord said which object of a unit is bad, with its URL.

    Args:
        source: its name.
        chunk_id: the chunk.
        outcomes: of all its objects.
        gone: keys that the bucket does not hold any more.
        stage: what failed.
    """
    return [
        FailureRow(
            source=source,
            key=unit.first.key,
            object_url=unit.said.object_url,
            unit_id=unit.first.unit_id,
            objects=unit.objects,
            chunk_id=chunk_id,
            attempt=unit.first.attempt,
            stage=stage,
            reason=(unit.said.reason or "other"),
            message=shortened(unit.said.message) if unit.said.message else unit.said.message,
            subtask_uuid=unit.said.subtask_uuid,
            at=unit.first.at,
            trace_id=unit.said.trace_id,
        )
        for unit in failed_units(outcomes, without=gone)
    ]


def source_failures(store: StateStore, source: str, snapshot: SourceSnapshot | None = None) -> Iterator[FailureRow]:
    """Yield every object of the latest planned inventory that was rejected, and every unit of it that failed.

    First the objects that are rejected for themselves, then the failed units, then the objects that are rejected for their
    unit: they are many, and what they wait for is among the first.

    Streams: one chunk's outcomes and one batch of rejections are in memory at a time.

    Args:
        store: the state.
        source: its name.
        snapshot: of the source; by default it is read.
    """
    snapshot = snapshot or read_snapshot(store, source)
    latest = snapshot.history.latest
    if latest is None:
        return
    yield from _rejected(store, source, latest, for_their_unit=False)
    failed = {
        chunk_id: folded.progress.verdict
        for chunk_id, folded in snapshot.journals.items()
        if folded.progress.verdict is not None and folded.progress.verdict.failed and chunk_id in snapshot.chunks
    }
    deleted = count_by_chunk(read_census(store, latest, "deleted"), failed)
    for chunk_id, verdict in failed.items():
        outcomes = read_outcomes(store, source, verdict)
        yield from chunk_failures(source, chunk_id, outcomes, gone=deleted.keys_by_chunk.get(chunk_id, ()))
    if not FOR_ITS_UNIT.isdisjoint(latest.counts.rejected_by_reason):
        yield from _rejected(store, source, latest, for_their_unit=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCensus:
    """Planned objects of one part of a census, by chunk.

    Args:
        objects: how many, for every chunk.
        keys_by_chunk: which, for the chunks that were asked for.
    """

    objects: Counter[str]
    keys_by_chunk: Mapping[str, set[str]]


def count_by_chunk(batches: Iterable[pa.RecordBatch], named: Container[str]) -> ChunkCensus:
    """Count the rows of a census by chunk, and keep the keys of the chunks ``named`` only.

    Keys of all chunks would not fit into memory after a bucket was emptied.
    """
    objects: Counter[str] = Counter()
    keys_by_chunk: dict[str, set[str]] = {}
    for batch in batches:
        chunk_ids = batch.column("chunk_id")
        counts = pc.value_counts(chunk_ids).to_pylist()
        objects.update({count["values"]: count["counts"] for count in counts})
        wanted = [count["values"] for count in counts if count["values"] in named]
        if not wanted:
            continue
        rows = batch.filter(pc.is_in(chunk_ids, pa.array(wanted, pa.string())))
        for key, chunk_id in zip(rows.column("key").to_pylist(), rows.column("chunk_id").to_pylist(), strict=True):
            keys_by_chunk.setdefault(chunk_id, set()).add(key)
    return ChunkCensus(objects=objects, keys_by_chunk=keys_by_chunk)


def failed_keys(store: StateStore, source: str, progress: ChunkProgress) -> frozenset[str]:
    """Return the keys of a chunk that are not registered according to its newest verdict."""
    if progress.verdict is None or not progress.verdict.failed:
        return frozenset()
    outcomes = read_outcomes(store, source, progress.verdict)
    return frozenset(outcomes.table.column("key").take(outcomes.failed_rows()).to_pylist())


def _rejected(store: StateStore, source: str, wave: Wave, *, for_their_unit: bool) -> Iterator[FailureRow]:
    for batch in read_census(store, wave, "rejected"):
        # An object that no unit is named for is a cause itself.
        is_named = pc.is_valid(batch.column("group_key"))
        is_for_unit = pc.and_(is_named, pc.is_in(batch.column("reason"), pa.array(sorted(FOR_ITS_UNIT), pa.string())))
        for row in batch.filter(is_for_unit if for_their_unit else pc.invert(is_for_unit)).to_pylist():
            yield FailureRow(
                source=source,
                key=row["key"],
                object_url=row["object_url"],
                unit_id=None,
                objects=1,
                chunk_id=None,
                attempt=0,
                stage=STAGE_PLAN,
                reason=row["reason"],
                message=row["message"],
                subtask_uuid=None,
                at=wave.planned_at,
                group_key=row["group_key"],
            )


def write_chunk_failure_log(
    store: StateStore, source: str, chunk_id: str, attempt: int, rows: Sequence[FailureRow]
) -> None:
    """Write one attempt's failure log as Parquet and CSV; when nothing failed there is none, not even a leftover."""
    names = [failures_name(source, chunk_id, attempt, suffix) for suffix in ("parquet", "csv")]
    if rows:
        _write(store, names, rows)
        return
    for name in names:
        store.delete(name)


def write_source_failure_log(store: StateStore, source: str, log_id: str, rows: Iterable[FailureRow]) -> list[str]:
    """Write the source's failure log as Parquet and CSV, also when it is empty, and return the two names.

    Streams: ``rows`` is read once, and a batch of them is in memory at a time.
    """
    names = [failure_log_name(source, log_id, suffix) for suffix in ("parquet", "csv")]
    _write(store, names, rows, is_alone=True)
    return names


def _write(store: StateStore, names: Sequence[str], rows: Iterable[FailureRow], *, is_alone: bool = False) -> None:
    """Write both files; ``is_alone``: nothing is written after them that vouches for them, so that their order is free."""
    with tempfile.TemporaryDirectory(prefix="registration-", ignore_cleanup_errors=True) as folder:
        paths = [Path(folder) / name.rsplit("/", 1)[-1] for name in names]
        with temporary_space("The failure log", Path(folder)):
            write_failures(rows, paths)
        pairs = list(zip(names, paths, strict=True))
        if is_alone:
            each(store, lambda pair: _publish(store, *pair), pairs)
            return
        for name, path in pairs:
            _publish(store, name, path)


def _publish(store: StateStore, name: str, path: Path) -> None:
    """Put a finished file under a name, replacing a leftover that no journal entry vouches for."""
    try:
        store.create_from_file(name, path)
    except StateConflictError:
        store.delete(name)
        with suppress(StateConflictError):  # an overtaken process, or the one that overtook this one, wrote it as well
            store.create_from_file(name, path)
