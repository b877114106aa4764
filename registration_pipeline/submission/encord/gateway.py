"""Encord through its own SDK: making the client and calling it.

What does not belong here: reading replies (``replies.py``) and what exceptions mean (``errors.py``); whether to repeat is
decided by the callers.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from encord import EncordUserClient
from encord import exceptions as encord_exceptions
from encord.http.constants import RequestsSettings
from encord.http.v2.api_client import ApiClient
from encord.http.v2.payloads import Page
from encord.orm.storage import (
    AddDataToFolderJobCancelResponse,
    CreateStorageFolderPayload,
    FoldersSortBy,
    GetChildItemsParams,
    GetItemsBulkPayload,
    GetUploadJobParams,
    ListFoldersParams,
    ListItemsParams,
    PostUploadJobParams,
    StorageFolder,
    StorageFolderSummary,
)

from registration_pipeline import __version__
from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import HaltError, NotFoundError, SubmissionError
from registration_pipeline.foreign_text import kept_cause
from registration_pipeline.submission.encord.errors import FOLDER_ADVICE, translate
from registration_pipeline.submission.encord.posting import PostApi
from registration_pipeline.submission.encord.replies import (
    FoundItem,
    ListedFolder,
    ListedItem,
    UploadJob,
    job_report,
    listed_item,
)
from registration_pipeline.submission.encord.transport import bound_the_sdk
from registration_pipeline.submission.encord.typed_items import as_sent_by_the_sdk
from registration_pipeline.submission.gateway import ItemMetadata, ItemPage, unguarded
from registration_pipeline.tracing import new_call_header, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from registration_pipeline.submission.gateway import JobReport, RemoteItem

# The SDK's own retries are off, so that layers do not multiply and every 429 reaches the one pace that all share: the SDK
# would sleep through a Retry-After of up to six hours in each thread by itself (contract, sections 4.2 and 6.4).
_SDK_RETRIES = 0
_CONNECT_TIMEOUT_SECONDS = 20
_CONNECT_SHARE = 0.8
"""Of the time for a reply: who can't be reached must be known as that before the time of the whole is over."""
_TITLE = 300
_MOST_FOLDER_PAGES = 100
_PAGE_SIZE = 1000  # list_items: documented maximum


class EncordGateway:
    """``RegistrationGateway`` on the Encord SDK.

    Args:
        ssh_private_key: an OpenSSH Ed25519 private key's content.
        domain: e.g. ``https://api.encord.com``.
        timeout_seconds: the whole time that a reply may take, its connection included; must exceed the longest poll slice.
    """

    def __init__(self, *, ssh_private_key: str, domain: str, timeout_seconds: int = 120) -> None:
        self._domain = domain
        bound_the_sdk()
        self._client = EncordUserClient.create_with_ssh_private_key(
            ssh_private_key=ssh_private_key,
            domain=domain,
            requests_settings=RequestsSettings(
                max_retries=_SDK_RETRIES,
                connection_retries=_SDK_RETRIES,
                read_timeout=timeout_seconds,
                connect_timeout=min(_CONNECT_TIMEOUT_SECONDS, max(1, int(_CONNECT_SHARE * timeout_seconds))),
                trace_id_provider=new_call_header,
            ),
            user_agent_suffix=f"registration-pipeline/{__version__}",
        )

    def resolve_integration(self, title_or_uuid: str) -> str:
        """See ``RegistrationGateway``."""
        with self._translated(f"integration {title_or_uuid!r}"):
            integrations = self._client.get_cloud_integrations()
        found = [one for one in integrations if title_or_uuid in (str(one.id), one.title)]
        if len(found) == 1:
            return str(found[0].id)
        titles = shortened(", ".join(sorted(repr(shortened(one.title, _TITLE)) for one in integrations))) or "none"
        problem = "does not exist" if not found else f"is the title of {len(found)} integrations; give its UUID"
        raise NotFoundError(
            f"Encord integration {title_or_uuid!r} {problem}. Integrations that this key may use: {titles}. "
            "Set encord.integration of the source to one of them."
        )

    def find_folder(self, name_or_uuid: str) -> str | None:
        """See ``RegistrationGateway``."""
        if _is_uuid(name_or_uuid):
            with self._translated(f"folder {name_or_uuid}"):
                return str(self._client.get_storage_folder(name_or_uuid).uuid)
        found = list(self._folders_named(name_or_uuid))
        if len(found) > 1:
            raise NotFoundError(
                f"Encord holds {len(found)} top-level folders named {name_or_uuid!r}: {', '.join(sorted(found))}. "
                "Set encord.folder of the source to the UUID of the right one."
            )
        return found[0] if found else None

    def folder_name(self, folder_uuid: str) -> str:
        """See ``RegistrationGateway``."""
        with self._translated(f"folder {folder_uuid}"):
            return shortened(self._client.get_storage_folder(folder_uuid).name, _TITLE)

    def create_folder(self, name: str) -> str:
        """See ``RegistrationGateway``."""
        payload = CreateStorageFolderPayload(name=name, description=None, parent=None, client_metadata=None)
        with self._translated(f"creating folder {name!r}", is_start=True):
            folder: StorageFolder = self._posting().post(
                "storage/folders",
                params=None,
                payload=payload,
                result_type=StorageFolder,
            )
            return str(folder.uuid)

    def start_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        data_items: dict[str, Any] | None = None,
        may_send: Callable[[], None] = unguarded,
    ) -> str:
        """See ``RegistrationGateway``.

        The request that ``StorageFolder.add_private_data_to_folder_start`` makes of a path, or of ``DataUploadItems``, without
        the folder's GET before.
        """
        content: dict[str, Any] = {"external_files": json.loads(manifest.read_bytes()), "file_name": manifest.name}
        if data_items is not None:
            content = {"data_items": as_sent_by_the_sdk(data_items)}
        payload = PostUploadJobParams(
            integration_hash=UUID(integration_uuid) if integration_uuid else None, ignore_errors=True, **content
        )
        with self._translated(f"starting {manifest.name}", is_start=True):
            job_id: UUID = self._posting(may_send).post(
                f"storage/folders/{UUID(folder_uuid)}/data-upload-jobs",
                params=None,
                payload=payload,
                result_type=UUID,
            )
            return str(job_id)

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
            cancelled: AddDataToFolderJobCancelResponse = self._posting().post(
                f"storage/folders/{UUID(folder_uuid)}/data-upload-jobs/{UUID(job_id)}/cancel",
                params=None,
                payload=None,
                result_type=AddDataToFolderJobCancelResponse,
            )
            return int(cancelled.units_cancelled_count)

    def count_items(self, folder_uuid: str) -> int:
        """See ``RegistrationGateway``."""
        with self._translated(f"folder {folder_uuid}"):
            summary: StorageFolderSummary = ApiClient(self._client.user_config.config).get(
                f"storage/folders/{UUID(folder_uuid)}/summary", params=None, result_type=StorageFolderSummary
            )
            return int(summary.files)

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        """See ``RegistrationGateway``."""
        return self._items(folder_uuid, page_token, page_size=_PAGE_SIZE, newest_first=newest_first, search=search)

    def _items(
        self, folder_uuid: str, page_token: str | None, *, page_size: int, newest_first: bool, search: str | None
    ) -> ItemPage:
        """Return a page of a folder's items.

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
            page_size=page_size,
            sign_urls=False,
            include_client_metadata=True,
        )
        with self._translated(f"items of folder {folder_uuid}"):
            page: Page[ListedItem] = ApiClient(self._client.user_config.config).get(
                f"storage/folders/{folder_uuid}/items", params=params, result_type=Page[ListedItem]
            )
            # A tombstone is what is left of a deleted item.
            items = tuple(listed_item(item) for item in page.results if not item.is_tombstone)
            return ItemPage(items, page.next_page_token, deleted=len(page.results) - len(items))

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        """See ``RegistrationGateway``."""
        with self._translated(f"{len(item_uuids)} items"):
            try:
                items = self._client.get_storage_items(item_uuids)
            except (encord_exceptions.AuthorisationError, encord_exceptions.ResourceNotFoundError):
                return None
            return {str(item.uuid): str(item.parent_folder_uuid) for item in items}

    def metadata_of_items(self, item_uuids: Sequence[str]) -> dict[str, ItemMetadata] | None:
        """See ``RegistrationGateway``.

        The request of ``EncordUserClient.get_storage_items``, read into a small model: the SDK's own takes long to parse.
        """
        with self._translated(f"{len(item_uuids)} items"):
            try:
                page: Page[FoundItem] = ApiClient(self._client.user_config.config).post(
                    "storage/items/get-bulk",
                    params=None,
                    payload=GetItemsBulkPayload(item_uuids=[UUID(item) for item in item_uuids], sign_urls=False),
                    result_type=Page[FoundItem],
                )
            except (encord_exceptions.AuthorisationError, encord_exceptions.ResourceNotFoundError):
                return None
            return {
                str(item.uuid): ItemMetadata(str(item.parent), item.client_metadata or "{}") for item in page.results
            }

    def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
        """See ``RegistrationGateway``.

        The request of ``StorageItem.get_child_items``, without the item's own GET before, and with our small models.
        """
        with self._translated(f"child items of item {item_uuid}"):
            try:
                page: Page[ListedItem] = ApiClient(self._client.user_config.config).get(
                    f"storage/folders/{UUID(folder_uuid)}/items/{UUID(item_uuid)}/child-items",
                    params=GetChildItemsParams(sign_urls=False),
                    result_type=Page[ListedItem],
                )
            except (encord_exceptions.AuthorisationError, encord_exceptions.ResourceNotFoundError):
                return None
            # The SDK reads one page and knows of no parameter for another.
            return None if page.next_page_token else tuple(map(listed_item, page.results)) or None

    def _posting(self, may_send: Callable[[], None] = unguarded) -> PostApi:
        return PostApi(self._client.user_config.config, may_send)

    def _folders_named(self, name: str) -> Iterator[str]:
        """Yield the UUIDs of top-level folders with just this name, of all whose name has it in it."""
        params = ListFoldersParams(search=name, page_size=_PAGE_SIZE)
        pages = PageProgress()
        for _ in range(_MOST_FOLDER_PAGES):
            with self._translated(f"folder {name!r}"):
                page: Page[ListedFolder] = ApiClient(self._client.user_config.config).get(
                    "storage/folders", params=params, result_type=Page[ListedFolder]
                )
            yield from (str(folder.uuid) for folder in page.results if folder.name == name)
            if page.next_page_token is None:
                return
            if pages.problem_with(page.next_page_token, is_empty=not page.results):
                break
            params.page_token = page.next_page_token
        raise NotFoundError(
            f"Encord at {self._domain} lists the folders whose name has {name!r} in it without an end. Set encord.folder of "
            "the source to the UUID of the right one."
        )

    @contextmanager
    def _translated(self, what: str, *, is_start: bool = False, advice: str = FOLDER_ADVICE) -> Iterator[None]:
        with span("encord call", is_call=True, call=what):
            try:
                yield
            except (HaltError, SubmissionError):
                raise  # ours already
            except Exception as error:  # noqa: BLE001 - every one is raised again in our words
                meant = translate(error, what, domain=self._domain, is_start=is_start, advice=advice)
                raise meant from kept_cause(error)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
