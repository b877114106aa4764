"""What does not agree in the numbers of a source: for ``status``, which would otherwise show them as if they were right.

What does not belong here: counting (``status.py``), and files that are damaged: their readers refuse them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from registration_pipeline.planning.halves import whole_of
from registration_pipeline.planning.wave import is_wave_id, wave_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.tracking.snapshot import SourceSnapshot

NOTHING_COUNTED: Final = dict.fromkeys(("objects", "excluded", "rejected", "registered", "pending", "failed"), 0)
"""The counts of a source without a plan."""

_MOST: Final = 5
"""Sentences that are shown: one cause may make thousands of chunks disagree."""


def disagreements(
    counts: Mapping[str, int], snapshot: SourceSnapshot, *, units: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Return what does not agree, a sentence each, at most five.

    Args:
        counts: of objects: ``objects`` and, of these, ``excluded``, ``rejected``, ``registered``, ``pending`` and ``failed``.
        snapshot: what they were counted from.
        units: ``registered``, ``pending`` and ``failed`` units.
    """
    found = (*_sums(counts), *_units(counts, units or {}), *islice(_chunks(snapshot), _MOST))
    return found[:_MOST]


def _sums(counts: Mapping[str, int]) -> Iterator[str]:
    parts = ("excluded", "rejected", "registered", "pending", "failed")
    total = sum(counts[part] for part in parts)
    if total != counts["objects"]:
        said = ", ".join(f"{counts[part]:,} {part}" for part in parts)
        yield f"The inventory has {counts['objects']:,} objects, but {total:,} are accounted for: {said}."
    yield from (f"The number of {name} objects is {count:,}." for name, count in counts.items() if count < 0)


def _units(counts: Mapping[str, int], units: Mapping[str, int]) -> Iterator[str]:
    """Compare units with objects: each unit has at least one."""
    for name, count in units.items():
        if count < 0:
            yield f"The number of {name} units is {count:,}."
        elif count > counts[name] or (count == 0) != (counts[name] == 0):
            yield f"There are {count:,} {name} units, but {counts[name]:,} {name} objects."


def _chunks(snapshot: SourceSnapshot) -> Iterator[str]:
    """Compare journals with the plan.

    A chunk of a later wave than the newest that was read may have been planned and sent since by another process.
    """
    latest = snapshot.history.latest
    newest = wave_order(latest.wave_id) if latest else None
    for chunk_id, folded in snapshot.journals.items():
        chunk, verdict = snapshot.chunks.get(chunk_id), folded.progress.verdict
        if chunk is not None:
            if verdict is not None and verdict.registered + verdict.failed != chunk.objects:
                yield (
                    f"Chunk {chunk_id} has {chunk.objects:,} objects, but its verdict is about {verdict.registered:,} "
                    f"registered and {verdict.failed:,} failed ones."
                )
            elif verdict is not None and verdict.failed_units > chunk.units:
                yield (
                    f"Chunk {chunk_id} has {chunk.units:,} units, but its verdict is about {verdict.failed_units:,} failed "
                    "ones."
                )
            continue
        whole_id = whole_of(chunk_id)
        wave_id = whole_id.rsplit("-", 2)[0]
        is_later = newest is not None and is_wave_id(wave_id) and wave_order(wave_id) > newest
        if whole_id not in snapshot.chunks and not is_later:
            yield f"Chunk {chunk_id} has a journal, but no wave planned it."
