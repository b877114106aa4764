"""A chunk's journal in the state: one create-only file per event, folded on reading.

What may follow what is in ``states.py``; when to write which event is decided by ``submission``.
"""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from dataclasses import fields as members_of
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.state.ahead import both, is_asked_by_requests, read_all
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import journal_folder, journal_name, journal_summary_folder, owner_of
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import open_sealed, sealed_json
from registration_pipeline.tables.tiers import runs_to_merge
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
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.state.store import StateStore

# Entries of one attempt in the order in which they can happen, because file names sort otherwise.
_ORDER = {kind: position for position, kind in enumerate(JournalEventKind)}
_EMPTY: tuple[object, ...] = (None, (), {})

# Chunks whose entries are read together: some hundred small files.
_CHUNKS_AHEAD = 256

MOST_KEPT: Final = 4_096
"""Chunks whose entries are kept in memory until they are summarised, some 2 KB each; those of others are read again."""

# Lines that may be written every night: it takes a tenth of a second.
_SMALL = 8_192


def encode_event(event: JournalEvent) -> bytes:
    """Return the event as a document with its digest."""
    return sealed_json(_fields_of(event))


def _fields_of(event: JournalEvent) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(event).items() if value not in _EMPTY}
    fields["at"] = event.at.astimezone(UTC).isoformat()
    for failure in fields.get("failures", ()):
        if failure["position"] is None:
            del failure["position"]  # of most: a unit is one object
    return fields


def decode_event(data: bytes, *, name: str) -> JournalEvent:
    """Read an event back.

    Raises:
        StateCorruptError: the file is not what ``encode_event`` writes, or is another entry under this name.
    """
    try:
        event = _event_of(open_sealed(data))
        _check_name(event, name)
    except NewerEntryError as error:
        raise StateCorruptError(f"{name} {error}. {USE_NEWER_VERSION}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StateCorruptError(f"{name} is not a journal entry ({error}); restore it from a backup.") from error
    return event


def entry_name(source: str, event: JournalEvent) -> str:
    """Return the name of an event's entry. The ways to close an attempt share one, so that only one can happen."""
    entry = "closed" if event.kind in CLOSING_EVENTS else event.kind.value
    return journal_name(source, event.chunk_id, event.attempt, entry)


def _check_name(event: JournalEvent, name: str) -> None:
    """Compare what an entry says it is with its name: a copy of another entry is not this one.

    Raises:
        ValueError: it is another one, or vouches for the outcomes of another attempt.
    """
    own = entry_name(owner_of(name)[0], event)
    if own != name:
        raise ValueError(f"it is a copy of another entry, {own}")
    if event.outcomes is not None and not event.outcomes.startswith(f"{event.attempt:04d}-"):
        raise ValueError(f"it vouches for the outcomes of another attempt, {event.outcomes}")


def in_order(events: Iterable[JournalEvent]) -> list[JournalEvent]:
    """Return a chunk's events in the order in which they happened."""
    return sorted(events, key=lambda event: (event.attempt, _ORDER[event.kind]))


def summary_entries(events: Iterable[JournalEvent]) -> list[dict[str, Any]]:
    """Return what a summary says of a chunk's events, which are in their order."""
    return [_fields_of(replace(event, failures=())) for event in events]


class NewerEntryError(ValueError):
    """An undamaged entry that a newer version wrote. The message is the end of a sentence that begins with the file."""


USE_NEWER_VERSION: Final = "Nothing is damaged: use the version of registration-pipeline that ran last"
_EVENT_FIELDS: Final = frozenset(one.name for one in members_of(JournalEvent))
_FAILURE_FIELDS: Final = frozenset(one.name for one in members_of(UnitFailure))


def _refuse_unknown(found: Mapping[str, Any], known: Collection[str]) -> None:
    """Stop at what a newer version added: what it means for the chunk can't be known here.

    Raises:
        NewerEntryError: there is something unknown.
    """
    unknown = [key for key in found if key not in known]
    if unknown:
        raise NewerEntryError(
            f"was written by a newer version: it has {unknown[0]!r}, which this version does not know"
        )


def _event_of(fields: dict[str, Any]) -> JournalEvent:
    _refuse_unknown(fields, _EVENT_FIELDS)
    for failure in fields.get("failures", ()):
        _refuse_unknown(failure, _FAILURE_FIELDS)
    fields["kind"] = JournalEventKind(fields["kind"])
    fields["at"] = datetime.fromisoformat(fields["at"])
    if "state" in fields:
        fields["state"] = ChunkState(fields["state"])
    fields["failures"] = tuple(UnitFailure(**failure) for failure in fields.get("failures", ()))
    return JournalEvent(**fields)


class FoldedChunk(NamedTuple):
    """A chunk's journal, folded.

    Args:
        names: the base names of its entries.
        progress: what they come to.
        summary: the name of the summary that holds just these entries; None: no summary did.
        events: what the entries say, without ``failures``, of some chunks that no summary has yet; None: they are read again
            to be summarised.
    """

    names: tuple[str, ...]
    progress: ChunkProgress
    summary: str | None
    events: tuple[JournalEvent, ...] | None = None


def fold_written(source: str, chunk_id: str, events: Sequence[JournalEvent]) -> FoldedChunk:
    """Return the journal of a chunk as listing and reading it would give it, from entries that this process knows.

    Args:
        source: its name.
        chunk_id: the chunk, or part of one.
        events: all that happened to it, in order, as ``Journal`` returned them.
    """
    names = tuple(sorted(intern(entry_name(source, event).rsplit("/", 1)[-1]) for event in events))
    kept = tuple(replace(event, failures=()) for event in events)
    return FoldedChunk(names, fold_events(chunk_id, kept), None, kept)


class Journal:
    """The journal of one source."""

    def __init__(self, store: StateStore, source: str) -> None:
        self._store = store
        self._source = source

    def append(self, event: JournalEvent) -> JournalEvent:
        """Make the event durable, and return it as it will be read.

        Raises:
            StateConflictError: this attempt has that event already, or is closed: another process works on the chunk.
        """
        name = entry_name(self._source, event)
        message = shortened(event.message) if event.message else event.message
        data = encode_event(replace(event, entry_id=secrets.token_hex(8), message=message))
        try:
            self._store.create(name, data)
        except StateConflictError:
            # A store that repeats a write whose reply was lost finds its own file there.
            if self._store.read(name) != data:
                raise
        return decode_event(data, name=name)

    def progress(self, chunk_id: str) -> ChunkProgress:
        """Return the state of one chunk."""
        return fold_events(chunk_id, self.events(chunk_id))

    def events(self, chunk_id: str) -> list[JournalEvent]:
        """Return everything that happened to one chunk, in order."""
        return self._read(own_names(self._store, journal_folder(self._source, chunk_id)))

    def chunk_ids(self) -> list[str]:
        """Return every chunk, and part of one, that was ever attempted."""
        return self._store.folders(journal_folder(self._source))

    def all_progress(self) -> Iterator[ChunkProgress]:
        """Yield the state of every chunk that was ever attempted, in the order of chunk ids; see ``fold_all``."""
        return (folded.progress for folded in self.fold_all().values())

    def fold_all(self, known: Mapping[str, FoldedChunk] | None = None) -> dict[str, FoldedChunk]:
        """List all journals, and fold each that is not among the ``known`` ones with just the entries that it has now.

        Verdicts come without their ``failures``: a bucket that may not be read has as many as it has objects.

        Args:
            known: what an earlier call returned. Entries never change, so a chunk with the same ones is where it was.

        Returns:
            every chunk that was ever attempted, by id, in the order of ids.

        Raises:
            StateCorruptError: an entry is not what was written.
        """
        without = set[str]()
        while True:
            reader, chunks = both(self._store, partial(SummaryReader, self._store, self._source, without), self._chunks)
            with reader as summary:
                folded, trouble = self._fold(summary, chunks, known or {})
                wrong = summary.damaged()
            if not wrong:
                break
            without |= wrong  # what it said may be wrong, and looked like a fault of the journal
        if trouble is not None:
            raise trouble
        return folded

    def _fold(
        self, summary: SummaryReader, chunks: Iterator[tuple[str, tuple[str, ...]]], known: Mapping[str, FoldedChunk]
    ) -> tuple[dict[str, FoldedChunk], StateCorruptError | None]:
        folded, kept = dict[str, FoldedChunk](), 0
        try:
            while some := dict(islice(chunks, _CHUNKS_AHEAD)):
                asked = [pair for pair in some.items() if (one := known.get(pair[0])) is None or one.names != pair[1]]
                read = dict[str, FoldedChunk]()
                for chunk_id, events, said_by in self._without_failures(summary, asked):
                    is_kept = said_by is None and (kept := kept + 1) <= MOST_KEPT
                    progress = fold_events(chunk_id, events)
                    read[chunk_id] = FoldedChunk(some[chunk_id], progress, said_by, tuple(events) if is_kept else None)
                folded |= {chunk_id: read.get(chunk_id) or known[chunk_id] for chunk_id in some}
        except StateCorruptError as error:
            return folded, error
        return folded, None

    def summarise(self, folded: Mapping[str, FoldedChunk] | None = None) -> bool:
        """Write the concluded chunks that are in no summary to a new one, with those of small summaries; return whether any.

        Args:
            folded: what ``fold_all`` returned last; by default it is asked.

        Raises:
            StateCorruptError: an entry is not what was written.
        """
        folded = self.fold_all() if folded is None else folded
        found = Counter(one.summary for one in folded.values() if not one.progress.is_attempt_open)
        if not found[None]:
            return False
        present = list(own_names(self._store, journal_summary_folder(self._source)))
        named = [name for name in present if found[name]]
        kept = named[: len(named) + 1 - runs_to_merge([*(found[name] for name in named), found[None]], small=_SMALL)]
        lines = self._lines({chunk_id: one for chunk_id, one in folded.items() if one.summary not in kept})
        write_summary(self._store, self._source, lines, present=present, kept=kept)
        return True

    def _lines(self, folded: Mapping[str, FoldedChunk]) -> Iterator[tuple[str, Sequence[str], list[dict[str, Any]]]]:
        """Yield what a new summary says. It is not written if what it was copied from turns out to be damaged at its end."""
        said_by = {one.summary for one in folded.values()}
        with SummaryReader(self._store, self._source, only=said_by) as summary:
            concluded = ((chunk_id, one) for chunk_id, one in folded.items() if not one.progress.is_attempt_open)
            while some := list(islice(concluded, _CHUNKS_AHEAD)):
                asked = [(chunk_id, one.names) for chunk_id, one in some if one.events is None]
                read = self._without_failures(summary, asked)
                for chunk_id, one in some:
                    events = next(read)[1] if one.events is None else one.events
                    yield chunk_id, one.names, list(map(_fields_of, events))
            for name in sorted(summary.damaged()):
                raise damaged(self._store, name, "is damaged: its lines do not match their checksum")

    def _chunks(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Return every chunk with the base names of its entries, in the order in which the state lists them.

        A bucket is listed now, and not when the first chunk is asked for; its names are all in memory in any case.
        """
        names = own_names(self._store, journal_folder(self._source))
        return _by_chunk([*names] if is_asked_by_requests(self._store) else names)

    def _without_failures(
        self, summary: SummaryReader, chunks: Sequence[tuple[str, Sequence[str]]]
    ) -> Iterator[tuple[str, list[JournalEvent], str | None]]:
        """Yield of chunks what their entries say, and the name of the summary that said it.

        What no summary says is read for all of them together: in a bucket each entry is a request.
        """
        said = {chunk_id: _of_summary(summary.entries(chunk_id, names)) for chunk_id, names in chunks}
        missing = [(chunk_id, names) for chunk_id, names in chunks if said[chunk_id] is None]
        wanted = [journal_folder(self._source, chunk_id) + name for chunk_id, names in missing for name in names]
        read = zip(wanted, read_all(self._store, wanted), strict=True)
        for chunk_id, names in chunks:
            known = said.pop(chunk_id)
            if known is None:
                events = in_order(decode_event(data, name=name) for name, data in islice(read, len(names)))
                yield chunk_id, [replace(event, failures=()) for event in events], None
            else:
                yield chunk_id, *known

    def _read(self, names: Iterable[str]) -> list[JournalEvent]:
        wanted = list(names)
        entries = zip(wanted, read_all(self._store, wanted), strict=True)
        return in_order(decode_event(data, name=name) for name, data in entries)


def _by_chunk(names: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    split = (name.rsplit("/", 2) for name in names)
    for chunk_id, owned in groupby(split, key=itemgetter(1)):
        # A handful of names, the same in every chunk.
        yield chunk_id, tuple(intern(parts[2]) for parts in owned)


def _of_summary(known: tuple[str, list[dict[str, Any]]] | None) -> tuple[list[JournalEvent], str] | None:
    """Return the events of a summary's line and the summary; None: there is none, or it is damaged and the journal is read."""
    with suppress(ValueError, KeyError, TypeError):
        if known is not None:
            return [_event_of(dict(fields)) for fields in known[1]], known[0]
    return None
