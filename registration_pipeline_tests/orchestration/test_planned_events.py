"""Planned events stored in batches say what Dagster's own, stored one by one, say; each batch right before its chunks."""

from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, OpExecutionContext, job, op
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from registration_pipeline.objects import MediaKind
from registration_pipeline.orchestration.runs import planned_events
from registration_pipeline.planning.wave import PlannedChunk
from registration_pipeline.tracking.due import ChunkTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = AssetKey(["fleet", "registration"])
PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
COUNT = 2 * planned_events._BATCH + 5


def task(number: int) -> ChunkTask:
    chunk_id = f"20261121T020000Z-images-{number:05d}"
    chunk = PlannedChunk(
        chunk_id=chunk_id,
        kind=MediaKind("images"),
        wave_id="20261121T020000Z",
        units=1,
        objects=1,
        bytes=1,
        first_key=f"{number}",
        last_key=f"{number}",
    )
    return ChunkTask(chunk=chunk)


TASKS = [task(number) for number in range(COUNT)]


def in_batches(context: OpExecutionContext) -> None:
    assert list(planned_events.announced(context, KEY, TASKS)) == TASKS


def one_by_one(context: OpExecutionContext) -> None:
    for one in TASKS:
        event = DagsterEvent.build_asset_materialization_planned_event(
            context.job_name,
            str(context.op_handle),
            AssetMaterializationPlannedData(KEY, partition=one.chunk.chunk_id, partitions_subset=None),
        )
        context.instance.report_dagster_event(event, run_id=context.run_id)


def run_op(instance: DagsterInstance, body: "Callable[[OpExecutionContext], None]") -> str:
    """Run a job of one op, and return the id of the run."""

    @op(name="announce")
    def announce(context: OpExecutionContext) -> None:
        body(context)

    @job(name="fleet_submit")
    def submit() -> None:
        announce()

    result = submit.execute_in_process(instance=instance)
    assert result.success
    return result.run_id


def seen_by_run(instance: DagsterInstance, run_id: str) -> list[tuple[object, ...]]:
    """Return the planned events as the page of the run shows them."""
    return [
        (entry.level, entry.job_name, entry.step_key, event.message, event.event_specific_data)
        for entry in instance.all_logs(run_id, of_type=PLANNED)
        if (event := entry.dagster_event) is not None
    ]


def seen_by_asset(instance: DagsterInstance) -> tuple[set[str], str | None, set[str]]:
    """Return what the asset's page shows: partitions, last run, and the runs that its partitions wait for."""
    storage = instance.event_log_storage
    waiting = storage.get_latest_asset_partition_materialization_attempts_without_materializations(KEY)
    (record,) = instance.get_asset_records([KEY])
    partitions = set(storage.get_latest_storage_id_by_partition(KEY, PLANNED))
    return partitions, record.asset_entry.last_run_id, {run_id for run_id, _ in waiting.values()}


@pytest.fixture(params=["SQLite", "in memory"])
def own_instance(request: pytest.FixtureRequest, tmp_path: "Path") -> "Iterator[DagsterInstance]":
    """An instance of each kind of storage that comes with Dagster."""
    made = DagsterInstance.local_temp(str(tmp_path)) if request.param == "SQLite" else DagsterInstance.ephemeral()
    with made as instance:
        yield instance


@pytest.mark.slow
def test_a_batch_says_what_single_events_say(own_instance: DagsterInstance) -> None:
    singles = run_op(own_instance, one_by_one)
    expected_by_run, expected_by_asset = seen_by_run(own_instance, singles), seen_by_asset(own_instance)

    batches = run_op(own_instance, in_batches)

    assert seen_by_run(own_instance, batches) == expected_by_run
    assert len(expected_by_run) == COUNT
    partitions, last_run, waited_for = expected_by_asset
    assert (last_run, waited_for) == (singles, {singles})
    assert seen_by_asset(own_instance) == (partitions, batches, {batches})


def test_a_chunk_is_announced_with_its_batch_before_it_is_given_out_and_no_earlier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planned_events, "_BATCH", 3)
    announced_so_far: list[int] = []

    def body(context: OpExecutionContext) -> None:
        given_out = planned_events.announced(context, KEY, TASKS[:8])
        announced_so_far.extend(len(seen_by_run(context.instance, context.run_id)) for _ in given_out)

    with DagsterInstance.ephemeral() as instance:
        run_op(instance, body)

    assert announced_so_far == [3, 3, 3, 6, 6, 6, 8, 8]
