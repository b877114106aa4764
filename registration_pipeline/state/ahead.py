"""Asking the state for several things at once, where each is a request and none depends on another.

On a disk everything is done one after the other, in the order in which it is written down. What does not belong here: what is
asked. Where the order of writes is a promise, as in a journal, they are not made here.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from registration_pipeline.state.store import StateStore

Item = TypeVar("Item")
First = TypeVar("First")
Second = TypeVar("Second")

_AT_ONCE: Final = 16
"""Requests under way; S3 serves 5,500 reads a second below one prefix (its user guide, "Optimizing performance")."""
_FEW: Final = 4
"""Fewer are not worth starting threads."""
_WINDOW: Final = 256
"""Files that are read before the first of them is yielded: kilobytes each."""


def is_asked_by_requests(store: StateStore) -> bool:
    """Return whether waiting is what takes long: on a disk a thread costs more than what it does."""
    return "://" in store.uri


def both(store: StateStore, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Return what two calls return that don't depend on each other; of a bucket they are made at the same time.

    Args:
        store: the state.
        first: made in a thread of its own.
        second: made in the caller's thread.

    Raises:
        Exception: what a call raises, after the other one has ended.
    """
    if not is_asked_by_requests(store):
        return first(), second()
    with ThreadPoolExecutor(1, thread_name_prefix="read-state") as pool:
        asked = pool.submit(copy_context().run, first)
        found = second()
    return asked.result(), found


def each(store: StateStore, work: Callable[[Item], Second], items: Iterable[Item]) -> list[Second]:
    """Return what a call returns for each item, none of which waits for another; of a bucket up to sixteen at the same time.

    Args:
        store: the state.
        work: the call.
        items: all of them are in memory.

    Raises:
        Exception: what the first failed call raises, after those that had begun have ended.
    """
    wanted = list(items)
    if len(wanted) < 2 or not is_asked_by_requests(store):  # noqa: PLR2004 - one alone waits for no other
        return list(map(work, wanted))
    return _at_once(work, wanted)


def _at_once(work: Callable[[Item], Second], items: Sequence[Item]) -> list[Second]:
    with ThreadPoolExecutor(min(_AT_ONCE, len(items)), thread_name_prefix="read-state") as pool:
        asked = [pool.submit(copy_context().run, work, item) for item in items]
        wait(asked, return_when=FIRST_EXCEPTION)
        for future in asked:
            future.cancel()
    return [future.result() for future in asked]


def read_all(store: StateStore, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the content of files in the order of their names; of a bucket it is read up to sixteen files ahead.

    Args:
        store: the state.
        names: of small files.

    Raises:
        StateNotFoundError: one of them is not there; those before it were yielded.
        StateError: the state can't be read.
    """
    if not is_asked_by_requests(store):
        yield from map(store.read, names)
        return
    left = iter(names)
    while window := list(islice(left, _WINDOW)):
        if len(window) < _FEW:
            yield from map(store.read, window)
            continue
        # Nothing is yielded while the threads live: where a caller stops in the middle, Python may end this generator in any
        # thread at any moment, also in one that holds what ending threads needs (seen: a process that hung for ever).
        with ThreadPoolExecutor(min(_AT_ONCE, len(window)), thread_name_prefix="read-state") as pool:
            asked = [pool.submit(store.read, name) for name in window]
            wait(asked, return_when=FIRST_EXCEPTION)
            for future in asked:
                future.cancel()
        yield from (future.result() for future in asked)
