"""Whether items in Encord show the client metadata that was sent to them: what proves an upsert.

What does not belong here: what follows from it (``effect.py``).

Encord may keep or remove fields that were not sent (contract, section 10), so an item may show more. How it gives back
embeddings and key frames is not documented: ``$encord`` is not compared, and numbers in lists are the same when they are as
32-bit ones.
"""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.planning.upserts.texts import is_same
from registration_pipeline.settings.metadata import ENCORD_KEY
from registration_pipeline.submission.evidence import LOOKUP_BATCH
from registration_pipeline.submission.verdicts import FolderEvidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import ItemMetadata, RegistrationGateway

_MOST_TEXT: Final = 32 << 20
"""Characters of metadata that are asked for in one request; a reply may have four times as many bytes."""

_FLOAT32: Final = 1e-6
"""A 32-bit number has seven digits."""

_MOST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvidence(FolderEvidence):
    """The items that show what was sent, and what the others show.

    Args:
        items: of all units that were searched for, by unit id.
        said: what is missing, by the id of units whose item does not show what was sent.
    """

    items: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)


def shown_evidence(
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    folder_uuid: str,
    units: Sequence[PlannedUnit],
    items: Mapping[str, str],
) -> ShownEvidence:
    """Return which units' items are in the folder and show the units' metadata.

    Args:
        gateway: Encord.
        retry: how calls are repeated.
        folder_uuid: where the items must be.
        units: with the metadata that was sent.
        items: by unit id.

    Raises:
        HaltError: Encord can't be asked.
    """
    shown, said = dict[str, str](), dict[str, str]()
    for batch in _batches(units):
        found = _metadata(gateway, retry, [items[unit.unit_id] for unit in batch])
        for unit in batch:
            item = items[unit.unit_id]
            missing = _missing(found.get(item), folder_uuid, unit.client_metadata)
            if missing is None:
                shown[unit.unit_id] = item
            else:
                said[unit.unit_id] = f"item {item} {missing}"
    return ShownEvidence(by_unit_id=shown, items={unit.unit_id: items[unit.unit_id] for unit in units}, said=said)


def missing_field(shown: Mapping[str, Any], sent: Mapping[str, Any]) -> str | None:
    """Return the first field that was sent and is not shown as it was, or None."""
    return next(
        (
            name
            for name, value in sent.items()
            if name != ENCORD_KEY and (name not in shown or not _is_shown(shown[name], value))
        ),
        None,
    )


def _is_shown(shown: Any, sent: Any) -> bool:
    if isinstance(sent, list) and isinstance(shown, list) and len(sent) == len(shown):
        return all(map(_is_shown_in_list, shown, sent))
    return is_same(shown, sent)


def _is_shown_in_list(shown: Any, sent: Any) -> bool:
    if type(shown) in (int, float) and type(sent) in (int, float):
        return math.isclose(shown, sent, rel_tol=_FLOAT32, abs_tol=_FLOAT32)
    return is_same(shown, sent)


def _missing(found: ItemMetadata | None, folder_uuid: str, sent: str | None) -> str | None:
    """Say what is missing at an item, as the end of a sentence; None: nothing is."""
    if found is None:
        return "is not in Encord"
    if found.folder_uuid != folder_uuid:
        return f"is in folder {found.folder_uuid} now"
    try:
        shown = json.loads(found.text)
    except ValueError:
        return "has client metadata that is not JSON"
    name = missing_field(shown if isinstance(shown, dict) else {}, json.loads(sent or "{}"))
    return None if name is None else f"does not show the field {ascii(name)[:_MOST_SHOWN]} as it was sent"


def _batches(units: Sequence[PlannedUnit]) -> Iterator[list[PlannedUnit]]:
    batch: list[PlannedUnit] = []
    size = 0
    for unit in units:
        size += len(unit.client_metadata or "")
        if batch and (size > _MOST_TEXT or len(batch) == LOOKUP_BATCH):
            yield batch
            batch, size = [], len(unit.client_metadata or "")
        batch.append(unit)
    if batch:
        yield batch


def _metadata(gateway: RegistrationGateway, retry: RetryPolicy, item_uuids: Sequence[str]) -> dict[str, ItemMetadata]:
    """Return what there is of the items; of a refused batch it is not said which are gone, so the batch is halved."""
    found, queue = dict[str, "ItemMetadata"](), deque([list(dict.fromkeys(item_uuids))])
    while queue:
        batch = queue.popleft()
        seen = retry.read("looking up items", lambda batch=batch: gateway.metadata_of_items(batch))  # type: ignore[misc]
        if seen is not None:
            found |= seen
        elif len(batch) > 1:
            middle = len(batch) // 2
            queue.extend((batch[:middle], batch[middle:]))
    return found
