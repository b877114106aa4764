"""Upload jobs that take long: people are told, and what takes too long is cancelled and tried again later."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.errors import PermanentError, ServiceUnavailableError
from registration_pipeline.objects import FailureReason
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.cancel import cancel_chunk
from registration_pipeline.submission.testing import ScriptedGateway
from registration_pipeline.tracking.journal.states import ChunkState

FOREVER = 10**9


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """One chunk of two images whose job never ends."""
    return fleet_of("a.jpg", "b.jpg", encord={"job_seconds": FOREVER})


def test_a_job_that_takes_long_is_logged_in_doubling_intervals(fleet: Any):
    told: list[str] = []

    fleet.register(notify=told.append, job_warning_seconds=1800, job_timeout_seconds=20_000)

    warnings = [text for text in told if "has been pending for" in text and "is waited for" in text]
    assert len(warnings) == 4
    assert fleet.chunks[0].chunk_id in warnings[0]
    assert "registration-pipeline cancel fleet --chunk" in warnings[0]


def test_a_job_that_takes_too_long_is_cancelled_and_its_objects_are_tried_again(fleet: Any):
    told: list[str] = []

    (result,) = fleet.register(notify=told.append, job_timeout_seconds=3600)

    assert (result.state, dict(result.reasons)) == (ChunkState.FAILED, {"cancelled": 2})
    assert FailureReason.CANCELLED.is_transient
    assert "is cancelled (job_timeout_seconds)" in told[-1]
    fleet.encord.job_seconds = 0
    fleet.register(retry_failed=True)
    fleet.assert_exactly_once()


def test_a_job_that_can_not_be_cancelled_halts_and_leaves_the_chunk_open(fleet: Any):
    def refuses(*_: object, **__: object) -> int:
        raise PermanentError("400: not now")

    stubborn = type("Stubborn", (ScriptedGateway,), {"cancel_job": refuses})(
        clock=fleet.time.clock, job_seconds=FOREVER, folders=fleet.encord.folders
    )

    with pytest.raises(ServiceUnavailableError, match=r"still pending .* although it was cancelled after 600 s"):
        fleet.register(gateway=stubborn, job_timeout_seconds=600)
    assert fleet.journal.progress(fleet.chunks[0].chunk_id).state is ChunkState.SUBMITTED


def test_a_person_can_cancel_the_job_of_a_chunk(fleet: Any, crash: Any, crashing_store: Any):
    with pytest.raises(crash):
        fleet.register(store=crashing_store(fleet.store, 1, "after", "0001-job"))
    chunk_id = fleet.chunks[0].chunk_id

    cancelled = cancel_chunk(fleet.store, "fleet", chunk_id, gateway=fleet.encord, retry=RetryPolicy())
    (result,) = fleet.register()

    assert [(one.chunk_id, one.units) for one in cancelled] == [(chunk_id, 2)]
    assert dict(result.reasons) == {"cancelled": 2}
    assert cancel_chunk(fleet.store, "fleet", chunk_id, gateway=fleet.encord, retry=RetryPolicy()) == []
