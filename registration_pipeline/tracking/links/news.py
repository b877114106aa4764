"""What of a chunk is registered and was not dealt with yet: the units to link, and those that can't be.

What does not belong here: which dataset they go to (``submission/datasets``), and the numbers of a source (``counts.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.objects import LinkReason
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.links.records import LinkFailure
from registration_pipeline.tracking.outcomes import read_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress, JournalEvent
    from registration_pipeline.tracking.links.ledger import ChunkLinks, LinkRecords
    from registration_pipeline.tracking.links.records import LinkSlice, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkNews:
    """What is to be done for a chunk.

    Args:
        outcomes: the file that says what is registered now.
        total: registered units.
        units: those to link, each with its item.
        failed: those that are known not to be linked.
        is_first: nothing of the chunk was dealt with before, so that ``units`` are all units of the outcomes with an item.
    """

    outcomes: str
    total: int
    units: Sequence[tuple[str, str]]
    failed: Sequence[LinkFailure]
    is_first: bool


class ChunkUnits:
    """Reads the units of chunks of one source.

    Args:
        store: the state.
        source: its name.
        records: of its links.
    """

    def __init__(self, store: StateStore, source: str, records: LinkRecords) -> None:
        self._store, self._source, self._records = store, source, records

    def news(self, progress: ChunkProgress, known: ChunkLinks | None, *, retry_failed: bool = False) -> ChunkNews:
        """Return what is to be done for a chunk with a verdict.

        Args:
            progress: of the chunk.
            known: what was dealt with.
            retry_failed: link what could not be linked before, too.

        Raises:
            StateCorruptError: a file of the state is damaged.
        """
        verdict = progress.verdict
        assert verdict is not None
        units = self._registered(verdict)
        before = self._before(progress.chunk_id, verdict, units, known)
        known_failed = self.failures(progress.chunk_id, known)
        linked, linked_units = _linked(before, known_failed)
        new: list[tuple[str, str]] = []
        failed: list[LinkFailure] = []
        carried = {} if retry_failed else {(one.unit_id, one.item_uuid): one for one in known_failed}
        for unit_id, item in units:
            if (unit_id, item) in carried:
                failed.append(carried[unit_id, item])
            elif item is None and unit_id not in linked_units:
                failed.append(self._unknown(progress.chunk_id, unit_id))
            elif item is not None and item not in linked and (unit_id, None) not in linked:
                new.append((unit_id, item))
        return ChunkNews(
            outcomes=verdict.outcomes or "", total=len(units), units=new, failed=failed, is_first=known is None
        )

    def failures(self, chunk_id: str, known: ChunkLinks | None) -> Sequence[LinkFailure]:
        """Return the units of a chunk that were not linked when it was dealt with."""
        if known is None or not known.failed:
            return ()
        return self._records.end_of(known.record).failed.get(chunk_id, ())

    def of_slice(self, one: LinkSlice) -> tuple[Sequence[tuple[str, str]], Sequence[LinkFailure]]:
        """Return the units of a slice that was recorded, and those whose items the state has lost since."""
        if one.units is not None:
            return one.units, ()
        units = self._registered(self._verdict_of(one.chunk_id, one.outcomes))
        wanted = [(unit_id, item) for unit_id, item in units if item is not None][one.first : one.first + one.items]
        if len(wanted) == one.items:
            return wanted, ()
        # Made again from the journal, which does not know the items.
        lost = [unit_id for unit_id, item in units if item is None][: one.items - len(wanted)]
        return wanted, [self._unknown(one.chunk_id, unit_id) for unit_id in lost]

    def _unknown(self, chunk_id: str, unit_id: str) -> LinkFailure:
        text = (
            "The state does not know the item of this unit in Encord: its outcomes were lost, or are of an earlier version. "
            f"`registration-pipeline submit {self._source} --chunk {chunk_id} --force` finds it."
        )
        return LinkFailure(unit_id, None, LinkReason.ITEM_UNKNOWN, text)

    def _before(
        self, chunk_id: str, verdict: JournalEvent, units: Sequence[Unit], known: ChunkLinks | None
    ) -> Sequence[Unit]:
        if known is None:
            return ()
        return (
            units
            if known.outcomes == verdict.outcomes
            else self._registered(self._verdict_of(chunk_id, known.outcomes))
        )

    def _registered(self, verdict: JournalEvent) -> Sequence[Unit]:
        return read_outcomes(self._store, self._source, verdict).registered_units()

    def _verdict_of(self, chunk_id: str, outcomes: str) -> JournalEvent:
        for event in Journal(self._store, self._source).events(chunk_id):
            if event.outcomes == outcomes:
                return event
        raise StateCorruptError(
            f"The records of links of source {self._source} name outcomes {outcomes} of chunk {chunk_id}, and its journal has "
            "no such verdict. Restore the journal and the folder links from the same backup."
        )


def _linked(before: Sequence[Unit], failed: Sequence[LinkFailure]) -> tuple[set[Unit | str], set[str]]:
    """Return what tells a linked unit: its item, or the unit where the item was lost since; and all linked units."""
    not_linked = {one.unit_id for one in failed}
    units = [(unit_id, item) for unit_id, item in before if unit_id not in not_linked]
    return {item if item is not None else (unit_id, None) for unit_id, item in units}, {unit for unit, _ in units}
