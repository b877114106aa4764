"""Every point at which a process can end, and the run after it: exactly once, a verdict for everything."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import HaltError
from registration_pipeline.submission.testing import StartScript
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Callable

MOMENTS = ["before", "after"]
LOST = [StartScript.LOSE_REPLY, StartScript.LOSE_REPLY]
SCRIPTS = [
    pytest.param(([], set(), 0), id="accepted"),
    pytest.param(([], {"b.jpg"}, 30), id="a unit fails after a while"),
    pytest.param(([StartScript.LOSE_REPLY], set(), 0), id="reply lost"),
    pytest.param(([StartScript.LOSE_REQUEST], set(), 0), id="request lost"),
    pytest.param(([StartScript.THROTTLE], set(), 0), id="throttled"),
    pytest.param(([StartScript.REFUSE], set(), 0), id="refused once"),
    pytest.param(([StartScript.HALT], set(), 0), id="key refused once"),
    pytest.param((LOST, {"b.jpg"}, 30), id="replies lost and a unit fails after a while"),
]


def failing(names: set[str]) -> Callable[[str], str | None]:
    return lambda url: "404 not found" if url.rsplit("/", 1)[-1] in names else None


def failed_urls(fleet: Any, names: set[str]) -> set[str]:
    return {url for url in fleet.urls() if url.rsplit("/", 1)[-1] in names}


@pytest.mark.parametrize("rehearsal", SCRIPTS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_write_to_the_state_and_run_again(
    fleet_of: Any, crash: Any, crashing_store: Any, moment: str, rehearsal: Any
):
    starts, names, job_seconds = rehearsal
    for number in count(1):
        encord = {"starts": list(starts), "fails": failing(names), "job_seconds": job_seconds}
        fleet = fleet_of("a.jpg", "b.jpg", encord=encord)
        store = crashing_store(fleet.store, number, moment)
        with suppress(crash, HaltError):
            fleet.register(store=store)
        for _ in range(2):
            fleet.register_until_done(retry_failed=True)
        fleet.assert_exactly_once(failing=failed_urls(fleet, names))
        if not store.is_dead:
            break
    assert number > 3, "there was nothing to crash at"


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_start_and_run_again(fleet_of: Any, crash: Any, crashing_gateway: Any, moment: str, number: int):
    fleet = fleet_of(encord={"job_seconds": 30})
    with pytest.raises(crash):
        fleet.register(gateway=crashing_gateway(fleet.encord, number, moment))

    fleet.register()

    fleet.assert_exactly_once()


def test_killed_twice_at_any_two_writes_and_run_again(fleet_of: Any, crash: Any, crashing_store: Any):
    for first in (2, 3, 4, 7):
        for second in (1, 2, 4):
            fleet = fleet_of("a.jpg", "b.jpg", encord={"fails": failing({"b.jpg"})})
            for number in (first, second):
                with suppress(crash):
                    fleet.register(store=crashing_store(fleet.store, number, "after"))
            fleet.register()
            fleet.assert_exactly_once(failing=failed_urls(fleet, {"b.jpg"}))


def test_killed_between_intent_and_start_sends_after_quiet(fleet_of: Any, crash: Any, crashing_store: Any):
    fleet = fleet_of("a.jpg")
    with pytest.raises(crash):
        fleet.register(store=crashing_store(fleet.store, 1, "after", "0001-intent"))
    assert fleet.encord.urls() == []
    assert fleet.journal.progress(fleet.chunks[0].chunk_id).state is ChunkState.INTENDED

    (result,) = fleet.register(settle_seconds=120)

    assert result.attempt == 2
    assert sum(fleet.time.slept) >= 120
    fleet.assert_exactly_once()


def test_killed_between_start_and_job_id_adopts_what_is_in_the_folder(fleet_of: Any, crash: Any, crashing_store: Any):
    fleet = fleet_of("a.jpg", "b.jpg")
    with pytest.raises(crash):
        fleet.register(store=crashing_store(fleet.store, 1, "before", "0001-job"))
    assert len(fleet.encord.urls()) == 2

    (result,) = fleet.register()

    assert result.attempt == 1
    assert result.job_id is None
    assert "adopted after" in str(result.message)
    assert len(fleet.encord.manifests) == 1
    fleet.assert_exactly_once()


def test_killed_between_job_id_and_verdict_only_asks_how_the_job_ended(fleet_of: Any, crash: Any, crashing_store: Any):
    fleet = fleet_of("a.jpg", "b.jpg")
    with pytest.raises(crash):
        fleet.register(store=crashing_store(fleet.store, 1, "after", "0001-job"))
    assert fleet.journal.progress(fleet.chunks[0].chunk_id).state is ChunkState.SUBMITTED
    slept = len(fleet.time.slept)

    (result,) = fleet.register()

    assert result.job_id is not None
    assert len(fleet.encord.manifests) == 1
    assert fleet.time.slept[slept:] == []
    fleet.assert_exactly_once()


@pytest.mark.parametrize("name", ["outcomes/", "failures/"])
def test_killed_between_outcomes_and_verdict_writes_them_again(
    fleet_of: Any, crash: Any, crashing_store: Any, name: str
):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"fails": failing({"b.jpg"})})
    with pytest.raises(crash):
        fleet.register(store=crashing_store(fleet.store, 1, "after", name))
    assert fleet.outcomes() == []

    (result,) = fleet.register()

    assert (result.attempt, result.registered_objects, result.failed_objects) == (1, 1, 1)
    fleet.assert_exactly_once(failing=failed_urls(fleet, {"b.jpg"}))


def test_killed_between_lost_and_the_next_intent_is_still_due(fleet_of: Any, crash: Any, crashing_store: Any):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"fails": failing({"b.jpg"})})
    fleet.register()
    fleet.encord.fails = failing(set())
    fleet.encord.starts = [StartScript.LOSE_REQUEST]
    with pytest.raises(crash):
        fleet.register(store=crashing_store(fleet.store, 1, "before", "0003-intent"), retry_failed=True)
    assert not fleet.journal.progress(fleet.chunks[0].chunk_id).state.is_concluded

    fleet.register()

    fleet.assert_exactly_once()


def test_a_lost_start_that_registers_late_is_waited_for(fleet_of: Any):
    """Duplicates are searched for when a job starts: sending again before the lost job is through would register twice."""
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [StartScript.LOSE_REPLY], "job_seconds": 100})

    fleet.register(settle_seconds=120)

    fleet.assert_exactly_once()


def test_without_the_quiet_a_lost_start_that_registers_late_would_double(fleet_of: Any):
    """The rehearsal can fail: this is what the quiet is for."""
    fleet = fleet_of("a.jpg", "b.jpg", encord={"starts": [StartScript.LOSE_REPLY], "job_seconds": 100})

    fleet.register(settle_seconds=0)

    assert len(fleet.encord.urls()) == 4
