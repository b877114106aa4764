"""What is odd about a unit that is planned all the same: gaps and repeats of its frame numbers, very many images.

What does not belong here: whether it is planned (``judge.py``) and what concerns many units at once (``notes.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.counted import counted
from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.planning.grouping.summary import UnitSummary

_MANY_IMAGES: Final = 15_000
"""Images of a sequence from which on Encord becomes slow: its page on registering cloud data."""
_MOST_NUMBERS: Final = 5
"""Missing numbers that are named."""


def oddities_of(kind: MediaKind, unit: UnitSummary, frames: Callable[[], pa.Int64Array]) -> list[str]:
    """Return what a person should know of a planned unit.

    Args:
        kind: its kind.
        unit: it.
        frames: gives the frame numbers of its members in their order.
    """
    found = []
    name = f"Unit {unit.group_key!r}"
    if unit.missing_frames:
        first = ", ".join(f"{number:,}" for number in first_missing(frames()))
        numbers = first if unit.missing_frames <= _MOST_NUMBERS else f"{first}, …"
        found.append(
            f"{name} has gaps in its frame numbers: {counted(unit.missing_frames, 'number')} missing between "
            f"{unit.first_frame:,} and {unit.last_frame:,} ({numbers}). Its positions in Encord have no gaps. Before it is "
            "planned (`plan --dry-run` shows this, too), the missing frames can be written under their own keys; afterwards "
            "they are rejected as late_member"
        )
    if unit.repeats:
        found.append(
            f"{name} has repeated frame numbers: {counted(unit.objects, 'object')}, of which "
            f"{counted(unit.repeats, 'object')} repeat the number of another one. Objects of the same number follow each "
            "other in the order of their keys. Check the rule's expression"
        )
    if kind is MediaKind.IMAGE_SEQUENCE and unit.objects > _MANY_IMAGES:
        found.append(
            f"{name} has {unit.objects:,} images: Encord advises at most {_MANY_IMAGES:,} in a sequence. Shorter ones load "
            "faster"
        )
    return found


def first_missing(frames: pa.Int64Array) -> list[int]:
    """Return the first numbers, at most 5, that lie between the smallest and the largest frame and that no member has.

    Args:
        frames: sorted; nulls anywhere.
    """
    numbers = frames.drop_null()
    before, after = numbers.slice(0, max(len(numbers) - 1, 0)), numbers.slice(1)
    gaps = pc.indices_nonzero(pc.greater(pc.subtract(after, before), 1)).slice(0, _MOST_NUMBERS)
    missing: list[int] = []
    for start, end in zip(before.take(gaps).to_pylist(), after.take(gaps).to_pylist(), strict=True):
        missing += range(start + 1, min(end, start + 1 + _MOST_NUMBERS))
    return missing[:_MOST_NUMBERS]
