"""What is planned and the state of each chunk, read once and handed from one stage of a run to the next.

What does not belong here: what the journals mean (``journal/``) and which files hold the plan (``planning/history.py``).

Journals change only under the lease of the source, and waves only come in. So a snapshot is current as long as there is no
other wave, no other term of the lease, and no process holds it: two listings of a few names show that.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from registration_pipeline.planning.history import PlanHistory, load_chunks_of, load_history
from registration_pipeline.state.ahead import both
from registration_pipeline.state.layout import plan_folder
from registration_pipeline.state.lease import newest_term
from registration_pipeline.tracking.journal.journal import MOST_KEPT, FoldedChunk, Journal, fold_written
from registration_pipeline.tracking.journal.states import ChunkProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import JournalEvent

Held: TypeAlias = "dict[tuple[str, str], SourceSnapshot]"
"""The snapshot that a run or a command has read last, by the state's place and the source; one at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What shows whether a source's state is as it was.

    Args:
        waves: folders of waves, committed or not.
        term: of the newest holder of the lease, 0 if there was none.
        is_quiet: no process holds the lease.
    """

    waves: tuple[str, ...]
    term: int
    is_quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSnapshot:
    """The state of a source at one moment.

    Args:
        source: its name.
        history: all that was planned.
        chunks: every planned chunk by its id, in planning order.
        journals: every chunk, and part of one, that was ever attempted, by its id.
        stamp: read before anything else.
    """

    source: str
    history: PlanHistory
    chunks: Mapping[str, PlannedChunk]
    journals: Mapping[str, FoldedChunk]
    stamp: Stamp

    def is_as_of(self, term: int | None) -> bool:
        """Return whether the journals are as they were when a term of the lease began: no term was between the two.

        Only a process that has lost its lease and does not know it yet may have written since.
        """
        return self.stamp.is_quiet and term == self.stamp.term + 1

    def progress_of(self, chunk_id: str) -> ChunkProgress:
        """Return the state of a chunk."""
        folded = self.journals.get(chunk_id)
        return ChunkProgress(chunk_id=chunk_id) if folded is None else folded.progress


def read_snapshot(
    store: StateStore,
    source: str,
    *,
    history: PlanHistory | None = None,
    before: SourceSnapshot | None = None,
) -> SourceSnapshot:
    """Read the state of a source.

    Args:
        store: the state.
        source: its name.
        history: what was planned, if it was read a moment ago.
        before: an earlier snapshot; the plan is read if there are other waves by now, and journals that have other entries.

    Raises:
        StateCorruptError: a file of the state is damaged.
    """
    stamp = _stamp(store, source)
    known = before.journals if before is not None else None
    if before is not None and history is None and before.stamp.waves == stamp.waves:
        return replace(before, journals=Journal(store, source).fold_all(known), stamp=stamp)
    history = history or load_history(store, source)
    chunks, journals = both(
        store, lambda: load_chunks_of(store, history), lambda: Journal(store, source).fold_all(known)
    )
    return SourceSnapshot(source=source, history=history, chunks=chunks, journals=journals, stamp=stamp)


def current_snapshot(
    store: StateStore, source: str, held: Held, *, history: PlanHistory | None = None
) -> SourceSnapshot:
    """Return the snapshot that is held while it is current; else read what has changed since and hold that.

    Args:
        store: the state.
        source: its name.
        held: of the run or command.
        history: what was planned, if it was read a moment ago.

    Raises:
        StateCorruptError: a file of the state is damaged.
    """
    place = (store.uri, source)
    before = held.get(place)
    if history is None and before is not None and before.stamp.is_quiet and before.stamp == _stamp(store, source):
        return before
    snapshot = read_snapshot(store, source, history=history, before=before)
    held.clear()  # a process that works on many sources keeps no more than one
    held[place] = snapshot
    return snapshot


@contextmanager
def written_journals(held: Held, place: str, source: str) -> Iterator[Callable[[str, Sequence[JournalEvent]], None]]:
    """Take the journals that the block writes, and leave them with the snapshot that is held.

    The next listing compares them with the entries that are there, as it does with all that was read before; those of a chunk
    that has just these entries are not read again.

    Args:
        held: of the run or command.
        place: of the state.
        source: its name.
    """
    written = dict[str, FoldedChunk]()

    def take(chunk_id: str, events: Sequence[JournalEvent]) -> None:
        folded = fold_written(source, chunk_id, events)
        written[chunk_id] = folded if len(written) < MOST_KEPT else folded._replace(events=None)

    try:
        yield take
    finally:
        if (before := held.get((place, source))) is not None:
            # Not current any more: the next one that asks for the snapshot lists the journals again.
            stamp = replace(before.stamp, is_quiet=False)
            held[place, source] = replace(before, journals={**before.journals, **written}, stamp=stamp)


def _stamp(store: StateStore, source: str) -> Stamp:
    (term, is_quiet), waves = both(
        store, lambda: newest_term(store, source), lambda: store.folders(plan_folder(source))
    )
    return Stamp(waves=tuple(waves), term=term, is_quiet=is_quiet)
