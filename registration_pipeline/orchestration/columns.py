"""What the columns of the Parquet files mean, for the pages of the assets that make them.

What does not belong here: the columns themselves (``INVENTORY_SCHEMA``, ``PLAN_SCHEMA``, ``FAILURE_SCHEMA``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

COLUMN_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "at": "When it was found, UTC.",
        "attempt": "Number of the attempt that failed, from 1; 0 for objects that were rejected before anything was sent.",
        "chunk_id": "The chunk, which is also the partition.",
        "client_metadata": "What is sent with the unit, as JSON; on its first object.",
        "content_type": "As the store has it.",
        "e_tag": "The store's tag of this version of the object.",
        "group_key": "What names the unit of several objects.",
        "key": "The whole key, byte for byte as the store listed it.",
        "kind": "What Encord registers it as.",
        "last_modified": "When the object was written, UTC, by the store's clock.",
        "media_metadata": "Width, length, codec and the like of the object, as JSON.",
        "message": "What the store or Encord said.",
        "object_url": "Where Encord finds the object.",
        "objects": "How many objects the unit has.",
        "position": "The object's place in its unit, from 0.",
        "reason": "A word of a closed set: docs/operations.md says what to do about each.",
        "size": "Bytes.",
        "source": "The source.",
        "stage": "plan: rejected; registration: Encord said no; upsert and dataset: registered, and a later step failed.",
        "storage_class": "As the store has it.",
        "subtask_uuid": "Encord's id of the part of the upload job, for its support.",
        "title": "What Encord shows.",
        "trace_id": "The id of the call to Encord that showed the failure, for its support.",
        "unit_id": "16 hexadecimal digits that name the unit in every run.",
        "unit_index": "The unit's place in its chunk, from 0.",
        "version": "The store's id of this version of the object.",
    }
)
"""Texts by column; a column means the same in every file."""
