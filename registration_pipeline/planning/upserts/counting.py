"""Counts of a pass: units by what became of their last upsert, corrected for those about which the pass decides.

What does not belong here: deciding (``decide.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.planning.upserts.decide import (
    Answer,
    Candidate,
    Decision,
    lost_fields,
)

if TYPE_CHECKING:
    from collections import Counter

    from registration_pipeline.planning.upserts.writer import UpsertWriter


def count_unit(unit: Candidate, counts: Counter[str]) -> None:
    """Count a unit of several objects, as single ones are counted by column."""
    counts["failed"] += unit.failed_attempt is not None
    counts["done"] += unit.failed_attempt is None and unit.done_attempt is not None
    counts["unknown"] += unit.is_known is None


def uncount(unit: Candidate, counts: Counter[str]) -> None:
    """Take a unit out of the counts of those whose last upsert was done or failed."""
    if unit.failed_attempt is not None:
        counts["failed"] -= 1
    elif unit.done_attempt is not None:
        counts["done"] -= 1


def settle(unit: Candidate, decision: Decision, counts: Counter[str], writer: UpsertWriter) -> None:
    """Correct the counts of units whose last upsert was done or failed, and note what stays failed."""
    if decision.answer is Answer.KEEP and unit.failed_chunk is not None:
        writer.write_kept({"key": unit.key, "chunk_id": unit.failed_chunk})
    elif decision.answer is Answer.NOTHING:
        counts["removed"] += lost_fields(unit, decision)
        if unit.failed_attempt is not None:  # it is as it was again
            counts["failed"] -= 1
            counts["done"] += unit.done_attempt is not None
    elif decision.answer in (Answer.SEND, Answer.INVALID):
        uncount(unit, counts)
        counts["invalid"] += decision.answer is Answer.INVALID
