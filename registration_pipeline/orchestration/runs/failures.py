"""What a run says of chunks that are not registered: a line for each, and the failure that ends the run.

The failure marks exactly those chunks as failed, and Dagster must not repeat what Encord refused. It is what people see first,
so it names reasons, who has to act and the first objects; the whole is in the failure log.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.counted import counted
from registration_pipeline.foreign_text import printable
from registration_pipeline.objects import remedy_of
from registration_pipeline.orchestration import metadata

if TYPE_CHECKING:
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.outcomes import FailedUnit

_FIRST = 3
"""Objects that the description of a failure names; its metadata name ``metadata.SAMPLE_ROWS``."""

_MESSAGE = 300
"""Characters of Encord's message about one of them."""


def failure_line(result: "ChunkResult") -> str:
    """Return the line of the run's log for a chunk with failures: how much of it, the first object and its reason."""
    units = f"{result.failed_units:,} of {counted(result.chunk.units, 'unit')}"
    objects = f"{result.failed_objects:,} of {counted(result.chunk.objects, 'object')}"
    line = f"chunk {result.chunk.chunk_id}: {units} failed ({objects}): {_reasons(result.reasons)}"
    return f"{line}. First: {_named(result.failures[0])}" if result.failures else line


def failure_of(
    failed: "Sequence[ChunkResult]", source: str, unknown: str | None, unknown_ids: Sequence[str]
) -> dg.Failure:
    """Return the failure of a run.

    Args:
        failed: the results with failures; their samples are shown.
        source: where they belong.
        unknown: what to say of partitions that are not chunks; None if there were none.
        unknown_ids: which they are.
    """
    said = [_refused(failed, source)] if failed else []
    shown: dict[str, Any] = {}
    if failed:
        shown = {
            "failed_chunks": len(failed),
            "failed_units": sum(result.failed_units for result in failed),
            "failed_objects": sum(result.failed_objects for result in failed),
            "reasons": metadata.reasons_table({"units": _sum_reasons(failed)}),
            "first_failures": metadata.table(_rows(failed), ("key", "reason", "message", "chunk_id")),
            "failed_chunk_ids": dg.MetadataValue.json([result.chunk.chunk_id for result in failed]),
        }
    if unknown_ids:
        shown["unknown_chunk_ids"] = dg.MetadataValue.json(list(unknown_ids))
    return dg.Failure(
        description=" ".join([*said, *([unknown] if unknown else [])]), metadata=shown, allow_retries=False
    )


def _refused(failed: "Sequence[ChunkResult]", source: str) -> str:
    units, objects = sum(result.failed_units for result in failed), sum(result.failed_objects for result in failed)
    first = "; ".join(_named(unit) for _, unit in _samples(failed, _FIRST))
    return (
        f"{counted(len(failed), 'chunk')} {'has' if len(failed) == 1 else 'have'} {counted(units, 'unit')} "
        f"({counted(objects, 'object')}) that Encord refused: {_reasons(_sum_reasons(failed))}. All others of this run are "
        f"registered.{f' First: {first}.' if first else ''} The failure log has all of them: `registration-pipeline failures "
        f"{source}`. Fix them, then retry the failed partitions."
    )


def _samples(failed: "Sequence[ChunkResult]", most: int) -> "Iterator[tuple[ChunkResult, FailedUnit]]":
    """Yield the first failed units: one of each chunk before the second of any, as chunks often fail for one reason each."""
    found = 0
    for place in range(max((len(result.failures) for result in failed), default=0)):
        for result in failed:
            if place < len(result.failures) and found < most:
                found += 1
                yield result, result.failures[place]


def _rows(failed: "Sequence[ChunkResult]") -> list[dict[str, Any]]:
    return [
        {
            "key": unit.said.key,
            "reason": unit.said.reason,
            "message": shortened(unit.said.message or ""),
            "chunk_id": result.chunk.chunk_id,
        }
        for result, unit in _samples(failed, metadata.SAMPLE_ROWS)
    ]


def _named(unit: "FailedUnit") -> str:
    message = f": {shortened(unit.said.message, _MESSAGE)}" if unit.said.message else ""
    return printable(f"{unit.said.key!r}: {unit.said.reason}{message}")


def _reasons(reasons: Mapping[str, int]) -> str:
    """Return reasons with their units and what to do, the most frequent first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,} ({remedy_of(reason)})" for reason, count in ordered)


def _sum_reasons(failed: "Sequence[ChunkResult]") -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for result in failed:
        reasons.update(result.reasons)
    return dict(reasons)
