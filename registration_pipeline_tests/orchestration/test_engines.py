"""Dagster's executor for the setting ``executor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster_shared.serdes import serialize_value

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.engines import executor_of
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.settings import Settings

PASSWORD = "hunter-4711"


@dg.job
def empty_job() -> None:
    """Only its address is asked for."""


def settings_with(tmp_path: Path, executor: str) -> Settings:
    file = tmp_path / "registration.yaml"
    file.write_text(f"executor: {executor}\nsources:\n  fleet:\n    uri: file:///data/\n")
    return load_settings(file, {"BROKER": f"redis://:{PASSWORD}@host:6379/0"})


def made_executor(executor: dg.ExecutorDefinition) -> dg.Executor:
    """Return what Dagster makes of the definition when a run starts."""
    config = executor.apply_config_mapping({"config": {}})
    assert config.success, config.errors
    assert config.value is not None
    assert executor.executor_creation_fn is not None
    with dg.instance_for_test() as instance:
        job = dg.reconstructable(empty_job)
        context = dg.InitExecutorContext(job, executor, config.value["config"], instance)
        return executor.executor_creation_fn(context)


@pytest.mark.parametrize(
    ("setting", "kind", "options"),
    [
        pytest.param(
            "{multiprocess: {max_concurrent: 3}}", "MultiprocessExecutor", {"_max_concurrent": 3}, id="3 at once"
        ),
        pytest.param(
            '{celery: {broker: "${BROKER}", backend: redis://h/1}}',
            "WatchingExecutor",
            {"broker": f"redis://:{PASSWORD}@host:6379/0", "backend": "redis://h/1"},
            id="celery",
        ),
    ],
)
def test_the_setting_becomes_dagsters_executor(
    tmp_path: Path, setting: str, kind: str, options: dict[str, object]
) -> None:
    made = made_executor(executor_of(settings_with(tmp_path, setting)))
    made = getattr(made, "inner", made)
    assert type(made).__name__ == kind
    assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize(
    ("engine", "module"), [("celery", "dagster_celery"), ("k8s", "dagster_k8s")], ids=["celery", "k8s"]
)
def test_a_missing_extra_is_named_and_asked_for_only_where_it_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, module: str
) -> None:
    ours = "registration_pipeline.orchestration.celery.executor"  # another test may have imported it
    for imported in [name for name in sys.modules if name == ours or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, imported)
    monkeypatch.setitem(sys.modules, module, None)
    assert executor_of(settings_with(tmp_path, "in_process")) is dg.in_process_executor
    assert executor_of(settings_with(tmp_path, "multiprocess")).name == "multiprocess"
    with pytest.raises(ConfigurationError) as refused:
        executor_of(settings_with(tmp_path, engine))
    assert f"pip install 'registration-pipeline[{engine}]'" in str(refused.value)
    assert "registration.yaml: executor: " in str(refused.value)


def test_no_address_reaches_what_dagster_stores_of_a_job(tmp_path: Path) -> None:
    executor = executor_of(settings_with(tmp_path, '{celery: {broker: "${BROKER}"}}'))

    @dg.job(executor_def=executor)
    def nothing() -> None:
        pass

    assert PASSWORD not in serialize_value(nothing.get_job_snapshot())
