"""A source whose nightly sync silently stops turns red: Dagster's own daemon evaluates it, and the asset pages read that."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.freshness import FreshnessDaemon

from registration_pipeline.orchestration.names import CODE_LOCATION, DEFINITIONS_MODULE
from registration_pipeline.orchestration.private_dagster import LoadableTargetOrigin, StepMaterializationData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline

HOURS = 36
STALE, FRESH, NEVER = FreshnessState.FAIL, FreshnessState.PASS, FreshnessState.UNKNOWN


@pytest.fixture
def workspace(pipeline: Pipeline, instance: DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    target = LoadableTargetOrigin(module_name=DEFINITIONS_MODULE, working_directory=str(pipeline.root))
    origin = InProcessCodeLocationOrigin(target, location_name=CODE_LOCATION)
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as opened:
        yield opened


def materialize(instance: DagsterInstance, key: dg.AssetKey, *, ago: timedelta) -> None:
    """Store a materialization as a run of that time did."""
    event = dg.DagsterEvent(
        dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        "night",
        event_specific_data=StepMaterializationData(dg.AssetMaterialization(key)),
    )
    entry = dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=20,
        user_message="",
        run_id="a-run",
        timestamp=time.time() - ago.total_seconds(),
        job_name="night",
        dagster_event=event,
    )
    instance.event_log_storage.store_event(entry)


def states(workspace: WorkspaceProcessContext, instance: DagsterInstance, *keys: dg.AssetKey) -> list[FreshnessState]:
    """Let the daemon evaluate once, and return what it stored."""
    list(FreshnessDaemon().run_iteration(workspace))
    found = instance.get_freshness_state_records(keys)
    return [found[key].freshness_state for key in keys]


def test_a_source_is_stale_when_no_sync_came_to_its_end_for_36_hours(
    pipeline: Pipeline, instance: DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    own = pipeline.own
    assets = (own.inventory, own.chunk_plan, own.failure_log)
    assert instance.freshness_enabled, "the daemon does not evaluate freshness with the dagster.yaml of this pipeline"
    assert states(workspace, instance, *assets) == [NEVER] * 3

    for key in assets:
        materialize(instance, key, ago=timedelta(hours=HOURS, minutes=1))
    assert states(workspace, instance, *assets) == [STALE] * 3

    # A sync that listed, and ended before it was through.
    materialize(instance, own.inventory, ago=timedelta(hours=HOURS) - timedelta(minutes=1))
    assert states(workspace, instance, *assets) == [FRESH, STALE, STALE]

    for key in assets[1:]:
        materialize(instance, key, ago=timedelta())
    assert states(workspace, instance, *assets) == [FRESH] * 3
