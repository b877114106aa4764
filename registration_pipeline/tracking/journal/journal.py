"""A chunk's journal in the state: one create-only file per event, folded on reading.

What may follow what is in ``states.py``; when to write which event is decided by ``submission``.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from sys import intern
from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.state.layout import journal_folder, journal_name
from registration_pipeline.state.sealed import open_sealed, sealed_json
from registration_pipeline.tracking.journal.memory import FoldedChunk, folded_chunks
from registration_pipeline.tracking.journal.states import (
    CLOSING_EVENTS,
    ChunkProgress,
    ChunkState,
    JournalEvent,
    JournalEventKind,
    UnitFailure,
    fold_events,
)
from registration_pipeline.tracking.journal.summary import SummaryReader, write_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registration_pipeline.state.store import StateStore

# Entries of one attempt in the order in which they can happen, because file names sort otherwise.
_ORDER = {kind: position for position, kind in enumerate(JournalEventKind)}
_EMPTY: tuple[object, ...] = (None, (), {})

# Reading a hundred entries takes less than writing a summary; a twentieth of them is little beside the rest.
_FEWEST_MISSING = 100
_MISSING_SHARE = 0.05


def encode_event(event: JournalEvent) -> bytes:
    """Return the event as a document with its digest."""
    return sealed_json(_fields_of(event))


def _fields_of(event: JournalEvent) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(event).items() if value not in _EMPTY}
    fields["at"] = event.at.astimezone(UTC).isoformat()
    return fields


def decode_event(data: bytes, *, name: str) -> JournalEvent:
    """Read an event back.

    Raises:
        StateCorruptError: the file is not what ``encode_event`` writes.
    """
    try:
        return _event_of(open_sealed(data))
    except (ValueError, KeyError, TypeError) as error:
        raise StateCorruptError(f"{name} is not a journal entry ({error}); restore it from a backup.") from error


def _event_of(fields: dict[str, Any]) -> JournalEvent:
    fields["kind"] = JournalEventKind(fields["kind"])
    fields["at"] = datetime.fromisoformat(fields["at"])
    if "state" in fields:
        fields["state"] = ChunkState(fields["state"])
    fields["failures"] = tuple(UnitFailure(**failure) for failure in fields.get("failures", ()))
    return JournalEvent(**fields)


class Journal:
    """The journal of one source."""

    def __init__(self, store: StateStore, source: str) -> None:
        self._store = store
        self._source = source

    def append(self, event: JournalEvent) -> None:
        """Make the event durable. The three ways to close an attempt share one name, so that only one can happen.

        Raises:
            StateConflictError: this attempt has that event already, or is closed: another process works on the chunk.
        """
        entry = "closed" if event.kind in CLOSING_EVENTS else event.kind.value
        name = journal_name(self._source, event.chunk_id, event.attempt, entry)
        data = encode_event(replace(event, entry_id=secrets.token_hex(8)))
        try:
            self._store.create(name, data)
        except StateConflictError:
            # A store that repeats a write whose reply was lost finds its own file there.
            if self._store.read(name) != data:
                raise

    def progress(self, chunk_id: str) -> ChunkProgress:
        """Return where one chunk stands."""
        return fold_events(chunk_id, self.events(chunk_id))

    def events(self, chunk_id: str) -> list[JournalEvent]:
        """Return everything that happened to one chunk, in order."""
        return self._read(self._store.names(journal_folder(self._source, chunk_id)))

    def chunk_ids(self) -> list[str]:
        """Return every chunk, and part of one, that was ever attempted."""
        return self._store.folders(journal_folder(self._source))

    def all_progress(self) -> Iterator[ChunkProgress]:
        """Yield where every chunk that was ever attempted stands, in the order of chunk ids.

        Verdicts come without their ``failures``: a bucket that may not be read has as many as it has objects. What this
        process has folded before is not read again.
        """
        memory = folded_chunks(self._store, self._source)
        with SummaryReader(self._store, self._source) as summary:
            for chunk_id, names in self._chunks():
                folded = memory.get(chunk_id)
                if folded is None or folded.names != names:
                    events, is_summarised = self._without_failures(summary, chunk_id, names)
                    progress = fold_events(chunk_id, events)
                    folded = FoldedChunk(names, progress, summary.name if is_summarised else None)
                    memory[chunk_id] = folded
                yield folded.progress

    def summarise(self) -> bool:
        """Write a new summary of all journals if reading them without would open many files; tell whether it did.

        Raises:
            StateCorruptError: an entry is not what was written.
        """
        memory = folded_chunks(self._store, self._source)
        chunks = missing = 0
        with SummaryReader(self._store, self._source) as summary:
            for chunk_id, names in self._chunks():
                chunks += 1
                folded = memory.get(chunk_id)
                is_in_it = folded is not None and folded.names == names and folded.is_in(summary.name)
                missing += not is_in_it and summary.entries(chunk_id, names) is None
        if missing <= max(_FEWEST_MISSING, _MISSING_SHARE * chunks):
            return False
        write_summary(self._store, self._source, self._lines())
        return True

    def _lines(self) -> Iterator[tuple[str, Sequence[str], list[dict[str, Any]]]]:
        with SummaryReader(self._store, self._source) as summary:
            for chunk_id, names in self._chunks():
                events, _ = self._without_failures(summary, chunk_id, names)
                if events[-1].kind in CLOSING_EVENTS:
                    yield chunk_id, names, list(map(_fields_of, events))

    def _chunks(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield every chunk with the base names of its entries, in the order in which the state lists them."""
        names = self._store.names(journal_folder(self._source))
        split = (name.rsplit("/", 2) for name in names)
        for chunk_id, owned in groupby(split, key=itemgetter(1)):
            # A handful of names, the same in every chunk.
            yield chunk_id, tuple(intern(parts[2]) for parts in owned)

    def _without_failures(
        self, summary: SummaryReader, chunk_id: str, names: Sequence[str]
    ) -> tuple[list[JournalEvent], bool]:
        """Return what the entries say, and whether the summary said it."""
        known = summary.entries(chunk_id, names)
        with suppress(ValueError, KeyError, TypeError):  # damaged: the journal is the truth
            if known is not None:
                return [_event_of(dict(fields)) for fields in known], True
        folder = journal_folder(self._source, chunk_id)
        return [replace(event, failures=()) for event in self._read(folder + name for name in names)], False

    def _read(self, names: Iterable[str]) -> list[JournalEvent]:
        events = [decode_event(self._store.read(name), name=name) for name in names]
        return sorted(events, key=lambda event: (event.attempt, _ORDER[event.kind]))
