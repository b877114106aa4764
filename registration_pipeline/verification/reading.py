"""Reads and checks the files of a state in their order, of a bucket several ahead of the one that is being looked at.

What does not belong here: what is checked. Nothing is handed on while threads are at work (``state/ahead.py`` says why).
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from registration_pipeline.errors import StateNotFoundError
from registration_pipeline.state.ahead import each, is_asked_by_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from registration_pipeline.state.store import StateStore

Item = TypeVar("Item")
Found = TypeVar("Found")

SMALL_FILES: Final = 64
"""Files of some kilobytes that are in memory at once."""
LARGE_FILES: Final = 16
"""Manifests, which have half a megabyte and at the most some ten, that are in memory at once; and other calls."""


def check_each(
    store: StateStore, check: Callable[[Item], Found], items: Iterable[Item], *, ahead: int = LARGE_FILES
) -> Iterator[tuple[Item, Found]]:
    """Yield the items, each with what a call says of it, in their order.

    Args:
        store: the state.
        check: the call; changes nothing.
        items: of which ``ahead`` are taken at once if the state is in a bucket, and one on a disk.
        ahead: so many results are in memory.

    Raises:
        StateError: the state can't be read.
    """
    left = iter(items)
    while some := list(islice(left, ahead if is_asked_by_requests(store) else 1)):
        yield from zip(some, each(store, check, some), strict=True)


def read_each(
    store: StateStore, names: Iterable[str], *, ahead: int = SMALL_FILES
) -> Iterator[tuple[str, bytes | None]]:
    """Yield files with their contents, in the order of their names; None: it is not there any more.

    Raises:
        StateError: the state can't be read.
    """
    return check_each(store, partial(_content, store), names, ahead=ahead)


def _content(store: StateStore, name: str) -> bytes | None:
    try:
        return store.read(name)
    except StateNotFoundError:
        return None
