"""Registered chunks in a state in memory, and an Encord with datasets that fails as scripted: what tests of links share.

What does not belong here: what the tests say of them.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from obstore.store import MemoryStore

from registration_pipeline.errors import (
    AmbiguousError,
    NotFoundError,
    PermanentError,
    PermissionDeniedError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.objects import FailureReason
from registration_pipeline.settings.metadata import DatasetSettings
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.datasets.context import LinkContext
from registration_pipeline.submission.datasets.gateway import LinkReply
from registration_pipeline.submission.datasets.linking import DatasetLinking, LinkTotals
from registration_pipeline.submission.gateway import unguarded
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState, JournalEvent, JournalEventKind
from registration_pipeline.tracking.links.ledger import LinkLedger, LinkRecords
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Outcome, Verdict, write_outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SOURCE = "fleet"
FOLDER = str(uuid5(NAMESPACE_URL, "folder"))
AT = datetime(2026, 11, 21, 2, tzinfo=UTC)


def item(name: object) -> str:
    """The UUID of an item."""
    return str(uuid5(NAMESPACE_URL, f"item/{name}"))


class Crash(BaseException):
    """The process ends here."""


class Answer(StrEnum):
    """What the next call with an effect does."""

    OK = "ok"
    LOSE_REPLY = "lose_reply"
    LOSE_REQUEST = "lose_request"
    HALF = "half"
    THROTTLE = "throttle"
    REFUSE = "refuse"
    DIE_BEFORE = "die_before"
    DIE_AFTER = "die_after"


class Absent(StrEnum):
    """What linking an item that does not exist does."""

    SKIPPED = "skipped"
    REFUSED = "refused"
    MIDWAY = "midway"


@dataclass(slots=True)
class ScriptedDatasets:
    """``DatasetGateway`` in memory.

    Args:
        answers: of the next calls with an effect, in order; then ``OK``.
        absent: what linking an item that does not exist does.
        lists_all: whether replies list items that were linked before.
        names_items: whether rows say which item they are of.
        poison: items that are refused whatever happens.
        may_link: whether the key's user may link.
    """

    answers: list[Answer] = field(default_factory=list)
    absent: Absent = Absent.SKIPPED
    lists_all: bool = False
    names_items: bool = True
    poison: set[str] = field(default_factory=set)
    may_link: bool = True
    items: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=lambda: {FOLDER})
    titles: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    link_sizes: list[int] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def find_dataset(self, title: str) -> str | None:
        self.calls["find"] += 1
        found = [uuid for uuid, one in self.titles.items() if one == title]
        if len(found) > 1:
            raise NotFoundError(f"{len(found)} datasets titled {title!r}")
        return found[0] if found else None

    def dataset_title(self, dataset_uuid: str) -> str:
        self.calls["title"] += 1
        if dataset_uuid not in self.titles:
            raise PermanentError("RESOURCE_NOT_FOUND_ERROR")
        return self.titles[dataset_uuid]

    def dataset_size(self, dataset_uuid: str) -> int:
        self.calls["size"] += 1
        return len(self.rows[dataset_uuid])

    def create_dataset(self, title: str, *, may_send: Callable[[], None] = unguarded) -> str:
        may_send()
        with self._lock:
            self.calls["create"] += 1
            answer = self._answer()
            if answer in (Answer.LOSE_REQUEST, Answer.HALF, Answer.THROTTLE):
                raise ThrottledError("429") if answer is Answer.THROTTLE else AmbiguousError("cut")
            if answer is Answer.REFUSE:
                raise PermissionDeniedError("403", is_reply=True)
            uuid = str(uuid5(NAMESPACE_URL, f"dataset/{title}/{len(self.titles)}"))
            self.titles[uuid], self.rows[uuid] = title, []
            if answer is Answer.LOSE_REPLY:
                raise AmbiguousError("cut")
            self._die_after(answer)
            return uuid

    def link_items(self, dataset_uuid: str, item_uuids: Sequence[str]) -> LinkReply:
        with self._lock:
            self.calls["link"] += 1
            self.link_sizes.append(len(item_uuids))
            answer = self._answer()
            if answer is Answer.THROTTLE:
                raise ThrottledError("429")
            if answer is Answer.LOSE_REQUEST:
                raise TransientError("cut")
            if dataset_uuid not in self.titles:
                raise PermanentError("RESOURCE_NOT_FOUND_ERROR")
            if answer is Answer.REFUSE or not self.may_link:
                raise PermissionDeniedError("AUTHORISATION_ERROR", is_reply=True)
            asked = list(item_uuids)[: len(item_uuids) // 2] if answer is Answer.HALF else list(item_uuids)
            reply = self._link(dataset_uuid, asked)
            if answer in (Answer.HALF, Answer.LOSE_REPLY):
                raise TransientError("500")
            self._die_after(answer)
            return reply

    def _link(self, dataset_uuid: str, asked: Sequence[str]) -> LinkReply:
        rows, new, known = self.rows[dataset_uuid], list[str](), list[str]()
        for one in asked:
            refused = one in self.poison or (one not in self.items and self.absent is not Absent.SKIPPED)
            if refused:
                if self.absent is Absent.MIDWAY:
                    rows += new
                raise PermanentError("refused") if one in self.poison else PermissionDeniedError("403", is_reply=True)
            if one in self.items:
                (known if one in rows or one in new else new).append(one)
        rows += new
        listed = new + known if self.lists_all else new
        return LinkReply(rows=len(listed), items=frozenset(listed) if self.names_items else frozenset())

    def folders_of_items(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        self.calls["exist"] += 1
        return dict.fromkeys(item_uuids, FOLDER) if self.items.issuperset(item_uuids) else None

    def folder_name(self, folder_uuid: str) -> str:
        if folder_uuid not in self.folders:
            raise NotFoundError("folder")
        return "fleet"

    def _answer(self) -> Answer:
        answer = self.answers.pop(0) if self.answers else Answer.OK
        if answer is Answer.DIE_BEFORE:
            raise Crash
        return answer

    def _die_after(self, answer: Answer) -> None:
        if answer is Answer.DIE_AFTER:
            raise Crash

    def delete(self, *uuids: str) -> None:
        """Delete items, which takes them out of their datasets."""
        self.items.difference_update(uuids)
        self.deleted.update(uuids)
        for dataset_uuid, rows in self.rows.items():
            self.rows[dataset_uuid] = [one for one in rows if one not in uuids]

    def titled(self) -> dict[str, list[str]]:
        """What is in each dataset, by title."""
        return {title: self.rows[uuid] for uuid, title in self.titles.items()}


class DyingStore:
    """A ``StateStore`` whose process ends before or after its nth creation of a record of links."""

    def __init__(self, inner: Any, number: int, *, after: bool) -> None:
        self._inner, self._left, self._after = inner, number, after

    def create(self, name: str, data: bytes) -> None:
        self._left -= "/links/" in name
        if self._left == 0 and not self._after:
            raise Crash
        self._inner.create(name, data)
        if self._left == 0:
            raise Crash

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._inner, attribute)


@dataclass(slots=True)
class LinkWorld:
    """Chunks with verdicts, and their links.

    Args:
        encord: the datasets.
        store: the state.
        settings: of the dataset.
        units: what each chunk's newest verdict says: of each unit its item, or None for one that failed.
    """

    encord: ScriptedDatasets = field(default_factory=ScriptedDatasets)
    store: Any = field(default_factory=lambda: BucketStateStore(MemoryStore(), "memory:///state"))
    settings: DatasetSettings = field(default_factory=lambda: DatasetSettings(title="fleet", max_items=1000))
    units: dict[str, dict[str, str | None]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def conclude(self, chunk_id: str, units: Mapping[str, str | None], *, knows_items: bool = True) -> None:
        """Write a verdict of a chunk: of each unit its item, or None for one that failed."""
        journal = Journal(self.store, SOURCE)
        attempt = journal.progress(chunk_id).attempt + 1
        outcomes = ChunkOutcomes.of(
            [
                Outcome(
                    key=f"{unit}.jpg",
                    object_url=f"s3://bucket/{unit}.jpg",
                    unit_id=unit,
                    verdict=Verdict.FAILED if uuid is None else Verdict.REGISTERED,
                    attempt=attempt,
                    at=AT,
                    item_uuid=uuid if knows_items else None,
                    reason=FailureReason.INVALID_FILE if uuid is None else None,
                )
                for unit, uuid in units.items()
            ]
        )
        written = write_outcomes(self.store, SOURCE, chunk_id, attempt, outcomes)
        failed = sum(uuid is None for uuid in units.values())
        state = ChunkState.PARTIALLY_FAILED if failed else ChunkState.SUCCEEDED
        intent = JournalEvent(
            kind=JournalEventKind.INTENT, chunk_id=chunk_id, attempt=attempt, at=AT, folder_uuid=FOLDER
        )
        journal.append(intent)
        journal.append(
            JournalEvent(
                kind=JournalEventKind.VERDICT,
                chunk_id=chunk_id,
                attempt=attempt,
                at=AT,
                state=state,
                registered=len(units) - failed,
                failed=failed,
                reasons={"invalid_file": failed} if failed else {},
                outcomes=written,
            )
        )
        self.units[chunk_id] = dict(units)
        # An item that was deleted does not come back under its UUID.
        self.encord.items.update({uuid for uuid in units.values() if uuid is not None} - self.encord.deleted)

    def link(self, *, retry_failed: bool = False, store: Any = None, threads: int = 1, **options: Any) -> LinkTotals:
        """Run one night of linking."""
        stop = threading.Event()
        context = LinkContext(
            store=store or self.store,
            source=SOURCE,
            settings=self.settings,
            gateway=self.encord,
            retry=RetryPolicy(sleep=lambda _: None, jitter=lambda low, _: low, stop=stop),
            stop=stop,
            notify=self.notices.append,
            threads=threads,
            **{"clock": lambda: AT, **options},
        )
        journal = Journal(self.store, SOURCE)
        progresses = [journal.progress(chunk_id) for chunk_id in self.units]
        return DatasetLinking(context).run(progresses, retry_failed=retry_failed)

    @property
    def ledger(self) -> LinkLedger:
        """What the records come to."""
        return LinkRecords(self.store, SOURCE).read()

    @property
    def registered(self) -> list[str]:
        """Every item that newest verdicts name."""
        return [uuid for units in self.units.values() for uuid in units.values() if uuid is not None]

    def links(self) -> Counter[str]:
        """How often each item is in a dataset."""
        return Counter(one for rows in self.encord.rows.values() for one in rows)

    def failures(self) -> dict[str, str]:
        """The reason of every item that is recorded as not linked."""
        records = LinkRecords(self.store, SOURCE)
        return {
            one.item_uuid or one.unit_id: one.reason.value
            for chunk_id, known in self.ledger.chunks.items()
            if known.failed
            for one in records.end_of(known.record).failed[chunk_id]
        }


def numbered(prefix: str, count: int, first: int = 0) -> dict[str, str | None]:
    """Units of a chunk, each with its item."""
    return {f"{prefix}-{number}": item(f"{prefix}-{number}") for number in range(first, first + count)}


def names_of(store: Any) -> Iterator[str]:
    """The names of the records of links."""
    return (name.removeprefix(f"{SOURCE}/links/") for name in store.names(f"{SOURCE}/links/"))
