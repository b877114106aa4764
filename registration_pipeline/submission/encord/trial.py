"""The gateway of a rehearsal on the Encord SDK: the calls of ``gateway.py``, and those that only a rehearsal makes.

The headers of every reply are handed on besides. What does not belong here: what is tried and what it means (``rehearsal/``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from encord.http.v2.api_client import ApiClient
from encord.orm.storage import DeleteItemsPayload, StorageFolderSummary

from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.encord.typed_items import as_sent_by_the_sdk
from registration_pipeline.submission.trial import FolderCounts, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import requests

    from registration_pipeline.submission.gateway import ItemPage

_LIMIT_HEADER: Final = re.compile(r"rate-?limit|retry-after|quota")
_LONGEST_VALUE: Final = 100
_FOLDERS_PER_PAGE: Final = 100


class EncordTrialGateway(EncordGateway):
    """``TrialGateway`` on the Encord SDK.

    Args:
        ssh_private_key: an OpenSSH Ed25519 private key's content.
        domain: e.g. ``https://api.encord.com``.
        timeout_seconds: how long a reply may take.
        watch: called with every reply, whatever its status.
    """

    def __init__(
        self, *, ssh_private_key: str, domain: str, timeout_seconds: int, watch: Callable[[Reply], None]
    ) -> None:
        super().__init__(ssh_private_key=ssh_private_key, domain=domain, timeout_seconds=timeout_seconds)
        # Where the SDK signs a request is the one place that sees each before it is sent: a hook there sees its reply.
        config: Any = self._client.user_config.config
        sign = config.define_headers_v2

        def sign_and_watch(request: requests.PreparedRequest) -> requests.PreparedRequest:
            signed: Any = sign(request)
            signed.register_hook("response", lambda response, **_: watch(_reply(response)))
            return cast("requests.PreparedRequest", signed)

        config.define_headers_v2 = sign_and_watch

    def create_described_folder(self, name: str, description: str) -> str:
        """See ``TrialGateway``."""
        with self._translated(f"creating folder {name!r}", is_start=True):
            return str(self._client.create_storage_folder(name, description=description).uuid)

    def folders_named_like(self, text: str) -> dict[str, str]:
        """See ``TrialGateway``."""
        with self._translated(f"folders named like {text!r}"):
            found = self._client.list_storage_folders(search=text, page_size=_FOLDERS_PER_PAGE)
            return {str(folder.uuid): folder.name for folder in found if text in folder.name}

    def start_trial_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        ignore_errors: bool,
        data_items: dict[str, Any] | None = None,
    ) -> str:
        """See ``TrialGateway``."""
        files = manifest if data_items is None else as_sent_by_the_sdk(data_items)
        with self._translated(f"folder {folder_uuid}"):
            folder = self._client.get_storage_folder(folder_uuid)
        with self._translated(f"starting {manifest.name}", is_start=True):
            # The SDK's annotation wants a string, the wire takes none: public data needs no integration.
            integration: Any = integration_uuid
            job_id = folder.add_private_data_to_folder_start(integration, files, ignore_errors=ignore_errors)
            return str(UUID(str(job_id)))

    def folder_counts(self, folder_uuid: str) -> FolderCounts:
        """See ``TrialGateway``."""
        with self._translated(f"folder {folder_uuid}"):
            summary: StorageFolderSummary = self._api.get(
                f"storage/folders/{UUID(folder_uuid)}/summary", params=None, result_type=StorageFolderSummary
            )
            return FolderCounts(items=int(summary.files), upload_jobs=int(summary.upload_jobs))

    def small_page(
        self,
        folder_uuid: str,
        page_token: str | None,
        *,
        page_size: int,
        newest_first: bool = False,
        search: str | None = None,
    ) -> ItemPage:
        """See ``TrialGateway``."""
        return self._items(folder_uuid, page_token, page_size=page_size, newest_first=newest_first, search=search)

    def merge_metadata(self, item_uuid: str, metadata: Mapping[str, object]) -> None:
        """See ``TrialGateway``."""
        with self._translated(f"client metadata of item {item_uuid}"):
            self._client.get_storage_item(item_uuid).update(client_metadata=dict(metadata))

    def metadata_of(self, item_uuid: str) -> Mapping[str, object]:
        """See ``TrialGateway``."""
        with self._translated(f"item {item_uuid}"):
            metadata: Mapping[str, object] = self._client.get_storage_item(item_uuid).client_metadata or {}
            return metadata

    def media_of(self, item_uuid: str) -> Mapping[str, object]:
        """See ``TrialGateway``."""
        with self._translated(f"item {item_uuid}"):
            item = self._client.get_storage_item(item_uuid)
            shown = {
                "mime_type": item.mime_type,
                "file_size": item.file_size,
                "width": item.width,
                "height": item.height,
                "fps": item.fps,
                "duration": item.duration,
                "sample_rate": item.audio_sample_rate,
                "bit_depth": item.audio_bit_depth,
                "codec": item.audio_codec,
                "num_channels": item.audio_num_channels,
            }
            return {name: value for name, value in shown.items() if value is not None}

    def delete_items(self, folder_uuid: str, item_uuids: Sequence[str]) -> None:
        """See ``TrialGateway``."""
        with self._translated(f"deleting {len(item_uuids)} items of folder {folder_uuid}"):
            self._api.post(
                f"storage/folders/{UUID(folder_uuid)}/items/delete",
                params=None,
                payload=DeleteItemsPayload(child_uuids=list(map(UUID, item_uuids)), remove_unused_frames=True),
                result_type=None,
            )

    def delete_folder(self, folder_uuid: str) -> None:
        """See ``TrialGateway``."""
        with self._translated(f"deleting folder {folder_uuid}"):
            self._api.delete(f"storage/folders/{UUID(folder_uuid)}", params=None, result_type=None)

    @property
    def _api(self) -> ApiClient:
        return ApiClient(self._client.user_config.config)


def _reply(response: requests.Response) -> Reply:
    # Written out in ASCII: a header may hold what a terminal would obey.
    limits = {name.lower(): ascii(value)[1:-1][:_LONGEST_VALUE] for name, value in response.headers.items()}
    return Reply(
        status=response.status_code,
        seconds=response.elapsed.total_seconds(),
        at=_date(response.headers.get("Date")),
        received_at=datetime.now(UTC),
        limits={name: value for name, value in limits.items() if _LIMIT_HEADER.search(name)},
    )


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None
