"""Lists one folder of a bucket of Google Cloud Storage with a delimiter, for the top-up of a report.

What does not belong here: listing a whole source (``lister.py``) and deciding which folders to list
(``inventory/reports/top_up.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.inventory.bounds import endless_listing
from registration_pipeline.inventory.reports.top_up import FolderPage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.inventory.gcs.requests import GCSRequests


class GCSFolderProbe:
    """``FolderProbe`` of a bucket of Google Cloud Storage.

    Args:
        requests: of the bucket.
        source: the source's name, for error texts.
    """

    def __init__(self, requests: GCSRequests, *, source: str = "<name>") -> None:
        self._requests, self._source = requests, source

    @property
    def requests(self) -> int:
        """How many requests were made so far, repeated ones included."""
        return self._requests.made

    def pages(self, folder: str) -> Iterator[FolderPage]:
        """See ``FolderProbe.pages``."""
        token: str | None = None
        progress = PageProgress()
        while True:
            answer = self._requests.level(folder, token)
            yield FolderPage(self._requests.rows(answer.items), tuple(answer.folders))
            token = answer.token
            if token is None:
                return
            if problem := progress.problem_with(token, is_empty=not (answer.items or answer.folders)):
                raise endless_listing(f"{self._requests.what()}, folder {folder!r}", problem, self._source)
