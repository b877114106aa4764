"""The definitions in a host project: what merges, whose executor runs what, and that events use the keys that a host gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import FileCodePointer
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext
from dagster._core.definitions.reconstruct import initialize_repository_def_from_pointer
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from dagster_aws.s3 import S3Resource

from registration_pipeline import build_definitions, load_settings
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.asset_specs import Embedding, name_source
from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.settings import Settings
    from registration_pipeline_tests.orchestration.conftest import Pipeline

STAGES = ("inventory", "chunk_plan", "manifest", "registration", "failure_log")
SECRET = "https://hooks.slack.example/T-4711-SECRET"


@pytest.fixture(autouse=True)
def no_load_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster leaves the load of a code location set that a command in this process began: building belongs to it then."""
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", None)


def settings_of(folder: Path, *sources: str, **more: object) -> Settings:
    """Write and load a configuration with these sources, each in a folder of its own."""
    for name in sources:
        (folder / name).mkdir(exist_ok=True)
    described = {name: {"uri": (folder / name).as_uri(), "encord": {"integration": "sandbox"}} for name in sources}
    config = folder / f"{sources[0]}.yaml"
    config.write_text(yaml.safe_dump({"state": f"./state-{sources[0]}", "sources": described, **more}))
    return load_settings(config, {})


@dg.asset(deps=[dg.AssetKey(["fleet", "registration"])])
def labels() -> None:
    """An asset of a host that is made from what is registered."""


@dg.op
def greet() -> None:
    """Work of a host that has nothing to do with us."""


@dg.job
def hosts_job() -> None:
    greet()


HOSTS_EXECUTOR = dg.multiprocess_executor.configured({"max_concurrent": 2})


def host(**more: Any) -> dg.Definitions:
    return dg.Definitions(
        assets=[labels],
        jobs=[hosts_job],
        executor=HOSTS_EXECUTOR,
        **{
            "resources": {"s3": S3Resource(region_name="eu-west-2"), "project": dg.ResourceDefinition.none_resource()},
            **more,
        },
    )


def test_two_configurations_merge_with_a_host_that_has_an_executor_resources_and_a_downstream_asset(
    tmp_path: Path,
) -> None:
    first, second = settings_of(tmp_path, "fleet", "attic"), settings_of(tmp_path, "drones")

    repository = dg.Definitions.merge(host(), build_definitions(first), build_definitions(second)).get_repository_def()
    repository.load_all_definitions()

    assert repository.asset_graph.get(labels.key).parent_keys == {dg.AssetKey(["fleet", "registration"])}
    assert {job.name for job in repository.get_all_jobs()} >= {"hosts_job", "fleet_sync", "attic_sync", "drones_sync"}
    assert {key for key in repository.get_top_level_resources() if key.startswith("registration")} == {
        "registration_project_attic",
        "registration_project_drones",
    }
    assert len({sensor.name for sensor in repository.sensor_defs}) == len(repository.sensor_defs)


SECOND_OF_ONE = {
    "another prefix": ("config", "build_definitions(config, key_prefix='b')", " (key_prefix b)"),
    "another file": ("other", "build_definitions(other)", ""),
}


@pytest.mark.parametrize(("file", "call", "prefix"), SECOND_OF_ONE.values(), ids=SECOND_OF_ONE.keys())
def test_a_code_location_with_one_source_and_state_twice_is_refused(
    tmp_path: Path, file: str, call: str, prefix: str
) -> None:
    settings_of(tmp_path, "fleet")
    (tmp_path / "other.yaml").write_text((tmp_path / "fleet.yaml").read_text())
    module = tmp_path / "location.py"
    module.write_text(
        textwrap.dedent(f"""\
            import dagster as dg
            from registration_pipeline import build_definitions, load_settings
            config = load_settings({str(tmp_path / "fleet.yaml")!r}, {{}})
            other = load_settings({str(tmp_path / "other.yaml")!r}, {{}})
            build_definitions(config)  # the same once more is no second place
            defs = dg.Definitions.merge(build_definitions(config), {call})
        """)
    )
    pointer = FileCodePointer(str(module), "defs")

    with DefinitionsLoadContext.scoped(DefinitionsLoadContext.get()), pytest.raises(ConfigurationError) as raised:
        initialize_repository_def_from_pointer(pointer)

    name = {"config": "fleet.yaml", "other": "other.yaml"}[file]
    assert str(raised.value).startswith(f"{tmp_path / name}: sources.fleet: the source{prefix} has the state")
    assert f"of the same name in {tmp_path / 'fleet.yaml'}; " in str(raised.value)


def test_outside_of_a_code_location_the_same_source_may_be_built_with_two_prefixes(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "fleet")

    made = [build_definitions(settings, key_prefix=prefix) for prefix in ("a", "b")]

    assert len(made) == 2


def test_jobs_run_in_one_process_and_everything_else_with_the_hosts_executor(tmp_path: Path) -> None:
    merged = dg.Definitions.merge(host(), build_definitions(settings_of(tmp_path, "fleet")))
    repository = merged.get_repository_def()
    repository.load_all_definitions()

    executors = {job.name: job.executor_def.name for job in repository.get_all_jobs()}

    ours = {name for name in executors if name.startswith("fleet_")}
    assert {executors[name] for name in ours} == {"in_process"}
    assert executors["hosts_job"] == "multiprocess"
    assert executors["__ASSET_JOB"] == "multiprocess"


def test_alone_there_is_no_executor(tmp_path: Path) -> None:
    assert build_definitions(settings_of(tmp_path, "fleet")).executor is None


def test_a_storage_resource_that_host_and_sources_share_merges(tmp_path: Path) -> None:
    s3 = S3Resource(region_name="eu-west-2")
    own = build_definitions(settings_of(tmp_path, "fleet"), resources={"s3": s3})

    dg.Definitions.merge(host(resources={"s3": s3}), own).get_repository_def().load_all_definitions()


def test_a_resource_of_the_host_is_required_by_its_key(tmp_path: Path) -> None:
    own = build_definitions(settings_of(tmp_path, "fleet"), resources={"s3": "media_store"})

    with pytest.raises(dg.DagsterInvalidDefinitionError, match="media_store"):
        own.get_repository_def().load_all_definitions()
    there = dg.Definitions(resources={"media_store": S3Resource(region_name="eu-west-2")})
    dg.Definitions.merge(there, own).get_repository_def().load_all_definitions()


def test_a_kind_of_storage_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s4"):
        build_definitions(settings_of(tmp_path, "fleet"), resources={"s4": "media_store"})


def test_a_host_gives_prefix_group_owners_and_tags_to_all_assets(tmp_path: Path) -> None:
    graph = (
        build_definitions(
            settings_of(tmp_path, "fleet"),
            key_prefix=["media", "raw"],
            group_name="registration",
            owners=["team:media"],
            tags={"domain": "media"},
        )
        .get_repository_def()
        .asset_graph
    )

    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert {node.key.path[:-1] == ["media", "raw", "fleet"] for node in nodes} == {True}
    assert {node.group_name for node in nodes} == {"registration"}
    assert {tuple(node.owners) for node in nodes} == {("team:media",)}
    assert {(node.tags["domain"], node.tags["registration/source"]) for node in nodes} == {("media", "fleet")}


def translated(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Give every asset another key, and one of them something that it depends on."""
    changed = spec.replace_attributes(key=["lake", f"encord_{spec.key.path[-1]}"])
    return changed.merge_attributes(deps=["ingest"]) if spec.key.path[-1] == "inventory" else changed


@pytest.mark.parametrize("translation", [None, translated], ids=["keys by default", "keys of the host"])
def test_steps_are_known_by_their_source_also_under_a_prefix(tmp_path: Path, translation: Any) -> None:
    sources = settings_of(tmp_path, "fleet", "attic").sources
    wanted = Embedding(key_prefix=("media",), translate=translation)
    fleet, attic = (name_source(sources[name], embedding=wanted) for name in ("fleet", "attic"))

    for step in ("media_fleet_take_inventory", fleet.registration.to_python_identifier()):
        assert fleet.has_step(step)
    assert not attic.has_step("media_fleet_take_inventory")


def test_one_source_twice_merges_under_two_prefixes(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "fleet")

    repository = dg.Definitions.merge(
        build_definitions(settings, key_prefix="test"), build_definitions(settings, key_prefix="live")
    ).get_repository_def()
    repository.load_all_definitions()

    partitions = {repository.asset_graph.get(key).partitions_def for key in repository.asset_graph.get_all_asset_keys()}
    names = {found.name for found in partitions if isinstance(found, dg.DynamicPartitionsDefinition)}
    assert names == {"test/fleet/chunks", "live/fleet/chunks"}


def test_schedules_can_be_left_to_the_host(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "fleet")

    assert build_definitions(settings).get_repository_def().schedule_defs
    assert build_definitions(settings, schedules=False).get_repository_def().schedule_defs == []


def test_a_translation_that_gives_two_assets_one_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'inventory' and 'headers' of source 'fleet' would have the same key 'one'"):
        build_definitions(settings_of(tmp_path, "fleet"), translation=lambda spec: spec.replace_attributes(key="one"))


def test_what_the_ui_shows_of_the_resource_holds_no_setting(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "fleet", notify=[{"slack": SECRET}])
    assert settings.notify
    repository = build_definitions(settings).get_repository_def()

    shown = serialize_value(RepositorySnap.from_def(repository))

    assert "registration_project_fleet" in shown
    assert "SECRET" not in shown
    assert "state-fleet" not in shown


def test_events_have_the_keys_that_a_host_gave_and_it_can_do_something_around_every_step(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    pipeline.add_images(2)
    pipeline.break_images(1)
    steps: list[tuple[str, str, str]] = []

    def around(context: Any, source: str, stage: str, events: Iterator[Any]) -> Iterator[Any]:
        steps.append((context.op_def.name, source, stage))
        yield from events

    made = build_definitions(pipeline.project.settings, key_prefix="media", translation=translated, around=around)
    night = made.resolve_job_def("media_fleet_cameras_sync").execute_in_process(instance=instance, raise_on_error=False)
    alone = made.resolve_job_def("media_fleet_cameras_inventory").execute_in_process(instance=instance)

    keys = {name: dg.AssetKey(["lake", f"encord_{name}"]) for name in STAGES}
    graph = made.get_repository_def().asset_graph
    assert (night.success, alone.success) == (False, True)
    assert set(instance.all_asset_keys()) == set(keys.values())
    assert graph.materializable_asset_keys == {*keys.values(), dg.AssetKey(["lake", "encord_audit"])}
    assert graph.get(keys["inventory"]).parent_keys == {dg.AssetKey("ingest")}
    assert instance.get_dynamic_partitions("media/fleet-cameras/chunks") == pipeline.chunk_ids
    assert instance.get_materialized_partitions(keys["registration"]) == {pipeline.chunk_ids[0]}
    assert {key.asset_key for key in graph.asset_check_keys} <= graph.materializable_asset_keys
    assert steps == [
        ("media_fleet_cameras_take_inventory", "fleet-cameras", "inventory"),
        ("media_fleet_cameras_plan_chunks", "fleet-cameras", "chunk_plan"),
        ("media_fleet_cameras_register_chunks", "fleet-cameras", "registration"),
        ("lake__encord_inventory", "fleet-cameras", "inventory"),
    ]


def test_importing_the_package_imports_no_dagster_and_names_what_it_has() -> None:
    code = "import sys, registration_pipeline as r; print('dagster' in sys.modules, *dir(r))"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert printed[0] == "False"
    assert {"BucketRegistration", "build_definitions", "load_settings"} <= set(printed)


HOST = textwrap.dedent("""
    import os
    import dagster as dg
    from registration_pipeline import build_definitions, load_settings
    from registration_pipeline.orchestration.runs.processes import WORKER_TAG
    from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs

    @dg.asset(deps=[dg.AssetKey(["fleet-cameras", "inventory"])])
    def audience(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        run = context.instance.get_run_by_id(context.run_id)
        cleared = [one.run_id for one in clear_stale_runs(context.instance)]
        if "TEST_ENDS" in os.environ:
            os.kill(os.getppid(), 9)
        return dg.MaterializeResult(metadata={"cleared": cleared, "worker": run.tags[WORKER_TAG]})

    defs = dg.Definitions.merge(
        build_definitions(load_settings()),
        dg.Definitions(
            assets=[audience],
            jobs=[dg.define_asset_job("both", ["fleet-cameras/inventory", "audience"])],
            executor=dg.multiprocess_executor,
        ),
    )
""")
RUN_HOST = textwrap.dedent("""
    import sys
    import dagster as dg
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    if __name__ == "__main__":
        job = ReconstructableRepository.for_file(sys.argv[1], "defs").get_reconstructable_job("both")
        with dg.DagsterInstance.get() as instance:
            print(dg.execute_job(job, instance=instance).success)
""")


@pytest.mark.slow
def test_a_run_with_a_process_for_each_step_lives_as_long_as_the_process_that_starts_them(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The process of a step ends while the run goes on; the process that starts them has no resources."""
    pipeline.add_images(1)
    (tmp_path / "host.py").write_text(HOST)
    (tmp_path / "run_host.py").write_text(RUN_HOST)
    environ = {**os.environ, "DAGSTER_HOME": str(instance.root_directory)}
    command = [sys.executable, "run_host.py", "host.py"]

    ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240, check=False)

    assert ended.stdout.strip() == "True", ended.stderr[-3000:]
    event = instance.get_latest_materialization_event(dg.AssetKey("audience"))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["cleared"].value == []
    worker = json.loads(str(shown["worker"].value))
    assert worker["run"] == event.run_id

    killed = subprocess.run(
        command,
        cwd=tmp_path,
        env={**environ, "TEST_ENDS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert killed.returncode == -9
    (run, *_) = instance.get_runs(limit=1)
    assert run.status is dg.DagsterRunStatus.STARTED
    assert [one.run_id for one in clear_stale_runs(instance)] == [run.run_id]
