"""Secrets in what Encord says are kept nowhere: not in the state, not in Dagster's history, not on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Said, Workplace

SECRET = "5d41402abc4b2a76b9719d911017c592deadbeef"
PRESIGNED = (
    "403 for https://bucket.s3.amazonaws.com/a.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600"
    f"&X-Amz-Signature={SECRET}"
)
MASKED = PRESIGNED.replace(SECRET, "***")


def kept_in(workplace: Workplace) -> list[str]:
    """Every file but Encord's own that holds the secret; Parquet is read, for it is compressed."""
    encord = workplace.root / "encord"
    plain = {str(path.relative_to(workplace.root)) for path in workplace.find(SECRET, apart_from=encord)}
    tables = {
        str(path.relative_to(workplace.root))
        for path in workplace.root.rglob("*.parquet")
        if SECRET in str(pq.read_table(path).to_pylist())
    }
    return sorted(plain | tables)


def shown(workplace: Workplace) -> str:
    runs: list[Said] = [workplace.run("failures"), workplace.run("failures", "--json"), workplace.run("status")]
    return " ".join(said.words for said in runs)


@pytest.mark.slow
def test_a_signature_in_a_units_error_is_masked_everywhere(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg")
    workplace.refuse("a.jpg", PRESIGNED)
    said = workplace.run("sync")
    assert said.status == 3
    assert kept_in(workplace) == []
    (failed,) = workplace.run("failures", "--json").document
    assert (failed["reason"], failed["message"]) == ("unreadable", MASKED)
    assert SECRET not in said.words + shown(workplace)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endpoint", "http_status", "exit_status"),
    [
        pytest.param(Endpoint.START_JOB, 400, 3, id="the start is refused"),
        pytest.param(Endpoint.START_JOB, 401, 4, id="the key is refused"),
        pytest.param(Endpoint.LIST_INTEGRATIONS, 403, 4, id="not allowed"),
        pytest.param(Endpoint.POLL_JOB, 403, 4, id="polling is refused"),
    ],
)
def test_a_signature_in_a_refusal_is_masked_everywhere(
    workplace: Workplace, endpoint: Endpoint, http_status: int, exit_status: int
) -> None:
    workplace.put("a.jpg")
    workplace.sandbox.script(
        Fault(effect=Effect.STATUS, status=http_status, endpoint=endpoint, message=PRESIGNED, times=None)
    )
    said = workplace.run("sync")
    assert said.status == exit_status
    assert kept_in(workplace) == []
    everything = said.words + shown(workplace)
    assert SECRET not in everything
    assert "X-Amz-Signature=***" in everything


@pytest.mark.slow
def test_check_masks_a_signature(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    fault = Fault(effect=Effect.STATUS, status=403, endpoint=Endpoint.LIST_INTEGRATIONS, message=PRESIGNED, times=None)
    workplace.sandbox.script(fault)
    said = workplace.run("check")
    assert said.status == 4
    assert SECRET not in said.words
    assert "X-Amz-Signature=***" in said.words
