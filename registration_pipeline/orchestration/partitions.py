"""A source's partitions in Dagster: the chunks of its state without those that are archived, and no others.

What does not belong here: what a partition shows (``runs/shown_partitions.py``), and which chunks are archived
(``tracking/archive.py``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import dagster as dg

from registration_pipeline.counted import counted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.private_dagster import delete_dynamic_partitions, running_backfills

# add_dynamic_partitions puts one SQL variable per key; upstream SQLite allows 32,766.
_PER_CALL = 10_000
_MOST_NAMED = 5
MANY_PARTITIONS = 25_000
"""From here on people wait for Dagster's pages (docs/benchmarks.md, ``partitions``); Dagster documents 100,000 as the most."""


@dataclass(frozen=True, slots=True)
class PartitionUpdate:
    """What became of a source's partitions.

    Args:
        live: the partitions afterwards.
        added: chunks that became partitions, or came back.
        archived: chunks that are planned and are no partitions.
        newly_archived: how many of them still were partitions before.
        orphans: partitions that were removed because the state has no such chunks.
        waits_for: the id of a backfill for whose end the archiving waits: Dagster fails one whose partitions are removed.
    """

    live: int
    added: int = 0
    archived: int = 0
    newly_archived: int = 0
    orphans: list[str] = field(default_factory=list)
    waits_for: str | None = None


def update_partitions(
    instance: dg.DagsterInstance, source: SourceNames, chunk_ids: Collection[str], archived: Collection[str] = ()
) -> PartitionUpdate:
    """Make the chunks partitions, also those that a crash kept out earlier, and remove all others.

    What was recorded of a partition stays, and shows again if it is added again.

    Args:
        instance: Dagster's.
        source: which.
        chunk_ids: every chunk that is planned, in planning order.
        archived: those among them that are not shown.
    """
    present = instance.get_dynamic_partitions(source.partitions)
    known, away, planned = set(present), set(archived), set(chunk_ids)
    missing = [chunk_id for chunk_id in chunk_ids if chunk_id not in known and chunk_id not in away]
    add_partitions(instance, source, missing)
    orphans = [partition for partition in present if partition not in planned]
    leaving = [partition for partition in present if partition in away]
    backfill = _backfill_of(instance, source) if leaving else None
    if backfill is not None:
        leaving = []
    delete_dynamic_partitions(instance, source.partitions, [*orphans, *leaving])
    return PartitionUpdate(
        live=len(present) + len(missing) - len(orphans) - len(leaving),
        added=len(missing),
        archived=len(away) if backfill is None else len(away - known),
        newly_archived=len(leaving),
        orphans=orphans,
        waits_for=backfill,
    )


def add_partitions(instance: dg.DagsterInstance, source: SourceNames, chunk_ids: Sequence[str]) -> None:
    """Make chunks partitions."""
    for start in range(0, len(chunk_ids), _PER_CALL):
        instance.add_dynamic_partitions(source.partitions, list(chunk_ids[start : start + _PER_CALL]))


def _backfill_of(instance: dg.DagsterInstance, source: SourceNames) -> str | None:
    """Return the id of a backfill of the source's chunks that has not ended."""
    ours = {source.manifest, source.registration}
    running = running_backfills(instance)
    return next((one.backfill_id for one in running if ours & set(one.asset_selection or ())), None)


def archive_notice(source: str, update: PartitionUpdate, keep_days: int | None) -> str | None:
    """Say how many chunks left Dagster's view or wait to leave it; None if none did."""
    if update.waits_for is not None:
        return (
            f"{source}: no finished chunk is archived now, because backfill {update.waits_for} still runs, and Dagster fails "
            "one whose partitions are removed. The next plan after its end archives them."
        )
    if not update.newly_archived:
        return None
    return (
        f"{source}: {counted(update.newly_archived, 'finished chunk')} archived, {update.archived:,} in all: registered more "
        f"than {counted(keep_days or 0, 'day')} ago (`keep_partitions_days`). Dagster's view shows the other {update.live:,}; "
        "the state, `status` and `submit --chunk` know all of them."
    )


def many_partitions_warning(source: str, update: PartitionUpdate) -> str | None:
    """Say what to do where Dagster's pages are slow because of their number; None where it does not."""
    if update.live < MANY_PARTITIONS:
        return None
    return (
        f"{source}: warning: Dagster shows {update.live:,} chunks as partitions, and its pages become slow from "
        f"{MANY_PARTITIONS:,} on. Set `sources.{source}.keep_partitions_days`, or a smaller number, so that chunks that were "
        "registered longer ago leave Dagster's view; nothing else changes, and they come back with a larger number. Or plan "
        "larger chunks (`chunk_size`)."
    )


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
