"""A source's partitions in Dagster: the chunks of its state, all of them and no others.

What does not belong here: what a partition shows (``runs/shown_partitions.py``).
"""

from collections.abc import Collection, Sequence

import dagster as dg

from registration_pipeline.orchestration.names import SourceNames

# add_dynamic_partitions puts one SQL variable per key; upstream SQLite allows 32,766.
_PER_CALL = 10_000
_MOST_NAMED = 5


def update_partitions(instance: dg.DagsterInstance, source: SourceNames, chunk_ids: Collection[str]) -> list[str]:
    """Make the chunks partitions, also those that a crash kept out earlier, and return those that were removed.

    What was recorded of a partition stays, and shows again if it is added again.

    Args:
        instance: Dagster's.
        source: which.
        chunk_ids: every chunk that is planned, in planning order.
    """
    present = instance.get_dynamic_partitions(source.partitions)
    known = set(present)
    missing = [chunk_id for chunk_id in chunk_ids if chunk_id not in known]
    for start in range(0, len(missing), _PER_CALL):
        instance.add_dynamic_partitions(source.partitions, missing[start : start + _PER_CALL])
    planned = set(chunk_ids)
    orphans = [partition for partition in present if partition not in planned]
    for orphan in orphans:
        instance.delete_dynamic_partition(source.partitions, orphan)
    return orphans


def removed_partitions(source: str, state: str, removed: Sequence[str]) -> str:
    """Say which partitions were removed, and what to do if that should not have happened."""
    return (
        f"{_counted(removed)} of source {source!r} removed from Dagster's view, because the state at {state} has no such "
        f"chunks: {_named(removed)}. Nothing else was changed. If another configuration with a source of this name uses the "
        "same Dagster instance, rename one of the two, or give it a DAGSTER_HOME of its own."
    )


def unknown_partitions(source: str, state: str, unknown: Sequence[str]) -> str:
    """Say which partitions of a run are not chunks of the state, why that may be, and what to do."""
    first = f"Source {source!r} has no chunk {unknown[0]!r}"
    more = f", and {len(unknown) - 1:,} more of this run are unknown, too: {_named(unknown[1:])}" if unknown[1:] else ""
    return (
        f"{first}{more}. The state at {state} was lost or exchanged since, or another configuration uses the same Dagster "
        f"instance. All other chunks of the run went on; `registration-pipeline plan {source}` removes the unknown ones "
        "from Dagster's view."
    )


def _counted(partitions: Sequence[str]) -> str:
    return "1 partition" if len(partitions) == 1 else f"{len(partitions):,} partitions"


def _named(partitions: Sequence[str]) -> str:
    return ", ".join(partitions[:_MOST_NAMED]) + (", …" if len(partitions) > _MOST_NAMED else "")
