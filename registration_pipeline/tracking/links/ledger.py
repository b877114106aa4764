"""What all records of links come to: which outcomes of a chunk are dealt with, how full each dataset is, what is open.

Read from the newest summary and the records after it, so that a night does not read those of all nights before. Records are
the truth: a summary that is missing or damaged costs time and nothing else. What does not belong here: what is linked next
(``submission/datasets``).
"""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.errors import StateConflictError, StateNotFoundError
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import link_entry_name, links_folder, links_summary_name
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import open_sealed, read_sealed, sealed_json
from registration_pipeline.tracking.links.records import (
    DatasetRecord,
    LinkIntent,
    LinksDone,
    decode_dataset,
    decode_done,
    decode_intent,
    encode_dataset,
    encode_done,
    encode_intent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.state.store import StateStore

RECORDS_PER_SUMMARY: Final = 32
"""A summary of 100,000 chunks takes a quarter of a second, and is written after this many records."""

_NAME: Final = re.compile(r"([0-9]{8,})(-done)?[.]json")
_SUMMARY: Final = re.compile(r"summary-([0-9]{8,})[.]json[.]gz")
_DAMAGED: Final = (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error, StateNotFoundError)


class ChunkLinks(NamedTuple):
    """What was dealt with of a chunk.

    Args:
        outcomes: the file whose units were dealt with, all of them.
        total: its registered units.
        failed: how many of these are not linked.
        record: number of the record whose end says which.
    """

    outcomes: str
    total: int
    failed: int
    record: int

    @property
    def linked(self) -> int:
        """How many units are linked."""
        return self.total - self.failed


@dataclass(slots=True)
class LinkLedger:
    """All records, folded.

    Args:
        chunks: what was dealt with, by chunk.
        datasets: every dataset that was used, the newest last.
        fill: items by dataset, what it held before included.
        last: number of the newest record; 0: there is none.
        summarised: up to which number a summary goes.
        open: the intent that has no end.
    """

    chunks: dict[str, ChunkLinks] = field(default_factory=dict)
    datasets: list[DatasetRecord] = field(default_factory=list)
    fill: dict[str, int] = field(default_factory=dict)
    last: int = 0
    summarised: int = 0
    open: LinkIntent | None = None

    def use(self, record: DatasetRecord) -> None:
        """Take a dataset into account."""
        self.datasets.append(record)
        self.fill.setdefault(record.dataset_uuid, 0)
        self.fill[record.dataset_uuid] += record.held
        self.last = record.number

    def begin(self, intent: LinkIntent) -> None:
        """Take an intent into account."""
        self.open, self.last = intent, intent.number

    def close(self, done: LinksDone) -> None:
        """Take the end of the open intent into account."""
        intent, self.open = self.open, None
        if intent is None or done.is_abandoned:
            return
        for one in intent.slices:
            failed = len(done.failed.get(one.chunk_id, ()))
            self.chunks[one.chunk_id] = ChunkLinks(one.outcomes, one.total, failed, intent.number)
        for dataset_uuid, linked in done.linked.items():
            self.fill[dataset_uuid] = self.fill.get(dataset_uuid, 0) + linked

    def in_use(self, base: str, reserved: Mapping[str, int] = MappingProxyType({})) -> list[DatasetRecord]:
        """Return the datasets of a title of the configuration that may take items, in the order in which they are filled.

        The first is the newest one that items were linked to. Those after it are empty: a run ended after it made them.

        Args:
            base: the title.
            reserved: items that are about to be linked, by dataset.
        """
        found: list[DatasetRecord] = []
        for one in reversed(self.datasets):
            if one.base == base:
                found.append(one)
                if self.fill.get(one.dataset_uuid, 0) + reserved.get(one.dataset_uuid, 0) > one.held:
                    break
        return found[::-1]

    def known(self, dataset_uuid: str) -> DatasetRecord | None:
        """Return the record of a dataset."""
        return next((one for one in self.datasets if one.dataset_uuid == dataset_uuid), None)


class LinkRecords:
    """The records of one source in the state."""

    def __init__(self, store: StateStore, source: str) -> None:
        self._store, self._source = store, source

    def read(self, *, without_summary: bool = False) -> LinkLedger:
        """Fold all records.

        Args:
            without_summary: read every record.

        Raises:
            StateCorruptError: one is missing or is not what was written.
        """
        folder = links_folder(self._source)
        names = [name.removeprefix(folder) for name in own_names(self._store, folder)]
        entries = {match[0] for name in names if (match := _NAME.fullmatch(name))}
        ledger = LinkLedger() if without_summary else self._summary(names)
        numbers = sorted({int(name.removesuffix("-done.json").removesuffix(".json")) for name in entries})
        for number in numbers:
            if number > ledger.summarised:
                self._fold(ledger, number, is_closed=f"{number:08d}-done.json" in entries)
        return ledger

    def _fold(self, ledger: LinkLedger, number: int, *, is_closed: bool) -> None:
        name = link_entry_name(self._source, number)
        if number != ledger.last + 1:
            raise damaged(self._store, link_entry_name(self._source, ledger.last + 1), "is missing")
        if ledger.open is not None:
            raise damaged(self._store, link_entry_name(self._source, ledger.last, is_done=True), "is missing")
        document = self._document(name, number)
        try:
            if document["kind"] == "dataset":
                ledger.use(decode_dataset(document))
            else:
                ledger.begin(decode_intent(document))
            if is_closed:
                ledger.close(self.end_of(number))
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(self._store, name, f"is not a record of links ({error})") from error

    def end_of(self, number: int) -> LinksDone:
        """Return the end of an intent.

        Raises:
            StateCorruptError: it is missing or not what was written.
        """
        name = link_entry_name(self._source, number, is_done=True)
        try:
            return decode_done(self._document(name, number))
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(self._store, name, f"is not the end of an intent ({error})") from error

    def _document(self, name: str, number: int) -> dict[str, Any]:
        try:
            document = read_sealed(self._store, name)
        except StateNotFoundError as error:
            raise damaged(self._store, name, "is missing") from error
        if document.get("number") != number or (document.get("kind") == "done") != name.endswith("-done.json"):
            raise damaged(self._store, name, "is a copy of another record")
        return document

    def use(self, ledger: LinkLedger, record: DatasetRecord) -> None:
        """Record a dataset before anything is linked to it."""
        self._create(link_entry_name(self._source, record.number), encode_dataset(record))
        ledger.use(record)

    def begin(self, ledger: LinkLedger, intent: LinkIntent) -> None:
        """Record what is about to be linked."""
        self._create(link_entry_name(self._source, intent.number), encode_intent(intent))
        ledger.begin(intent)

    def close(self, ledger: LinkLedger, done: LinksDone) -> None:
        """Record the end of the open intent."""
        self._create(link_entry_name(self._source, done.number, is_done=True), encode_done(done))
        ledger.close(done)

    def _create(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a record.

        Raises:
            StateConflictError: another process wrote that number.
        """
        data = sealed_json({"source": self._source, **document})
        try:
            self._store.create(name, data)
        except StateConflictError:
            # A store that repeats a write whose reply was lost finds its own file there.
            if self._store.read(name) != data:
                raise

    def summarise(self, ledger: LinkLedger) -> bool:
        """Write a summary if there are many records after the last one; return whether it was written."""
        if ledger.open is not None or ledger.last - ledger.summarised < RECORDS_PER_SUMMARY:
            return False
        document = {
            "source": self._source,
            "number": ledger.last,
            "chunks": {chunk_id: list(one) for chunk_id, one in ledger.chunks.items()},
            "datasets": list(map(encode_dataset, ledger.datasets)),
            "fill": ledger.fill,
        }
        before = ledger.summarised
        data = gzip.compress(sealed_json(document), compresslevel=1, mtime=0)
        with suppress(StateConflictError):  # the same, by another process
            self._store.create(links_summary_name(self._source, ledger.last), data)
        ledger.summarised = ledger.last
        for name in list(own_names(self._store, links_folder(self._source))):
            match = _SUMMARY.fullmatch(name.rsplit("/", 1)[-1])
            # The one before stays: a reader may have listed it a moment ago.
            if match and int(match[1]) < before:
                self._store.delete(name)
        return True

    def _summary(self, names: list[str]) -> LinkLedger:
        numbers = sorted((int(match[1]) for name in names if (match := _SUMMARY.fullmatch(name))), reverse=True)
        for number in numbers:
            with suppress(*_DAMAGED):
                document = open_sealed(gzip.decompress(self._store.read(links_summary_name(self._source, number))))
                if (document["source"], document["number"]) == (self._source, number):
                    return LinkLedger(
                        chunks={chunk_id: ChunkLinks(*one) for chunk_id, one in document["chunks"].items()},
                        datasets=list(map(decode_dataset, document["datasets"])),
                        fill=document["fill"],
                        last=number,
                        summarised=number,
                    )
        return LinkLedger()
