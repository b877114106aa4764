"""A chunk's journal in the state: one create-only file per event, folded on reading.

What may follow what is in ``states.py``; when to write which event is decided by ``submission``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.state.layout import journal_folder, journal_name
from registration_pipeline.tracking.states import (
    ChunkProgress,
    ChunkState,
    JournalEvent,
    JournalEventKind,
    fold_events,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registration_pipeline.state.store import StateStore

# Entries of one attempt in the order in which they can happen, because file names sort otherwise.
_ORDER = {kind: position for position, kind in enumerate(JournalEventKind)}


def encode_event(event: JournalEvent) -> bytes:
    """Return the event as canonical JSON."""
    fields = {name: value for name, value in asdict(event).items() if value is not None}
    fields["at"] = event.at.astimezone(UTC).isoformat()
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decode_event(data: bytes, *, name: str) -> JournalEvent:
    """Read an event back.

    Raises:
        StateCorruptError: the file is not what ``encode_event`` writes.
    """
    try:
        fields: dict[str, Any] = json.loads(data)
        fields["kind"] = JournalEventKind(fields["kind"])
        fields["at"] = datetime.fromisoformat(fields["at"])
        if "state" in fields:
            fields["state"] = ChunkState(fields["state"])
        return JournalEvent(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise StateCorruptError(f"{name} is not a journal entry ({error}); restore it from a backup.") from error


class Journal:
    """The journal of one source."""

    def __init__(self, store: StateStore, source: str) -> None:
        self._store = store
        self._source = source

    def append(self, event: JournalEvent) -> None:
        """Make the event durable.

        Raises:
            StateConflictError: this attempt has that event already: another process works on the chunk.
        """
        self._store.create(
            journal_name(self._source, event.chunk_id, event.attempt, event.kind.value), encode_event(event)
        )

    def progress(self, chunk_id: str) -> ChunkProgress:
        """Return where one chunk stands."""
        return self._fold(chunk_id, self._store.names(journal_folder(self._source, chunk_id)))

    def all_progress(self) -> Iterator[ChunkProgress]:
        """Yield where every chunk that was ever attempted stands, in the order of chunk ids."""
        chunk_id, names = "", list[str]()
        for name in self._store.names(journal_folder(self._source)):
            owner = name.split("/")[-2]
            if owner != chunk_id and names:
                yield self._fold(chunk_id, names)
                names = []
            chunk_id = owner
            names.append(name)
        if names:
            yield self._fold(chunk_id, names)

    def _fold(self, chunk_id: str, names: Iterable[str]) -> ChunkProgress:
        events = [decode_event(self._store.read(name), name=name) for name in names]
        events.sort(key=lambda event: (event.attempt, _ORDER[event.kind]))
        return fold_events(chunk_id, events)
