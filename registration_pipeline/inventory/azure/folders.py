"""Lists containers folder by folder: those that do not list in the order of names, and live folders of a report.

What does not belong here: the order of a level and the way through folders (``walk.py``), and single pages (``requests.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.bounds.texts import shortened
from registration_pipeline.inventory.azure.page import Blob, batch_of
from registration_pipeline.inventory.azure.places import same_in_both
from registration_pipeline.inventory.azure.walk import Entry, walk
from registration_pipeline.inventory.bounds import endless_listing
from registration_pipeline.inventory.ranges.folders_ahead import FoldersAhead
from registration_pipeline.inventory.schema import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from registration_pipeline.inventory.azure.page import AzurePage
    from registration_pipeline.inventory.azure.requests import AzureRequests

_LONGEST_FOLDER = 4_096
"""Characters; names have 1,024 at the most (REST reference, "Naming and referencing containers, blobs, and metadata")."""

_FOLDER_LEVELS = 4  # how deep the search for folders goes where each folder holds just one other
_LEVEL_PAGES = 20  # of such a level that are read: 100,000 folders
_ROWS = 5_000
"""A batch of a walk: as many as a page has."""


@dataclass(frozen=True, slots=True)
class Level:
    """A page of what lies directly in a folder.

    Args:
        page: as Azure gave it.
        folders: those of its folders that are asked about.
        marker: where the folder goes on; None after the last page.
    """

    page: AzurePage
    folders: Sequence[str]
    marker: str | None

    def __len__(self) -> int:
        return len(self.page.columns[0]) + len(self.folders)

    def entries(self) -> list[Entry[Blob]]:
        """Return its blobs and folders, in no order."""
        return [*(Entry(blob.key, blob) for blob in self.page.blobs), *map(Entry, self.folders)]


class Levels:
    """Asks for the levels of a container; may be used by many threads, each folder by one at a time.

    Args:
        requests: of the container.
        source: the source's name, for error texts.
        after: folders in which all names are up to this are not asked about; None for all.
        until: likewise those in which all names are greater.
    """

    def __init__(
        self, requests: AzureRequests, *, source: str, after: str | None = None, until: str | None = None
    ) -> None:
        self._requests, self._source, self._after, self._until = requests, source, after, until
        self._progress: dict[str, PageProgress] = {}

    def page(self, folder: str, marker: str | None) -> Level:
        """Return the page of a folder that follows a marker.

        Raises:
            HaltError: it can't be listed, or the way down would have no end.
        """
        page = self._requests.level(folder, marker)
        for below in page.folders:
            if not below.startswith(folder) or len(below) <= len(folder) or len(below) > _LONGEST_FOLDER:
                problem = f"below {shortened(folder, 300)!r} it names the folder {shortened(below, 300)!r}"
                raise endless_listing(self._requests.what(), problem, self._source)
        if page.marker is None:
            self._progress.pop(folder, None)
        else:
            progress = self._progress.setdefault(folder, PageProgress())
            if stuck := progress.problem_with(page.marker, is_empty=page.is_empty):
                raise endless_listing(self._requests.what(), stuck, self._source)
        return Level(page, [below for below in page.folders if self._is_wanted(below)], page.marker)

    def _is_wanted(self, folder: str) -> bool:
        is_after = self._after is None or folder > self._after or self._after.startswith(folder)
        return is_after and (self._until is None or folder <= self._until)


def walked(
    requests: AzureRequests,
    prefix: str,
    *,
    source: str,
    concurrency: int,
    after: str | None = None,
    until: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a container that is listed folder by folder, many folders at once, in the order of keys.

    Args:
        requests: of the container.
        prefix: keys start with it.
        source: the source's name, for error texts.
        concurrency: the most requests at once.
        after: only keys greater than this; None for all.
        until: only keys not greater than this; None for all.

    Raises:
        HaltError: as ``AzureLister.list_objects``.
    """
    levels = Levels(requests, source=source, after=after, until=until)
    blobs: list[Blob] = []
    with FoldersAhead(levels.page, requests, concurrency=concurrency) as ahead:
        for name, blob in walk(lambda folder: (level.entries() for level in ahead.pages(folder)), prefix):
            if (after is None or name > after) and (until is None or name <= until):
                blobs.append(blob)
            if len(blobs) >= _ROWS:
                yield rows_of(blobs)
                blobs = []
    if blobs:
        yield rows_of(blobs)


def dividing_folders(requests: AzureRequests, prefix: str, ranges: int) -> list[str]:
    """Return at most ``ranges - 1`` names of folders, evenly spaced among those of the first level that has several.

    Args:
        requests: of the container.
        prefix: of the listing.
        ranges: how many parts are wanted.

    Raises:
        HaltError: it can't be listed.
    """
    folders: list[str] = []
    for _ in range(_FOLDER_LEVELS):
        folders = _folders_of(requests, prefix)
        if len(folders) != 1 or folders[0] == prefix:
            break
        prefix = folders[0]
    chosen = (
        {same_in_both(folders[len(folders) * number // ranges]) for number in range(1, ranges)} if folders else set()
    )
    return sorted(chosen - {""})


def _folders_of(requests: AzureRequests, prefix: str) -> list[str]:
    """Return the folders of a level, or of its beginning where it is long, sorted."""
    folders, marker = list[str](), None
    for _ in range(_LEVEL_PAGES):
        page = requests.level(prefix, marker)
        folders += page.folders
        if (marker := page.marker) is None:
            break
    return sorted(folders)


def rows_of(blobs: Sequence[Blob]) -> pa.RecordBatch:
    """Return blobs as rows, at most ``BATCH_ROWS`` of them."""
    assert len(blobs) <= BATCH_ROWS
    return batch_of(list(zip(*blobs, strict=True)) or ((),) * len(Blob._fields))
