"""Links what is registered and not linked yet, chunk by chunk, each intent recorded before its first call.

The order of acts: the open intent of a run that was killed is done again, to the same datasets; then chunks are gathered,
datasets chosen, the intent recorded, the calls made, the end recorded. What does not belong here: single calls
(``calls.py``), finding and making datasets (``target.py``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.submission.datasets.calls import LinkCalls, LinkedUnit
from registration_pipeline.submission.datasets.gateway import ITEMS_PER_CALL
from registration_pipeline.submission.datasets.target import Datasets
from registration_pipeline.tracking.links.ledger import LinkRecords
from registration_pipeline.tracking.links.news import ChunkUnits
from registration_pipeline.tracking.links.records import LinkIntent, LinksDone, LinkSlice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.submission.datasets.calls import FailedLink
    from registration_pipeline.submission.datasets.context import LinkContext
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.links.ledger import LinkLedger
    from registration_pipeline.tracking.links.news import ChunkNews
    from registration_pipeline.tracking.links.records import LinkFailure


def due_for_linking(
    ledger: LinkLedger, progresses: Iterable[ChunkProgress], *, retry_failed: bool = False
) -> list[ChunkProgress]:
    """Return the chunks of which something may have to be linked, in the order given.

    Args:
        ledger: what was dealt with.
        progresses: of all planned chunks.
        retry_failed: chunks with units that could not be linked, too.
    """
    return [one for one in progresses if _is_due(ledger, one, retry_failed=retry_failed)]


def _is_due(ledger: LinkLedger, progress: ChunkProgress, *, retry_failed: bool) -> bool:
    verdict, known = progress.verdict, ledger.chunks.get(progress.chunk_id)
    if verdict is None or (known is None and not verdict.registered):
        return False
    return known is None or known.outcomes != verdict.outcomes or (retry_failed and known.failed > 0)


@dataclass(slots=True)
class LinkTotals:
    """What a run linked, in units.

    Args:
        linked: those that had been linked already and were linked again after a kill included.
        failed: could not be linked.
        reasons: why, and how many.
    """

    linked: int = 0
    failed: int = 0
    reasons: Counter[str] | None = None


class DatasetLinking:
    """Links the units of one source, under its lease.

    Args:
        context: what linking needs.
    """

    def __init__(self, context: LinkContext) -> None:
        self._context = context
        self._records = LinkRecords(context.store, context.source)
        self._ledger = self._records.read()
        self._units = ChunkUnits(context.store, context.source, self._records)
        self._datasets = Datasets(context, self._records, self._ledger)
        self._folders: dict[str, str] = {}
        self._totals = LinkTotals(reasons=Counter())

    def run(self, progresses: Iterable[ChunkProgress], *, retry_failed: bool = False) -> LinkTotals:
        """Link everything that is not linked.

        Args:
            progresses: of all planned chunks, in planning order; read under the lease.
            retry_failed: also what could not be linked before.

        Raises:
            HaltError: nothing more can be linked now. What was linked is recorded.
            StateError: the state can't be read or written.
        """
        progresses = list(progresses)
        self._folders = {one.chunk_id: folder for one in progresses if (folder := _folder_of(one)) is not None}
        self._finish_open()
        for gathered in self._gathered(
            due_for_linking(self._ledger, progresses, retry_failed=retry_failed), retry_failed
        ):
            self._act(self._intent(gathered))
            self._records.summarise(self._ledger)
        self._records.summarise(self._ledger)
        return self._totals

    def _finish_open(self) -> None:
        """Do the intent of a killed run again; or leave it, if its dataset is gone and another one is configured."""
        intent = self._ledger.open
        if intent is None:
            return
        base = self._context.settings.title
        for dataset_uuid in dict.fromkeys(one.dataset_uuid for one in intent.slices):
            record = self._ledger.known(dataset_uuid)
            if record is not None and record.base != base and self._datasets.is_gone(dataset_uuid):
                self._context.notify(
                    f"Items of source {self._context.source} that were to be linked to dataset {record.title!r}, which "
                    f"is gone, go to {base!r}."
                )
                self._context.may_send()
                done = LinksDone(number=intent.number, at=self._context.clock(), is_abandoned=True)
                self._records.close(self._ledger, done)
                return
        self._act(intent, is_recorded=True)

    def _gathered(
        self,
        due: Sequence[ChunkProgress],
        retry_failed: bool,  # noqa: FBT001 - passed on
    ) -> Iterator[list[tuple[str, ChunkNews]]]:
        """Yield chunks with what is to be done for them, as many as one intent takes."""
        gathered: list[tuple[str, ChunkNews]] = []
        items = 0
        for progress in due:
            known = self._ledger.chunks.get(progress.chunk_id)
            news = self._units.news(progress, known, retry_failed=retry_failed)
            gathered.append((progress.chunk_id, news))
            items += len(news.units)
            if items >= self._context.items_per_intent or len(gathered) >= self._context.items_per_intent:
                yield gathered
                gathered, items = [], 0
        if gathered:
            yield gathered

    def _intent(self, gathered: Sequence[tuple[str, ChunkNews]]) -> LinkIntent:
        """Choose a dataset for every unit; datasets that are needed are made and recorded."""
        slices: list[LinkSlice] = []
        reserved: Counter[str] = Counter()
        for chunk_id, news in gathered:
            slices += self._slices(chunk_id, news, reserved)
        return LinkIntent(
            number=self._ledger.last + 1,
            at=self._context.clock(),
            slices=tuple(slices),
            failed={chunk_id: news.failed for chunk_id, news in gathered if news.failed},
        )

    def _slices(self, chunk_id: str, news: ChunkNews, reserved: Counter[str]) -> Iterator[LinkSlice]:
        if not news.units:
            yield LinkSlice(chunk_id, news.outcomes, "", 0, 0, news.total, ())
        first = 0
        while first < len(news.units):
            dataset_uuid, room = self._datasets.with_room(reserved)
            units = tuple(news.units[first : first + room])
            given = None if news.is_first else units
            yield LinkSlice(chunk_id, news.outcomes, dataset_uuid, first, len(units), news.total, given)
            reserved[dataset_uuid] += len(units)
            first += len(units)

    def _act(self, intent: LinkIntent, *, is_recorded: bool = False) -> None:
        """Record an intent, link what it says, and record its end."""
        if not is_recorded:
            self._context.may_send()
            self._records.begin(self._ledger, intent)
        failed: defaultdict[str, list[LinkFailure]] = defaultdict(list)
        for chunk_id, failures in intent.failed.items():
            failed[chunk_id] += failures
        by_dataset: defaultdict[str, list[LinkedUnit]] = defaultdict(list)
        for one in intent.slices:
            units, lost = self._units.of_slice(one)
            by_dataset[one.dataset_uuid] += [LinkedUnit(one.chunk_id, unit_id, item) for unit_id, item in units]
            failed[one.chunk_id] += lost
        linked = {dataset_uuid: len(units) for dataset_uuid, units in by_dataset.items() if units}
        for dataset_uuid, (unit, failure) in self._calls(by_dataset):
            failed[unit.chunk_id].append(failure)
            linked[dataset_uuid] -= 1
        self._context.may_send()
        done = LinksDone(number=intent.number, at=self._context.clock(), linked=linked, failed=dict(failed))
        self._records.close(self._ledger, done)
        self._count(done)

    def _calls(self, by_dataset: Mapping[str, Sequence[LinkedUnit]]) -> list[tuple[str, FailedLink]]:
        """Link units by calls, several at once; a halt in one ends all."""
        calls = [
            (uuid, units[start : start + ITEMS_PER_CALL])
            for uuid, units in by_dataset.items()
            for start in range(0, len(units), ITEMS_PER_CALL)
        ]
        for dataset_uuid in dict.fromkeys(uuid for uuid, _ in calls):
            self._datasets.require(dataset_uuid)
        linker = LinkCalls(self._context, self._datasets, self._folders)
        found: list[tuple[str, FailedLink]] = []
        with ThreadPoolExecutor(self._context.threads, thread_name_prefix="linking") as pool:
            futures = [(uuid, len(units), pool.submit(linker.link, uuid, units)) for uuid, units in calls]
            try:
                dealt = self._totals.linked + self._totals.failed
                for uuid, count, future in futures:
                    found += [(uuid, failed) for failed in future.result()]
                    dealt += count
                    self._context.progress(dealt)
            except BaseException:
                self._context.stop.set()  # threads end at their next step
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return found

    def _count(self, done: LinksDone) -> None:
        assert self._totals.reasons is not None
        self._totals.linked += sum(done.linked.values())
        for failures in done.failed.values():
            self._totals.failed += len(failures)
            self._totals.reasons.update(failure.reason.value for failure in failures)


def _folder_of(progress: ChunkProgress) -> str | None:
    return progress.first_intent.folder_uuid if progress.first_intent is not None else None
