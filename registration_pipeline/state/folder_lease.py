"""One source at a time in an Encord folder that several share: an entry that names the lease which it belongs to.

A source that has something in doubt in a folder waits until the folder is quiet, and takes what appears there as evidence. Two
sources that register there at the same time would keep each other from that. So a source that is submitted takes the folder,
too: always after its own lease, so that no two wait for each other.

An entry has no beats. It is over when the term of the lease that it names is over; so both are renewed, given back and lost
together. Entries are numbered and created only once. The newest one always stays: a slow process can create an older number
that was cleared away only where a newer one exists, and it checks for that before its entry counts.

What does not belong here: the lease itself (``lease.py``). Only sources of one state see each other's entries.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from registration_pipeline.errors import StateConflictError, StateError, StateNotFoundError
from registration_pipeline.state.layout import folder_entry_name, folder_lease_folder
from registration_pipeline.state.lease_files import LeaseFiles
from registration_pipeline.state.turn import LeaseObserver

if TYPE_CHECKING:
    from registration_pipeline.state.lease import Lease
    from registration_pipeline.state.store import StateStore

_NAME = re.compile(r"(\d{8,})\.json")


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """Which term of which source's lease has the folder."""

    source: str
    term: int


def hold_folder(store: StateStore, lease: Lease, folder_uuid: str) -> None:
    """Wait until no other source of the state is submitted to a folder, and take it for as long as the lease lasts.

    Args:
        store: the state.
        lease: of the source that registers there; it is held.
        folder_uuid: of Encord.

    Raises:
        StoppedError: the wait was stopped.
        LeaseBusyError: the wait took longer than the lease was allowed to wait in all.
        LeaseLostError: the lease was lost meanwhile.
        StateError: the state can't be read or written.
    """
    entries = _Entries(store, folder_uuid)
    mine = FolderEntry(lease.source, lease.term)
    observer: LeaseObserver | None = None
    watched: FolderEntry | None = None
    lease.turn.begin()
    while True:
        lease.turn.check_stop()
        lease.check()
        newest = entries.newest()
        entry = entries.read(newest) if newest else None
        if entry != watched or observer is None:
            watched = entry
            # An entry that can't be read names no lease: there is none of this name, so its silence is what counts.
            watched_source = entry.source if entry else f"_folders/{folder_uuid}"
            files = LeaseFiles(store, watched_source)
            observer = LeaseObserver(files, lease.turn.monotonic, lease.turn.lease_seconds)
        if newest == 0 or _is_over(entry, observer, mine):
            if entries.take(newest + 1, mine):
                lease.turn.end()
                return
            lease.turn.pause()
        else:
            lease.turn.pause(observer, folder_uuid)


def hold_title(store: StateStore, lease: Lease, title: str) -> None:
    """Take the title of a folder that is about to be made: two sources that both find none would make two.

    Arguments and errors are those of ``hold_folder``.
    """
    hold_folder(store, lease, str(uuid5(NAMESPACE_URL, f"encord-folder:{title}")))


def newest_entry(store: StateStore, folder_uuid: str) -> FolderEntry | None:
    """Return which term of which lease had a folder last; None: none had, or it can't be read.

    Raises:
        StateError: the state can't be read.
    """
    entries = _Entries(store, folder_uuid)
    newest = entries.newest()
    return entries.read(newest) if newest else None


def _is_over(entry: FolderEntry | None, observer: LeaseObserver, mine: FolderEntry) -> bool:
    if entry is not None and entry.source == mine.source:
        return True  # an earlier term of the lease that this process holds
    sight = observer.check()
    return observer.is_over or (entry is not None and sight is not None and sight.term > entry.term)


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of one folder."""

    store: StateStore
    folder_uuid: str

    def numbers(self) -> list[int]:
        folder = folder_lease_folder(self.folder_uuid)
        found = (_NAME.fullmatch(name.removeprefix(folder)) for name in self.store.names(folder))
        return [int(match[1]) for match in found if match]

    def newest(self) -> int:
        """Return the number of the newest entry; 0: there was never one."""
        return max(self.numbers(), default=0)

    def read(self, number: int) -> FolderEntry | None:
        try:
            value = json.loads(self.store.read(folder_entry_name(self.folder_uuid, number)))
            return FolderEntry(str(value["source"]), int(value["term"]))
        except (StateNotFoundError, KeyError, TypeError, ValueError):
            return None

    def take(self, number: int, entry: FolderEntry) -> bool:
        """Create an entry and clear away older ones. False: another process was first, or is further."""
        name = folder_entry_name(self.folder_uuid, number)
        document = {"source": entry.source, "term": entry.term, "nonce": secrets.token_hex(8)}
        data = json.dumps(document, sort_keys=True).encode("ascii") + b"\n"
        try:
            self.store.create(name, data)
        except StateConflictError:
            with suppress(StateNotFoundError):
                if self.store.read(name) != data:  # else it is ours: the answer to the first try was lost
                    return False
        numbers = self.numbers()
        is_newest = number == max(numbers, default=0)
        with suppress(StateError):  # what stays is cleared away by the next one
            for old in (one for one in numbers if one < number) if is_newest else (number,):
                self.store.delete(folder_entry_name(self.folder_uuid, old))
        return is_newest
