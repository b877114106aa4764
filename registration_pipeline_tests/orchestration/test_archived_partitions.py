"""Finished chunks leave Dagster's partitions after ``keep_partitions_days`` and come back, and nothing else changes."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.orchestration import chunk_run, stages
from registration_pipeline.orchestration.names import REGISTER_OP, SourceNames
from registration_pipeline.orchestration.partitions import (
    MANY_PARTITIONS,
    PartitionUpdate,
    archive_notice,
    many_partitions_warning,
    update_partitions,
)
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.listener import listening
from registration_pipeline.project.project import utc_now
from registration_pipeline_tests.orchestration.test_halted_runs import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline_tests.orchestration.conftest import Pipeline

chunk_ids = st.lists(st.sampled_from("abcdefgh"), unique=True)
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def in_memory() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@given(nights=st.lists(st.tuples(chunk_ids, chunk_ids), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_partitions_are_what_is_planned_and_not_archived_whatever_they_were_before(
    in_memory: DagsterInstance, nights: list[tuple[list[str], list[str]]]
) -> None:
    own = SourceNames(f"fleet-{next(NUMBERS)}")

    for planned, archived in nights:
        before = set(in_memory.get_dynamic_partitions(own.partitions))
        update = update_partitions(in_memory, own, planned, [one for one in archived if one in planned])

        live = set(planned) - set(archived)
        assert set(in_memory.get_dynamic_partitions(own.partitions)) == live
        assert update.live == len(live)
        assert update.archived == len(set(planned) & set(archived))
        assert update.newly_archived == len(set(planned) & set(archived) & before)
        assert update.added == len(live - before)
        assert set(update.orphans) == before - set(planned)


def test_archiving_waits_for_the_end_of_a_backfill_of_the_source(in_memory: DagsterInstance) -> None:
    own, other = SourceNames("archived-later"), SourceNames("archived-now")
    for source in (own, other):
        update_partitions(in_memory, source, ["a", "b"])
    backfill = PartitionBackfill(
        "running",
        BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=time.time(),
        asset_selection=[own.registration, own.manifest],
    )
    in_memory.add_backfill(backfill)

    waiting = update_partitions(in_memory, own, ["a", "b", "c"], ["a"])
    assert update_partitions(in_memory, other, ["a", "b"], ["a"]).live == 1

    assert in_memory.get_dynamic_partitions(own.partitions) == ["a", "b", "c"]
    assert waiting == PartitionUpdate(live=3, added=1, waits_for="running")
    assert "backfill running still runs" in str(archive_notice("archived-later", waiting, 30))
    in_memory.update_backfill(backfill._replace(status=BulkActionStatus.COMPLETED_SUCCESS))
    assert update_partitions(in_memory, own, ["a", "b", "c"], ["a"]).live == 2


def test_the_warning_begins_at_its_number_and_names_the_setting() -> None:
    assert many_partitions_warning("fleet", PartitionUpdate(live=MANY_PARTITIONS - 1)) is None
    said = many_partitions_warning("fleet", PartitionUpdate(live=MANY_PARTITIONS))
    assert said is not None
    assert "25,000 chunks as partitions" in said
    assert "`sources.fleet.keep_partitions_days`" in said


def submit(pipeline: Pipeline, instance: DagsterInstance, chunks: Sequence[str], *, force: bool) -> bool:
    """Run ``submit --chunk``."""
    config = {"chunks": list(chunks), "force": force}
    own = pipeline.own
    return run_job(instance, own.submit_job, {"ops": {f"{own.ident}_{REGISTER_OP}": {"config": config}}})


def partitions_of(pipeline: Pipeline, instance: DagsterInstance) -> set[str]:
    return set(instance.get_dynamic_partitions(pipeline.own.partitions))


def materializations(instance: DagsterInstance, key: AssetKey) -> int:
    return len(instance.fetch_materializations(key, limit=100).records)


@pytest.mark.slow
def test_chunks_leave_stay_away_without_being_read_again_and_come_back_as_they_were(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pipeline.own
    pipeline.add_images(4)
    pipeline.break_images(3)
    pipeline.configure(keep_partitions_days=30, schedule=None)
    assert not run_job(instance, own.sync_job)
    first, second, third, failing = pipeline.chunk_ids
    assert partitions_of(pipeline, instance) == {first, second, third, failing}
    before = pipeline.status.chunks

    for module in (stages, chunk_run):
        monkeypatch.setattr(module, "utc_now", lambda: utc_now() + timedelta(days=31))
    recorder = Recorder()
    with listening(recorder):
        run_job(instance, own.sync_job)
    assert partitions_of(pipeline, instance) == {failing}
    (notice,) = [one for one in recorder.notices if "archived" in one]
    assert "3 finished chunks archived, 3 in all" in notice
    assert pipeline.status.chunks == before

    shown = materializations(instance, own.registration)
    run_job(instance, own.sync_job)
    assert materializations(instance, own.registration) == shown == 3

    assert submit(pipeline, instance, [first], force=False)
    assert partitions_of(pipeline, instance) == {failing}
    moment = utc_now()
    monkeypatch.setattr(chunk_run, "utc_now", lambda: moment + timedelta(days=30))
    assert submit(pipeline, instance, [second], force=True)
    assert partitions_of(pipeline, instance) == {second, failing}  # by a verdict after that moment

    pipeline.configure(schedule=None)
    run_job(instance, own.sync_job)
    assert partitions_of(pipeline, instance) == set(pipeline.chunk_ids)
    assert pipeline.shown(instance, own.registration).materialized == {first, second, third}
    assert pipeline.shown(instance, own.registration).failed == {failing}
