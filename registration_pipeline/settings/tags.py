"""``run_tags`` and ``op_tags``: what Dagster's engines read to place, size and order the runs and steps of a source.

What does not belong here: what an engine understands by a tag, e.g. ``dagster-k8s/config`` (``orchestration/engine_tags.py``).
"""

from __future__ import annotations

import json
import re
from datetime import date
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.settings.models import SourceSettings
    from registration_pipeline.settings.yaml_source import Location

_SECTION = "[A-Za-z0-9_.-]{1,63}"
# Dagster warns of other keys (dagster/_utils/tags.py, 1.13), and its Kubernetes engine makes labels of some.
_KEY = re.compile(rf"(?:{_SECTION}/)?{_SECTION}")
_OUR_NAMESPACE = "registration/"
_DAGSTERS_NAMESPACES = ("dagster/", ".dagster/")
_OF_LAUNCHERS = {
    "dagster-celery/task_id": "Celery",
    "docker/container_id": "Docker",
    "ecs/task_arn": "ECS",
    "ecs/cluster": "ECS",
}
"""What the run launchers of Dagster's engines note on a run, to find it again; a wrong one makes a healthy run a lost one.

dagster_celery/tags.py and dagster_aws/ecs/launcher.py of 0.29; dagster_docker/docker_run_launcher.py.
"""
_WHOLE, _COUNT = re.compile("-?[0-9]{1,9}", re.ASCII), re.compile("[0-9]{1,9}", re.ASCII)

_FOR_PEOPLE: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "run_tags": {"dagster/priority": _WHOLE, "dagster/max_runtime": _COUNT, "dagster/max_retries": _COUNT},
    "op_tags": {"dagster/priority": _WHOLE},
}
"""The tags of Dagster that a person may set, by setting, and what Dagster reads them as.

Others that Dagster would accept undo what the pipeline sets: ``dagster/concurrency_key`` the pool of a step,
``dagster/retry_on_asset_or_op_failure`` that refused objects are not sent again by Dagster.
"""


def tag_text(value: Any) -> str:
    """Return the value of a tag as Dagster keeps it: text as it is, everything else as JSON.

    Args:
        value: text, a number, true or false, or lists and mappings of these.

    Raises:
        ValueError: it is null, or holds something that JSON does not have, or text that is not Unicode.
    """
    if value is None:
        raise ValueError("has no value; give one, or leave the tag out")
    _refuse_what_is_not_kept(value)
    return value if isinstance(value, str) else json.dumps(value)


Tags = dict[str, Annotated[str, BeforeValidator(tag_text)]]


def tag_problems(source: SourceSettings) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with the tags of a source."""
    for setting in _FOR_PEOPLE:
        tags: Mapping[str, str] = getattr(source, setting)
        for key, value in tags.items():
            if (problem := _problem(setting, key, value)) is not None:
                yield (setting, key), problem


def _problem(setting: str, key: str, value: str) -> str | None:
    if key.startswith(_OUR_NAMESPACE):
        return f"tags that begin with {_OUR_NAMESPACE} are the pipeline's own; choose another name"
    if key.startswith(_DAGSTERS_NAMESPACES):
        usable = _FOR_PEOPLE[setting]
        if key not in usable:
            return f"tags that begin with dagster/ are Dagster's own; of these, {setting} may have {', '.join(usable)}"
        least = ", 0 or more" if usable[key] is _COUNT else ""
        return None if usable[key].fullmatch(value) else f"must be a whole number{least}, of at most 9 digits"
    if key in _OF_LAUNCHERS:
        return (
            f"the run launcher of {_OF_LAUNCHERS[key]} sets this tag, to find the run again by it; choose another name"
        )
    if _KEY.fullmatch(key):
        return None
    return (
        "not a name of a tag in Dagster: it has 1 to 63 letters, digits, '_', '-' and '.', and may begin with as many and a "
        "'/', e.g. team or dagster-k8s/config"
    )


def _refuse_what_is_not_kept(value: Any) -> None:
    if isinstance(value, str):
        _refuse_half_characters(value)
    if isinstance(value, date):
        raise ValueError("holds a date, which JSON does not have; put it in quotes")  # noqa: TRY004 - pydantic takes these
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("holds a number that JSON does not have; write a finite one")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    for one in value if isinstance(value, (list, tuple)) else ():
        _refuse_what_is_not_kept(one)


def _refuse_half_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise ValueError(
            f"holds {half}, half of a character, which no database keeps; write the character itself"
        ) from None
