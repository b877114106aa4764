"""A gateway that keeps its Encord in memory and does what a script says: the shipped implementation for tests and rehearsals.

It follows the hostile reading of the contract: skipped duplicates are neither items nor errors, and a start can take effect
although an error comes back. Wire behaviour belongs to the sandbox, which is tested through the SDK.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    NotFoundError,
    PayloadTooLargeError,
    PermanentError,
    ThrottledError,
)
from registration_pipeline.manifest.format import (
    GROUP_URL_PREFIX,
    OBJECT_URL,
    OBJECTS_METADATA_KEY,
    SKIP_DUPLICATE_URLS,
    UNIT_METADATA_KEY,
    UPSERT_METADATA,
)
from registration_pipeline.planning.typed_form import (
    MEMBER_URL,
    TYPED_LISTS,
    TYPED_SKIP_DUPLICATE_URLS,
    TYPED_UPSERT_METADATA,
)
from registration_pipeline.submission.gateway import (
    ItemMetadata,
    ItemPage,
    JobItem,
    JobReport,
    JobStatus,
    RemoteItem,
    UnitError,
    unguarded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


class StartScript(StrEnum):
    """What the next start does."""

    ACCEPT = "accept"
    LOSE_REPLY = "lose_reply"
    """The job runs, but the reply is lost."""
    LOSE_REQUEST = "lose_request"
    """Nothing happens, and the caller can't know."""
    THROTTLE = "throttle"
    REFUSE = "refuse"
    TOO_LARGE = "too_large"
    HALT = "halt"
    GATEWAY_REFUSES = "gateway_refuses"
    """The job runs, and something in between answers 400 for itself."""
    GATEWAY_HALTS = "gateway_halts"
    """The job runs, and something in between answers 401 for itself."""
    GATEWAY_THROTTLES = "gateway_throttles"
    """The job runs, and something in between answers 429 for itself."""
    REFUSE_UNPROVEN = "refuse_unproven"
    """Nothing happens, and the refusal could be that of something in between."""
    HALT_UNPROVEN = "halt_unproven"
    THROTTLE_UNPROVEN = "throttle_unproven"

    def error(self) -> Exception | None:
        """Return what the start raises; None when it is answered with the job's id."""
        meant: dict[str, Exception] = {
            "throttle": ThrottledError("429", retry_after_seconds=1),
            "throttles": ThrottledError("429", retry_after_seconds=1),
            "refuse": PermanentError("400: refused"),
            "refuses": PermanentError("400: refused"),
            "too_large": PayloadTooLargeError("413: too large"),
            "halt": CredentialsError("401: key refused"),
            "halts": CredentialsError("401: key refused"),
        }
        if self.value in meant:
            return meant[self.value]
        if self is StartScript.LOSE_REPLY:
            return AmbiguousError("connection cut after the request was read")
        if self is StartScript.LOSE_REQUEST:
            return AmbiguousError("connection cut before the request was read")
        what = self.value.removeprefix("gateway_").removesuffix("_unproven")
        return AmbiguousError(str(meant[what]), refusal=meant[what]) if what in meant else None

    @property
    def has_effect(self) -> bool:
        """Return whether a job is started."""
        return self in (StartScript.ACCEPT, StartScript.LOSE_REPLY) or self.value.startswith("gateway_")


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingJob:
    due: datetime
    folder_uuid: str
    manifest: dict[str, Any]
    present: frozenset[tuple[str, ...]]


@dataclass(slots=True)
class ScriptedGateway:
    """``RegistrationGateway`` in memory.

    Args:
        starts: what the next starts do, in order; then ``ACCEPT``.
        fails: returns the error text for an object URL, or None when it registers. A unit of several objects fails with the
            first of them that does.
        refuses: returns the error for a whole manifest, or None when it is accepted.
        tells: makes of the true report of a job that has ended the one that a poll gives.
        folders: name to UUID.
        integrations: title to UUID.
        clock: when items are created and jobs end; with ``job_seconds`` it must be moved on by the waiting code.
        job_seconds: how long after its start a job registers its units, all at once. Duplicates are searched for at the
            start, so that two jobs under way with the same URLs register them twice: the hostile reading.
        page_size: items of a page of a folder.
        items: what the folders hold, oldest first; tests may add, move and remove.
        metadata: the client metadata of items by UUID; tests may change it.
        merges_metadata: an upsert keeps fields that it does not have, as against replacing all of them.
        ignores_upserts: upserts have no effect, and their jobs end as if they had.
        metadata_seconds: how long after the end of a job items still show what they showed before.
    """

    starts: list[StartScript] = field(default_factory=list)
    fails: Callable[[str], str | None] = lambda _: None
    refuses: Callable[[dict[str, Any]], Exception | None] = lambda _: None
    tells: Callable[[JobReport], JobReport] = lambda report: report
    folders: dict[str, str] = field(default_factory=dict)
    integrations: dict[str, str] = field(default_factory=lambda: {"sandbox": str(uuid5(NAMESPACE_URL, "sandbox"))})
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    job_seconds: float = 0
    page_size: int = 1_000
    items: dict[str, list[RemoteItem]] = field(default_factory=dict)
    jobs: dict[str, JobReport] = field(default_factory=dict)
    manifests: list[bytes] = field(default_factory=list)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    merges_metadata: bool = False
    ignores_upserts: bool = False
    metadata_seconds: float = 0
    _urls_of_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _late: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)
    _pending: dict[str, _PendingJob] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def resolve_integration(self, title_or_uuid: str) -> str:
        """See ``RegistrationGateway``."""
        for title, uuid in self.integrations.items():
            if title_or_uuid in (title, uuid):
                return uuid
        raise NotFoundError(f"Encord integration {title_or_uuid!r} does not exist.")

    def find_folder(self, name_or_uuid: str) -> str | None:
        """See ``RegistrationGateway``."""
        if name_or_uuid in self.folders.values():
            return name_or_uuid
        return self.folders.get(name_or_uuid)

    def folder_name(self, folder_uuid: str) -> str:
        """See ``RegistrationGateway``."""
        for name, uuid in self.folders.items():
            if uuid == folder_uuid:
                return name
        raise NotFoundError(f"Encord folder {folder_uuid} does not exist.")

    def create_folder(self, name: str) -> str:
        """See ``RegistrationGateway``."""
        return self.folders.setdefault(name, str(uuid5(NAMESPACE_URL, f"folder/{name}")))

    def start_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        data_items: dict[str, Any] | None = None,
        may_send: Callable[[], None] = unguarded,
    ) -> str:
        """See ``RegistrationGateway``."""
        del integration_uuid
        may_send()
        with self._lock:
            script = StartScript(self.starts.pop(0)) if self.starts else StartScript.ACCEPT
            error = script.error()
            if error is not None and not script.has_effect:
                raise error
            data = manifest.read_bytes()
            document = json.loads(data) if data_items is None else as_external_files(data_items)
            refusal = self.refuses(document)
            if refusal is not None:
                raise refusal
            self.manifests.append(data)
            job_id = self._accept(folder_uuid, document)
            if error is not None:
                raise error
            return job_id

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        """See ``RegistrationGateway``."""
        del folder_uuid, wait_seconds
        self._work()
        if job_id not in self.jobs:
            raise PermanentError("404: no such job")
        report = self.jobs[job_id]
        return report if report.status is JobStatus.PENDING else self.tells(report)

    def cancel_job(self, *, folder_uuid: str, job_id: str) -> int:
        """See ``RegistrationGateway``."""
        del folder_uuid
        with self._lock:
            pending = self._pending.pop(job_id, None)
            if job_id not in self.jobs:
                raise PermanentError("404: no such job")
            if pending is None:
                return 0
            units = sum(len(units) for units in pending.manifest.values() if isinstance(units, list))
            self.jobs[job_id] = JobReport(status=JobStatus.CANCELLED, units_cancelled=units)
            return units

    def count_items(self, folder_uuid: str) -> int:
        """See ``RegistrationGateway``."""
        self._work()
        return len(self.items.get(folder_uuid, ()))

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        """See ``RegistrationGateway``."""
        self._work()
        start = int(page_token or 0)
        items = [item for item in self.items.get(folder_uuid, []) if not search or search in item.name]
        items = items[:: -1 if newest_first else 1]
        end = start + self.page_size
        return ItemPage(tuple(items[start:end]), str(end) if end < len(items) else None)

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        """See ``RegistrationGateway``."""
        self._work()
        wanted = set(item_uuids)
        found = {
            item.item_uuid: folder for folder, items in self.items.items() for item in items if item.item_uuid in wanted
        }
        return found if len(found) == len(wanted) else None

    def metadata_of_items(self, item_uuids: Sequence[str]) -> dict[str, ItemMetadata] | None:
        """See ``RegistrationGateway``."""
        folders = self.folders_of_items(item_uuids)
        if folders is None:
            return None
        due = [one for one in self._late if one[0] <= self.clock()]
        self._late = [one for one in self._late if one not in due]
        for _, item_uuid, metadata in due:
            self.metadata[item_uuid] = metadata
        return {uuid: ItemMetadata(folder, json.dumps(self.metadata.get(uuid, {}))) for uuid, folder in folders.items()}

    def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
        """See ``RegistrationGateway``."""
        self._work()
        item = next((one for one in self.items.get(folder_uuid, ()) if one.item_uuid == item_uuid), None)
        urls = self._urls_of_groups.get(item_uuid)
        if item is None or urls is None:
            return None
        return tuple(
            replace(
                item,
                item_uuid=str(uuid5(NAMESPACE_URL, f"{item_uuid}/{place}")),
                name=url,
                url=url,
                unit_id=None,
                objects=None,
            )
            for place, url in enumerate(urls)
        )

    def add_group(self, folder_uuid: str, item: RemoteItem, urls: Sequence[str]) -> None:
        """Put an item into a folder that consists of these objects, as a person would by hand."""
        self._urls_of_groups[item.item_uuid] = tuple(urls)
        self.items.setdefault(folder_uuid, []).append(replace(item, url=None))

    def urls(self) -> list[str]:
        """Return every registered URL of every folder, duplicates included."""
        self._work()
        items = (item for items in self.items.values() for item in items)
        return [url for item in items for url in self._urls_of_groups.get(item.item_uuid, (item.url or "",))]

    def _accept(self, folder_uuid: str, manifest: dict[str, Any]) -> str:
        self._work()
        job_id = str(uuid5(NAMESPACE_URL, f"job/{len(self.jobs)}"))
        skips = manifest.get("skip_duplicate_urls")
        held = self.items.get(folder_uuid, ()) if skips else ()
        present = frozenset(self._urls_of_groups.get(item.item_uuid, (item.url or "",)) for item in held)
        due = self.clock() + timedelta(seconds=self.job_seconds)
        self.jobs[job_id] = JobReport(status=JobStatus.PENDING)
        self._pending[job_id] = _PendingJob(due=due, folder_uuid=folder_uuid, manifest=manifest, present=present)
        self._work()
        return job_id

    def _work(self) -> None:
        """End the jobs that are due."""
        with self._lock:
            now = self.clock()
            for job_id in [job_id for job_id, job in self._pending.items() if job.due <= now]:
                job = self._pending.pop(job_id)
                self.jobs[job_id] = self._register(job.folder_uuid, job.manifest, job.present)

    def _register(self, folder_uuid: str, manifest: dict[str, Any], present: frozenset[tuple[str, ...]]) -> JobReport:
        folder = self.items.setdefault(folder_uuid, [])
        registered: list[JobItem] = []
        errors: list[UnitError] = []
        for unit in (unit for units in manifest.values() if isinstance(units, list) for unit in units):
            urls = _urls_of(unit)
            if urls in present:
                if manifest.get(UPSERT_METADATA):
                    self._upsert(folder, unit, urls)
                continue
            text = next(filter(None, map(self.fails, urls)), None)
            if text is not None:
                errors.append(
                    UnitError(object_urls=urls, message=text, subtask_uuid=str(uuid5(NAMESPACE_URL, urls[0])))
                )
                continue
            item_uuid = str(uuid5(NAMESPACE_URL, f"item/{folder_uuid}/{next(self._numbers)}"))
            folder.append(self._item(item_uuid, unit, urls))
            registered.append(JobItem(item_uuid, unit["title"]))
        return JobReport(
            status=JobStatus.DONE,
            items=tuple(registered),
            unit_errors=tuple(errors),
            units_done=len(registered),
            units_error=len(errors),
        )

    def _upsert(self, folder: Sequence[RemoteItem], unit: Mapping[str, Any], urls: tuple[str, ...]) -> None:
        """Give the items of a unit the metadata that was sent."""
        for item in folder:
            if self._urls_of_groups.get(item.item_uuid, (item.url or "",)) == urls and "clientMetadata" in unit:
                before = self.metadata.get(item.item_uuid, {}) if self.merges_metadata else {}
                now = {**before, **unit["clientMetadata"]}
                if self.metadata_seconds:
                    due = self.clock() + timedelta(seconds=self.metadata_seconds)
                    self._late.append((due, item.item_uuid, now))
                elif not self.ignores_upserts:
                    self.metadata[item.item_uuid] = now

    def _item(self, item_uuid: str, unit: Mapping[str, Any], urls: tuple[str, ...]) -> RemoteItem:
        """Return a unit's item; a listing shows no URL of an item that has several objects, as in the sandbox."""
        is_group = OBJECT_URL not in unit
        if is_group:
            self._urls_of_groups[item_uuid] = urls
        self.metadata[item_uuid] = dict(unit.get("clientMetadata", {}))
        return RemoteItem(
            item_uuid=item_uuid,
            name=unit["title"],
            url=None if is_group else urls[0],
            unit_id=unit.get("clientMetadata", {}).get(UNIT_METADATA_KEY),
            created_at=self.clock(),
            objects=unit.get("clientMetadata", {}).get(OBJECTS_METADATA_KEY),
        )


def _urls_of(unit: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the URLs of an entry of a manifest in the order of their positions."""
    if OBJECT_URL in unit:
        return (unit[OBJECT_URL],)
    positions = sorted(int(key.removeprefix(GROUP_URL_PREFIX)) for key in unit if key.startswith(GROUP_URL_PREFIX))
    return tuple(unit[f"{GROUP_URL_PREFIX}{position}"] for position in positions)


def as_external_files(data_items: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was sent in the typed form as if it had been in the JSON form, as far as these gateways read it."""
    lists = {
        key: [_with_numbered_urls(unit) for unit in units] for key, units in data_items.items() if key in TYPED_LISTS
    }
    flags = {SKIP_DUPLICATE_URLS: TYPED_SKIP_DUPLICATE_URLS, UPSERT_METADATA: TYPED_UPSERT_METADATA}
    return {**lists, **{flag: data_items[typed] for flag, typed in flags.items()}}


def _with_numbered_urls(unit: Mapping[str, Any]) -> dict[str, Any]:
    members = unit.get("images") or unit.get("dicomFiles") or ()
    return {**unit, **{f"{GROUP_URL_PREFIX}{place}": member[MEMBER_URL] for place, member in enumerate(members)}}
