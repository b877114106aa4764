"""Checks Kubernetes manifests without a cluster: `helm template … | python check_rendered.py`, or with files as arguments.

What is checked: every object with the models of Kubernetes' own client (names and places of all keys), every pod by the
"restricted" standard of pod security, that no secret is written down, and that the image of all our containers is one. Of a
rendered chart of Dagster also the pod of a run, as Dagster's launcher makes it from the chart's ``dagster.yaml`` and from what
the code server hands on. Needs the extra ``k8s``. Prints what is wrong, a line each, and ends with 1 then.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes.client
import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

Manifest = Mapping[str, Any]

OUR_IMAGE = "registration-pipeline"
_SECRET = re.compile(r"PRIVATE KEY|AKIA[0-9A-Z]{16}|https://hooks\.slack\.com/services/")
_NO_MODEL = frozenset({"Kustomization"})
_CONTAINER_CONTEXT = ("DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT", "DAGSTER_CONTAINER_CONTEXT")


def problems(manifests: list[Manifest]) -> Iterator[str]:
    """Yield what is wrong with the objects, each with its kind and name."""
    made = [*manifests, *run_jobs(manifests)]
    images: set[str] = set()
    for manifest in made:
        where = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
        yield from (f"{where}: {found}" for found in _object_problems(manifest))
        for template in _pod_templates(manifest):
            yield from (f"{where}: {found}" for found in pod_problems(template["spec"]))
            images |= {one["image"] for one in _containers(template["spec"]) if OUR_IMAGE in one["image"]}
    if len(images) > 1:
        yield f"the objects have different images: {', '.join(sorted(images))}"


def _object_problems(manifest: Manifest) -> Iterator[str]:
    if _SECRET.search(json.dumps(manifest, default=str)):
        yield "a secret is written down; make a Secret and name it"
    kind, group = str(manifest.get("kind")), str(manifest.get("apiVersion")).rpartition("/")[2]
    if kind in _NO_MODEL:
        return
    model = getattr(kubernetes.client, f"{group[:1].upper()}{group[1:]}{kind}", None)
    if model is None:
        yield f"Kubernetes' client knows no {kind} in {manifest.get('apiVersion')}"
        return
    try:
        k8s_model_from_dict(model, k8s_snake_case_dict(model, _without_nulls(manifest)))
    except Exception as error:  # noqa: BLE001 - the library raises bare exceptions for what it does not know
        yield str(error)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _pod_templates(manifest: Manifest) -> Iterator[Manifest]:
    spec = manifest.get("spec") or {}
    if "jobTemplate" in spec:
        spec = spec["jobTemplate"]["spec"]
    if "template" in spec:
        yield spec["template"]


def _containers(spec: Manifest) -> list[Manifest]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def pod_problems(spec: Manifest) -> Iterator[str]:
    """Yield why a pod would be refused by the restricted standard, or would not run with a read-only root."""
    pod = spec.get("securityContext") or {}
    if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "the pod shares something of its node"
    for volume in spec.get("volumes") or ():
        if not volume.keys() & {
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "persistentVolumeClaim",
            "projected",
            "secret",
        }:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    for container in _containers(spec):
        own = container.get("securityContext") or {}
        needs = {
            "allowPrivilegeEscalation: false": own.get("allowPrivilegeEscalation") is False,
            "capabilities: {drop: [ALL]}": own.get("capabilities", {}).get("drop") == ["ALL"],
            "runAsNonRoot: true": own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True,
            "seccompProfile: {type: RuntimeDefault}": (own.get("seccompProfile") or pod.get("seccompProfile", {})).get(
                "type"
            )
            in ("RuntimeDefault", "Localhost"),
            "readOnlyRootFilesystem: true": own.get("readOnlyRootFilesystem") is True,
            "resources.limits.memory": bool(container.get("resources", {}).get("limits", {}).get("memory")),
            "resources.requests": bool(container.get("resources", {}).get("requests")),
        }
        yield from (f"container {container['name']} lacks {name}" for name, is_there in needs.items() if not is_there)
        if OUR_IMAGE in container["image"] and not any(
            mount["mountPath"] == "/tmp" for mount in container.get("volumeMounts") or ()
        ):
            yield f"container {container['name']} has no volume at /tmp"


def run_jobs(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the Job of a run of each code server, as Dagster's launcher would make it."""
    instances = [json_of["dagster.yaml"] for one in manifests if (json_of := one.get("data") or {}).get("dagster.yaml")]
    for text in instances:
        launcher = yaml.safe_load(text)["run_launcher"]
        if launcher["class"] != "K8sRunLauncher":
            continue
        for manifest in manifests:
            for template in _pod_templates(manifest):
                for container in template["spec"]["containers"]:
                    found = {one["name"]: one.get("value") for one in container.get("env") or ()}
                    context = next((found[name] for name in _CONTAINER_CONTEXT if found.get(name)), None)
                    if context is not None:
                        yield _run_job(launcher["config"], json.loads(context), container["image"])


def _run_job(launcher: Mapping[str, Any], code_location: Mapping[str, Any], image: str) -> Manifest:
    """Return the Job of a run; the order in which the two are merged is that of Dagster's launcher."""
    known: Mapping[str, Any] = DagsterK8sJobConfig.config_type_container()  # type: ignore[no-untyped-call]
    shared = {name: value for name, value in launcher.items() if name in known or name == "run_k8s_config"}
    merged = K8sContainerContext.create_from_config({"k8s": shared}).merge(
        K8sContainerContext.create_from_config(code_location)
    )
    job_config = merged.get_k8s_job_config(
        job_image=image,
        run_launcher=SimpleNamespace(
            dagster_home=launcher["dagster_home"],
            instance_config_map=launcher["instance_config_map"],
            postgres_password_secret=launcher.get("postgres_password_secret"),
            job_image=None,
        ),
    )
    job = construct_dagster_k8s_job(
        job_config=job_config,
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run",
        component="run_worker",
        user_defined_k8s_config=merged.run_k8s_config,
    )
    made: Manifest = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    return made


def main(files: list[str]) -> int:
    """Check files, or standard input, and return the exit status."""
    texts = [Path(file).read_text(encoding="utf-8") for file in files] or [sys.stdin.read()]
    manifests = [one for text in texts for one in yaml.safe_load_all(text) if one]
    found = list(problems(manifests))
    print("\n".join(found) if found else f"{len(manifests)} objects are right")
    return 1 if found or not manifests else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
