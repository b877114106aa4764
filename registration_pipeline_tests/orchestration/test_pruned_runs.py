"""Old runs leave Dagster's storage, and no chunk, asset or check shows anything else afterwards."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry

from registration_pipeline.orchestration.automation.continuing import _waiting
from registration_pipeline.orchestration.names import SOURCE_TAG
from registration_pipeline.orchestration.partitions import update_partitions
from registration_pipeline.orchestration.private_dagster import newest_check_runs, sql_event_log, sqlite_event_log
from registration_pipeline.orchestration.runs import handed_on as handed
from registration_pipeline.orchestration.runs.handed_on import Work
from registration_pipeline.orchestration.runs.launch import remote_origin, run_job
from registration_pipeline.orchestration.runs.pruning import OldRuns, delete_runs, old_runs
from registration_pipeline.orchestration.runs.shown_partitions import shown_as_done
from registration_pipeline.project.project import utc_now

if TYPE_CHECKING:
    from registration_pipeline.orchestration.names import SourceNames
    from registration_pipeline_tests.orchestration.conftest import Pipeline, Shown


def everything_shown(pipeline: Pipeline, instance: dg.DagsterInstance) -> tuple[object, ...]:
    own = pipeline.own
    chunks: list[Shown] = [pipeline.shown(instance, key) for key in (own.manifest, own.registration)]
    newest = [
        (key, event.run_id if event else None)
        for key in (own.inventory, own.chunk_plan, own.failure_log)
        for event in [instance.get_latest_materialization_event(key)]
    ]
    storage = sql_event_log(instance.event_log_storage)
    assert storage is not None
    return chunks, newest, shown_as_done(instance, own), newest_check_runs(storage)


def runs_of(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def prune(pipeline: Pipeline, instance: dg.DagsterInstance, source: SourceNames | None = None) -> set[str]:
    """Remove what may go of all runs that have ended by now."""
    found = old_runs(instance, [source or pipeline.own], before=utc_now() + timedelta(seconds=1))
    return set(delete_runs(instance, found.prunable))


def events_of(instance: dg.DagsterInstance, run_id: str) -> Path:
    storage = sqlite_event_log(instance.event_log_storage)
    assert storage is not None
    return Path(storage.path_for_shard(run_id))


@pytest.mark.slow
def test_what_is_shown_is_the_same_without_the_runs_that_nothing_shown_is_from(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    own = pipeline.own
    pipeline.add_images(3)
    pipeline.break_images(1)
    assert not run_job(instance, own.sync_job)
    first = runs_of(instance)
    quiet = [run_job(instance, own.submit_job) for _ in range(2)]
    assert run_job(instance, own.inventory_job)
    before_last = runs_of(instance)
    assert run_job(instance, own.sync_job)
    assert quiet == [True, True]
    shown = everything_shown(pipeline, instance)
    assert pipeline.shown(instance, own.registration).counts == (2, 1, 0)
    assert old_runs(instance, [own], before=utc_now() - timedelta(hours=1)).prunable == []

    removed = prune(pipeline, instance)

    # Two chunks are shown by the first sync, the third and the assets by the last one.
    assert removed == before_last - first
    assert everything_shown(pipeline, instance) == shown
    assert not any(events_of(instance, run_id).exists() for run_id in removed)
    assert all(events_of(instance, run_id).exists() for run_id in runs_of(instance))
    assert prune(pipeline, instance) == set()

    pipeline.fix_images()
    assert run_job(instance, own.retry_job)
    assert run_job(instance, own.sync_job)
    assert pipeline.shown(instance, own.registration).counts == (3, 0, 0)
    assert len(pipeline.urls()) == len(set(pipeline.urls())) == 3


@pytest.mark.slow
def test_the_runs_of_archived_chunks_may_go_and_a_chunk_that_comes_back_is_shown_by_the_next_sync(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    own = pipeline.own
    pipeline.add_images(2)
    assert run_job(instance, own.sync_job)
    archived = pipeline.chunk_ids
    (first,) = runs_of(instance)
    pipeline.add_images(1, day="2026-11-21")
    assert run_job(instance, own.sync_job)
    assert prune(pipeline, instance) == set()
    update_partitions(instance, own, pipeline.chunk_ids, archived)

    assert prune(pipeline, instance) == {first}

    update_partitions(instance, own, pipeline.chunk_ids)
    assert pipeline.shown(instance, own.registration).counts == (1, 0, 0)
    assert run_job(instance, own.sync_job)
    assert pipeline.shown(instance, own.registration).counts == (3, 0, 0)
    assert len(pipeline.urls()) == 3


def test_runs_of_other_sources_and_of_a_backfill_that_runs_stay(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    own, tags = pipeline.own, {"registration/source": pipeline.own.source}
    for chosen in ({}, {"registration/source": "another"}, tags, {**tags, "dagster/backfill": "going-on"}):
        instance.create_run_for_job(job_def=_nothing, tags=chosen, status=dg.DagsterRunStatus.SUCCESS)
    instance.add_backfill(
        PartitionBackfill(
            "going-on",
            BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=time.time(),
            asset_selection=[own.registration],
        )
    )

    assert len(prune(pipeline, instance)) == 1
    assert len(runs_of(instance)) == 3


def ended_run(
    pipeline: Pipeline, instance: dg.DagsterInstance, tags: dict[str, str] | None = None, **made: Any
) -> dg.DagsterRun:
    """Return a run of the source; it has ended, unless another status is given."""
    return instance.create_run_for_job(
        job_def=_nothing,
        tags={SOURCE_TAG: pipeline.own.source, **(tags or {})},
        **{"status": dg.DagsterRunStatus.CANCELED, **made},
    )


def handed_on(pipeline: Pipeline, instance: dg.DagsterInstance) -> str:
    """Return the id of a run that gave its worker back while another host submits."""
    run = ended_run(pipeline, instance)
    work = json.dumps({"run": run.run_id, **asdict(Work(chunks=("c1",), force=True))})
    instance.add_run_tags(run.run_id, {handed.WAITS_TAG: pipeline.own.ident, handed._WORK_TAG: work})
    return run.run_id


def test_runs_that_wait_to_be_continued_stay_until_that_is_done(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    own = pipeline.own
    first, second = handed_on(pipeline, instance), handed_on(pipeline, instance)
    other = ended_run(pipeline, instance).run_id

    assert prune(pipeline, instance) == {other}
    assert {*_waiting(instance, own)} == {first, second}

    done = dg.DagsterRunStatus.SUCCESS
    tags = {handed.CONTINUES_TAG: own.ident, handed.RUNS_TAG: json.dumps([first])}
    continuing = ended_run(pipeline, instance, tags, status=done).run_id
    found = old_runs(instance, [own], before=utc_now() + timedelta(seconds=1))

    assert found == OldRuns([], 3, 3)  # without the last one, the first would be continued once more
    assert {*_waiting(instance, own)} == {second}
    assert prune(pipeline, instance) == {first, continuing}


UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@pytest.mark.parametrize("status", UNFINISHED, ids=lambda it: it.value)
def test_the_runs_that_an_unfinished_run_was_made_from_stay(
    pipeline: Pipeline, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    first = ended_run(pipeline, instance).run_id
    second = ended_run(pipeline, instance, parent_run_id=first, root_run_id=first).run_id
    aside = ended_run(pipeline, instance, parent_run_id=first, root_run_id=first).run_id
    lineage: dict[str, Any] = {
        "parent_run_id": second,
        "root_run_id": first,
        "remote_job_origin": remote_origin("_nothing"),
    }
    third = ended_run(pipeline, instance, status=status, **lineage)

    found = old_runs(instance, [pipeline.own], before=utc_now() + timedelta(seconds=1))

    assert found == OldRuns([aside], 2, 2)
    assert {*delete_runs(instance, [aside, second, first])} == {aside}
    assert instance.has_run(third.run_id)
    instance.report_run_canceled(third)
    assert prune(pipeline, instance) == {first, second, third.run_id}


def failed_by_a_crash(pipeline: Pipeline, instance: dg.DagsterInstance, tags: dict[str, str], **made: Any) -> str:
    """Return the id of a run that Dagster's daemon repeats once it comes to it."""
    marked = {"dagster/will_retry": "true", **tags}
    return ended_run(pipeline, instance, marked, status=dg.DagsterRunStatus.FAILURE, **made).run_id


def test_a_failed_run_that_dagster_will_repeat_stays_with_what_it_was_made_from(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    first = ended_run(pipeline, instance, status=dg.DagsterRunStatus.FAILURE).run_id
    second = failed_by_a_crash(pipeline, instance, {}, parent_run_id=first, root_run_id=first)
    other = ended_run(pipeline, instance).run_id

    found = old_runs(instance, [pipeline.own], before=utc_now() + timedelta(seconds=1))

    assert found == OldRuns([other], 2, 2)
    assert {*delete_runs(instance, [other, second, first])} == {other}

    again = ended_run(pipeline, instance, parent_run_id=second, root_run_id=first).run_id
    instance.add_run_tags(second, {"dagster/auto_retry_run_id": again})
    assert prune(pipeline, instance) == {first, second, again}


@pytest.mark.parametrize(
    ("status", "is_repeated"),
    [(BulkActionStatus.REQUESTED, True), (BulkActionStatus.COMPLETED_FAILED, False), (None, False)],
    ids=["goes on", "has ended", "is gone"],
)
def test_a_failed_run_of_a_backfill_stays_as_long_as_that_goes_on(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    status: BulkActionStatus | None,
    is_repeated: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    run_id = failed_by_a_crash(pipeline, instance, {"dagster/backfill": "of-a-person"})
    if status is not None:
        backfill: Any = {"from_failure": False, "tags": {}, "backfill_timestamp": time.time()}
        instance.add_backfill(
            PartitionBackfill("of-a-person", status, asset_selection=[pipeline.own.registration], **backfill)
        )
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert should_retry(run, instance) is is_repeated

    assert prune(pipeline, instance) == (set() if is_repeated else {run_id})


@dg.job
def _nothing() -> None:
    pass
