"""A run that must stop says what to do, tells the command that started it, and loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from registration_pipeline.errors import (
    CredentialsError,
    NotFoundError,
    PermissionDeniedError,
    RegistrationPipelineError,
)
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.orchestration.resources import ProjectResource
from registration_pipeline.orchestration.runs.launch import RunCrashedError, run_job
from registration_pipeline.project.listener import SilentListener, listening
from registration_pipeline_tests.in_process import forget_definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.orchestration.conftest import Pipeline


@dataclass
class Recorder(SilentListener):
    """Keeps what a command would print."""

    errors: list[RegistrationPipelineError] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:  # noqa: ARG002 - the protocol's
        self.stages.append(stage)

    def chunk_concluded(self, source: str, result: object) -> None:  # noqa: ARG002 - the protocol's
        self.chunks.append(source)

    def notice(self, text: str, level: str | None = None) -> None:  # noqa: ARG002
        self.notices.append(text)

    def stopped(self, error: RegistrationPipelineError) -> None:
        self.errors.append(error)


def failure_description(instance: DagsterInstance, run_id: str) -> str:
    """Return what the run page shows in red."""
    (record,) = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE).records
    event = record.event_log_entry.dagster_event
    assert event is not None
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return failure.description or ""


def no_key(_: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCORD_SSH_KEY_FILE")


def foreign_key(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (pipeline.root / "other-key").write_bytes(other)
    monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(pipeline.root / "other-key"))


def missing_integration(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    pipeline.configure(encord={"integration": "prod-aws"})


def missing_folder_uuid(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    pipeline.configure(encord={"integration": "sandbox", "folder": "11111111-2222-4333-8444-555555555555"})


def two_keys(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCORD_SSH_KEY", "not a key")
    del pipeline


HALTS = [
    pytest.param((no_key, CredentialsError, "ENCORD_SSH_KEY"), id="no key"),
    pytest.param((two_keys, CredentialsError, "ENCORD_SSH_KEY"), id="a second key that is none"),
    pytest.param((foreign_key, CredentialsError, "key"), id="key that Encord refuses", marks=pytest.mark.slow),
    pytest.param(
        (missing_folder_uuid, PermissionDeniedError, "11111111"),
        id="folder that does not exist",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        (missing_integration, NotFoundError, "prod-aws"),
        id="integration that does not exist",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize("halt", HALTS)
def test_a_halted_run_fails_with_advice_and_the_next_run_goes_on_from_there(
    pipeline: Pipeline,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    halt: tuple[Callable[[Pipeline, pytest.MonkeyPatch], None], type[RegistrationPipelineError], str],
) -> None:
    spoil, kind, words = halt
    pipeline.add_images(3)
    recorder = Recorder()
    with monkeypatch.context() as spoilt, listening(recorder):
        spoil(pipeline, spoilt)
        assert not run_job(instance, pipeline.own.sync_job)

    (run,) = instance.get_runs()
    assert run.status is DagsterRunStatus.FAILURE
    assert [type(error) for error in recorder.errors] == [kind]
    assert failure_description(instance, run.run_id) == str(recorder.errors[0])
    assert words in str(recorder.errors[0])
    assert recorder.chunks == []
    assert recorder.stages == [], "listed before Encord was asked"
    assert latest_inventory(pipeline.project.store, pipeline.own.source) is None
    assert pipeline.sandbox.jobs() == []

    pipeline.configure()
    forget_definitions()
    with listening(recorder):
        assert run_job(instance, pipeline.own.sync_job)
    assert (pipeline.status.registered, len(pipeline.sandbox.jobs())) == (3, 3)
    assert len(recorder.chunks) == 3
    assert pipeline.shown(instance, pipeline.own.registration).counts == (3, 0, 0)


def test_a_source_that_is_gone_stops_before_anything_is_planned(pipeline: Pipeline, instance: DagsterInstance) -> None:
    (pipeline.root / "files").rmdir()
    recorder = Recorder()

    with listening(recorder):
        assert not run_job(instance, pipeline.own.sync_job)

    (error,) = recorder.errors
    assert str(pipeline.root / "files") in str(error)
    assert recorder.stages == ["inventory"]
    assert pipeline.chunk_ids == []


def test_a_run_uses_the_configuration_that_its_definitions_were_built_from(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(1)
    job = pipeline.definitions.resolve_job_def(pipeline.own.inventory_job)
    pipeline.config.write_text("sorces: {}")

    result = job.execute_in_process(instance=instance, raise_on_error=False)

    assert result.success


def test_a_run_that_could_not_be_executed_at_all_is_an_error_of_the_command(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise OSError("database is locked")

    monkeypatch.setattr(ProjectResource, "setup_for_execution", locked)
    with pytest.raises(RunCrashedError, match="run "):
        run_job(instance, pipeline.own.inventory_job)
