"""Reading many small files of the state, several at once where each is a request.

What does not belong here: what the files say, and writing: the order of writes is a promise of the writer.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from registration_pipeline.state.store import StateStore

_AT_ONCE: Final = 16
"""Requests under way; S3 serves 5,500 reads a second below one prefix (its user guide, "Optimizing performance")."""
_FEW: Final = 4
"""Fewer are not worth starting threads."""


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
    first = list(islice(left, _FEW))
    if len(first) < _FEW:
        yield from map(store.read, first)
        return
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read-state") as pool:
        asked: deque[Future[bytes]] = deque(pool.submit(store.read, name) for name in first)
        try:
            while asked:
                asked.extend(pool.submit(store.read, name) for name in islice(left, _AT_ONCE - len(asked)))
                yield asked.popleft().result()
        finally:
            for future in asked:
                future.cancel()
