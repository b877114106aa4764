"""The tags of a source reach everything that Dagster starts for it, and tags that no pod can be made with are refused."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.definitions import build_definitions
from registration_pipeline.orchestration.engine_tags import kubernetes_tags, refuse_wrong_tags
from registration_pipeline.orchestration.preflight import run_all_checks
from registration_pipeline.orchestration.private_dagster import make_new_run_id
from registration_pipeline.project.project import Project
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.settings import Settings

POD = {"container_config": {"resources": {"limits": {"memory": "2Gi", "cpu": "500m"}}}}
RUN_TAGS = {"team": "vision", "dagster-k8s/config": POD}
OP_TAGS = {"dagster-celery/queue": "large", "dagster-k8s/config": POD}
KEPT_RUN_TAGS = {"team": "vision", "dagster-k8s/config": json.dumps(POD)}
KEPT_OP_TAGS = {"dagster-celery/queue": "large", "dagster-k8s/config": json.dumps(POD)}
EVERY_STAGE = {
    "dataset": {"title": "fleet"},
    "upsert_metadata": True,
    "metadata": [{"pattern": "site-(?P<site>[a-z]+)/"}],
    "media_metadata": "probe",
    "key_ranges": 2,
    "groups": [{"match": "scans/**", "as": "dicom_series", "by": "headers"}],
}


def settings_of(folder: Path, **tags: Any) -> Settings:
    source = {"uri": "s3://fleet/", "storage": {"region": "eu-west-2"}, "encord": {"integration": "aws"}, **EVERY_STAGE}
    file = folder / "registration.yaml"
    file.write_text(json.dumps({"sources": {"fleet": {**source, **tags}, "lidar": {**source, "uri": "s3://lidar/"}}}))
    return load_settings(file, {})


@pytest.fixture(scope="module", params=[(), ("lake", "media")], ids=["alone", "embedded"])
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    settings = settings_of(tmp_path_factory.mktemp("tags"), run_tags=RUN_TAGS, op_tags=OP_TAGS)
    repository = build_definitions(settings, key_prefix=request.param).get_repository_def()
    repository.load_all_definitions()
    return repository


def jobs_of(repository: dg.RepositoryDefinition, source: str) -> list[dg.JobDefinition]:
    jobs = [job for job in repository.get_all_jobs() if job.tags.get("registration/source") == source]
    assert len(jobs) == 8
    return jobs


def test_runs_of_every_job_of_the_source_have_its_tags_and_those_of_others_do_not(
    repository: dg.RepositoryDefinition,
) -> None:
    for job in jobs_of(repository, "fleet"):
        assert KEPT_RUN_TAGS.items() <= job.run_tags.items(), job.name
        assert job.run_tags["dagster/retry_on_asset_or_op_failure"] == "false"
    for job in jobs_of(repository, "lidar"):
        assert not KEPT_RUN_TAGS.keys() & job.run_tags.keys(), job.name


def test_every_step_of_a_job_and_every_asset_of_the_source_has_its_op_tags(repository: dg.RepositoryDefinition) -> None:
    for job in jobs_of(repository, "fleet"):
        assert job.nodes
        for node in job.nodes:
            assert KEPT_OP_TAGS.items() <= node.definition.tags.items(), (job.name, node.name)
    for key in repository.asset_graph.get_all_asset_keys():
        found = repository.assets_defs_by_key[key].op.tags
        if "fleet" in key.path:
            assert KEPT_OP_TAGS.items() <= found.items(), key
        else:
            assert not KEPT_OP_TAGS.keys() & found.keys(), key


@pytest.fixture
def instance(empty_home: Path, tmp_path: Path) -> Iterator[DagsterInstance]:
    home = tmp_path / "home"
    shutil.copytree(empty_home, home)
    with DagsterInstance.from_config(str(home)) as opened:
        yield opened


def test_a_night_that_the_schedule_starts_has_the_tags(
    repository: dg.RepositoryDefinition, instance: DagsterInstance
) -> None:
    (schedule,) = [one for one in repository.schedule_defs if one.job_name.endswith("fleet_nightly_sync")]
    at = datetime.now(UTC).replace(microsecond=0)
    context = dg.build_schedule_context(instance, scheduled_execution_time=at, repository_def=repository)

    (request,) = schedule.evaluate_tick(context).run_requests or ()

    assert {**KEPT_RUN_TAGS, "registration/source": "fleet"}.items() <= request.tags.items()


def test_the_failure_log_after_a_backfill_has_the_tags(
    repository: dg.RepositoryDefinition, instance: DagsterInstance
) -> None:
    (sensor,) = [one for one in repository.sensor_defs if one.name.startswith("failure_log_after_backfills")]
    begun = sensor.evaluate_tick(dg.build_sensor_context(instance, repository_def=repository))
    registration = next(
        key for key in repository.asset_graph.get_all_asset_keys() if key.path[-2:] == ["fleet", "registration"]
    )
    run = dg.DagsterRun(
        "__ASSET_JOB", make_new_run_id(), status=DagsterRunStatus.STARTED, asset_selection=frozenset([registration])
    )
    instance.add_run(run)
    instance.report_run_failed(run)

    context = dg.build_sensor_context(instance, cursor=begun.cursor, repository_def=repository)
    (request,) = sensor.evaluate_tick(context).run_requests or ()

    assert {**KEPT_RUN_TAGS, "registration/source": "fleet"}.items() <= request.tags.items()


WRONG_PODS: dict[str, tuple[Any, str]] = {
    "a section": ({"container_conf": {}}, 'unexpected config entry "container_conf"'),
    "a key of the container": ({"container_config": {"resorces": {}}}, "V1Container: {'resorces'}"),
    "a key further inside": ({"container_config": {"resources": {"limit": {}}}}, "V1ResourceRequirements: {'limit'}"),
    "a key of the pod": ({"pod_spec_config": {"tolerations": [{"keyy": "a"}]}}, "V1Toleration: {'keyy'}"),
    "an amount": ({"container_config": {"resources": {"requests": {"memory": "2GB"}}}}, "GB"),
    "text": ("2Gi", "must be a mapping, e.g. {container_config:"),
    "a list": ([1], "must be dict"),
}


@pytest.mark.parametrize(("pod", "says"), WRONG_PODS.values(), ids=WRONG_PODS.keys())
@pytest.mark.parametrize("setting", ["run_tags", "op_tags"])
def test_a_pod_that_can_not_be_is_found_when_definitions_are_loaded(
    tmp_path: Path, setting: str, pod: object, says: str
) -> None:
    settings = settings_of(tmp_path, **{setting: {"dagster-k8s/config": pod}})

    with pytest.raises(ConfigurationError) as raised:
        build_definitions(settings)

    assert raised.value.key == f"sources.fleet.{setting}.dagster-k8s/config"
    assert says in str(raised.value)


def test_all_wrong_pods_are_named_at_once(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"dagster-k8s/config": {"container_conf": {}}}
    settings = settings_of(tmp_path, run_tags=wrong, op_tags=wrong)

    with pytest.raises(ConfigurationError) as raised:
        refuse_wrong_tags(settings, settings.sources.values())

    assert len(str(raised.value).splitlines()) == 2


def test_the_library_for_kubernetes_is_loaded_only_where_a_source_has_its_tags(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, run_tags={"team": "vision"})

    assert find_spec("dagster_k8s") is not None  # otherwise the tests above could not fail
    assert kubernetes_tags(settings.sources["fleet"]) == []


@pytest.mark.parametrize(
    ("pod", "says"),
    [(POD, "a pod can be made with run_tags: dagster-k8s/config"), ({"container_conf": {}}, "unexpected config entry")],
    ids=["right", "wrong"],
)
def test_check_tries_the_pod(tmp_path: Path, pod: object, says: str) -> None:
    settings = settings_of(tmp_path, run_tags={"dagster-k8s/config": pod})
    project = Project(settings, {})

    found = next(one for one in run_all_checks(project, settings.sources["fleet"]) if one.what == "tags")

    assert says in found.detail
    assert (found.error is None) == (pod is POD)
