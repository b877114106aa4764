"""Where the upserts of a source are: from their own plan and journals to counts, failures and what planning has to know.

What does not belong here: comparing metadata (``planning/upserts``), and sending. Nothing that counts registrations reads any
of this.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh3_128

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.objects import FailureReason
from registration_pipeline.planning.upserts.registered import RegisteredChunk, RetryPolicy
from registration_pipeline.planning.upserts.schema import DONE
from registration_pipeline.planning.upserts.texts import CHUNK_KEY
from registration_pipeline.planning.wave import read_chunk_units
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tracking.failures.files import STAGE_UPSERT, FailureRow
from registration_pipeline.tracking.failures.log import chunk_failures
from registration_pipeline.tracking.journal.states import ONE_TRY, ChunkState
from registration_pipeline.tracking.outcomes import failed_units, read_outcomes
from registration_pipeline.tracking.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress, JournalEvent
    from registration_pipeline.tracking.snapshot import SourceSnapshot

_TRANSIENT: Final = frozenset(reason.value for reason in FailureReason if reason.is_transient)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertCounts:
    """Units by the state of their newest upsert; those that were never sent again are in none.

    Args:
        pending: planned, and without a verdict.
        done: their items show what was sent.
        failed: the newest metadata did not get there, or is invalid or can't be read.
    """

    pending: int = 0
    done: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, int]:
        """Return the part of ``status --json``."""
        return asdict(self)


def retry_policy(*, max_attempts: int, failed: bool = False, force: bool = False) -> RetryPolicy:
    """Return which failed upserts are sent again.

    Args:
        max_attempts: of a source.
        failed: a person asked for all that failed.
        force: also for what was tried as often as is allowed.
    """
    return RetryPolicy(
        transient=_TRANSIENT,
        gone=FailureReason.NOT_IN_ENCORD.value,
        max_attempts=max_attempts,
        one_try=ONE_TRY,
        failed=failed,
        force=force,
    )


@dataclass(frozen=True, slots=True)
class UpsertView:
    """What there is of upserts.

    Args:
        store: the state.
        snapshot: of what stands for the source.
    """

    store: StateStore
    snapshot: SourceSnapshot

    def under_way(self) -> list[PlannedChunk]:
        """Return the chunks of which a start was intended and nothing is concluded."""
        return [chunk for chunk in self.snapshot.chunks.values() if self._progress(chunk).state.is_open]

    def unsent(self) -> list[PlannedChunk]:
        """Return the chunks of the newest wave that have no verdict. Those of earlier ones were planned again."""
        return [chunk for chunk in self._newest() if not self._progress(chunk).state.is_concluded]

    def has_retries(self, policy: RetryPolicy) -> bool:
        """Return whether units of the newest wave failed for a reason that may pass, or were not sent."""
        return any(
            not policy.transient.isdisjoint(progress.verdict.reasons)
            for progress in map(self._progress, self._newest())
            if progress.verdict is not None
        )

    def states_of(self, chunk_id: str) -> str | dict[str, str] | None:
        """See ``UpsertOutcomes``."""
        progress = self.snapshot.progress_of(chunk_id)
        if progress.verdict is None:
            return None
        if progress.state is ChunkState.SUCCEEDED:
            return DONE
        outcomes = read_outcomes(self.store, self.snapshot.source, progress.verdict)
        states = dict.fromkeys(outcomes.items_by_unit(), DONE)
        states |= {unit.first.unit_id: str(unit.said.reason) for unit in failed_units(outcomes)}
        return {unit_id: state for unit_id, state in states.items() if state != FailureReason.PLANNED_AGAIN}

    def counts(self) -> UpsertCounts:
        """Count units by the state of their newest upsert, from the newest wave and its journals alone."""
        latest = self.snapshot.history.latest
        if latest is None:
            return UpsertCounts()
        pending, done = 0, int(latest.upserts.get("done", 0))
        failed = int(latest.upserts.get("failed", 0)) + int(latest.upserts.get("invalid", 0))
        for chunk in self._newest():
            verdict = self._progress(chunk).verdict
            if verdict is None:
                pending += chunk.units
                continue
            unsent = verdict.reasons.get(FailureReason.PLANNED_AGAIN, 0)
            pending += unsent
            failed += verdict.failed_units - unsent
            done += chunk.units - verdict.failed_units
        return UpsertCounts(pending=pending, done=done, failed=failed)

    def failures(self, source: str) -> Iterator[FailureRow]:
        """Yield a row per unit whose newest metadata did not get to its item, with the chunk that it was registered with.

        Args:
            source: its name.
        """
        latest = self.snapshot.history.latest
        if latest is None:
            return
        for batch in read_parts(self.store, latest.kept_files):
            keys_of: dict[str, set[str]] = {}
            for row in batch.to_pylist():
                if row.get("reason") is None:
                    keys_of.setdefault(row["chunk_id"], set()).add(row["key"])
                else:
                    yield _invalid_row(source, row, latest.planned_at)
            for chunk_id, keys in keys_of.items():
                yield from (row for row in self._failures_of(source, chunk_id) if row.key in keys)
        for chunk in self._newest():
            yield from self._failures_of(source, chunk.chunk_id)

    def _failures_of(self, source: str, chunk_id: str) -> Iterator[FailureRow]:
        verdict = self.snapshot.progress_of(chunk_id).verdict
        if verdict is None or not verdict.failed:
            return
        outcomes = read_outcomes(self.store, self.snapshot.source, verdict)
        units = read_chunk_units(self.store, self.snapshot.source, self.snapshot.chunks[chunk_id])
        texts = dict(zip(units.first_values("unit_id"), units.first_values("client_metadata"), strict=True))
        for row in chunk_failures(source, chunk_id, outcomes, stage=STAGE_UPSERT):
            if row.reason != FailureReason.PLANNED_AGAIN:
                assert row.unit_id is not None
                yield replace(row, chunk_id=json.loads(texts[row.unit_id])[CHUNK_KEY])

    def _newest(self) -> Iterator[PlannedChunk]:
        latest = self.snapshot.history.latest
        return (
            chunk for chunk in self.snapshot.chunks.values() if latest is not None and chunk.wave_id == latest.wave_id
        )

    def _progress(self, chunk: PlannedChunk) -> ChunkProgress:
        return self.snapshot.progress_of(chunk.chunk_id)


def _invalid_row(source: str, row: Mapping[str, Any], at: datetime) -> FailureRow:
    """Return the row of a unit whose metadata is invalid or can't be read, of a row of ``KEPT_SCHEMA``."""
    return FailureRow(
        source=source,
        key=row["key"],
        object_url=None,
        unit_id=row["unit_id"],
        objects=row["objects"],
        chunk_id=row["chunk_id"],
        attempt=row["attempt"],
        stage=STAGE_UPSERT,
        reason=row["reason"],
        message=shortened(row["message"]) if row["message"] else None,
        subtask_uuid=None,
        at=at,
    )


def upsert_view(store: StateStore, upserts: str, *, history: PlanHistory | None = None) -> UpsertView:
    """Read what there is of upserts.

    Args:
        store: the state.
        upserts: what stands for the source (``layout.upserts_source``).
        history: what was planned, if it was read a moment ago.

    Raises:
        StateCorruptError: a file of the state is damaged.
    """
    return UpsertView(store, read_snapshot(store, upserts, history=history))


@dataclass(slots=True)
class RegistrationView:
    """``Registrations``: from the snapshot of a source.

    Args:
        store: the state.
        snapshot: of the source.
        sent_metadata: whether a verdict says that what was planned has been sent.
    """

    store: StateStore
    snapshot: SourceSnapshot
    sent_metadata: Callable[[JournalEvent], bool] = lambda _: True
    chunks: Mapping[str, RegisteredChunk] = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Gather the chunks with registered units."""
        found: dict[str, RegisteredChunk] = {}
        digest = xxh3_128()
        for chunk_id, chunk in self.snapshot.chunks.items():
            progress = self.snapshot.progress_of(chunk_id)
            verdict, intent = progress.verdict, progress.first_intent
            if verdict is None or not verdict.registered or intent is None or intent.folder_uuid is None:
                continue
            found[chunk_id] = RegisteredChunk(
                planned=chunk,
                attempt=verdict.attempt,
                folder_uuid=intent.folder_uuid,
                sent_metadata=self.sent_metadata(verdict),
            )
            digest.update(f"{chunk_id} {verdict.attempt}\n".encode())
        self.chunks, self.digest = found, digest.hexdigest()

    def items_of(self, chunk_id: str) -> Mapping[str, str]:
        """See ``Registrations``."""
        verdict = self.snapshot.progress_of(chunk_id).verdict
        return read_outcomes(self.store, self.snapshot.source, verdict).items_by_unit() if verdict else {}
