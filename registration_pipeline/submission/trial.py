"""The seam to Encord for a rehearsal: what registration needs of it, and what only a folder of one's own may be used for.

What belongs here: the protocol and its values. The implementation that imports the SDK is ``encord/trial.py``; what a
rehearsal does with it is in ``rehearsal/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from registration_pipeline.submission.gateway import RegistrationGateway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from registration_pipeline.submission.gateway import ItemPage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one HTTP reply of Encord said besides its body.

    Args:
        status: the HTTP status.
        seconds: from the request to the reply's headers.
        at: by Encord's clock, if the reply has a date.
        received_at: by our clock.
        limits: headers about rate limits, by their names in lower case.
    """

    status: int
    seconds: float
    at: datetime | None
    received_at: datetime
    limits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FolderCounts:
    """What a folder's summary counts: items, and upload jobs in a sense that Encord does not define."""

    items: int
    upload_jobs: int


class TrialGateway(RegistrationGateway, Protocol):
    """Encord, with what a rehearsal needs besides. Used by one thread.

    Errors are those of ``RegistrationGateway``; ``create_described_folder`` and ``start_trial_job`` may raise
    ``AmbiguousError``.
    """

    def create_described_folder(self, name: str, description: str) -> str:
        """Create a top-level folder and return its UUID."""

    def folders_named_like(self, text: str) -> dict[str, str]:
        """Return UUID and name of the top-level folders whose name contains the text."""

    def start_trial_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        ignore_errors: bool,
        data_items: dict[str, Any] | None = None,
    ) -> str:
        """Hand a manifest over and return the upload job's id. Sent at most once per call.

        With ``data_items`` these are sent, in the typed form, and the manifest gives its name to messages only.
        """

    def folder_counts(self, folder_uuid: str) -> FolderCounts:
        """Return what the folder's summary counts."""

    def small_page(
        self,
        folder_uuid: str,
        page_token: str | None,
        *,
        page_size: int,
        newest_first: bool = False,
        search: str | None = None,
    ) -> ItemPage:
        """Return one page of that many items by the time of their creation; with ``search``, of those found by title."""

    def merge_metadata(self, item_uuid: str, metadata: Mapping[str, object]) -> None:
        """Patch an item's client metadata with some keys."""

    def metadata_of(self, item_uuid: str) -> Mapping[str, object]:
        """Return an item's client metadata."""

    def media_of(self, item_uuid: str) -> Mapping[str, object]:
        """Return the media metadata that an item shows, in neutral names (``media_blocks.py``); what it lacks is left out.

        Items do not show how many pages a PDF has.
        """

    def delete_items(self, folder_uuid: str, item_uuids: Sequence[str]) -> None:
        """Delete items that are directly in the folder."""

    def delete_folder(self, folder_uuid: str) -> None:
        """Delete a folder."""
