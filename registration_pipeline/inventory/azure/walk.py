"""Azure containers with a hierarchical namespace, walked folder by folder in the order of keys.

What does not belong here: listing page by page (``lister.py``) and the order of UTF-16 (``order.py``).

Such an account lists a folder with all that is in it before names that continue the folder's: ``a/x`` before ``a-b``
(azure-sdk-for-go, issue 24210). An inventory has ``a-b`` first, as ``-`` is less than ``/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

from registration_pipeline.inventory.azure.order import KeyOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Blob = TypeVar("Blob")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Blob]):
    """One entry of a level.

    Args:
        name: the whole name; a folder's with its slash.
        blob: None for a folder.
    """

    name: str
    blob: Blob | None = None


def walk(list_level: Callable[[str], Iterable[list[Entry[Blob]]]], prefix: str) -> Iterator[tuple[str, Blob]]:
    """Yield the blobs below a prefix with their names, in the order of keys.

    Memory holds a page of each folder on the way down, and the folders that wait for names before their slash.

    Args:
        list_level: yields the pages of one level, each in any order, the pages in the store's.
        prefix: of the whole listing; not necessarily a folder.
    """
    levels = [in_order(list_level(prefix))]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif entry.blob is None:
            levels.append(in_order(list_level(entry.name)))
        else:
            yield entry.name, entry.blob


def in_order(pages: Iterable[list[Entry[Blob]]]) -> Iterator[Entry[Blob]]:
    """Yield the entries of a level in the order of names with slashes; they come in the order of names without."""
    folders: list[tuple[str, Entry[Blob]]] = []
    for entry in _by_name(pages):
        while folders and folders[0][0] < entry.name:
            yield heappop(folders)[1]
        if entry.blob is None:
            heappush(folders, (entry.name, entry))
        else:
            yield entry
    while folders:
        yield heappop(folders)[1]


def _by_name(pages: Iterable[list[Entry[Blob]]]) -> Iterator[Entry[Blob]]:
    order = KeyOrder[Entry[Blob]]()
    for page in pages:
        # The client gives the folders of a page first, and then its blobs.
        for entry in sorted(page, key=lambda entry: entry.name.removesuffix("/").encode("utf-16-be")):
            yield from order.push(entry.name.removesuffix("/"), entry)
    yield from order.finish()
