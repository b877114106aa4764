"""Objects that were written again after Encord refused them: which to try again, and which it has as they are now.

Only finding them belongs here; what is tried is in ``due.py``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.wave import is_wave_id, load_wave, read_census, wave_order
from registration_pipeline.state.layout import plan_folder
from registration_pipeline.tracking.due import has_failed
from registration_pipeline.tracking.failures.log import failed_keys
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEventKind
from registration_pipeline.tracking.outcomes import read_outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from registration_pipeline.planning.wave import Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.snapshot import SourceSnapshot
    from registration_pipeline.tracking.status import ChunkStatus

_WHOLE_SECONDS: Final = timedelta(seconds=1)
"""By so much a listing may say that an object was written too early: S3 leaves out the fractions of seconds."""

_FRACTIONS: Final = timedelta(milliseconds=1)
"""The same of a time that has a fraction of a second: some stores leave out all but milliseconds."""


def repaired_chunks(store: StateStore, snapshot: SourceSnapshot, statuses: Mapping[str, ChunkStatus]) -> frozenset[str]:
    """Return the chunks with a failed object that the latest inventory shows written after the last attempt began.

    The store's clock is compared with ours: one that is behind makes a repair be found a night later, or by a retry.
    """
    began = {
        chunk_id: status.progress.began.at
        for chunk_id, status in statuses.items()
        if has_failed(status) and status.progress.began is not None
    }
    latest = snapshot.history.latest if began else None
    rewritten: dict[str, set[str]] = {}
    for batch in read_census(store, latest, "changed") if latest else ():
        rows = batch.filter(pc.is_in(batch.column("chunk_id"), pa.array(list(began), pa.string()))).to_pylist()
        for row in rows:
            if row["last_modified"] > began[row["chunk_id"]]:
                rewritten.setdefault(row["chunk_id"], set()).add(row["key"])
    return frozenset(
        chunk_id
        for chunk_id, keys in rewritten.items()
        if keys & failed_keys(store, snapshot.source, statuses[chunk_id].progress)
    )


class AcceptedRepairs:
    """Finds the objects that differ from what was planned only because they were fixed before Encord accepted them.

    Encord had refused such an object, so what it accepted in a later attempt is what the bucket held then: the object is the
    one in Encord if it was not written since that attempt began, or if the plan before the attempt saw it as it is now. The
    second way needs no comparison of the store's clock with ours. Failures that say nothing of the object
    (``FailureReason.is_transient``) do not count: it may have been registered at the time.

    Args:
        store: the state.
        source: its name.
        progress_of: the state of a chunk.
    """

    def __init__(self, store: StateStore, source: str, progress_of: Callable[[str], ChunkProgress]) -> None:
        self._store, self._source, self._progress_of = store, source, progress_of
        self._since: dict[str, Mapping[str, datetime]] = {}
        self._wave_ids: list[str] | None = None
        self._seen: dict[str, Mapping[str, datetime]] = {}

    def left_out(self, changed: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of ``CHANGED_SCHEMA`` without such objects.

        Raises:
            StateCorruptError: a file of the state is damaged.
        """
        retried = [one for one in pc.unique(changed.column("chunk_id")).to_pylist() if self._was_retried(one)]
        if not retried:
            return changed
        rows = zip(*(changed.column(name).to_pylist() for name in ("chunk_id", "key", "last_modified")), strict=True)
        return changed.filter(pa.array([not self._is_accepted(*row) for row in rows], pa.bool_()))

    def _was_retried(self, chunk_id: str) -> bool:
        progress = self._progress_of(chunk_id)
        return progress.attempt > 1 and progress.verdict is not None

    def _is_accepted(self, chunk_id: str, key: str, last_modified: datetime) -> bool:
        if chunk_id not in self._since:
            self._since[chunk_id] = self._accepted_since(chunk_id) if self._was_retried(chunk_id) else {}
        since = self._since[chunk_id].get(key)
        if since is None:
            return False
        earlier = _FRACTIONS if last_modified.microsecond else _WHOLE_SECONDS
        return last_modified + earlier <= since or self._seen_by_plan_before(since).get(key) == last_modified

    def _accepted_since(self, chunk_id: str) -> dict[str, datetime]:
        """Return the objects of a chunk that were refused before, and since when Encord may have accepted them.

        That is the beginning of the first attempt after the last refusal, unless nothing of that attempt reached Encord.
        """
        since: dict[str, datetime] = {}
        refused, attempt, begun = set[str](), 0, set[str]()
        for event in Journal(self._store, self._source).events(chunk_id):
            if event.attempt != attempt:
                attempt, begun = event.attempt, refused - since.keys()
                since.update(dict.fromkeys(begun, event.at))
            if event.kind is JournalEventKind.NOT_SENT:
                since = {key: at for key, at in since.items() if key not in begun}
            if event.kind is JournalEventKind.VERDICT:
                failed = read_outcomes(self._store, self._source, event).failed if event.failed else ()
                now = {one.key for one in failed if one.reason is not None and not one.reason.is_transient}
                since = {key: at for key, at in since.items() if key not in now}
                refused |= now
        return since

    def _seen_by_plan_before(self, at: datetime) -> Mapping[str, datetime]:
        """Return when objects of retried chunks were written, by key, as the last plan before a time saw those that differ."""
        if self._wave_ids is None:
            found = filter(is_wave_id, self._store.folders(plan_folder(self._source)))
            self._wave_ids = sorted(found, key=wave_order, reverse=True)
        newest = f"{at:%Y%m%dT%H%M%SZ}"
        for wave_id in self._wave_ids:
            if wave_order(wave_id)[0] > newest:
                continue
            wave = load_wave(self._store, self._source, wave_id)
            if wave is not None and wave.planned_at <= at:
                return self._seen_in(wave)
        return {}

    def _seen_in(self, wave: Wave) -> Mapping[str, datetime]:
        if wave.wave_id not in self._seen:
            seen: dict[str, datetime] = {}
            for batch in read_census(self._store, wave, "changed"):
                columns = (batch.column(name).to_pylist() for name in ("chunk_id", "key", "last_modified"))
                seen |= {key: at for chunk_id, key, at in zip(*columns, strict=True) if self._was_retried(chunk_id)}
            self._seen[wave.wave_id] = seen
        return self._seen[wave.wave_id]


def changed_objects(
    store: StateStore, source: str, wave: Wave, progress_of: Callable[[str], ChunkProgress]
) -> Iterator[pa.RecordBatch]:
    """Yield the planned objects that are others now than what Encord would read or has read, as ``CHANGED_SCHEMA``."""
    repairs = AcceptedRepairs(store, source, progress_of)
    batches: Iterable[pa.RecordBatch] = read_census(store, wave, "changed")
    return (repairs.left_out(batch) for batch in batches)
