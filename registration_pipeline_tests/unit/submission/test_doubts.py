"""Starts that were refused by an answer that could be anyone's: quiet first, then a look into the folder, then the answer."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    PermanentError,
    ServiceUnavailableError,
    ThrottledError,
)
from registration_pipeline.submission.calls.pace import Pace
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.split import GIVE_UP_AFTER
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline.tracking.journal.states import ChunkState


def kinds(fleet: Any) -> list[str]:
    """Return the journal of the first chunk as ``attempt-event``."""
    return [f"{event.attempt:04d}-{event.kind}" for event in fleet.journal.events(fleet.chunks[0].chunk_id)]


GATEWAYS = [StartScript.GATEWAY_REFUSES, StartScript.GATEWAY_HALTS, StartScript.GATEWAY_THROTTLES]


@pytest.mark.parametrize("script", GATEWAYS)
def test_a_job_that_runs_behind_a_gateways_refusal_is_adopted(fleet_of: Any, script: StartScript):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [script], "job_seconds": 100})

    (result,) = fleet.register()

    assert result.state is ChunkState.SUCCEEDED
    assert kinds(fleet) == ["0001-intent", "0001-verdict"]
    assert sum(fleet.time.slept) >= 120
    fleet.assert_exactly_once()


def test_a_refusal_of_which_nothing_came_is_believed_and_the_chunk_is_halved(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [StartScript.REFUSE_UNPROVEN]})

    (result,) = fleet.register()

    assert kinds(fleet) == ["0001-intent", "0001-split", "0001-verdict"]
    assert "submitted in parts" in result.message
    fleet.assert_exactly_once()


def test_a_refusal_of_a_retry_is_believed_although_an_earlier_attempt_registered_something(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg")
    bad = fleet.urls()[1]
    fleet.encord.fails = lambda url: "503 try again" if url == bad else None
    fleet.register()
    fleet.encord.fails = lambda _: None
    fleet.encord.starts = [StartScript.REFUSE_UNPROVEN]

    (result,) = fleet.register(retry_failed=True)

    assert kinds(fleet)[-3:] == ["0002-intent", "0002-split", "0002-verdict"]
    assert result.state is ChunkState.SUCCEEDED
    fleet.assert_exactly_once()


def test_a_refusal_of_which_something_came_is_sent_again_and_the_second_one_believed(fleet_of: Any):
    """The first start ran and registered one of two; the second was refused for good."""
    fleet = fleet_of("a.jpg", "b.jpg")
    bad = fleet.urls()[1]
    fleet.encord.fails = lambda url: "503 try again" if url == bad else None
    fleet.encord.starts = [StartScript.GATEWAY_REFUSES, StartScript.REFUSE_UNPROVEN]

    fleet.register()

    assert kinds(fleet) == ["0001-intent", "0001-lost", "0002-intent", "0002-split", "0002-verdict"]
    fleet.assert_exactly_once(failing={bad})


def test_a_refused_key_that_reads_do_not_confirm_halts_only_when_it_comes_twice(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [StartScript.HALT_UNPROVEN] * 2})

    with pytest.raises(CredentialsError, match="key refused"):
        fleet.register()

    assert kinds(fleet) == ["0001-intent", "0001-lost", "0002-intent", "0002-not_sent"]
    assert fleet.encord.manifests == []
    fleet.register()
    fleet.assert_exactly_once()


def test_a_key_that_was_refused_once_goes_on_after_quiet(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [StartScript.HALT_UNPROVEN]})

    fleet.register()

    assert kinds(fleet) == ["0001-intent", "0001-lost", "0002-intent", "0002-job", "0002-verdict"]
    fleet.assert_exactly_once()


@pytest.mark.parametrize(
    "answers", [[StartScript.HALT_UNPROVEN] * 2, [StartScript.THROTTLE_UNPROVEN] * 4], ids=["halt", "throttle"]
)
def test_other_chunks_are_not_burnt_on_an_answer_that_they_would_get_too(fleet_of: Any, answers: list[StartScript]):
    names = [f"{number:02d}.jpg" for number in range(60)]
    fleet = fleet_of(*names)
    fleet.encord.starts = [*[StartScript.ACCEPT] * 2, *answers]

    fleet.register(max_in_flight=2)

    lost = [event for chunk in fleet.chunks for event in fleet.journal.events(chunk.chunk_id) if event.kind == "lost"]
    assert 1 <= len(lost) <= len(answers)
    fleet.assert_exactly_once()


def test_a_throttled_start_in_doubt_slows_all_callers_down(fleet_of: Any):
    pace = Pace(rate=8.0)
    fleet = fleet_of("a.jpg")
    retry = RetryPolicy(sleep=fleet.time.sleep, pace=pace)
    throttled = AmbiguousError("429", refusal=ThrottledError("429"))

    def start() -> None:
        raise throttled

    with pytest.raises(AmbiguousError):
        retry.call("starting", start)

    assert (pace.throttles, pace.rate) == (1, 4.0)


def test_a_refusal_of_everything_is_recognised_after_a_few_units_also_in_doubt(fleet_of: Any):
    fleet = fleet_of(*(f"{number:02d}.jpg" for number in range(20)), chunk_size={"images": 20})
    refused = PermanentError("400: nothing today")
    fleet.encord.refuses = lambda _: AmbiguousError("400: nothing today", refusal=refused)

    (result,) = fleet.register(settle_seconds=1)

    assert (result.state, result.failed_units) == (ChunkState.FAILED, 20)
    alone = [one for one in fleet.journal.chunk_ids() if fleet.journal.progress(one).state is ChunkState.FAILED]
    assert len(alone) < 3 * GIVE_UP_AFTER
    fleet.assert_exactly_once(failing=set(fleet.urls()))


def test_a_chunk_in_doubt_again_and_again_halts_with_the_last_answer(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [StartScript.THROTTLE_UNPROVEN] * 6})

    with pytest.raises(ServiceUnavailableError, match=r"in doubt 6 times in a row.*429"):
        fleet.register()

    fleet.register()
    fleet.assert_exactly_once()


class HidingGateway(ScriptedGateway):
    """Answers polls of a job with 404 as often as it is told to, although the job lives."""

    unknown = 0

    def poll_job(self, **arguments: Any) -> Any:
        if self.unknown:
            self.unknown -= 1
            raise PermanentError("404: no such job")
        return super().poll_job(**arguments)


@pytest.mark.parametrize("unknown", [2, 3, 5], ids="{} times".format)
def test_a_job_that_is_unknown_for_a_while_is_asked_for_once_more_after_the_quiet(fleet_of: Any, unknown: int):
    """It shows nothing in the folder for longer than anyone settles, so only its id tells that it lives."""
    fleet = fleet_of("a.jpg", "b.jpg")
    gateway = HidingGateway(clock=fleet.time.clock, job_seconds=1_000, folders=fleet.encord.folders)
    gateway.unknown = unknown
    fleet.encord = gateway

    (result,) = fleet.register(gateway=gateway)

    assert kinds(fleet) == ["0001-intent", "0001-job", "0001-verdict"]
    assert result.state is ChunkState.SUCCEEDED
    fleet.assert_exactly_once()
