"""Encord through its own SDK: making the client and calling it.

What does not belong here: reading replies (``replies.py``) and what exceptions mean (``errors.py``); whether to repeat is
decided by the callers.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from encord import EncordUserClient
from encord import exceptions as encord_exceptions
from encord.http.constants import RequestsSettings
from encord.http.v2.api_client import ApiClient
from encord.http.v2.payloads import Page
from encord.orm.storage import FoldersSortBy, GetUploadJobParams, ListItemsParams

from registration_pipeline import __version__
from registration_pipeline.errors import NotFoundError, PermanentError
from registration_pipeline.foreign_text import kept_cause
from registration_pipeline.submission.encord.errors import translate
from registration_pipeline.submission.encord.replies import ListedItem, UploadJob, job_report, listed_item
from registration_pipeline.submission.gateway import ItemPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from encord.storage import StorageFolder

    from registration_pipeline.submission.gateway import JobReport

# The SDK's own retries are off, so that layers do not multiply and every 429 reaches the one pace that all share: the SDK
# would sleep through a Retry-After of up to six hours in each thread by itself (contract, sections 4.2 and 6.4).
_SDK_RETRIES = 0
_CONNECT_TIMEOUT_SECONDS = 20
_PAGE_SIZE = 1000  # list_items: documented maximum


class EncordGateway:
    """``RegistrationGateway`` on the Encord SDK.

    Args:
        ssh_private_key: an OpenSSH Ed25519 private key's content.
        domain: e.g. ``https://api.encord.com``.
        timeout_seconds: how long a reply may take; must exceed the longest poll slice.
    """

    def __init__(self, *, ssh_private_key: str, domain: str, timeout_seconds: int = 120) -> None:
        self._domain = domain
        self._client = EncordUserClient.create_with_ssh_private_key(
            ssh_private_key=ssh_private_key,
            domain=domain,
            requests_settings=RequestsSettings(
                max_retries=_SDK_RETRIES,
                connection_retries=_SDK_RETRIES,
                read_timeout=timeout_seconds,
                connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            ),
            user_agent_suffix=f"registration-pipeline/{__version__}",
        )
        # A StorageFolder holds mutable state: one per thread and folder.
        self._local = threading.local()

    def resolve_integration(self, title_or_uuid: str) -> str:
        """See ``RegistrationGateway``."""
        with self._translated(f"integration {title_or_uuid!r}"):
            integrations = self._client.get_cloud_integrations()
        found = [one for one in integrations if title_or_uuid in (str(one.id), one.title)]
        if len(found) == 1:
            return str(found[0].id)
        titles = ", ".join(sorted(repr(one.title) for one in integrations)) or "none"
        problem = "does not exist" if not found else f"is the title of {len(found)} integrations; give its UUID"
        raise NotFoundError(
            f"Encord integration {title_or_uuid!r} {problem}. Integrations that this key may use: {titles}. "
            "Set encord.integration of the source to one of them."
        )

    def find_folder(self, name_or_uuid: str) -> str | None:
        """See ``RegistrationGateway``."""
        if _is_uuid(name_or_uuid):
            with self._translated(f"folder {name_or_uuid}"):
                return str(self._folder(name_or_uuid).uuid)
        with self._translated(f"folder {name_or_uuid!r}"):
            folders = list(self._client.list_storage_folders(search=name_or_uuid, page_size=_PAGE_SIZE))
        found = [str(folder.uuid) for folder in folders if folder.name == name_or_uuid]
        if len(found) > 1:
            raise NotFoundError(
                f"Encord holds {len(found)} top-level folders named {name_or_uuid!r}: {', '.join(sorted(found))}. "
                "Set encord.folder of the source to the UUID of the right one."
            )
        return found[0] if found else None

    def create_folder(self, name: str) -> str:
        """See ``RegistrationGateway``."""
        with self._translated(f"creating folder {name!r}", is_start=True):
            return str(self._client.create_storage_folder(name).uuid)

    def start_job(self, *, folder_uuid: str, integration_uuid: str | None, manifest: Path) -> str:
        """See ``RegistrationGateway``."""
        try:
            with self._translated(f"folder {folder_uuid}"):
                folder = self._folder(folder_uuid)
        except PermanentError as error:
            # Not a refusal of this manifest: every other chunk of the source would meet the same.
            raise NotFoundError(
                f"Encord does not serve the folder that the chunk goes to ({error}). If it was deleted, restore it in Encord.",
                is_reply=True,
            ) from error
        with self._translated(f"starting {manifest.name}", is_start=True):
            # The SDK's annotation wants a string, the wire takes none: public data needs no integration.
            integration: Any = integration_uuid
            job_id = folder.add_private_data_to_folder_start(integration, manifest, ignore_errors=True)
            return str(UUID(str(job_id)))

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        """See ``RegistrationGateway``.

        One request of the SDK's polling loop: the loop itself asks again without a pause, and sleeps ten seconds in each of
        the retries that are ours to make.
        """
        with self._translated(f"upload job {job_id}"):
            state: UploadJob = ApiClient(self._client.user_config.config).get(
                f"storage/folders/{folder_uuid}/data-upload-jobs/{UUID(job_id)}",
                params=GetUploadJobParams(timeout_seconds=wait_seconds),
                result_type=UploadJob,
            )
        return job_report(state)

    def cancel_job(self, *, folder_uuid: str, job_id: str) -> int:
        """See ``RegistrationGateway``."""
        with self._translated(f"cancelling upload job {job_id}"):
            return int(self._folder(folder_uuid).add_data_to_folder_job_cancel(UUID(job_id)).units_cancelled_count)

    def count_items(self, folder_uuid: str) -> int:
        """See ``RegistrationGateway``."""
        with self._translated(f"folder {folder_uuid}"):
            return int(self._folder(folder_uuid).get_summary().files)

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        """See ``RegistrationGateway``.

        ``StorageFolder.list_items`` is a generator that can't be resumed after an error, so the SDK's own paged call is made
        a page at a time.
        """
        params = ListItemsParams(
            search=search,
            is_in_dataset=None,
            item_types=[],
            order=FoldersSortBy.CREATED_AT,
            desc=newest_first,
            page_token=page_token,
            page_size=_PAGE_SIZE,
            sign_urls=False,
            include_client_metadata=True,
        )
        with self._translated(f"items of folder {folder_uuid}"):
            page: Page[ListedItem] = ApiClient(self._client.user_config.config).get(
                f"storage/folders/{folder_uuid}/items", params=params, result_type=Page[ListedItem]
            )
            # A tombstone is what is left of a deleted item.
            items = (listed_item(item) for item in page.results if not item.is_tombstone)
            return ItemPage(tuple(items), page.next_page_token)

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        """See ``RegistrationGateway``."""
        with self._translated(f"{len(item_uuids)} items"):
            try:
                items = self._client.get_storage_items(item_uuids)
            except (encord_exceptions.AuthorisationError, encord_exceptions.ResourceNotFoundError):
                return None
            return {str(item.uuid): str(item.parent_folder_uuid) for item in items}

    def _folder(self, folder_uuid: str) -> StorageFolder:
        folders: dict[str, StorageFolder] = self._local.__dict__.setdefault("folders", {})
        if folder_uuid not in folders:
            folders[folder_uuid] = self._client.get_storage_folder(folder_uuid)
        return folders[folder_uuid]

    @contextmanager
    def _translated(self, what: str, *, is_start: bool = False) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every one is raised again in our words
            raise translate(error, what, domain=self._domain, is_start=is_start) from kept_cause(error)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
