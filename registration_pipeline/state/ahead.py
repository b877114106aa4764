"""Reading many small files of the state, several at once where each is a request.

What does not belong here: what the files say, and writing: the order of writes is a promise of the writer.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registration_pipeline.state.store import StateStore

_AT_ONCE: Final = 16
"""Requests under way; S3 serves 5,500 reads a second below one prefix (its user guide, "Optimizing performance")."""
_FEW: Final = 4
"""Fewer are not worth starting threads."""
_WINDOW: Final = 256
"""Files that are read before the first of them is yielded: kilobytes each."""


def read_all(store: StateStore, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the content of files in the order of their names; of a bucket it is read up to sixteen files ahead.

    Args:
        store: the state.
        names: of small files.

    Raises:
        StateNotFoundError: one of them is not there; those before it were yielded.
        StateError: the state can't be read.
    """
    if "://" not in store.uri:  # on a disk a thread costs more than the reading
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
