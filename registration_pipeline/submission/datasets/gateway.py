"""The seam to Encord's datasets: the few things that linking items needs, in our own words.

What belongs here: the protocol and its values. The implementation that imports the SDK is in ``encord/datasets.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from registration_pipeline.submission.gateway import unguarded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ITEMS_PER_CALL: Final = 1_000
"""Items that are linked with one call. Encord publishes no limit of it; its SDK bundles as many in other calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReply:
    """What Encord replied to a call that linked items.

    Args:
        rows: how many rows of the dataset it listed: those that are new, or all; Encord does not say which.
        items: the items that the rows are said to be of, as far as they say it.
    """

    rows: int
    items: frozenset[str]


class DatasetGateway(Protocol):
    """Encord, as far as datasets need it. Safe to share between threads.

    Every method may raise the subclasses of ``SubmissionError`` and ``HaltError``. Only ``create_dataset`` raises
    ``AmbiguousError``: linking is asked to skip what is linked already, so it can always be repeated.
    """

    def find_dataset(self, title: str) -> str | None:
        """Return the UUID of the dataset with just this title, or None.

        Raises:
            NotFoundError: several have it.
        """

    def dataset_title(self, dataset_uuid: str) -> str:
        """Return what a dataset is titled now.

        Raises:
            NotFoundError, PermissionDeniedError: it does not exist or may not be seen.
        """

    def dataset_size(self, dataset_uuid: str) -> int:
        """Return how many rows a dataset has. Encord lists them all for it, in one reply."""

    def create_dataset(self, title: str, *, may_send: Callable[[], None] = unguarded) -> str:
        """Create a dataset without a folder of its own and return its UUID. Sent at most once per call.

        Args:
            title: of the dataset.
            may_send: asked in the moment before the request is complete; what it raises is raised, and nothing was made.
        """

    def link_items(self, dataset_uuid: str, item_uuids: Sequence[str]) -> LinkReply:
        """Link items to a dataset; those that are linked to it already are skipped.

        Raises:
            PermanentError, PermissionDeniedError: the dataset or one of the items was refused; which, is not said. Others may
                have been linked all the same.
        """

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        """See ``RegistrationGateway``."""

    def folder_name(self, folder_uuid: str) -> str:
        """See ``RegistrationGateway``."""
