"""Lists one folder of an Azure container with a delimiter, for the top-up of a report.

What does not belong here: listing a whole source (``lister.py``) and deciding which folders to list
(``inventory/reports/top_up.py``).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from registration_pipeline.inventory.azure.folders import Levels, rows_of
from registration_pipeline.inventory.azure.walk import in_order
from registration_pipeline.inventory.reports.top_up import FolderPage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.inventory.azure.folders import Level
    from registration_pipeline.inventory.azure.requests import AzureRequests

_ENTRIES = 5_000
"""Of one part: as many as a page has."""


class AzureFolderProbe:
    """``FolderProbe`` of an Azure container, with or without a hierarchical namespace.

    Args:
        requests: of the container.
        source: the source's name, for error texts.
    """

    def __init__(self, requests: AzureRequests, *, source: str = "<name>") -> None:
        self._requests, self._levels = requests, Levels(requests, source=source)

    @property
    def requests(self) -> int:
        """How many requests were made so far, repeated ones included."""
        return self._requests.made

    def pages(self, folder: str) -> Iterator[FolderPage]:
        """See ``FolderProbe.pages``; Azure's order of a level becomes that of keys."""
        with self._requests:
            entries = in_order(level.entries() for level in self._levels_of(folder))
            while part := list(islice(entries, _ENTRIES)):
                blobs = [entry.blob for entry in part if entry.blob is not None]
                yield FolderPage(rows_of(blobs), tuple(entry.name for entry in part if entry.blob is None))

    def _levels_of(self, folder: str) -> Iterator[Level]:
        marker: str | None = None
        while True:
            level = self._levels.page(folder, marker)
            yield level
            marker = level.marker
            if marker is None:
                return
