"""The records of links as values, and as documents of the state.

A number is used once: for a dataset, or for an intent, which a second document closes. What does not belong here: what all
records together come to (``ledger.py``), and which ones are written (``submission/datasets``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.objects import LinkReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Unit = tuple[str, str | None]
    """A registered unit and its item in Encord, where the state knows that."""


class LinkFailure(NamedTuple):
    """A registered unit that is not linked.

    Args:
        item_uuid: None: the state does not know it.
        message: what Encord said, or what is missing.
    """

    unit_id: str
    item_uuid: str | None
    reason: LinkReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """A dataset that is used from now on.

    Args:
        title: what it was titled then.
        base: ``dataset.title`` of the configuration then.
        part: 1 for the first dataset of that title, 2 for the next…
        held: rows that it had before anything was linked to it, as far as they count against ``max_items``.
    """

    number: int
    at: datetime
    dataset_uuid: str
    title: str
    base: str
    part: int
    held: int


class LinkSlice(NamedTuple):
    """Units of one chunk that go to one dataset.

    Args:
        outcomes: the file that says what of the chunk is registered.
        dataset_uuid: where the items go.
        first: position among the units of the outcomes that have an item, from 0.
        items: how many units.
        total: registered units of the outcomes.
        units: the units themselves, where they don't follow from ``first``: of a chunk of which something was linked before.
    """

    chunk_id: str
    outcomes: str
    dataset_uuid: str
    first: int
    items: int
    total: int
    units: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkIntent:
    """What is about to be linked. Each chunk in it is dealt with as a whole.

    Args:
        slices: what goes where; a chunk has one, or more where a dataset gets full.
        failed: by chunk, what is known not to be linked without asking Encord.
    """

    number: int
    at: datetime
    slices: tuple[LinkSlice, ...]
    failed: Mapping[str, Sequence[LinkFailure]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksDone:
    """The end of an intent.

    Args:
        number: of the intent.
        linked: items by dataset, those that were linked to it before too.
        failed: by chunk, all units of it that are not linked.
        is_abandoned: nothing of it counts: its dataset is gone from Encord, and another one is configured.
    """

    number: int
    at: datetime
    linked: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, Sequence[LinkFailure]] = field(default_factory=dict)
    is_abandoned: bool = False


def encode_dataset(record: DatasetRecord) -> dict[str, Any]:
    """Return a record as a document."""
    return {
        "kind": "dataset",
        "number": record.number,
        "at": _text_of(record.at),
        "dataset": record.dataset_uuid,
        "title": record.title,
        "base": record.base,
        "part": record.part,
        "held": record.held,
    }


def decode_dataset(document: Mapping[str, Any]) -> DatasetRecord:
    """Return a record.

    Raises:
        ValueError, KeyError, TypeError: the document is not one.
    """
    return DatasetRecord(
        number=document["number"],
        at=datetime.fromisoformat(document["at"]),
        dataset_uuid=document["dataset"],
        title=document["title"],
        base=document["base"],
        part=document["part"],
        held=document["held"],
    )


def encode_intent(intent: LinkIntent) -> dict[str, Any]:
    """Return an intent as a document."""
    slices = []
    for one in intent.slices:
        fields = dict(zip(("chunk_id", "outcomes", "dataset", "first", "items", "total"), one[:-1], strict=True))
        slices.append(fields if one.units is None else {**fields, "units": [list(unit) for unit in one.units]})
    document = {"kind": "intent", "number": intent.number, "at": _text_of(intent.at), "slices": slices}
    return {**document, "failed": _failures(intent.failed)} if intent.failed else document


def decode_intent(document: Mapping[str, Any]) -> LinkIntent:
    """Return an intent.

    Raises:
        ValueError, KeyError, TypeError: the document is not one.
    """
    return LinkIntent(
        number=document["number"],
        at=datetime.fromisoformat(document["at"]),
        slices=tuple(map(_slice_of, document["slices"])),
        failed=_failures_of(document.get("failed", {})),
    )


def _slice_of(fields: Mapping[str, Any]) -> LinkSlice:
    units = fields.get("units")
    return LinkSlice(
        chunk_id=fields["chunk_id"],
        outcomes=fields["outcomes"],
        dataset_uuid=fields["dataset"],
        first=fields["first"],
        items=fields["items"],
        total=fields["total"],
        units=None if units is None else tuple((unit, item) for unit, item in units),
    )


def encode_done(done: LinksDone) -> dict[str, Any]:
    """Return the end of an intent as a document."""
    document: dict[str, Any] = {"kind": "done", "number": done.number, "at": _text_of(done.at)}
    if done.is_abandoned:
        return {**document, "abandoned": True}
    return {**document, "linked": dict(done.linked), **({"failed": _failures(done.failed)} if done.failed else {})}


def decode_done(document: Mapping[str, Any]) -> LinksDone:
    """Return the end of an intent.

    Raises:
        ValueError, KeyError, TypeError: the document is not one.
    """
    return LinksDone(
        number=document["number"],
        at=datetime.fromisoformat(document["at"]),
        linked={dataset: int(count) for dataset, count in document.get("linked", {}).items()},
        failed=_failures_of(document.get("failed", {})),
        is_abandoned=document.get("abandoned", False),
    )


def _failures(failed: Mapping[str, Sequence[LinkFailure]]) -> dict[str, list[list[str | None]]]:
    return {
        chunk_id: [[one.unit_id, one.item_uuid, one.reason.value, shortened(one.message)] for one in failures]
        for chunk_id, failures in failed.items()
        if failures
    }


def _failures_of(document: Mapping[str, Any]) -> dict[str, list[LinkFailure]]:
    return {
        chunk_id: [LinkFailure(unit, item, LinkReason(reason), message) for unit, item, reason, message in failures]
        for chunk_id, failures in document.items()
    }


def _text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
