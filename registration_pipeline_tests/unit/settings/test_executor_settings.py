"""The setting ``executor``: a word, or a mapping of one key with options; addresses are secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import Engine, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.settings import Settings

PASSWORD = "hunter-4711"
SOURCE = "sources:\n  fleet:\n    uri: file:///data/\n"


def load(tmp_path: Path, top: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "registration.yaml"
    file.write_text(f"{top}\n{SOURCE}")
    return load_settings(file, environ or {})


@pytest.mark.parametrize(
    ("top", "engine"),
    [
        pytest.param("", Engine.IN_PROCESS, id="nothing"),
        pytest.param("executor:", Engine.IN_PROCESS, id="a key without a value"),
        *(pytest.param(f"executor: {engine}", engine, id=f"the word {engine}") for engine in Engine),
        *(pytest.param(f"executor: {{{engine}: }}", engine, id=f"{engine} without options") for engine in Engine),
        pytest.param('executor: "${ENGINE}"', Engine.CELERY, id="from the environment"),
    ],
)
def test_a_word_or_a_mapping_of_one_key_chooses(tmp_path: Path, top: str, engine: Engine) -> None:
    assert load(tmp_path, top, {"ENGINE": "celery"}).executor.engine is engine


def test_options_are_read_and_addresses_hidden(tmp_path: Path) -> None:
    chosen = load(tmp_path, "executor: {multiprocess: {max_concurrent: 3}}").executor
    assert chosen.multiprocess is not None
    assert chosen.multiprocess.max_concurrent == 3

    top = 'executor: {celery: {broker: "${BROKER}", backend: "redis://h/1"}}'
    settings = load(tmp_path, top, {"BROKER": f"redis://:{PASSWORD}@host:6379/0"})
    celery = settings.executor.celery
    assert celery is not None
    assert celery.broker is not None
    assert celery.broker.get_secret_value() == f"redis://:{PASSWORD}@host:6379/0"
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("top", "key", "says"),
    [
        pytest.param(
            "executor: cellery", "executor", "one of in_process, multiprocess, celery, k8s", id="unknown word"
        ),
        pytest.param("executor: 5", "executor", "one of in_process", id="a number"),
        pytest.param(
            "executor: {in_process: {max_concurrent: 2}}",
            "executor.in_process.max_concurrent",
            "there is nothing to set here: remove it",
            id="an option of what has none",
        ),
        pytest.param("executor: [celery]", "executor", "one of in_process", id="a list"),
        pytest.param("executor: {}", "executor", "exactly one of", id="an empty mapping"),
        pytest.param("executor: {celery: {}, k8s: {}}", "executor", "exactly one of", id="two"),
        pytest.param("executor: {cellery: {}}", "executor.cellery", "did you mean 'celery'?", id="unknown engine"),
        pytest.param("executor: {celery: redis}", "executor.celery", "must be a mapping", id="options are a word"),
        pytest.param(
            "executor: {celery: {brokr: x}}", "executor.celery.brokr", "did you mean 'broker'?", id="unknown option"
        ),
        pytest.param("executor: {celery: {broker: host}}", "executor.celery.broker", "must be a URL", id="no URL"),
        pytest.param(
            "executor: {multiprocess: {max_concurrent: 0}}",
            "executor.multiprocess.max_concurrent",
            "must be 1 or more",
            id="no step at once",
        ),
        pytest.param(
            "executor: {k8s: {max_concurrent: yes}}", "executor.k8s.max_concurrent", "whole number", id="a switch"
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, top: str, key: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, top)
    assert f"registration.yaml:1: {key}: " in str(refused.value)
    assert says in str(refused.value)
    assert str(refused.value).count("\n") == 0
