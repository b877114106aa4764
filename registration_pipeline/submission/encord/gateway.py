"""Encord through its own SDK: the only module that imports ``encord``.

What belongs here: making the client, calling it, and turning its replies and exceptions into our own. What an exception
means is data in ``submission/calls/retry_table.py``; whether to repeat is decided by the callers.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import requests
from encord import EncordUserClient
from encord import exceptions as encord_exceptions
from encord.http.constants import RequestsSettings
from encord.http.v2.api_client import ApiClient
from encord.http.v2.payloads import Page
from encord.orm.base_dto import BaseDTO
from encord.orm.storage import FoldersSortBy, GetUploadJobParams, ListItemsParams
from pydantic import BaseModel, ConfigDict, PlainValidator, field_validator
from pydantic.alias_generators import to_camel
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from registration_pipeline import __version__
from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    NotFoundError,
    PayloadTooLargeError,
    PermanentError,
    PermissionDeniedError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.manifest.format import UNIT_METADATA_KEY
from registration_pipeline.submission.calls.retry_table import NOT_SENT, UNPROCESSABLE, Fault, fault_of
from registration_pipeline.submission.gateway import ItemPage, JobItem, JobReport, JobStatus, RemoteItem, UnitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from encord.storage import StorageFolder

# The SDK's own retries are off, so that layers do not multiply and every 429 reaches the one pace that all share: the SDK
# would sleep through a Retry-After of up to six hours in each thread by itself (contract, sections 4.2 and 6.4).
_SDK_RETRIES = 0
_CONNECT_TIMEOUT_SECONDS = 20
_LONGEST_TEXT = 1000
_PAGE_SIZE = 1000  # list_items: documented maximum


class _ListedItem(BaseModel):
    """What a listing is read for: the SDK's own item takes 18 times as long to parse, and fails on kinds that are new."""

    model_config = ConfigDict(alias_generator=to_camel)

    uuid: UUID
    name: str
    client_metadata: str | None = None
    created_at: datetime
    is_tombstone: bool = False
    url: str | None = None

    @field_validator("created_at")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        # The contract, section 3: a time without an offset is UTC.
        return value if value.tzinfo else value.replace(tzinfo=UTC)


def _job_items(value: Any) -> tuple[JobItem, ...]:
    # A model for each of a thousand takes six times as long; what else an item may hold one day is not looked at.
    try:
        items = tuple([JobItem(item["itemUuid"], item["name"]) for item in value])
    except (TypeError, KeyError) as error:
        raise ValueError("each must be an object with itemUuid and name") from error
    if not all(isinstance(text, str) for item in items for text in item):
        raise ValueError("itemUuid and name must be strings")
    return items


class _UnitError(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    object_urls: list[str]
    error: str
    subtask_uuid: str | None = None
    action_description: str | None = None


class _UploadJob(BaseDTO):
    """What a job is polled for: the SDK's own state takes ten times as long to parse."""

    status: JobStatus
    items_with_names: Annotated[tuple[JobItem, ...], PlainValidator(_job_items)]
    errors: list[str]
    units_pending_count: int
    units_done_count: int
    units_error_count: int
    units_cancelled_count: int
    unit_errors: list[_UnitError]


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
            state: _UploadJob = ApiClient(self._client.user_config.config).get(
                f"storage/folders/{folder_uuid}/data-upload-jobs/{UUID(job_id)}",
                params=GetUploadJobParams(timeout_seconds=wait_seconds),
                result_type=_UploadJob,
            )
        return JobReport(
            status=state.status,
            items=state.items_with_names,
            unit_errors=tuple(
                UnitError(
                    object_urls=tuple(map(_writable, unit.object_urls)),
                    message=_writable(unit.error),
                    subtask_uuid=_writable(unit.subtask_uuid or "") or None,
                    action=_writable(unit.action_description or "") or None,
                )
                for unit in state.unit_errors
            ),
            errors=tuple(map(_writable, state.errors)),
            units_pending=state.units_pending_count,
            units_done=state.units_done_count,
            units_error=state.units_error_count,
            units_cancelled=state.units_cancelled_count,
        )

    def cancel_job(self, *, folder_uuid: str, job_id: str) -> int:
        """See ``RegistrationGateway``."""
        with self._translated(f"cancelling upload job {job_id}"):
            return int(self._folder(folder_uuid).add_data_to_folder_job_cancel(UUID(job_id)).units_cancelled_count)

    def count_items(self, folder_uuid: str) -> int:
        """See ``RegistrationGateway``."""
        with self._translated(f"folder {folder_uuid}"):
            return int(self._folder(folder_uuid).get_summary().files)

    def items_page(self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False) -> ItemPage:
        """See ``RegistrationGateway``.

        ``StorageFolder.list_items`` is a generator that can't be resumed after an error, so the SDK's own paged call is made
        a page at a time.
        """
        params = ListItemsParams(
            search=None,
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
            page: Page[_ListedItem] = ApiClient(self._client.user_config.config).get(
                f"storage/folders/{folder_uuid}/items", params=params, result_type=Page[_ListedItem]
            )
            # A tombstone is what is left of a deleted item.
            items = (_listed_item(item) for item in page.results if not item.is_tombstone)
            return ItemPage(tuple(items), page.next_page_token)

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        """See ``RegistrationGateway``."""
        with self._translated(f"{len(item_uuids)} items"):
            try:
                items = self._client.get_storage_items(item_uuids)
            except encord_exceptions.AuthorisationError:
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
        except Exception as error:
            raise self._translate(error, what, is_start=is_start) from error

    def _translate(self, error: Exception, what: str, *, is_start: bool) -> Exception:
        fault = _fault(error, is_start=is_start)
        said = _text(error)
        if fault is Fault.TRANSIENT and _was_not_sent(error):
            return TransientError(f"{what}: {self._domain} can't be reached ({_unreachable(error)})")
        if fault in (Fault.TRANSIENT, Fault.THROTTLED):
            hint = getattr(error, "retry_after", None)
            kind = ThrottledError if fault is Fault.THROTTLED else TransientError
            return kind(f"{what} at {self._domain}: {said}", retry_after_seconds=float(hint) if hint else None)
        if fault is Fault.HALT_CREDENTIALS:
            return CredentialsError(
                f"Encord at {self._domain} refused the key ({said}). Check that ENCORD_SSH_KEY or ENCORD_SSH_KEY_FILE holds "
                "a key that is registered in Encord, and that ENCORD_DOMAIN names its region.",
                is_reply=True,
            )
        if fault is Fault.HALT_PERMISSION:
            return PermissionDeniedError(
                f"Encord at {self._domain} does not allow this: {what}: {said}. The folder or integration does not exist, or "
                "the key's user may not use it; registering needs the Admin role on the integration.",
                is_reply=True,
            )
        if fault is Fault.HALT_MISSING:
            return NotFoundError(
                f"Encord at {self._domain} does not find what this needs: {what}: {said}. Check that the folder and the "
                "integration of the source exist; if the folder was deleted, restore it in Encord.",
                is_reply=True,
            )
        kinds = {Fault.TOO_LARGE: PayloadTooLargeError, Fault.AMBIGUOUS: AmbiguousError}
        return kinds.get(fault, PermanentError)(f"{what}: {said}")


def _fault(error: Exception, *, is_start: bool) -> Fault:
    """Look the exception up, after the two cases that its class alone does not tell."""
    if _was_not_sent(error):
        return NOT_SENT.start if is_start else NOT_SENT.read
    if type(error) is encord_exceptions.UnknownException and isinstance(getattr(error, "message", None), list):
        return UNPROCESSABLE.start if is_start else UNPROCESSABLE.read
    return fault_of(type(error).__name__ if _is_sdk(error) else "", is_start=is_start)


def _is_sdk(error: Exception) -> bool:
    # requests has a RequestException of its own; only the SDK's is in the table.
    return type(error).__module__.startswith("encord.")


def _was_not_sent(error: Exception) -> bool:
    cause = error.__cause__
    if not isinstance(error, encord_exceptions.RequestException) or not isinstance(cause, requests.ConnectionError):
        return False
    reason = getattr(cause.args[0], "reason", None) if cause.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _unreachable(error: Exception) -> str:
    """Return why a connection could not be made, without the requests around it."""
    cause = error.__cause__
    reason = str(getattr(cause.args[0], "reason", cause)) if cause is not None and cause.args else str(cause)
    return reason.rpartition(": ")[2]


def _text(error: Exception) -> str:
    """Return what was said, in one line, with the transport's cause when the SDK's own words hide it."""
    message: Any = getattr(error, "message", None) or str(error) or type(error).__name__
    cause = error.__cause__
    detail = f" ({type(cause).__name__}: {cause})" if cause is not None and _is_sdk(error) else ""
    text = _writable(" ".join(f"{message}{detail}".split()))
    # The SDK quotes whole replies; that of a proxy may be a page of markup.
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT // 2]} … {text[-_LONGEST_TEXT // 2 :]}"


def _writable(text: str) -> str:
    """Return it without half surrogate pairs, which JSON can carry and neither UTF-8 nor Parquet can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _listed_item(item: _ListedItem) -> RemoteItem:
    # Somebody else's metadata can be megabytes; ours is parsed only where our key is in it.
    metadata = item.client_metadata or ""
    return RemoteItem(
        item_uuid=str(item.uuid),
        name=item.name,
        url=item.url,
        unit_id=_unit_id(json.loads(metadata)) if UNIT_METADATA_KEY in metadata else None,
        created_at=item.created_at,
    )


def _unit_id(metadata: Any) -> str | None:
    unit_id = metadata.get(UNIT_METADATA_KEY) if isinstance(metadata, dict) else None
    return unit_id if isinstance(unit_id, str) else None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
