"""Tags that an engine would refuse are found when definitions are loaded, not when the first run at night is launched.

What does not belong here: what every tag has to be (``settings/tags.py``).
"""

import json
from collections.abc import Iterable
from importlib.util import find_spec

import dagster as dg

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.foreign_text import masked
from registration_pipeline.settings import Settings, SourceSettings

_KUBERNETES_TAGS = ("dagster-k8s/config", "dagster-k8s/resource_requirements")
_MOST_SAID = 300


def refuse_wrong_tags(settings: Settings, sources: Iterable[SourceSettings]) -> None:
    """Raise if a launcher or executor for Kubernetes would refuse a tag of a source.

    Only where a source has such a tag: the libraries take most of a second to load. Without ``dagster-k8s`` there is no such
    engine in this environment, and nothing is checked.

    Raises:
        ConfigurationError: names the setting of each source that is wrong.
    """
    found = [
        ConfigurationError(problem, file=str(settings.path), key=f"sources.{source.name}.{setting}.{key}")
        for source in sources
        for setting, key, value in kubernetes_tags(source)
        if (problem := _problem(key, value)) is not None
    ]
    if len(found) == 1:
        raise found[0]
    if found:
        raise ConfigurationError("\n".join(map(str, found)))


def kubernetes_tags(source: SourceSettings) -> list[tuple[str, str, str]]:
    """Return the tags of a source that say what a pod is like: setting, tag and value."""
    settings = (("run_tags", source.run_tags), ("op_tags", source.op_tags))
    return [(setting, key, tags[key]) for setting, tags in settings for key in _KUBERNETES_TAGS if key in tags]


def _problem(key: str, value: str) -> str | None:
    """Return why no pod can be made with a tag; None if one can, or if that can't be known."""
    if find_spec("dagster_k8s") is None:
        return None
    from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job, get_user_defined_k8s_config
    from kubernetes.utils.quantity import parse_quantity

    try:
        wanted = get_user_defined_k8s_config({key: value})
        job = construct_dagster_k8s_job(
            DagsterK8sJobConfig(job_image="registration-pipeline"), ["run"], "run", user_defined_k8s_config=wanted
        )
        for container in job.spec.template.spec.containers:
            resources = container.resources
            for amounts in (resources.requests, resources.limits) if resources else ():
                for amount in (amounts or {}).values():
                    parse_quantity(amount)
    except json.JSONDecodeError:
        return "must be a mapping, e.g. {container_config: {resources: {limits: {memory: 2Gi}}}}"
    except dg.DagsterInvalidConfigError as error:
        return f"Dagster's Kubernetes engine refuses it: {_said(error.errors[0].message)}"
    except Exception as error:  # noqa: BLE001 - the library raises bare exceptions for what it does not know
        return (
            f"Kubernetes has no such pod: {_said(str(error))}. Names and places of keys are those of a container and a pod in "
            "Kubernetes' reference, in camelCase or with underscores."
        )
    return None


def _said(text: str) -> str:
    return shortened(" ".join(masked(text).split()), _MOST_SAID)
