"""Encord through its own SDK: the only module that imports ``encord``.

What belongs here: making the client, calling it, and turning its replies and exceptions into our own. What an exception
means is data in ``error_table.py``; whether to repeat is decided by the callers.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import requests
from encord import EncordUserClient
from encord import exceptions as encord_exceptions
from encord.http.constants import RequestsSettings
from encord.orm.storage import FoldersSortBy
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from registration_pipeline import __version__
from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    NotFoundError,
    PayloadTooLargeError,
    PermanentError,
    PermissionDeniedError,
    ServiceUnavailableError,
    TransientError,
)
from registration_pipeline.manifest.format import UNIT_METADATA_KEY
from registration_pipeline.submission.error_table import NOT_SENT, UNPROCESSABLE, Fault, fault_of
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus, RemoteItem, UnitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from encord.storage import StorageFolder, StorageItem

# The SDK's own retries are kept low so that they do not multiply with ours (contract, section 6.4); the read timeout must
# exceed the longest poll slice.
_SDK_RETRIES = 1
_READ_TIMEOUT_SECONDS = 120
_CONNECT_TIMEOUT_SECONDS = 20
_LONGEST_TEXT = 1000
_PAGE_SIZE = 1000  # list_items: documented maximum


class EncordGateway:
    """``RegistrationGateway`` on the Encord SDK.

    Args:
        ssh_private_key: an OpenSSH Ed25519 private key's content.
        domain: e.g. ``https://api.encord.com``.
    """

    def __init__(self, *, ssh_private_key: str, domain: str) -> None:
        self._domain = domain
        self._client = EncordUserClient.create_with_ssh_private_key(
            ssh_private_key=ssh_private_key,
            domain=domain,
            requests_settings=RequestsSettings(
                max_retries=_SDK_RETRIES,
                connection_retries=_SDK_RETRIES,
                read_timeout=_READ_TIMEOUT_SECONDS,
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
                f"Encord does not serve the folder that the chunk goes to ({error}). If it was deleted, restore it in Encord."
            ) from error
        with self._translated(f"starting {manifest.name}", is_start=True):
            # The SDK's annotation wants a string, the wire takes none: public data needs no integration.
            integration: Any = integration_uuid
            job_id = folder.add_private_data_to_folder_start(integration, manifest, ignore_errors=True)
            return str(UUID(str(job_id)))

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        """See ``RegistrationGateway``."""
        with self._translated(f"upload job {job_id}"):
            state = self._folder(folder_uuid).add_private_data_to_folder_get_result(
                UUID(job_id), timeout_seconds=wait_seconds
            )
        return JobReport(
            status=JobStatus(state.status.value),
            items=tuple(JobItem(str(item.item_uuid), item.name) for item in state.items_with_names),
            unit_errors=tuple(
                UnitError(
                    object_urls=tuple(unit.object_urls),
                    message=unit.error,
                    subtask_uuid=str(unit.subtask_uuid) if unit.subtask_uuid else None,
                    action=unit.action_description,
                )
                for unit in state.unit_errors
            ),
            errors=tuple(state.errors),
            units_pending=state.units_pending_count,
            units_done=state.units_done_count,
            units_error=state.units_error_count,
            units_cancelled=state.units_cancelled_count,
        )

    def count_items(self, folder_uuid: str) -> int:
        """See ``RegistrationGateway``."""
        with self._translated(f"folder {folder_uuid}"):
            return int(self._folder(folder_uuid).get_summary().files)

    def items_since(self, folder_uuid: str, since: datetime) -> Iterator[RemoteItem]:
        """See ``RegistrationGateway``."""
        with self._translated(f"items of folder {folder_uuid}"):
            for item in self._folder(folder_uuid).list_items(
                order=FoldersSortBy.CREATED_AT, desc=True, include_client_metadata=True, page_size=_PAGE_SIZE
            ):
                if item.created_at < since:
                    return
                yield _remote_item(item)

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
        if fault is Fault.TRANSIENT:
            hint = getattr(error, "retry_after", None)
            return TransientError(
                f"{what} at {self._domain}: {said}", retry_after_seconds=float(hint) if hint else None
            )
        if fault is Fault.HALT_CREDENTIALS:
            return CredentialsError(
                f"Encord at {self._domain} refused the key ({said}). Check that ENCORD_SSH_KEY or ENCORD_SSH_KEY_FILE holds "
                "a key that is registered in Encord, and that ENCORD_DOMAIN names its region."
            )
        if fault is Fault.HALT_PERMISSION:
            return PermissionDeniedError(
                f"Encord at {self._domain} does not allow this: {what}: {said}. The folder or integration does not exist, or "
                "the key's user may not use it; registering needs the Admin role on the integration."
            )
        if fault is Fault.HALT_SERVICE:
            return ServiceUnavailableError(
                f"Encord at {self._domain} answered in a way that is not understood: {what}: {said}. Nothing is lost; run "
                "again, and update registration-pipeline if it stays."
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
    text = " ".join(f"{message}{detail}".split())
    # The SDK quotes whole replies; that of a proxy may be a page of markup.
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT // 2]} … {text[-_LONGEST_TEXT // 2 :]}"


def _remote_item(item: StorageItem) -> RemoteItem:
    metadata = item.client_metadata or {}
    unit_id = metadata.get(UNIT_METADATA_KEY)
    return RemoteItem(
        item_uuid=str(item.uuid),
        name=item.name,
        url=item.url,
        unit_id=unit_id if isinstance(unit_id, str) else None,
        created_at=item.created_at,
    )


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
