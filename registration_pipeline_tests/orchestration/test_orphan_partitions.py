"""Partitions that the state does not know: they fail by themselves, are named, and are removed by the next plan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.orchestration.names import REGISTER_OP
from registration_pipeline.orchestration.partitions import removed_partitions, unknown_partitions, update_partitions
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.listener import listening
from registration_pipeline_tests.orchestration.test_halted_runs import Recorder, failure_description
from registration_pipeline_tests.orchestration.test_partition_statuses import run_range
from registration_pipeline_tests.orchestration.test_ways_to_run_chunks import run_partitions

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline

ORPHANS = ["20261121T020000Z-images-000001", "20261121T020000Z-videos-000001"]


@pytest.mark.slow
def test_unknown_chunks_fail_by_themselves_and_the_next_plan_removes_them(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    own = pipeline.own
    pipeline.add_images(3)
    known = pipeline.plan(instance)
    instance.add_dynamic_partitions(own.partitions, ORPHANS)

    run_partitions(pipeline, instance, known[0], ORPHANS[-1], own.manifest, own.registration)

    assert pipeline.shown(instance, own.registration).materialized == set(known)
    assert pipeline.shown(instance, own.registration).failed == set(ORPHANS)
    (run,) = instance.get_runs()
    for said in (*ORPHANS, str(pipeline.root / ".registration"), "`registration-pipeline plan fleet-cameras` removes"):
        assert said in failure_description(instance, run.run_id)

    recorder = Recorder()
    with listening(recorder):
        assert run_job(instance, own.sync_job)

    assert instance.get_dynamic_partitions(own.partitions) == known
    assert pipeline.shown(instance, own.registration).counts == (3, 0, 0)
    (notice,) = recorder.notices
    assert all(orphan in notice for orphan in ORPHANS)
    assert len(pipeline.sandbox.jobs()) == 3


def test_unknown_chunks_that_a_job_names_fail_it_after_the_known_ones_are_registered(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    own = pipeline.own
    pipeline.add_images(2)
    known = pipeline.plan(instance)
    chosen = {"ops": {f"{own.ident}_{REGISTER_OP}": {"config": {"chunks": [known[0], *ORPHANS]}}}}
    recorder = Recorder()

    with listening(recorder):
        assert not run_job(instance, own.submit_job, chosen)

    assert pipeline.shown(instance, own.registration).materialized == {known[0]}
    assert [error.exit_status for error in recorder.errors] == [2]
    assert len(pipeline.sandbox.jobs()) == 1


@pytest.mark.slow
def test_a_state_that_comes_back_shows_what_it_showed_before(pipeline: Pipeline, instance: DagsterInstance) -> None:
    own = pipeline.own
    pipeline.add_images(3)
    known = pipeline.plan(instance)
    assert run_range(pipeline, instance, own.manifest, own.registration)
    state, aside = pipeline.root / ".registration", pipeline.root / "aside"

    state.rename(aside)
    time.sleep(1)  # ids of inventories are seconds, and a state that knows no earlier one can't avoid its id
    others = pipeline.plan(instance)
    assert instance.get_dynamic_partitions(own.partitions) == others
    assert not set(others) & set(known)
    assert pipeline.shown(instance, own.registration).counts == (0, 0, 0)
    state.rename(pipeline.root / "another")
    aside.rename(state)
    pipeline.plan(instance)

    assert instance.get_dynamic_partitions(own.partitions) == known
    assert pipeline.shown(instance, own.registration).materialized == set(known)


def test_partitions_keep_the_order_of_the_plan(pipeline: Pipeline, instance: DagsterInstance) -> None:
    own = pipeline.own
    instance.add_dynamic_partitions(own.partitions, ["b", "orphan", "c"])

    assert update_partitions(instance, own, ["a", "b", "c", "d"]).orphans == ["orphan"]
    assert update_partitions(instance, own, ["a", "b", "c", "d"]).orphans == []

    assert instance.get_dynamic_partitions(own.partitions) == ["b", "c", "a", "d"]


def test_only_a_few_of_many_are_named() -> None:
    many = [f"chunk-{number}" for number in range(1, 1002)]
    for text in (removed_partitions("fleet", "/state", many), unknown_partitions("fleet", "/state", many)):
        assert "chunk-5" in text
        assert "chunk-7" not in text
    assert removed_partitions("fleet", "/state", many).startswith("1,001 partitions of source 'fleet' removed")
