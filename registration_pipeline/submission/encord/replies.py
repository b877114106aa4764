"""What Encord's replies are read into: models of ours, and the values of the gateway that come of them.

What does not belong here: asking (``gateway.py``) and what exceptions mean (``errors.py``).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any
from uuid import UUID

from encord.orm.base_dto import BaseDTO
from pydantic import BaseModel, ConfigDict, PlainValidator, field_validator
from pydantic.alias_generators import to_camel

from registration_pipeline.bounds.texts import FULL_TEXT, MOST_READ, TextBudget, shortened
from registration_pipeline.foreign_text import masked
from registration_pipeline.manifest.format import OBJECTS_METADATA_KEY, UNIT_METADATA_KEY
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus, RemoteItem, UnitError

_UUID_LENGTH = len(str(UUID(int=0)))
# Longer than any of ours: what is cut here is not ours, and only shown.
_LONGEST_ID, _LONGEST_NAME, _LONGEST_URL = 200, 2_000, 16_000


class ListedFolder(BaseModel):
    """What a listing of folders is read for."""

    uuid: UUID
    name: str


class ListedItem(BaseModel):
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


class FoundItem(BaseModel):
    """What an item is asked for by its UUID: where it is and its client metadata."""

    model_config = ConfigDict(alias_generator=to_camel)

    uuid: UUID
    parent: UUID
    client_metadata: str | None = None


def _job_items(value: Any) -> tuple[JobItem, ...]:
    # A model for each of a thousand takes six times as long; what else an item may hold one day is ignored.
    try:
        items: tuple[Any, ...] = tuple([JobItem(item["itemUuid"], item["name"]) for item in value])
    except (TypeError, KeyError) as error:
        raise ValueError("each must be an object with itemUuid and name") from error
    if not all(isinstance(text, str) or text is None for item in items for text in item):
        raise ValueError("itemUuid and name must be strings")
    if None not in chain.from_iterable(items) and {len(item.item_uuid) for item in items} <= {_UUID_LENGTH}:
        return items
    # A name without a UUID is not evidence of an item: it is as if the job did not name it.
    return tuple([item for item in items if item.name is not None and len(item.item_uuid or "") == _UUID_LENGTH])


class _UnitError(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    object_urls: list[str] | None = None
    error: str | None = None
    subtask_uuid: str | None = None
    action_description: str | None = None


class UploadJob(BaseDTO):
    """What a job is polled for: the SDK's own state takes ten times as long to parse."""

    status: JobStatus
    items_with_names: Annotated[tuple[JobItem, ...], PlainValidator(_job_items)]
    errors: list[str]
    units_pending_count: int
    units_done_count: int
    units_error_count: int
    units_cancelled_count: int
    unit_errors: list[_UnitError]


def job_report(state: UploadJob) -> JobReport:
    """Return an upload job's reply in the gateway's words."""
    budget = TextBudget()
    return JobReport(
        status=state.status,
        items=state.items_with_names,
        unit_errors=tuple(
            UnitError(
                object_urls=tuple(map(writable, unit.object_urls or ())),
                message=budget.take(said(unit.error or "")),
                subtask_uuid=writable(unit.subtask_uuid or "")[:_LONGEST_ID] or None,
                action=shortened(said(unit.action_description or "")) or None,
            )
            for unit in state.unit_errors
        ),
        errors=tuple(budget.take(said(error)) for error in state.errors),
        units_pending=state.units_pending_count,
        units_done=state.units_done_count,
        units_error=state.units_error_count,
        units_cancelled=state.units_cancelled_count,
    )


def listed_item(item: ListedItem) -> RemoteItem:
    """Return a listed item in the gateway's words."""
    # Foreign metadata can be megabytes; ours is parsed only where our key is in it.
    text = item.client_metadata or ""
    metadata = json.loads(text) if UNIT_METADATA_KEY in text or OBJECTS_METADATA_KEY in text else None
    return RemoteItem(
        item_uuid=str(item.uuid),
        name=item.name[:_LONGEST_NAME],
        url=item.url[:_LONGEST_URL] if item.url else item.url,
        unit_id=_own(metadata, UNIT_METADATA_KEY),
        created_at=item.created_at,
        objects=_own(metadata, OBJECTS_METADATA_KEY),
    )


def _own(metadata: Any, key: str) -> str | None:
    value = metadata.get(key) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) and len(value) <= _LONGEST_ID else None


def said(text: str) -> str:
    """Return what Encord said as it is kept: without secrets, which it may quote from what it read."""
    # Masked before it is shortened, but for what is not read at all.
    return shortened(masked(writable(text[:MOST_READ])), FULL_TEXT)


def writable(text: str) -> str:
    """Return it without half surrogate pairs, which JSON can carry and neither UTF-8 nor Parquet can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
