"""What the code location holds for a configuration, and what it says when there is none or a wrong one."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import warnings
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml
from dagster._core.remote_representation.external_data import asset_node_snaps_from_repo

from registration_pipeline.definitions import defs
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.definitions import build_definitions
from registration_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "registration.yaml"
ENVIRON = {"FLEET_BUCKET": "fleet-bucket"}
BIN = Path(sys.executable).parent


@pytest.fixture
def load_with(tmp_path: Path) -> Callable[..., Settings]:
    """Load the example with changes to its source, and with copies of the source under other names."""

    def load(*more_sources: str, **changes: object) -> Settings:
        document = yaml.safe_load(EXAMPLE.read_text())
        document["sources"]["fleet-cameras"] |= changes
        given = document["sources"]["fleet-cameras"]
        for name in more_sources:
            document["sources"][name] = {**given, "encord": {**given["encord"], "folder": name}}
        config = tmp_path / "registration.yaml"
        config.write_text(yaml.safe_dump(document))
        return load_settings(config, ENVIRON)

    return load


def test_the_example_makes_the_assets_jobs_schedule_and_sensor_of_its_source() -> None:
    repository = build_definitions(load_settings(EXAMPLE, ENVIRON)).get_repository_def()
    repository.load_all_definitions()

    graph = repository.asset_graph
    stages = ("inventory", "chunk_plan", "manifest", "registration", "failure_log", "audit")
    assert graph.get_all_asset_keys() == {dg.AssetKey(["fleet-cameras", stage]) for stage in stages}
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"fleet_cameras"}
    jobs = {"sync", "nightly_sync", "submit", "retry_failed", "inventory", "probe", "plan", "audit"}
    assert {job.name for job in repository.get_all_jobs()} == {f"fleet_cameras_{name}" for name in jobs} | {
        "__ASSET_JOB"
    }
    assert [schedule.name for schedule in repository.schedule_defs] == ["fleet_cameras_nightly"]
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "clear_stale_runs_fleet_cameras",
        "continue_waiting_runs_fleet_cameras",
        "failure_log_after_backfills_fleet_cameras",
    }


def test_assets_depend_on_each_other_in_the_order_of_the_stages() -> None:
    graph = build_definitions(load_settings(EXAMPLE, ENVIRON)).get_repository_def().asset_graph
    stages = ("inventory", "chunk_plan", "manifest", "registration", "failure_log")
    keys = [dg.AssetKey(["fleet-cameras", stage]) for stage in stages]

    assert [graph.get(key).parent_keys for key in keys] == [set(), *({key} for key in keys[:-1])]


def test_headers_are_an_asset_between_inventory_and_plan_where_a_rule_asks_for_them(
    load_with: Callable[..., Settings],
) -> None:
    rules = [{"match": "scans/**", "as": "dicom_series", "by": "headers"}]
    repository = build_definitions(load_with(groups=rules)).get_repository_def()
    repository.load_all_definitions()
    inventory, headers, plan = (dg.AssetKey(["fleet-cameras", name]) for name in ("inventory", "headers", "chunk_plan"))

    assert repository.asset_graph.get(headers).parent_keys == {inventory}
    assert repository.asset_graph.get(plan).parent_keys == {inventory, headers}
    assert repository.asset_graph.get(headers).pools == {"listing/fleet-cameras"}
    ops = [node.name for node in repository.get_job("fleet_cameras_sync").nodes]
    assert sorted(ops) == [
        f"fleet_cameras_{name}" for name in ("plan_chunks", "read_headers", "register_chunks", "take_inventory")
    ]


def test_a_dataset_is_an_asset_after_the_registration_with_a_check_where_one_is_configured(
    load_with: Callable[..., Settings],
) -> None:
    graph = build_definitions(load_with(dataset={"title": "fleet"})).get_repository_def().asset_graph
    registration, dataset, log = (
        dg.AssetKey(["fleet-cameras", name]) for name in ("registration", "dataset", "failure_log")
    )

    assert graph.get(dataset).parent_keys == {registration}
    assert graph.get(log).parent_keys == {registration, dataset}
    assert dg.AssetCheckKey(dataset, "dataset_complete") in graph.asset_check_keys


def test_checks_belong_to_the_asset_that_they_are_about() -> None:
    graph = build_definitions(load_settings(EXAMPLE, ENVIRON)).get_repository_def().asset_graph

    assert {(key.asset_key.path[-1], key.name) for key in graph.asset_check_keys} == {
        ("inventory", "inventory_complete"),
        ("inventory", "inventory_not_emptied"),
        ("chunk_plan", "every_object_accounted_for"),
        ("manifest", "manifests_valid"),
        ("registration", "no_failed_chunks"),
        ("audit", "audit_clean"),
    }


def test_a_declared_schema_is_a_check_of_the_plan(load_with: Callable[..., Settings]) -> None:
    graph = build_definitions(load_with(metadata_schema={"speed": "number"})).get_repository_def().asset_graph
    plan = dg.AssetKey(["fleet-cameras", "chunk_plan"])

    assert dg.AssetCheckKey(plan, "metadata_matches_schema") in graph.asset_check_keys


def test_what_must_not_overlap_shares_a_pool_of_its_source() -> None:
    graph = build_definitions(load_settings(EXAMPLE, ENVIRON)).get_repository_def().asset_graph

    assert {key.path[-1]: graph.get(key).pools for key in graph.get_all_asset_keys()} == {
        "inventory": {"listing/fleet-cameras"},
        "chunk_plan": {"listing/fleet-cameras"},
        "manifest": {"encord_submission/fleet-cameras"},
        "registration": {"encord_submission/fleet-cameras"},
        "failure_log": set(),
        "audit": set(),
    }


def test_every_source_has_a_group_and_partitions_of_its_own(load_with: Callable[..., Settings]) -> None:
    repository = build_definitions(load_with("fleet", "fleet-cameras-2")).get_repository_def()
    repository.load_all_definitions()

    graph = repository.asset_graph
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {
        "fleet",
        "fleet_cameras",
        "fleet_cameras_2",
    }
    partitions = [graph.get(key).partitions_def for key in graph.get_all_asset_keys()]
    names = {found.name for found in partitions if isinstance(found, dg.DynamicPartitionsDefinition)}
    assert names == {"fleet/chunks", "fleet-cameras/chunks", "fleet-cameras-2/chunks"}


def test_the_schedule_runs_by_itself_in_its_time_zone(load_with: Callable[..., Settings]) -> None:
    settings = load_with("lidar", schedule="30 4 * * 1-5", timezone="Europe/Berlin")
    fleet, lidar = build_definitions(settings).get_repository_def().schedule_defs

    for schedule, job in ((fleet, "fleet_cameras_nightly_sync"), (lidar, "lidar_nightly_sync")):
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        assert schedule.cron_schedule == "30 4 * * 1-5"
        assert schedule.execution_timezone == "Europe/Berlin"
        assert schedule.job_name == job


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="plain"),
        pytest.param(
            {
                "dataset": {"title": "fleet"},
                "upsert_metadata": True,
                "metadata": [{"pattern": "site-(?P<site>[a-z]+)/"}],
                "media_metadata": "probe",
            },
            id="with every stage",
        ),
    ],
)
def test_every_asset_that_a_sync_brings_up_to_date_shows_its_schedule(
    load_with: Callable[..., Settings], changes: dict[str, object]
) -> None:
    repository = build_definitions(load_with(**changes), key_prefix="team").get_repository_def()
    (schedule,) = repository.schedule_defs
    # Dagster's webserver shows a schedule on the page of an asset if the asset's jobs have it.
    jobs = {node.asset_key.path[-1]: node.job_names for node in asset_node_snaps_from_repo(repository)}

    assert {stage for stage, names in jobs.items() if schedule.job_name in names} == jobs.keys() - {"audit"}
    assert repository.get_job(schedule.job_name).partitions_def is None


def test_a_sync_that_is_started_by_hand_keeps_its_launchpad(load_with: Callable[..., Settings]) -> None:
    # The webserver gives no Launchpad to jobs that name assets.
    nodes = asset_node_snaps_from_repo(build_definitions(load_with()).get_repository_def())

    assert all("fleet_cameras_sync" not in node.job_names for node in nodes)


def test_a_source_is_stale_after_its_freshness_hours(load_with: Callable[..., Settings]) -> None:
    graph = build_definitions(load_with(freshness_hours=30)).get_repository_def().asset_graph
    policies = {key.path[-1]: graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}

    wanted = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=30))
    assert {stage for stage, policy in policies.items() if policy == wanted} == {
        "inventory",
        "chunk_plan",
        "failure_log",
    }
    assert {policy for policy in policies.values() if policy != wanted} == {None}


def test_freshness_hours_of_null_switch_it_off(load_with: Callable[..., Settings]) -> None:
    graph = build_definitions(load_with(freshness_hours=None)).get_repository_def().asset_graph

    assert {graph.get(key).freshness_policy for key in graph.get_all_asset_keys()} == {None}


def test_a_schedule_of_null_switches_the_nightly_sync_off(load_with: Callable[..., Settings]) -> None:
    repository = build_definitions(load_with(schedule=None)).get_repository_def()

    assert repository.schedule_defs == []


def test_the_sensors_run_by_themselves() -> None:
    sensors = build_definitions(load_settings(EXAMPLE, ENVIRON)).get_repository_def().sensor_defs

    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_loading_gives_no_warning_of_dagsters(load_with: Callable[..., Settings]) -> None:
    settings = load_with()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_definitions(settings).get_repository_def().load_all_definitions()


def test_without_a_configuration_an_asset_says_in_the_ui_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REGISTRATION_CONFIG", raising=False)
    monkeypatch.setattr(logging.getLogger("dagster"), "propagate", True)

    loaded = defs()

    assert isinstance(loaded, dg.Definitions)
    repository = loaded.get_repository_def()
    (asset,) = repository.asset_graph.asset_nodes
    assert asset.key == dg.AssetKey("registration_yaml_is_missing")
    assert asset.description is not None
    for said in (asset.description, caplog.text):
        assert f"no registration.yaml in {tmp_path} and REGISTRATION_CONFIG is not set" in said
        assert "`registration-pipeline init`" in said
    assert "init --sandbox" in asset.description
    assert not repository.get_all_jobs() or all(job.name.startswith("__") for job in repository.get_all_jobs())
    assert not asset.is_executable, "there is nothing to materialize"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("sorces: {}", "did you mean 'sources'", id="unknown key"),
        pytest.param("sources: {a: {uri: 'ftp://x/'}}", "sources.a.uri", id="unknown scheme"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    (tmp_path / "registration.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REGISTRATION_CONFIG", raising=False)

    with pytest.raises(ConfigurationError, match=message):
        defs()


def test_the_instance_file_at_the_top_is_the_one_that_is_shipped() -> None:
    shipped = files("registration_pipeline.orchestration") / "dagster.yaml"

    assert (REPOSITORY / "dagster.yaml").read_text() == shipped.read_text()


def run_tool(*command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={**os.environ, **ENVIRON, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_dagster_validates_the_workspace_file_of_a_users_folder(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "workspace.yaml", tmp_path)
    shutil.copy(EXAMPLE, tmp_path)

    run = run_tool("dagster", "definitions", "validate", "-w", "workspace.yaml", cwd=tmp_path)

    assert run.returncode == 0, run.stderr
    assert "Validation successful for code location registration_pipeline" in run.stdout + run.stderr


@pytest.mark.slow
def test_dagster_shows_what_is_wrong_with_a_configuration(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "workspace.yaml", tmp_path)
    (tmp_path / "registration.yaml").write_text("sorces: {}")

    run = run_tool("dagster", "definitions", "validate", "-w", "workspace.yaml", cwd=tmp_path)

    assert run.returncode != 0
    assert "registration.yaml:1: sorces: unknown key; did you mean 'sources'?" in run.stdout + run.stderr


@pytest.mark.slow
def test_dg_checks_the_definitions() -> None:
    run = run_tool("dg", "check", "defs", cwd=REPOSITORY, REGISTRATION_CONFIG=str(EXAMPLE))

    assert run.returncode == 0, run.stdout + run.stderr
