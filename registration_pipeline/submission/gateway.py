"""The seam to Encord: the few things that registration needs, in our own words.

What belongs here: the protocol and its values. The implementation that imports the SDK is in ``encord/``; what its errors mean
is in ``calls/retry_table.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path


def unguarded() -> None:
    """Allow sending at any time: what a caller passes when no lease is held."""


class JobStatus(StrEnum):
    """Encord's words for an upload job."""

    PENDING = "PENDING"
    DONE = "DONE"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"


class JobItem(NamedTuple):
    """An item that a job says it registered. It carries no URL; ``name`` is the title that the manifest gave."""

    item_uuid: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitError:
    """What Encord says of one unit that it refused."""

    object_urls: tuple[str, ...]
    message: str
    subtask_uuid: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """An upload job as a poll found it. Counts are units; ``trace_id`` is of the poll, where it is known."""

    status: JobStatus
    items: tuple[JobItem, ...] = ()
    unit_errors: tuple[UnitError, ...] = ()
    errors: tuple[str, ...] = ()
    units_pending: int = 0
    units_done: int = 0
    units_error: int = 0
    units_cancelled: int = 0
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteItem:
    """A storage item as a listing of the folder gave it.

    Args:
        unit_id: our provenance key ``registration.unit`` in its client metadata, if it is there.
        objects: our key ``registration.objects`` there, which the pipeline gives to units of several objects
            (``ids.objects_digest``).
    """

    item_uuid: str
    name: str
    url: str | None
    unit_id: str | None
    created_at: datetime
    objects: str | None = None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """One page of a folder's items, and the token of the next page, if there is one.

    Args:
        deleted: entries of the page that are left of deleted items.
    """

    items: tuple[RemoteItem, ...]
    next_token: str | None
    deleted: int = 0


class ItemMetadata(NamedTuple):
    """Where an item is, and its client metadata as JSON text."""

    folder_uuid: str
    text: str


class RegistrationGateway(Protocol):
    """Encord, as far as registration needs it. Safe to share between threads.

    Every method may raise the subclasses of ``SubmissionError`` and ``HaltError``; what each means for the caller is said
    in ``errors.py``. Only ``start_job`` and ``create_folder`` raise ``AmbiguousError``.
    """

    def resolve_integration(self, title_or_uuid: str) -> str:
        """Return the integration's UUID.

        Raises:
            NotFoundError: there is none, or several have the title.
        """

    def find_folder(self, name_or_uuid: str) -> str | None:
        """Return the folder's UUID, or None when no top-level folder has the name.

        Raises:
            NotFoundError: a UUID that does not exist or may not be seen, or a name that several folders have.
        """

    def folder_name(self, folder_uuid: str) -> str:
        """Return what a folder is named now.

        Raises:
            NotFoundError, PermissionDeniedError: it does not exist or may not be seen.
        """

    def create_folder(self, name: str) -> str:
        """Create a top-level folder and return its UUID."""

    def start_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        data_items: dict[str, Any] | None = None,
        may_send: Callable[[], None] = unguarded,
    ) -> str:
        """Hand the manifest over and return the upload job's id. Sent at most once per call.

        Args:
            folder_uuid: where the items go.
            integration_uuid: with which Encord reads the objects; None for public ones.
            manifest: the file.
            data_items: the same units in the typed form (``manifest/typed.py``), sent in place of the file; None: the file.
            may_send: asked in the moment before the request is complete, with no wait in between; what it raises is
                raised, and then nothing was started.
        """

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        """Return the job's state, waiting up to ``wait_seconds`` for its end."""

    def cancel_job(self, *, folder_uuid: str, job_id: str) -> int:
        """Stop a job that is under way and return how many units were kept from being registered; repeating it is safe."""

    def count_items(self, folder_uuid: str) -> int:
        """Return how many items the folder holds, cheaply."""

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        """Return one page of the folder's items by the time of their creation; without a token, the first.

        Args:
            search: only items with this text in their title; Encord may find more, and items that were found are therefore
                checked. Nothing may rely on what it does not find.
        """

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        """Return the folder of each item; None when any of them does not exist or may not be seen: which, is not said."""

    def metadata_of_items(self, item_uuids: Sequence[str]) -> dict[str, ItemMetadata] | None:
        """Return the client metadata of each item, and its folder; None as in ``folders_of_items``."""

    def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
        """Return the items that a group, sequence or series in the folder consists of, in Encord's order. One request.

        None: it is of another kind, does not exist or may not be seen, or Encord gave only some of its items.

        Raises:
            PermanentError: Encord refuses to say; so may it for an item of another kind.
        """
