"""Where the steps of a run that can be spread are executed: the key ``executor``.

What does not belong here: Dagster's executors (``orchestration/engines.py``), and how many steps a source is spread over.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from registration_pipeline.settings.values import WholeNumber, YamlModel

_EXAMPLE = "{multiprocess: {max_concurrent: 4}}"


class Engine(StrEnum):
    """What executes the steps of a run."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"
    CELERY = "celery"
    K8S = "k8s"


def _address(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[a-z][a-z0-9+_-]*://\S*", secret.get_secret_value()):
        raise ValueError("must be a URL, e.g. redis://host:6379/0; write it as ${NAME}, because it may hold a password")
    return secret


def _section(value: Any) -> Any:
    return {} if value is None else value  # `celery:` with nothing behind it


Address = Annotated[SecretStr, AfterValidator(_address)]


class LocalSteps(YamlModel):
    """All steps in the process of the run; there is nothing to choose."""


class SpreadSteps(YamlModel):
    """Steps in processes, or pods, of their own.

    Args:
        max_concurrent: steps of a run at once; by default as many as the engine likes.
    """

    max_concurrent: Annotated[WholeNumber, Field(ge=1, le=1024)] | None = None


class CelerySteps(YamlModel):
    """Steps as tasks of Celery workers.

    Args:
        broker: what passes tasks to the workers, e.g. ``redis://host:6379/0``; by default ``CELERY_BROKER_URL`` of the
            environment, which Celery reads itself.
        backend: where workers put their results; by default ``CELERY_RESULT_BACKEND`` of the environment.
    """

    broker: Address | None = None
    backend: Address | None = None


class ExecutorSettings(YamlModel):
    """What executes the steps of runs that can be spread, with its options: exactly one of the four.

    Args:
        in_process: the process of the run.
        multiprocess: a process for each step on the machine of the run.
        celery: Celery workers; needs the extra ``celery``.
        k8s: a pod for each step; needs the extra ``k8s``.
    """

    in_process: Annotated[LocalSteps | None, BeforeValidator(_section)] = None
    multiprocess: Annotated[SpreadSteps | None, BeforeValidator(_section)] = None
    celery: Annotated[CelerySteps | None, BeforeValidator(_section)] = None
    k8s: Annotated[SpreadSteps | None, BeforeValidator(_section)] = None

    @property
    def engine(self) -> Engine:
        """The one that was chosen."""
        return next(engine for engine in Engine if getattr(self, engine.value) is not None)

    @model_validator(mode="before")
    @classmethod
    def _word_is_enough(cls, given: Any) -> Any:
        if given is None:
            return {Engine.IN_PROCESS.value: {}}
        if isinstance(given, dict):
            return given
        if not isinstance(given, str) or given not in set(Engine):
            raise ValueError(f"must be one of {', '.join(Engine)}; options of it in a mapping, e.g. {_EXAMPLE}")
        return {given: {}}

    @model_validator(mode="after")
    def _is_one_engine(self) -> ExecutorSettings:
        given = [engine for engine in Engine if getattr(self, engine.value) is not None]
        if len(given) != 1:
            raise ValueError(f"must have exactly one of {', '.join(Engine)}, e.g. {_EXAMPLE}")
        return self


ENGINE_SECTIONS: dict[str, type[YamlModel]] = {
    Engine.IN_PROCESS: LocalSteps,
    Engine.MULTIPROCESS: SpreadSteps,
    Engine.CELERY: CelerySteps,
    Engine.K8S: SpreadSteps,
}
"""The options of each engine."""
