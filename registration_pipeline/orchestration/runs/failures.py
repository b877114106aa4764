"""The failure that ends a run some of whose chunks are not registered.

It marks exactly those chunks as failed, and Dagster must not repeat what Encord refused.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from registration_pipeline.counted import counted
from registration_pipeline.orchestration import metadata

if TYPE_CHECKING:
    from registration_pipeline.submission.result import ChunkResult


def failure_of(
    failed: "Sequence[ChunkResult]", source: str, unknown: str | None, unknown_ids: Sequence[str]
) -> dg.Failure:
    """Return the failure of a run.

    Args:
        failed: the results with failures.
        source: where they belong.
        unknown: what to say of partitions that are not chunks; None if there were none.
        unknown_ids: which they are.
    """
    said = [_refused(failed, source)] if failed else []
    return dg.Failure(
        description=" ".join([*said, *([unknown] if unknown else [])]),
        metadata={
            "failed_chunks": dg.MetadataValue.json([result.chunk.chunk_id for result in failed]),
            "unknown_chunks": dg.MetadataValue.json(list(unknown_ids)),
            "reasons": metadata.counts_table(_sum_reasons(failed), "reason", "units"),
        },
        allow_retries=False,
    )


def _refused(failed: "Sequence[ChunkResult]", source: str) -> str:
    units, objects = sum(result.failed_units for result in failed), sum(result.failed_objects for result in failed)
    return (
        f"{counted(len(failed), 'chunk')} {'has' if len(failed) == 1 else 'have'} {counted(units, 'unit')} "
        f"({counted(objects, 'object')}) that Encord refused; all others are registered. The "
        f"failure log says which and why: `registration-pipeline failures {source}`. Fix them, then retry the failed "
        "partitions."
    )


def _sum_reasons(failed: "Sequence[ChunkResult]") -> dict[str, int]:
    reasons: dict[str, int] = {}
    for result in failed:
        for reason, count in result.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return reasons
