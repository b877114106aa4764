"""Items of ours that the ledger does not know to be registered: taken over chunk by chunk, or reported.

What belongs here is going through them; taking a chunk over is in ``adoption.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.audit.adoption import adopt_chunk
from registration_pipeline.audit.match import unknown
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import FAILED_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registration_pipeline.audit.adoption import Adoption
    from registration_pipeline.audit.rows import FindingRow, Unrecorded
    from registration_pipeline.audit.sides import Books
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tables.spill import Spill


@dataclass(slots=True)
class UnrecordedItems:
    """Adopts or reports items missing from the ledger; keeps the counts.

    Args:
        report: takes the findings that are left.
        adoption: lets chunks be taken over; None: only report.
        under_way: items of chunks that are being submitted.
        adopted_chunks: taken over, wholly or in part.
        adopted_units: their units, one item each.
        adopted_reordered: of these, units whose item holds their objects in another order than planned.
        partly_present: chunks that were not taken over because only some of their units are in the folder.
    """

    books: Books
    report: Callable[[FindingRow], None]
    adoption: Adoption | None = None
    under_way: int = 0
    adopted_chunks: int = 0
    adopted_units: int = 0
    adopted_reordered: int = 0
    partly_present: int = 0

    def resolve(self, spill: Spill[Unrecorded]) -> None:
        """Adopt or report every item."""
        for partition in spill.partitions:
            by_chunk: dict[str, list[Unrecorded]] = {}
            for item in spill.take(partition):
                by_chunk.setdefault(item.chunk_id, []).append(item)
            for chunk_id, items in by_chunk.items():
                self._resolve_chunk(self.books.chunks[chunk_id], items)

    def _resolve_chunk(self, chunk: PlannedChunk, items: list[Unrecorded]) -> None:
        if self._is_under_way(chunk.chunk_id):
            self.under_way += len(items)
            return
        at_home = [item for item in items if item.is_at_home]
        found, home = {item.unit_id: item.item_uuid for item in at_home}, self.books.home_of(chunk.chunk_id)
        reordered = sum(not item.is_in_order for item in at_home)
        adopted = self._adopt(chunk, found, home, reordered)
        self.adopted_units += adopted
        self.adopted_reordered += reordered if adopted else 0
        self.adopted_chunks += adopted > 0
        left = [item for item in items if not (adopted and item.is_at_home)]
        if left:
            self._report(chunk, left, len(found))

    def _adopt(self, chunk: PlannedChunk, found: Mapping[str, str], home: str | None, reordered: int) -> int:
        """Take a chunk over, given the items of its units by unit id, and return how many units that were."""
        if self.adoption is None or not found or not home:
            return 0
        self.adoption.may_write()
        result = adopt_chunk(
            store=self.books.store,
            source=self.books.source,
            chunk=chunk,
            found=found,
            folder_uuid=home,
            reordered=reordered,
            clock=self.adoption.clock,
        )
        if result is None:
            return 0
        self.adoption.adopted.append(result)
        return len(found)

    def _report(self, chunk: PlannedChunk, left: list[Unrecorded], found: int) -> None:
        """Report items, each with what can be done about it."""
        progress = self.books.progress_of(chunk.chunk_id)
        known = chunk.units - progress.verdict.failed_units if progress.verdict else 0
        is_whole = progress.state in FAILED_STATES or found + known >= chunk.units
        self.partly_present += not is_whole
        for item in left:
            if not item.is_at_home:
                detail = "in another folder than its chunk goes to; the next sync registers it there, too"
            elif progress.state in FAILED_STATES:
                detail = "failed according to the ledger; audit --adopt adopts it"
            elif is_whole:
                detail = "its whole chunk is in Encord and was never concluded; audit --adopt adopts it"
            else:
                detail = f"{found} of {chunk.units} units of its chunk are in Encord; the next sync registers the rest"
            if not item.is_in_order:
                detail += ". It holds the objects of the unit in another order than planned"
            self.report(unknown(item, detail))

    def _is_under_way(self, chunk_id: str) -> bool:
        """Return whether the chunk is being submitted, or has been since the audit began: its journal knows better."""
        before = self.books.progress_of(chunk_id)
        now = Journal(self.books.store, self.books.source).progress(chunk_id)
        return now.is_attempt_open or now.attempt != before.attempt
