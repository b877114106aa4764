"""Says which partitions a run means to materialize, a batch ahead of the chunks that it sends.

Dagster says so itself for runs of assets. Without it, a chunk that fails in an op would show as missing instead of failed.
What does not belong here: which chunks a run means (``tracking/due.py``), and what became of them (``stages.py``).
"""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from registration_pipeline.orchestration.private_dagster import AssetMaterializationPlannedData
from registration_pipeline.orchestration.runs.event_batches import BATCH, batch_store

if TYPE_CHECKING:
    from registration_pipeline.tracking.due import ChunkTask

# After a crash or a halt at most one batch shows as failed that was never reached.
_BATCH = BATCH


def announced(context: dg.OpExecutionContext, key: dg.AssetKey, tasks: "Sequence[ChunkTask]") -> "Iterator[ChunkTask]":
    """Yield the chunks, each after its partition was said to be materialized by this run.

    With 100,000 chunks the run would else begin with minutes of events; those that it never reaches get none, and show what
    they showed before.
    """
    store = batch_store(context.instance) or context.instance.event_log_storage.store_event_batch
    for start in range(0, len(tasks), _BATCH):
        batch = tasks[start : start + _BATCH]
        store([_planned(context, key, task.chunk.chunk_id) for task in batch])
        yield from batch


def announce(context: dg.OpExecutionContext, key: dg.AssetKey) -> None:
    """Say that this run is about to materialize an asset without partitions.

    Until it does, the asset shows as in progress, and as failed if the run ends before. Said when the stage begins and not
    when the run does, so that what the run never reached goes on showing its last good state.
    """
    context.instance.event_log_storage.store_event(_planned(context, key, None))


def _planned(context: dg.OpExecutionContext, key: dg.AssetKey, partition: str | None) -> dg.EventLogEntry:
    """Return the event as Dagster builds it; a test checks the resulting status."""
    event = dg.DagsterEvent.build_asset_materialization_planned_event(
        context.job_name,
        str(context.op_handle),
        AssetMaterializationPlannedData(key, partition=partition, partitions_subset=None),
    )
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.INFO,
        user_message="",
        run_id=context.run_id,
        timestamp=time.time(),
        step_key=event.step_key,
        job_name=event.job_name,
        dagster_event=event,
    )
