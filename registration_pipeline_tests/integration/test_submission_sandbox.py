"""Chunks registered over HTTP: the gateway, the SDK and the sandbox together."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registration_pipeline.errors import CredentialsError, NotFoundError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet

pytestmark = pytest.mark.slow


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request that the SDK sends, as it goes out."""
    log: list[str] = []
    send = requests.Session.send

    def noted(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        log.append(f"{request.method} {request.path_url}")
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", noted)
    return log


def test_every_object_of_three_chunks_is_registered_once(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet(objects=5, images=2)

    results = list(fleet.register())

    assert sorted(result.state for result in results) == [ChunkState.SUCCEEDED] * 3
    assert all(result.job_id for result in results)
    fleet.assert_exactly_once()


def test_jobs_that_name_every_unit_cost_no_request_for_evidence(sandbox_fleet: MakeSandboxFleet, sent: list[str]):
    fleet = sandbox_fleet(objects=6, images=2)

    list(fleet.register())

    kinds = Counter(f"{line.split()[0]} {line.partition('?')[0].rpartition('/')[2][:12]}" for line in sent)
    assert kinds["POST data-upload-"] == 3
    assert not [line for line in sent if "/items" in line]
    # The folder is searched for, created and opened in each of at most six threads; a job takes a poll or two.
    assert len(sent) <= 3 + 6 + 3 * (1 + 2)


def test_a_second_run_sends_nothing(sandbox_fleet: MakeSandboxFleet, sent: list[str]):
    fleet = sandbox_fleet()
    list(fleet.register())
    sent.clear()

    results = list(fleet.register())

    assert results == []
    assert not [request for request in sent if request.startswith("POST")]


def test_failed_units_register_when_they_are_retried_after_the_cause_is_gone(
    sandbox_fleet: MakeSandboxFleet, sent: list[str]
):
    fleet = sandbox_fleet()
    fleet.sandbox.plant(UnitRule(r"0000[13]\.jpg", "403 Forbidden"))
    states = sorted(result.state.value for result in fleet.register())
    failures = list(source_failures(fleet.store, "fleet"))
    fleet.sandbox.plant()
    sent.clear()

    retried = list(fleet.register(retry_failed=True))

    assert states == ["partially_failed", "partially_failed", "succeeded"]
    assert [(row.key[-9:], row.reason, row.message) for row in failures] == [
        ("00001.jpg", "unreadable", "403 Forbidden"),
        ("00003.jpg", "unreadable", "403 Forbidden"),
    ]
    assert all(row.subtask_uuid for row in failures)
    assert sorted((result.attempt, result.is_new) for result in retried) == [(1, False), (2, True), (2, True)]
    # Everything is told by the jobs and by the first attempt: no folder is listed.
    assert not [request for request in sent if "/items" in request]
    fleet.assert_exactly_once()


def test_a_retry_sends_only_the_chunks_that_failed(sandbox_fleet: MakeSandboxFleet, sent: list[str]):
    fleet = sandbox_fleet()
    fleet.sandbox.plant(UnitRule(r"00001\.jpg", "corrupt", times=1))
    list(fleet.register())
    sent.clear()

    list(fleet.register(retry_failed=True))

    assert len([request for request in sent if request.startswith("POST")]) == 1
    fleet.assert_exactly_once()


def test_a_refused_key_halts_before_anything_is_sent(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet()
    stranger = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )

    with pytest.raises(CredentialsError, match="refused the key") as caught:
        list(fleet.register(key=stranger.decode()))

    assert "PRIVATE KEY" not in str(caught.value)
    assert fleet.status().pending == 5


def test_a_missing_integration_is_named_together_with_those_that_exist(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet(encord={"integration": "prod-aws"})

    with pytest.raises(NotFoundError, match=r"'prod-aws' does not exist.*'sandbox'"):
        list(fleet.register())


def test_a_folder_that_may_not_be_seen_halts(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet(encord={"folder": "00000000-0000-4000-8000-000000000000"})

    with pytest.raises(PermissionDeniedError, match="folder 00000000"):
        list(fleet.register())


def test_a_sandbox_that_is_down_halts_within_bounded_time(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet()
    fleet.sandbox.stop()
    began = time.monotonic()

    with pytest.raises(ServiceUnavailableError, match="after 2 attempts"):
        list(fleet.register(attempts=2))

    assert time.monotonic() - began < 120


def test_a_sandbox_that_goes_down_under_way_halts_and_the_next_run_goes_on(
    sandbox_fleet: MakeSandboxFleet, tmp_path: Path
):
    fleet = sandbox_fleet(objects=8, images=1, job_seconds=0.5)
    results = fleet.register(attempts=2)
    next(results)
    fleet.sandbox.stop()
    with pytest.raises(ServiceUnavailableError):
        list(results)
    assert fleet.status().pending > 0

    again = sandbox_fleet(objects=8, images=1)
    list(again.register())

    again.assert_exactly_once()


def test_a_job_that_takes_long_is_asked_about_less_than_twice_a_second(
    sandbox_fleet: MakeSandboxFleet, sent: list[str]
):
    fleet = sandbox_fleet(objects=2, images=2, job_seconds=6)
    began = time.monotonic()

    list(fleet.register())

    polls = [request for request in sent if "timeoutSeconds" in request]
    assert time.monotonic() - began >= 5
    assert 1 < len(polls) < 2 * 6
    fleet.assert_exactly_once()
