"""Searching Encord for the items of units that a job did not name: what proves that they are registered.

What belongs here is the order of the searches and how much they may cost; what the evidence means is in ``verdicts.py``, what
a folder held before the first upload is in ``prior_items.py``.

A folder may hold ten million items and a chunk a thousand that were skipped, so no search goes through the folder:

1. items that are known already (``prior_items.py``): whether they still exist, in one request for a thousand;
2. by title: titles of a chunk are neighbours, so what they begin with finds them in a few pages; a group whose answer is too
   long is divided by the next character, which makes the common beginnings longer;
3. the newest items, back to the chunk's first attempt;
4. what items consist of that have the title of a unit of several objects and show no URL: by the digest in
   their metadata, else one request each.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from registration_pipeline.errors import PermanentError
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import KINDS
from registration_pipeline.submission.unit_errors import decoded
from registration_pipeline.submission.verdicts import FolderEvidence, contested_items, judge_adopted, keep_registered
from registration_pipeline.tracking.journal.states import JournalEventKind
from registration_pipeline.tracking.outcomes import failed_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.gateway import ItemPage, RegistrationGateway, RemoteItem
    from registration_pipeline.tracking.journal.states import ChunkProgress, JournalEvent
    from registration_pipeline.tracking.outcomes import ChunkOutcomes

MOST_PAGES = 20
"""Of 1,000 newest items: a night may have registered most of a folder since."""
MOST_SEARCHES = 250
"""Requests by title for one chunk. Neighbouring titles need fewer than ten; a hundred DICOM series, whose UIDs have little in
common, up to two for each."""
MOST_LOOKUPS = 50
"""Requests for known items of one chunk: one, and more only when some of them were deleted."""
MOST_OPENED = 200
"""Items of one chunk that are asked what they consist of, one request each: twice the groups of a usual chunk."""
LOOKUP_BATCH = 1_000
"""Items per such request: what the SDK's bulk calls are documented for."""

_WORTHWHILE_SHARE = 0.1
"""A page on which a smaller share of the group is found is not followed by the next one: the group is divided instead."""


# Item times are Encord's clock, intents ours. The signature scheme refuses clocks that are further apart than this.
_CLOCK_SKEW = timedelta(minutes=15)


def chunk_evidence(
    context: SubmissionContext, progress: ChunkProgress, folder_uuid: str, units: Sequence[PlannedUnit]
) -> FolderEvidence:
    """Return what Encord shows of units of a chunk that was attempted before.

    Raises:
        HaltError: the folder can't be read.
    """
    assert progress.first_intent is not None
    since = progress.first_intent.at - _CLOCK_SKEW
    known = context.prior.of(units) if context.prior else {}
    return EvidenceSearch(context.gateway, context.calls, folder_uuid, since=since, known=known).find(units)


def prior_evidence(context: SubmissionContext, folder_uuid: str, units: Sequence[PlannedUnit]) -> FolderEvidence:
    """Return what is still there of what the folder held before the first upload; without a search for anything else.

    Raises:
        HaltError: Encord can't be asked.
    """
    known = context.prior.of(units) if context.prior else {}
    present = present_items(
        context.gateway, context.calls, list(known.values()), folder_uuid, most_requests=MOST_LOOKUPS
    )
    return FolderEvidence(by_unit_id={unit_id: item for unit_id, item in known.items() if item in present})


def failed_evidence(
    context: SubmissionContext,
    events: Sequence[JournalEvent],
    progress: ChunkProgress,
    folder_uuid: str,
    units: Sequence[PlannedUnit],
) -> FolderEvidence:
    """Return what is there of units that failed: all that can be found if an attempt was lost, else what was there before.

    Raises:
        HaltError: Encord can't be asked.
    """
    if any(event.kind is JournalEventKind.LOST for event in events):
        return chunk_evidence(context, progress, folder_uuid, units)
    return prior_evidence(context, folder_uuid, units)


def with_what_stays(
    context: SubmissionContext,
    outcomes: ChunkOutcomes,
    *,
    earlier: ChunkOutcomes,
    units: Sequence[PlannedUnit],
    search: Callable[[Sequence[PlannedUnit]], FolderEvidence],
) -> ChunkOutcomes:
    """Return the outcomes with everything left registered that is there, though the attempt failed or refused it.

    Args:
        context: of the chunk.
        outcomes: of the newest attempt, all of its objects.
        earlier: of the attempt before.
        units: the chunk's.
        search: finds what no attempt that is known put there: an attempt of unknown fate, or what the folder held before.

    Raises:
        HaltError: Encord can't be asked.
    """
    contested = contested_items(outcomes, earlier)
    gone = set(contested) - present_items(context.gateway, context.calls, contested)
    outcomes = keep_registered(outcomes, earlier, gone=gone)
    failed = {unit.first.unit_id: unit.first for unit in failed_units(outcomes)}
    if not failed:
        return outcomes
    sought = [unit for unit in units if unit.unit_id in failed]
    evidence = search(sought)
    there = [unit for unit in sought if evidence.item_of(unit)]
    if not there:
        return outcomes
    attempt, at = next((one.attempt, one.at) for one in failed.values())
    return outcomes.replaced(judge_adopted(there, evidence, attempt=attempt, at=at), {unit.unit_id for unit in there})


@dataclass(slots=True)
class EvidenceSearch:
    """One search for units in the folder of their chunk; short-lived, one thread.

    Args:
        since: the chunk's first attempt by Encord's clock, or earlier.
        known: items that the folder held before, by unit id; they are checked before they count.
    """

    gateway: RegistrationGateway
    retry: RetryPolicy
    folder_uuid: str
    since: datetime
    known: Mapping[str, str] = field(default_factory=dict)
    _found: FolderEvidence = field(default_factory=FolderEvidence)
    _requests: int = 0
    _same_title: dict[str, dict[str, RemoteItem]] = field(default_factory=dict)
    """Title -> items by UUID that have it and show no URL."""

    def find(self, units: Sequence[PlannedUnit]) -> FolderEvidence:
        """Return what Encord shows of the units.

        A unit that is there and not seen becomes ``unaccounted`` and is sent again, which is safe: Encord skips what it has.

        Raises:
            HaltError: the folder can't be read.
        """
        for search in (self._known_items, self._by_title, self._newest, self._by_contents):
            left = [unit for unit in units if not self._found.item_of(unit)]
            if not left:
                break
            self._found = self._found.joined(search(left))
        return self._found

    def _known_items(self, units: Sequence[PlannedUnit]) -> FolderEvidence:
        named = {unit.unit_id: self.known[unit.unit_id] for unit in units if unit.unit_id in self.known}
        present = present_items(
            self.gateway, self.retry, list(dict.fromkeys(named.values())), self.folder_uuid, most_requests=MOST_LOOKUPS
        )
        by_unit_id = {unit_id: item for unit_id, item in named.items() if item in present}
        return FolderEvidence(by_unit_id=by_unit_id, older=frozenset(present))

    def _by_title(self, units: Sequence[PlannedUnit]) -> FolderEvidence:
        queue = deque([sorted(units, key=lambda unit: unit.title)])
        found = FolderEvidence()
        while queue and self._requests < MOST_SEARCHES:
            group = queue.popleft()
            beginning = _common_beginning(group[0].title, group[-1].title)
            is_complete = False
            if beginning:
                try:
                    seen, is_complete = self._search(beginning, group)
                except PermanentError:
                    break  # Encord does not search for this: the newest items are what is left to try
                found = found.joined(seen)
            if not is_complete and len(group) > 1:
                left = [unit for unit in group if not found.item_of(unit)]
                queue.extend(_divided(left, len(beginning)))
        return found

    def _search(self, beginning: str, group: Sequence[PlannedUnit]) -> tuple[FolderEvidence, bool]:
        """Read the items that have the text in their title; the second value says that all of them were read."""
        found, token = FolderEvidence(), None
        left = list(group)
        while self._requests < MOST_SEARCHES:
            page = self._page(token, beginning)
            found = found.joined(self._seen(left, page.items))
            before, left = len(left), [unit for unit in left if not found.item_of(unit)]
            token = page.next_token
            if token is None or not left:
                return found, True
            if before - len(left) < max(1, _WORTHWHILE_SHARE * len(group)):
                break
        return found, False

    def _page(self, token: str | None, text: str) -> ItemPage:
        self._requests += 1
        return self.retry.call(
            f"searching folder {self.folder_uuid} by title",
            lambda: self.gateway.items_page(self.folder_uuid, token, search=text),
        )

    def _newest(self, units: Sequence[PlannedUnit]) -> FolderEvidence:
        left, found = list(units), FolderEvidence()
        for items in self._newest_pages():
            found = found.joined(self._seen(left, items))
            left = [unit for unit in left if not found.item_of(unit)]
            if not left:
                break
        return found

    def _newest_pages(self) -> Iterator[list[RemoteItem]]:
        token: str | None = None
        for _ in range(MOST_PAGES):

            def read(token: str | None = token) -> ItemPage:
                return self.gateway.items_page(self.folder_uuid, token, newest_first=True)

            page = self.retry.read(f"listing folder {self.folder_uuid}", read)
            newer = list(takewhile(lambda item: item.created_at >= self.since, page.items))
            yield newer
            token = page.next_token
            if token is None or len(newer) < len(page.items):
                return

    def _seen(self, units: Sequence[PlannedUnit], items: Sequence[RemoteItem]) -> FolderEvidence:
        """Return what items show of units, and note those that may be one of them by their title."""
        titles = {unit.title for unit in units if KINDS[unit.kind].is_group}
        for item in items:
            if item.name in titles and not item.url:
                self._same_title.setdefault(item.name, {})[item.item_uuid] = item
        return FolderEvidence.collect(units, items, since=self.since)

    def _by_contents(self, units: Sequence[PlannedUnit]) -> FolderEvidence:
        by_unit_id: dict[str, str] = {}
        older: set[str] = set()
        opened = 0
        for unit in units:
            for item in self._same_title.get(unit.title, {}).values() if KINDS[unit.kind].is_group else ():
                opened += item.objects is None
                if opened > MOST_OPENED:
                    return FolderEvidence(by_unit_id=by_unit_id, older=frozenset(older))
                if self._consists_of(item, unit):
                    by_unit_id[unit.unit_id] = item.item_uuid
                    if item.created_at < self.since:
                        older.add(item.item_uuid)
                    break
        return FolderEvidence(by_unit_id=by_unit_id, older=frozenset(older))

    def _consists_of(self, item: RemoteItem, unit: PlannedUnit) -> bool:
        """Return whether an item consists of the unit's objects, in whatever order; it is asked if it does not say it."""
        if item.objects is not None:
            return item.objects == objects_digest(entry.object_url for entry in unit.objects)
        try:
            children = self.retry.call(
                f"opening item {item.item_uuid}", lambda: self.gateway.child_items(self.folder_uuid, item.item_uuid)
            )
        except PermanentError:
            return False  # how Encord answers for an item of another kind is not documented
        if children is None or len(children) != len(unit.objects):
            return False
        found = Counter(decoded(child.url or "") for child in children)
        return found == Counter(decoded(entry.object_url) for entry in unit.objects)


def _common_beginning(first: str, last: str) -> str:
    """Return what all titles of a sorted group begin with, given the first and the last."""
    length = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    return first[:length] if length is not None else min(first, last)


def _divided(group: Sequence[PlannedUnit], length: int) -> Iterator[list[PlannedUnit]]:
    """Divide a sorted group by the character that follows the first ``length`` ones of its titles."""
    return (list(members) for _, members in groupby(group, key=lambda unit: unit.title[length : length + 1]))


def present_items(
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    item_uuids: Sequence[str],
    folder_uuid: str | None = None,
    *,
    most_requests: int | None = None,
) -> set[str]:
    """Return which of the items Encord shows; of a refused batch it does not say which are gone, so the batch is halved.

    Args:
        gateway: Encord.
        retry: how calls are repeated.
        item_uuids: each once.
        folder_uuid: only items that are directly in this folder count; None: in any.
        most_requests: items that would take more are left out; None: as many as it takes.
    """
    starts = range(0, len(item_uuids), LOOKUP_BATCH)
    present, queue, requests = set[str](), deque([item_uuids[start : start + LOOKUP_BATCH] for start in starts]), 0
    while queue and (most_requests is None or requests < most_requests):
        batch = queue.popleft()
        requests += 1
        folders = retry.read("looking up items", lambda batch=batch: gateway.folders_of_items(batch))  # type: ignore[misc]
        if folders is not None:
            present |= {item for item, folder in folders.items() if folder_uuid in (None, folder)}
        elif len(batch) > 1:
            middle = len(batch) // 2
            queue.extend((batch[:middle], batch[middle:]))
    return present
