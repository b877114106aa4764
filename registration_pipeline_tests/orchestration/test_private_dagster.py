"""Every private name of Dagster is what the shell expects; a release that moves or changes one fails here by its name."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import dagster as dg
import pytest
from dagster import AssetKey, DagsterEvent, DagsterInstance, DagsterRun, job
from dagster._core.definitions.dependency import NodeHandle
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_representation.external_data import asset_node_snaps_from_repo
from dagster._core.storage.event_log.schema import ConcurrencyLimitsTable
from dagster_celery import executor as celery_executor

from registration_pipeline.orchestration import private_dagster
from registration_pipeline.orchestration.private_dagster import (
    BULK_ACTION_TERMINAL_STATUSES,
    NO_CAPTURE,
    AssetLayer,
    CheckError,
    IJob,
    InMemoryJob,
    InstanceRef,
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    ModuleCodePointer,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    RetryMode,
    WorkerStatus,
    delete_dynamic_partitions,
    has_event_tags,
    ids_of_stored_events,
    initialize_pool,
    make_new_run_id,
    postgres_event_log,
    running_backfills,
    schedule_execution_time_iterator,
    sql_event_log,
    sqlite_event_log,
)
from registration_pipeline.orchestration.runs.chunk_events import Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAGS = {
    "BACKFILL_ID_TAG": "dagster/backfill",
    "CODE_VERSION_TAG": "dagster/code_version",
    "DATA_VERSION_IS_USER_PROVIDED_TAG": "dagster/data_version_is_user_provided",
    "DATA_VERSION_TAG": "dagster/data_version",
    "HIDDEN_TAG_PREFIX": ".dagster/",
    "NULL_EVENT_POINTER": "NULL",
    "RESUME_RETRY_TAG": "dagster/is_resume_retry",
    "RETRY_NUMBER_TAG": "dagster/retry_number",
    "RETRY_ON_FAILURE_TAG": "dagster/retry_on_asset_or_op_failure",
    "ROOT_RUN_ID_TAG": "dagster/root_run_id",
    "WILL_RETRY_TAG": "dagster/will_retry",
}
PARAMETERS = {
    "AssetMaterializationPlannedData": ["asset_key", "partition", "partitions_subset"],
    "AssetObservationData": ["asset_observation"],
    "CheckRunHealthResult": ["status", "msg"],
    "ReconstructableJob": ["repository", "job_name"],
    "ReconstructableRepository": ["pointer", "executable_path", "entry_point"],
    "StepMaterializationData": ["materialization"],
    "schedule_execution_time_iterator": ["start_timestamp", "cron_schedule", "execution_timezone", "ascending"],
    "execute_run_iterator": ["job", "dagster_run", "instance"],
    "extract_data_version_from_entry": ["entry"],
    "get_input_event_pointer_tag": ["input_key"],
}
"""What the shell passes."""
TESTED_BELOW = {
    "BULK_ACTION_TERMINAL_STATUSES",
    "DEFAULT_DATA_VERSION",
    "get_input_data_version_tag",
    "NO_CAPTURE",
    "AssetLayer",
    "CheckError",
    "CheckTarget",
    "DagsterExecutionInterruptedError",
    "DefinitionsLoadContext",
    "IJob",
    "InMemoryJob",
    "InstanceRef",
    "LoadableTargetOrigin",
    "ManagedGrpcPythonEnvCodeLocationOrigin",
    "ModuleCodePointer",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "RetryMode",
    "WorkerStatus",
    "delete_dynamic_partitions",
    "has_event_tags",
    "ids_of_stored_events",
    "initialize_pool",
    "make_new_run_id",
    "postgres_event_log",
    "running_backfills",
    "sql_event_log",
    "sqlite_event_log",
    "submit_celery_step",
}
TESTED_WITH_CELERY = {"step_failure"}
"""In ``test_celery_steps.py``: Dagster counts the step as failed, and a re-execution repeats it."""
TESTED_ELSEWHERE = TESTED_WITH_CELERY | {"SqlStorage", "delete_events_of_run", "newest_check_runs", "newest_runs"}
"""In ``test_pruned_runs.py``: what is left and what is gone after them."""


def test_every_private_name_has_a_test() -> None:
    assert set(private_dagster.__all__) == TAGS.keys() | PARAMETERS.keys() | TESTED_BELOW | TESTED_ELSEWHERE


@pytest.mark.parametrize(("name", "value"), TAGS.items(), ids=TAGS)
def test_a_tag_is_what_the_stored_runs_have(name: str, value: str) -> None:
    assert getattr(private_dagster, name) == value


@pytest.mark.parametrize(("name", "passed"), PARAMETERS.items(), ids=PARAMETERS)
def test_a_class_or_function_takes_what_is_passed_and_needs_no_more(name: str, passed: list[str]) -> None:
    parameters = inspect.signature(getattr(private_dagster, name)).parameters
    needed = {key for key, one in parameters.items() if one.default is one.empty and one.kind is not one.VAR_KEYWORD}

    assert set(passed) <= parameters.keys()
    assert needed <= set(passed)


def test_a_code_pointer_loads_a_modules_attribute(tmp_path: Path) -> None:
    assert ModuleCodePointer("json", "dumps", str(tmp_path)).load_target() is json.dumps


def test_origins_name_code_location_repository_and_job() -> None:
    target = LoadableTargetOrigin(module_name="json", working_directory="/")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name="place")
    repository = RemoteRepositoryOrigin(code_location_origin=location, repository_name="__repository__")
    origin = RemoteJobOrigin(repository_origin=repository, job_name="nightly")

    assert (target.module_name, target.working_directory) == ("json", "/")
    assert location.location_name == "place"
    selector = repository.get_selector()
    assert (selector.location_name, selector.repository_name) == ("place", "__repository__")
    assert origin.job_name == "nightly"
    assert origin.get_id()


def test_the_public_event_takes_the_private_data() -> None:
    assert list(inspect.signature(DagsterEvent.build_asset_materialization_planned_event).parameters) == [
        "job_name",
        "step_key",
        "asset_materialization_planned_data",
    ]


def test_a_job_may_name_assets_that_its_steps_do_not_materialize() -> None:
    @dg.asset
    def table() -> None:
        pass

    @dg.op
    def step() -> None:
        pass

    @dg.graph
    def steps() -> None:
        step()

    nightly = steps.to_job("nightly", asset_layer=AssetLayer.for_external_job([table.key]))
    defs = dg.Definitions(assets=[table], jobs=[nightly])
    shown = {one.asset_key: one.job_names for one in asset_node_snaps_from_repo(defs.get_repository_def())}

    assert "nightly" in shown[table.key]
    assert nightly.partitions_def is None
    with DagsterInstance.ephemeral() as instance:
        run = nightly.execute_in_process(instance=instance)
        assert instance.get_latest_materialization_event(table.key) is None
    assert [event.step_key for event in run.get_step_success_events()] == ["step"]


def test_what_an_asset_was_made_from_is_in_tags_that_name_its_inputs() -> None:
    key = AssetKey(["fleet", "inventory"])

    assert private_dagster.get_input_data_version_tag(key) == "dagster/input_data_version/fleet/inventory"
    assert private_dagster.get_input_event_pointer_tag(key) == "dagster/input_event_pointer/fleet/inventory"
    assert private_dagster.DEFAULT_DATA_VERSION.value == "INITIAL"


def test_the_statuses_of_backfills_that_have_ended_are_known() -> None:
    assert set(BulkActionStatus) - set(BULK_ACTION_TERMINAL_STATUSES) == {
        BulkActionStatus.REQUESTED,
        BulkActionStatus.CANCELING,
        BulkActionStatus.FAILING,
    }


def test_ticks_of_a_schedule_begin_at_a_time_and_include_it() -> None:
    ticks = schedule_execution_time_iterator(datetime(2026, 11, 22, 2, 30, tzinfo=UTC).timestamp(), "30 2 * * *", "UTC")

    assert [next(ticks).isoformat() for _ in range(2)] == ["2026-11-22T02:30:00+00:00", "2026-11-23T02:30:00+00:00"]


def test_what_is_done_with_retries_is_read_from_an_executors_config() -> None:
    assert RetryMode.from_config({"enabled": {}}) is RetryMode.ENABLED


def test_a_job_in_memory_is_what_a_run_can_be_executed_with() -> None:
    @job
    def nothing() -> None:
        pass

    held = InMemoryJob(nothing)

    assert isinstance(held, IJob)
    assert held.get_definition() is nothing


def test_a_step_is_given_to_celery_by_an_application_and_what_its_loop_passes() -> None:
    assert [*inspect.signature(celery_executor._submit_task).parameters] == [
        "app",
        "plan_context",
        "step",
        "queue",
        "priority",
        "known_state",
    ]


def test_a_worker_runs_or_has_failed() -> None:
    assert {status.value for status in (WorkerStatus.RUNNING, WorkerStatus.FAILED)} == {"RUNNING", "FAILED"}


def test_a_run_may_have_an_id_made_before_it() -> None:
    @job
    def nothing() -> None:
        pass

    run_id = make_new_run_id()
    with DagsterInstance.ephemeral() as instance:
        run: DagsterRun = instance.create_run_for_job(nothing, run_id=run_id)

    assert run.run_id == run_id
    assert make_new_run_id() != run_id


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path), overrides=NO_CAPTURE)) as opened:
        yield opened


def test_an_instance_opens_with_settings_on_top_of_its_own(instance: DagsterInstance) -> None:
    assert type(instance.compute_log_manager).__name__ == "NoOpComputeLogManager"
    assert not instance.telemetry_enabled


def test_a_wrong_type_in_the_instances_file_is_a_check_error(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("- a list\n")

    with pytest.raises(CheckError):
        InstanceRef.from_dir(str(tmp_path))


def test_a_local_instance_stores_events_in_sqlite_with_statements_that_can_be_batched(
    instance: DagsterInstance,
) -> None:
    storage = sqlite_event_log(instance.event_log_storage)

    assert storage is not None
    assert list(inspect.signature(storage.prepare_insert_event_batch).parameters) == ["events"]
    assert "run_id" in inspect.signature(storage.run_connection).parameters
    assert not inspect.signature(storage.index_transaction).parameters
    assert list(inspect.signature(storage.store_asset_event).parameters) == ["event", "event_id"]
    assert list(inspect.signature(storage.store_asset_event_tags).parameters) == ["events", "event_ids"]
    with storage.index_transaction() as connection:
        assert connection.exec_driver_sql("SELECT max(id) FROM event_logs").one() == (None,)


def test_stored_events_are_found_again_in_their_order_and_with_their_tags(instance: DagsterInstance) -> None:
    storage = sqlite_event_log(instance.event_log_storage)
    assert storage is not None
    tags = {"dagster/data_version": "7"}
    step = Step("a-run", "fleet_submit", NodeHandle("register", None))
    events = [step.entry(dg.AssetMaterialization("fleet", partition=name, tags=tags)) for name in ("b", "a", "c")]
    first, second, missing = events
    assert ids_of_stored_events(storage, events) == []

    for event in (first, second):
        storage.store_event(event)

    found = ids_of_stored_events(storage, [missing, second, first])
    assert found == sorted(found, reverse=True)
    assert len(found) == 2
    assert has_event_tags(storage, found)
    assert not has_event_tags(storage, [max(found) + 1])


def test_a_local_instance_hands_on_free_slots(instance: DagsterInstance) -> None:
    storage = sql_event_log(instance.event_log_storage)

    assert storage is not None
    assert storage.supports_global_concurrency_limits
    assert list(inspect.signature(storage.has_unassigned_slots).parameters) == ["concurrency_key"]
    assert list(inspect.signature(storage.assign_pending_steps).parameters) == ["concurrency_keys"]


def test_a_pool_has_a_limit_that_may_be_the_default_and_places(instance: DagsterInstance) -> None:
    """Made in a real database in ``test_pools_on_postgres.py``."""
    storage = sql_event_log(instance.event_log_storage)
    assert storage is not None

    assert {"concurrency_key", "limit", "using_default_limit"} <= {*ConcurrencyLimitsTable.c.keys()}
    allocate = storage._allocate_concurrency_slots
    assert list(inspect.signature(allocate).parameters) == ["conn", "concurrency_key", "num"]
    assert list(inspect.signature(initialize_pool).parameters) == ["storage", "pool", "limit"]


def test_postgres_is_known_by_its_class_and_takes_a_batch(instance: DagsterInstance) -> None:
    storage = pytest.importorskip("dagster_postgres").PostgresEventLogStorage

    assert postgres_event_log(storage.__new__(storage)) is not None
    assert list(inspect.signature(storage.store_event_batch).parameters) == ["self", "events"]
    assert postgres_event_log(instance.event_log_storage) is None


@pytest.mark.parametrize("ids", [["b"], ["d", "b", "unknown"], [f"{number}" for number in range(1200)]], ids=len)
def test_partitions_are_deleted_one_or_many_at_once_of_one_definition(
    instance: DagsterInstance, ids: list[str]
) -> None:
    for definition in ("fleet", "other"):
        instance.add_dynamic_partitions(definition, list(dict.fromkeys([*"abcd", *ids])))

    delete_dynamic_partitions(instance, "fleet", ids)

    assert instance.get_dynamic_partitions("fleet") == [one for one in "abcd" if one not in ids]
    assert set(instance.get_dynamic_partitions("other")) == {*"abcd", *ids}


@pytest.mark.parametrize("status", BulkActionStatus)
def test_a_backfill_runs_until_it_ended(instance: DagsterInstance, status: BulkActionStatus) -> None:
    chosen = [AssetKey(["fleet", "registration"])]
    instance.add_backfill(
        PartitionBackfill("one", status, from_failure=False, tags={}, backfill_timestamp=0.0, asset_selection=chosen)
    )

    found = [(one.backfill_id, one.asset_selection) for one in running_backfills(instance)]

    ended = ("COMPLETED", "FAILED", "CANCELED", "COMPLETED_SUCCESS", "COMPLETED_FAILED")
    assert found == ([] if status.value in ended else [("one", chosen)])


def test_a_storage_outside_sql_is_none_of_them() -> None:
    assert sql_event_log(object()) is None
    assert sqlite_event_log(object()) is None
    assert postgres_event_log(object()) is None


def test_a_check_takes_the_materialization_that_it_is_about() -> None:
    target = private_dagster.CheckTarget(storage_id=1, run_id="run", timestamp=2.0)

    check = dg.AssetCheckEvaluation(
        asset_key=AssetKey("a"), check_name="c", passed=True, target_materialization_data=target
    )

    assert check.target_materialization_data == target


def test_a_load_context_is_one_object_for_a_load_that_a_weak_dictionary_can_hold() -> None:
    load = private_dagster.DefinitionsLoadContext.get()

    with private_dagster.DefinitionsLoadContext.scoped(load):
        assert private_dagster.DefinitionsLoadContext.is_set()
        assert private_dagster.DefinitionsLoadContext.get() is load
        assert WeakKeyDictionary({load: 1})[load] == 1
