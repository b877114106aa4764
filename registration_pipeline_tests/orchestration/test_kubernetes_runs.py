"""Runs that Dagster's Kubernetes launcher starts: the pod that it asks for, its command, its end by SIGTERM."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.launcher import LaunchRunContext

from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.orchestration.runs.launch import _reconstructable, remote_origin
from registration_pipeline_tests.orchestration.cluster import Cluster, running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline_tests.orchestration.conftest import MakePipeline, Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAMESPACE = "registration"
IMAGES = 4
POD = {"container_config": {"resources": {"requests": {"memory": "768Mi"}, "limits": {"memory": "2Gi"}}}}


@pytest.fixture
def cluster_and_kubeconfig(tmp_path: Path) -> Iterator[tuple[Cluster, Path]]:
    yield from running_cluster(tmp_path)


def launched(pipeline: Pipeline, instance: DagsterInstance) -> str:
    """Make a run of the sync as the daemon does, let the launcher start it, and return its id."""
    job = _reconstructable(pipeline.own.sync_job)
    definition = job.get_definition()
    run = instance.create_run_for_job(
        job_def=definition,
        run_config=definition.run_config or {},
        tags=dict(definition.run_tags),
        remote_job_origin=remote_origin(pipeline.own.sync_job),
        job_code_origin=job.get_python_origin(),
    )
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    return run.run_id


def status_of(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_in_a_pod_is_terminated_and_the_next_one_registers_the_rest_once(
    make_pipeline: MakePipeline, cluster_and_kubeconfig: tuple[Cluster, Path]
) -> None:
    cluster, kubeconfig = cluster_and_kubeconfig
    pipeline = make_pipeline(job_seconds=1.0)
    pipeline.add_images(IMAGES)
    pipeline.configure(max_in_flight=1, run_tags={"team": "vision", "dagster-k8s/config": POD})
    home = pipeline.root / ".dagster"
    home.mkdir()
    launcher = {
        "job_image": "registration-pipeline:test",
        "dagster_home": str(home),
        "instance_config_map": "dagster-instance",
        "service_account_name": "registration",
        "job_namespace": NAMESPACE,
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
        "run_k8s_config": {"pod_spec_config": {"terminationGracePeriodSeconds": 60}},
    }
    (home / "dagster.yaml").write_text(
        yaml.safe_dump(
            {
                "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher},
                "concurrency": {"pools": {"granularity": "op", "default_limit": 1}},
                "telemetry": {"enabled": False},
            }
        )
    )
    with open_instance(pipeline.project.settings, os.environ) as instance:
        first = launched(pipeline, instance)
        name = f"dagster-run-{first}"
        container = cluster.container(name)
        assert container["image"] == "registration-pipeline:test"
        assert "command" not in container  # so the image's entry point has to take any command
        assert container["resources"] == POD["container_config"]["resources"]
        assert cluster.jobs[name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60
        assert container["args"][:3] == ["dagster", "api", "execute_run"]

        pod = cluster.start(name, pipeline.root)
        pipeline.wait_until(pipeline.sandbox.jobs, seconds=200, what="the first upload job")
        assert instance.run_launcher.terminate(first)
        said = pod.communicate(timeout=300)[1]

        assert cluster.deleted == [name]
        assert status_of(instance, first) is DagsterRunStatus.CANCELED, said[-2_000:]
        assert len(pipeline.urls()) < IMAGES

        second = launched(pipeline, instance)
        pod = cluster.start(f"dagster-run-{second}", pipeline.root)
        said = pod.communicate(timeout=300)[1]

        assert pod.returncode == 0, said[-2_000:]
        assert status_of(instance, second) is DagsterRunStatus.SUCCESS
        tags = instance.get_run_by_id(second)
        assert tags is not None
        assert json.loads(tags.tags["dagster-k8s/config"]) == POD
        assert (pipeline.status.registered, len(pipeline.urls()), pipeline.sandbox.duplicates()) == (IMAGES, IMAGES, {})
