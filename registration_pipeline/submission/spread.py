"""From a verdict per unit to a row per object, by columns: a unit may have a million objects.

What does not belong here: how a verdict is reached (``verdicts.py``).
"""

from __future__ import annotations

from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from registration_pipeline.bounds.texts import shortened, shortened_again
from registration_pipeline.planning.units import ChunkUnits
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registration_pipeline.objects import FailureReason
    from registration_pipeline.planning.units import PlannedUnit

REPEATED_TEXT: Final = 200
"""Characters of a unit's error at those of its objects that are neither the first nor the one that the error is about. They
are only seen when both of these were deleted from the bucket, and there may be a million of them."""


class UnitVerdict(NamedTuple):
    """What became of a unit.

    Args:
        cause: the position of the object that the error is about; None: not known, or the unit is one object.
    """

    verdict: Verdict
    item_uuid: str | None = None
    reason: FailureReason | None = None
    message: str | None = None
    subtask_uuid: str | None = None
    cause: int | None = None


def spread(
    units: Sequence[PlannedUnit], verdicts: Sequence[UnitVerdict], *, attempt: int, at: datetime
) -> ChunkOutcomes:
    """Return the outcomes of all objects of the units, given the verdict for each unit."""
    sizes = [len(unit.objects) for unit in units]
    rows = list(chain.from_iterable([number] * size for number, size in enumerate(sizes)))
    takes = pa.array(rows, pa.int32())

    def of_units(values: Sequence[Any]) -> pa.Array:
        return pa.array(values, pa.string()).take(takes)

    fields = dict(zip(UnitVerdict._fields, zip(*verdicts, strict=True), strict=True)) if verdicts else {}
    if not fields:
        return ChunkOutcomes.of([])
    starts = [0, *accumulate(sizes)]
    return ChunkOutcomes.of_columns(
        [
            *_named(units),
            of_units([verdict.value for verdict in fields["verdict"]]),
            pa.repeat(pa.scalar(attempt, pa.int32()), len(rows)),
            pa.repeat(pa.scalar(at, pa.timestamp("us", tz="UTC")), len(rows)),
            of_units(fields["item_uuid"]),
            of_units(fields["reason"]),
            _messages(fields["message"], fields["cause"], rows, starts),
            of_units(fields["subtask_uuid"]),
            _causes(fields["cause"], starts),
        ]
    )


def _named(units: Sequence[PlannedUnit]) -> list[Any]:
    """Return the columns that say which object a row is about: key, URL and unit id."""
    if isinstance(units, ChunkUnits):
        return [units.column(name) for name in ("key", "object_url", "unit_id")]
    return [
        [entry.key for unit in units for entry in unit.objects],
        [entry.object_url for unit in units for entry in unit.objects],
        [unit.unit_id for unit in units for _ in unit.objects],
    ]


def _messages(
    messages: Sequence[str | None], causes: Sequence[int | None], rows: Sequence[int], starts: Sequence[int]
) -> pa.Array:
    """Return the text of every row: of each unit whole at its first object and at the one that the error is about."""
    brief = [shortened(text, REPEATED_TEXT) if text else text for text in messages]
    texts = pa.array([*shortened_again(messages), *brief], pa.string())
    chosen = [len(messages) + number for number in rows]
    for number, (start, cause) in enumerate(zip(starts[:-1], causes, strict=True)):
        chosen[start] = number
        if cause is not None:
            chosen[start + cause] = number
    return texts.take(pa.array(chosen, pa.int32()))


def _causes(causes: Sequence[int | None], starts: Sequence[int]) -> pa.Array:
    if not any(cause is not None for cause in causes):
        return pa.nulls(starts[-1], pa.bool_())
    flags: list[bool | None] = [None] * starts[-1]
    for start, cause in zip(starts[:-1], causes, strict=True):
        if cause is not None:
            flags[start + cause] = True
    return pa.array(flags, pa.bool_())
