"""The units of a chunk in Encord's typed form, ``dataItems``, and what is wrong with them there. Pure functions.

It says the same as the chunk's manifest file, and besides what the JSON form has no place for: media metadata of each object
of a group, sequence or series, and client metadata of NIfTI. The file stays what is kept and compared: which form a chunk is
sent in is a setting, and changes neither its id nor its bytes.

What does not belong here: the JSON form (``render.py``), and the SDK's models, which the gateway fills with this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.ids import objects_digest
from registration_pipeline.limits import ENVELOPE_BYTES
from registration_pipeline.manifest.client_metadata import own_metadata, upserted_metadata
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    CREATE_VIDEO,
    OBJECT_URL,
    OBJECTS_METADATA_KEY,
    TITLE,
    UNIT_METADATA_KEY,
)
from registration_pipeline.manifest.items import block_violations, client_metadata_violations, lacking_block
from registration_pipeline.manifest.violation import Violation
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.media_blocks import media_block, typed_content
from registration_pipeline.planning.typed_form import (
    FILE_TYPE,
    MEMBER_URL,
    TYPED_KINDS,
    TYPED_LISTS,
    TYPED_SKIP_DUPLICATE_URLS,
    TYPED_UPSERT_METADATA,
)
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit

_KIND_OF_LIST: Final = {typed.list_key: kind for kind, typed in TYPED_KINDS.items()}
DICOM_TAGS: Final = (
    *("00080018", "00100020", "00180050", "00181114", "00181164", "0020000D", "0020000E", "00200013", "00200032"),
    *("00200037", "00209113", "00209116", "00280004", "00280008", "00280010", "00280011", "00280030", "00281050"),
    *("00281051", "00289110", "52009229", "52009230"),
)
"""Keys that the tags of a DICOM file must have, with null where the file has none: the docstring of the SDK's model."""
_DAMAGED: Final = (
    "whose media metadata is not the JSON text of an object. The plan of this chunk is damaged: restore the state's "
    "plan folder from a copy"
)


def typed_items(chunk_id: str, units: ChunkUnits, *, upsert: bool = False) -> dict[str, Any]:
    """Return a chunk in the typed form as the SDK sends it: every list, also the empty ones, and the two flags.

    Args:
        chunk_id: the chunk.
        units: its units.
        upsert: as in ``render_manifest``.

    Raises:
        StateCorruptError: metadata in the plan is not JSON text of an object.
    """
    document: dict[str, Any] = {key: [] for key in TYPED_LISTS}
    for unit in units:
        document[TYPED_KINDS[unit.kind].list_key].append(_item(chunk_id, unit, is_upsert=upsert))
    return document | {TYPED_SKIP_DUPLICATE_URLS: True, TYPED_UPSERT_METADATA: upsert}


def _item(chunk_id: str, unit: PlannedUnit, *, is_upsert: bool) -> dict[str, Any]:
    typed = TYPED_KINDS[unit.kind]
    item: dict[str, Any] = {
        TITLE: unit.title,
        CLIENT_METADATA: _metadata(chunk_id, unit, is_upsert=is_upsert),
        FILE_TYPE: typed.file_type,
    }
    if typed.create_video is not None:
        item[CREATE_VIDEO] = typed.create_video
    if typed.members_key is not None:
        item[typed.members_key] = [
            {MEMBER_URL: member.object_url, **_block(chunk_id, unit, member)} for member in unit.objects
        ]
        return item
    only = unit.objects[0]
    return item | {OBJECT_URL: only.object_url, **_block(chunk_id, unit, only)}


def _metadata(chunk_id: str, unit: PlannedUnit, *, is_upsert: bool) -> dict[str, Any]:
    if is_upsert:
        parsed: dict[str, Any] = json.loads(upserted_metadata(chunk_id, unit.unit_id, unit.client_metadata))
        return parsed
    ours = {CHUNK_METADATA_KEY: chunk_id, UNIT_METADATA_KEY: unit.unit_id}
    if KINDS[unit.kind].is_group:
        ours[OBJECTS_METADATA_KEY] = objects_digest(member.object_url for member in unit.objects)
    if unit.client_metadata is None:
        return dict(ours)
    return own_metadata(chunk_id, unit.unit_id, unit.client_metadata) | ours


def _block(chunk_id: str, unit: PlannedUnit, member: PlannedObject) -> dict[str, Any]:
    block = media_block(unit.kind, SubmitAs.DATA_ITEMS)
    if block is None or member.media_metadata is None:
        return {}
    try:
        return {block.key: typed_content(block, member.media_metadata)}
    except (ValueError, AttributeError, RecursionError) as error:
        problem = f"Unit {unit.unit_id} of chunk {chunk_id} has the object {member.key}"
        raise StateCorruptError(f"{problem} {_DAMAGED}") from error


def typed_violations(
    document: Mapping[str, Any], limits: ManifestLimits, *, needs_media_metadata: bool = False
) -> list[Violation]:
    """Return what Encord, or the SDK before it, would refuse of the typed form beyond what is wrong with the manifest file.

    The SDK leaves out what it does not know without a word; here that is a violation.

    Args:
        document: what ``typed_items`` made.
        limits: what Encord accepts in one manifest.
        needs_media_metadata: every object must have its block: ``strict_client_only``.
    """
    violations = []
    sent = len(json.dumps(document)) + ENVELOPE_BYTES
    if sent > limits.bytes:
        problem = f"takes {sent:,} bytes as dataItems; Encord accepts {limits.bytes:,}: lower chunk_size"
        violations.append(Violation("dataItems", problem))
    for key in TYPED_LISTS:
        for index, item in enumerate(document[key]):
            violations.extend(_item_violations(f"{key}[{index}]", _KIND_OF_LIST[key], item, needs=needs_media_metadata))
    return violations


def _item_violations(where: str, kind: MediaKind, item: Mapping[str, Any], *, needs: bool) -> Iterator[Violation]:
    if not KINDS[kind].has_client_metadata:
        yield from client_metadata_violations(f"{where}.{CLIENT_METADATA}", item[CLIENT_METADATA])
    block, members_key = media_block(kind, SubmitAs.DATA_ITEMS), TYPED_KINDS[kind].members_key
    members: Sequence[Mapping[str, Any]] = [item] if members_key is None else item[members_key]
    for index, member in enumerate(members):
        place = where if members_key is None else f"{where}.{members_key}[{index}]"
        if block is not None and block.key in member:
            fields = {one.typed: one.of for one in block.fields.values()}
            yield from block_violations(f"{place}.{block.key}", member[block.key], fields, needs_all=True)
            yield from _tag_violations(f"{place}.{block.key}.tags", member[block.key].get("tags", {}))
        elif needs:
            yield lacking_block(place, kind, SubmitAs.DATA_ITEMS)


def _tag_violations(place: str, tags: Any) -> Iterator[Violation]:
    if not tags or not isinstance(tags, dict):
        return  # it is of another kind, or its type is reported with the other fields
    for tag in DICOM_TAGS:
        if tag not in tags:
            yield Violation(f"{place}.{tag}", "is missing; a tag that the file lacks is null")
    for tag, value in tags.items():
        if value is not None and not isinstance(value, dict):
            yield Violation(f"{place}.{tag}", "must be an object or null")
