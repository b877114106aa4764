"""The manifests and Helm values of deploy/kubernetes: right by Kubernetes' own client, and true to the pipeline.

What does not belong here: Dagster's chart, which is not in this repository; docs/deployment/kubernetes.md says how it was
rendered.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s import K8sRunLauncher

from registration_pipeline.cli.app import app
from registration_pipeline.errors import HaltError, UsageError
from registration_pipeline.orchestration.names import CODE_LOCATION, DEFINITIONS_MODULE
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
CRONJOB = FOLDER / "cronjob"

_spec = importlib.util.spec_from_file_location("check_rendered", FOLDER / "check_rendered.py")
assert _spec is not None
assert _spec.loader is not None
checks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(checks)


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def cronjob_objects() -> list[dict[str, Any]]:
    """The objects that ``kubectl apply -k`` makes, but for the hash in the name of the ConfigMap."""
    kustomization = loaded(CRONJOB / "kustomization.yaml")
    objects = [loaded(CRONJOB / name) for name in kustomization["resources"]]
    (made,) = kustomization["configMapGenerator"]
    texts = {name: (CRONJOB / name).read_text() for name in made["files"]}
    return [*objects, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": texts}]


def the_cronjob(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [one for one in objects if one["kind"] == "CronJob"]
    return found


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    pod: dict[str, Any] = the_cronjob(objects)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


VALUES = loaded(FOLDER / "dagster-values.yaml")
DEPLOYMENT = VALUES["dagster-user-deployments"]["deployments"][0]


def test_every_file_is_yaml_and_belongs_to_something() -> None:
    kustomization = loaded(CRONJOB / "kustomization.yaml")
    known = {"kustomization.yaml", *kustomization["resources"], *kustomization["configMapGenerator"][0]["files"]}

    assert {file.name for file in CRONJOB.iterdir()} == known
    assert {file.name for file in FOLDER.glob("*.yaml")} == {"dagster-values.yaml"}


def test_the_objects_of_the_cronjob_are_right() -> None:
    assert list(checks.problems(cronjob_objects())) == []


def _without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(container: dict[str, Any]) -> None:
        for key in keys[:-1]:
            container = container[key]
        del container[keys[-1]]

    return change


def _setting(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(container: dict[str, Any]) -> None:
        container[name] = value

    return change


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a root that can be written": (_without("securityContext", "readOnlyRootFilesystem"), "readOnlyRootFilesystem"),
    "capabilities": (_without("securityContext", "capabilities"), "drop: [ALL]"),
    "escalation": (_without("securityContext", "allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
    "root": (_setting("securityContext", {"runAsNonRoot": False}), "runAsNonRoot"),
    "no limit of memory": (_without("resources", "limits"), "resources.limits.memory"),
    "no requests": (_without("resources", "requests"), "resources.requests"),
    "nothing to write to": (_setting("volumeMounts", []), "no volume at /tmp"),
    "a misspelt key": (_setting("imagePullPolcy", "Always"), "imagePullPolcy"),
    "a misspelt key far inside": (
        _setting("env", [{"name": "X", "valueFrom": {"secretKeyRef": {"nam": "x", "key": "y"}}}]),
        "V1SecretKeySelector",
    ),
    "a key in plain text": (
        _setting("env", [{"name": "X", "value": "-----BEGIN OPENSSH PRIVATE KEY-----"}]),
        "a secret",
    ),
}


@pytest.mark.parametrize(("change", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_with_a_container_is_found(change: Callable[[dict[str, Any]], None], says: str) -> None:
    objects = copy.deepcopy(cronjob_objects())
    change(pod_of(objects)["containers"][0])

    found = list(checks.problems(objects))

    assert any(says in one and one.startswith("CronJob registration-sync: ") for one in found), found


def test_two_images_are_found() -> None:
    objects = copy.deepcopy([*cronjob_objects(), the_cronjob(cronjob_objects())])
    objects[-1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = (
        "registration-pipeline:0.0.9"
    )

    assert [one for one in checks.problems(objects) if "different images" in one]


def test_a_run_gets_the_memory_of_the_code_location_and_its_identity() -> None:
    """Dagster merges the code location's pod over the launcher's; both are in the rendered chart."""
    launcher = {
        "class": "K8sRunLauncher",
        "config": {
            "dagster_home": "/var/lib/registration",
            "instance_config_map": "dagster-instance",
            "service_account_name": "registration",
            "run_k8s_config": {"container_config": {"resources": {"limits": {"memory": "1Gi"}}}},
        },
    }
    context = {"k8s": {"resources": {"limits": {"memory": "2Gi"}}, "env": [{"name": "AWS_REGION", "value": "x"}]}}
    container = {
        "image": "registration-pipeline:1",
        "env": [{"name": "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT", "value": json.dumps(context)}],
    }
    server = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}}

    (job,) = checks.run_jobs([{"data": {"dagster.yaml": yaml.safe_dump({"run_launcher": launcher})}}, server])

    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}
    assert pod["serviceAccountName"] == "registration"
    assert {"name": "AWS_REGION", "value": "x"} in pod["containers"][0]["env"]


def test_one_version_of_the_image_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (image,) = loaded(CRONJOB / "kustomization.yaml")["images"]
    (container,) = pod_of(cronjob_objects())["containers"]
    of_chart = [VALUES["dagsterWebserver"]["image"], VALUES["dagsterDaemon"]["image"], DEPLOYMENT["image"]]

    assert container["image"] == f"{image['name']}:{image['newTag']}"
    assert {(one["repository"], one["tag"]) for one in of_chart} == {(image["newName"], version)}
    assert image["newTag"] == version


def test_the_chart_has_the_version_of_dagster_that_the_tests_ran_with() -> None:
    (dagster,) = re.findall(r"^dagster==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert f"--version {dagster} " in (FOLDER / "dagster-values.yaml").read_text()


def test_the_command_line_of_the_pod_is_one() -> None:
    program, *arguments = pod_of(cronjob_objects())["containers"][0]["args"]
    commands: dict[str, click.Command] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - a group has them

    assert (program, arguments[0]) == ("registration-pipeline", "sync")
    with commands["sync"].make_context("sync", arguments[1:]) as context:  # an unknown option would raise
        assert context.params["dry_run"] is False


def test_what_a_person_has_to_act_on_is_not_tried_again_at_once() -> None:
    spec = the_cronjob(cronjob_objects())["spec"]
    job = spec["jobTemplate"]["spec"]
    disrupted, fails = job["podFailurePolicy"]["rules"]

    assert spec["concurrencyPolicy"] == "Forbid"
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # a pod failure policy needs it
    assert (disrupted["action"], fails["action"]) == ("Ignore", "FailJob")
    # 3 is that of failed and rejected objects, which no exception carries.
    assert fails["onExitCodes"]["values"] == sorted({UsageError.exit_status, 3, HaltError.exit_status})
    assert fails["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    assert job["backoffLimit"] > 0  # pods that were lost are


def test_the_configuration_of_the_pod_loads_and_needs_no_disk(tmp_path: Path) -> None:
    mounts = {one["mountPath"] for one in pod_of(cronjob_objects())["containers"][0]["volumeMounts"]}
    settings = load_settings(CRONJOB / "registration.yaml", {})

    assert settings.state.startswith("s3://")
    assert all(source.schedule is None for source in settings.sources.values())
    assert mounts == {"/etc/registration", "/tmp", "/var/lib/registration"}


def names_of_environment() -> set[str]:
    pods = [*pod_of(cronjob_objects())["containers"], DEPLOYMENT]
    return {one["name"] for pod in pods for one in pod["env"]}


def test_every_variable_is_in_the_docs() -> None:
    documented = (ROOT / "docs" / "configuration.md").read_text().partition("## Environment variables")[2]

    for name in names_of_environment():
        assert f"`{name}`" in documented or (name.startswith("AWS_") and "`AWS_…`" in documented), name


def test_secrets_are_named_and_not_written_down() -> None:
    wanted = {"ENCORD_SSH_KEY": {"name": "registration-encord", "key": "ssh-key"}}
    for env in (pod_of(cronjob_objects())["containers"][0]["env"], DEPLOYMENT["env"]):
        found = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in env if "valueFrom" in one}
        assert found == wanted
    page = (ROOT / "docs" / "deployment" / "kubernetes.md").read_text()
    assert "create secret generic registration-encord --from-file=ssh-key=" in page
    assert (
        f"create secret generic {VALUES['global']['postgresqlSecretName']} --from-literal=postgresql-password=" in page
    )


def _camel_to_snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def test_the_run_launcher_of_the_values_is_one_that_dagster_takes() -> None:
    given = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    config = {_camel_to_snake(name): value for name, value in given.items() if name != "runK8sConfig"}
    config["run_k8s_config"] = {_camel_to_snake(name): value for name, value in given["runK8sConfig"].items()}
    config |= {"dagster_home": VALUES["global"]["dagsterHome"], "instance_config_map": "x", "service_account_name": "x"}

    schema: Any = K8sRunLauncher.config_type()  # type: ignore[no-untyped-call]
    checked = process_config(resolve_to_config_type(schema), config)

    assert checked.success, checked.errors


def test_the_values_say_what_the_packages_own_instance_says() -> None:
    own = loaded(ROOT / "registration_pipeline" / "orchestration" / "dagster.yaml")
    daemon, pools = VALUES["dagsterDaemon"], VALUES["concurrency"]["pools"]

    assert {_camel_to_snake(name): value for name, value in pools.items()} == own["concurrency"]["pools"]
    assert VALUES["concurrency"]["runs"]["maxConcurrentRuns"] == own["concurrency"]["runs"]["max_concurrent_runs"]
    assert {_camel_to_snake(name): value for name, value in daemon["runRetries"].items()} == own["run_retries"]
    monitoring = {_camel_to_snake(name): value for name, value in daemon["runMonitoring"].items()}
    # A pod waits for a node and an image, which a process does not.
    assert own["run_monitoring"].items() - monitoring.items() == {("start_timeout_seconds", 180)}
    assert VALUES["telemetry"] == own["telemetry"]
    assert VALUES["additionalInstanceConfig"]["nux"] == own["nux"]


def test_the_code_location_has_the_name_that_runs_of_commands_carry() -> None:
    (server,) = VALUES["dagsterWebserver"]["workspace"]["servers"]

    assert server == {"host": DEPLOYMENT["name"], "port": DEPLOYMENT["port"], "name": CODE_LOCATION}
    assert DEPLOYMENT["dagsterApiGrpcArgs"] == ["--module-name", DEFINITIONS_MODULE]
