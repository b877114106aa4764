"""Whatever happens in whatever order: every object registered once, and each in exactly one place. Model-checked.

The machine kills, stalls and interleaves processes act by act, while Encord registers late, loses replies, forgets and breaks
off jobs. It must let the product pass, and catch it with any one of its precautions taken away.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from registration_pipeline.submission.testing import StartScript
from registration_pipeline_tests.doses import DOSES, IS_SOAK
from registration_pipeline_tests.submission_model import variants
from registration_pipeline_tests.submission_model.hostile_encord import Fate
from registration_pipeline_tests.submission_model.machine import RegistrationMachine
from registration_pipeline_tests.submission_model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking takes minutes: add Phase.shrink to look at a failure
    stateful_step_count=12,
    report_multiple_bugs=False,
)
HUNT = settings(PROFILE, max_examples=60)
SEEDS = range(1, 31)
EXAMPLES, AT_LEAST = DOSES.model_examples, DOSES.model_seeds
"""This many seeds are run at length, with this many examples each, and more until enough was reached: what hypothesis draws
changes with any module."""

STARTS = (
    "accept, lose_reply, lose_request, throttle, refuse, too_large, halt, a bad entry, too many units, gateway_refuses, "
    "gateway_halts, gateway_throttles, refuse_unproven, halt_unproven, throttle_unproven"
)
JOBS = (
    "at once, late, slow, gradual, is_stuck, is_forgotten, forgotten later, ends ERROR, ends CANCELLED, takes_back, "
    "hides_errors, cancelled, goes_on, tells no urls, tells first error twice, tells text only, tells nothing of errors, "
    "tells no items, tells all pending, hidden, unknown although it lives"
)
UNITS = "403 forbidden, 503 try again, corrupt, gone, skipped, of several objects, one bad object of several"
READS = "401: key refused, 404: no such job, 429, connection cut"
ACTS = "its lease, manifests, intent, start, job, poll, sleep, count, list, outcomes, failures, split, closed"
ENDS = "well, CredentialsError, LeaseLostError, ServiceUnavailableError, StateError, StoppedError"
TOLD = "may or may not have reached, has been pending, is cancelled, is being submitted by, cancelled by a person"


def kinds(what: str, names: str) -> set[str]:
    return {f"{what}{name}" for name in names.split(", ")}


EVERYTHING = (
    kinds("start: ", STARTS)
    | kinds("job: ", JOBS)
    | kinds("unit: ", UNITS)
    | kinds("read: ", READS)
    | kinds("write: ", "full, answer lost")
    | kinds("killed before: ", ACTS)
    | kinds("stalled before: ", "intent, start, job, poll, sleep, outcomes, closed")
    | kinds("process: ended ", ENDS)
    | kinds("process: ", "killed, in turn")
    | kinds("run: ", "nightly, named, retry, force")
    | kinds("told: ", TOLD)
    | kinds("folder: ", "filled by hand, a group by hand")
    | kinds("plan: ", "a late member, a bad member")
    | kinds("told: ", "is not empty")
)
MAY_MISS = 0 if IS_SOAK else len(EVERYTHING) // 4
# BELIEVING, EARLY_CHECK and FORGETTING fail too rarely for a hunt; each has a test of its own below.
BROKEN = [
    pytest.param(variants.LATE_INTENTS, "registered twice|in Encord", id="the intent is written after the start"),
    pytest.param(variants.TRUSTING, "called registered", id="a job that has ended is taken for success"),
    pytest.param(variants.CREDULOUS, "called registered", id="what a job does not name is taken for registered"),
    pytest.param(variants.DOUBLING, "registered twice", id="what is there is not skipped"),
    pytest.param(variants.WITHOUT_LEASE, "without an intent|registered twice|in Encord", id="no lease"),
]
SELDOM_BROKEN = [
    pytest.param(variants.UNSETTLED, "registered twice", id="sent again without settling"),
    pytest.param(variants.NO_JOB_IDS, "registered twice|in Encord", id="job ids are not written"),
]
"""A hunt for these takes a minute, and so is for soak; each has a test of its own below."""


def run(fleet_type: Any, variant: variants.Variant, *, number: int, profile: settings) -> Counter[str]:
    """Run the machine with this seed, and return in how many examples each thing happened."""
    reached = Counter[str]()
    members = {"fleet_type": fleet_type, "variant": variant, "reached": reached}
    machine = type("RegistrationMachine", (RegistrationMachine,), members)
    run_state_machine_as_test(seed(number)(machine), settings=profile)
    return reached


def is_caught(fleet_type: Any, variant: variants.Variant, problem: str) -> bool:
    """Hunt for this problem.

    A broken product breaks other promises, too, and which one shows first depends on what hypothesis draws, which a change
    of any module may change: on with the next seed then.
    """
    for number in SEEDS:
        try:
            run(fleet_type, variant, number=number, profile=HUNT)
        except AssertionError as caught:
            if re.search(problem, str(caught)):
                return True
    return False


def test_whatever_happens_every_object_is_registered_once(new_fleet: Any):
    run(new_fleet, variants.GOOD, number=1, profile=settings(PROFILE, max_examples=4))


@pytest.fixture
def stalled_before_its_start(new_fleet: Any) -> Callable[[variants.Variant], World]:
    """Let a process stand still between its check and its start until another one has done the same, and then start."""

    def stall(variant: variants.Variant) -> World:
        world = World(new_fleet, variant)
        world.fleet.put("raw/a.jpg")
        world.sync()
        world.encord.usual = Fate(first=50)
        stalled, other = world.start(world.nightly), world.start(world.nightly)
        stalled.go_until("start")
        stalled.is_frozen = True
        other.go_until("poll")
        stalled.step()
        return world

    return stall


def test_a_process_that_stalls_between_its_check_and_its_start_doubles(new_fleet: Any):
    """The story can fail: this is what asking in the last moment is for."""
    world = World(new_fleet, variants.EARLY_CHECK)
    world.fleet.put("raw/a.jpg")
    world.sync()
    world.encord.usual = Fate(first=50)
    stalled, other = world.start(world.nightly), world.start(world.nightly)
    stalled.go_until("connection")
    stalled.is_frozen = True
    other.go_until("poll")

    with pytest.raises(AssertionError, match=r"without an intent|registered twice"):
        world.finish(stalled, other)
    world.close()


@pytest.mark.parametrize(
    "script", [StartScript.GATEWAY_REFUSES, StartScript.GATEWAY_HALTS, StartScript.GATEWAY_THROTTLES]
)
def test_who_believes_a_gateway_doubles(new_fleet: Any, script: StartScript):
    """The story can fail: this is what the quiet after an answer without proof is for."""
    world = World(new_fleet, variants.BELIEVING, chunk_size={"images": 2})
    world.fleet.put("raw/a.jpg", "raw/b.jpg")
    world.sync()
    world.encord.starts, world.encord.usual = [script], Fate(first=100)
    world.finish(world.start(world.nightly))
    world.finish(world.start(world.nightly))
    world.pass_time(400)

    with pytest.raises(AssertionError, match="registered twice"):
        world.check()
    world.close()


@pytest.fixture
def job_that_hides(new_fleet: Any) -> Callable[[variants.Variant], World]:
    """Register an object with a job that is unknown at first and shows nothing for longer than anybody settles."""

    def register(variant: variants.Variant) -> World:
        world = World(new_fleet, variant)
        world.fleet.put("raw/a.jpg")
        world.sync()
        world.encord.usual = Fate(first=50, slow=400, hidden=100)
        world.finish(world.start(world.nightly))
        return world

    return register


def test_a_live_job_that_is_unknown_at_first_is_asked_for_again(job_that_hides: Callable[[variants.Variant], World]):
    world = job_that_hides(variants.GOOD)

    world.end()

    assert "job: unknown although it lives" in world.seen
    assert len(world.encord.jobs) == 1


def test_without_asking_again_a_live_job_that_is_unknown_at_first_doubles(
    job_that_hides: Callable[[variants.Variant], World],
):
    """The story can fail: this is what asking after the quiet is for."""
    world = job_that_hides(variants.FORGETTING)

    world.pass_time(400)

    with pytest.raises(AssertionError, match="registered twice"):
        world.check()
    world.close()


@pytest.fixture
def killed_while_its_job_runs(new_fleet: Any) -> Callable[[variants.Variant], World]:
    """Kill a process that polls a job which shows nothing for longer than anybody settles, and run another to its end."""

    def kill(variant: variants.Variant) -> World:
        world = World(new_fleet, variant)
        world.fleet.put("raw/a.jpg")
        world.sync()
        world.encord.usual = Fate(first=50, slow=400)
        killed = world.start(world.nightly)
        killed.go_until("poll")
        killed.step()
        killed.kill()
        world.reap()
        world.pass_time(100)  # its lease is over
        world.finish(world.start(world.nightly))
        return world

    return kill


def test_a_job_of_a_killed_process_is_followed_by_its_id(
    killed_while_its_job_runs: Callable[[variants.Variant], World],
):
    world = killed_while_its_job_runs(variants.GOOD)

    world.end()

    assert len(world.encord.jobs) == 1


def test_without_its_id_a_job_of_a_killed_process_doubles(
    killed_while_its_job_runs: Callable[[variants.Variant], World],
):
    """The story can fail: this is what writing the id is for."""
    world = killed_while_its_job_runs(variants.NO_JOB_IDS)

    world.pass_time(400)

    with pytest.raises(AssertionError, match="registered twice"):
        world.check()
    world.close()


@pytest.fixture
def lost_reply(new_fleet: Any) -> Callable[[variants.Variant], World]:
    """Lose the reply to a start whose job shows something later, and run the night and the next to their ends."""

    def lose(variant: variants.Variant) -> World:
        world = World(new_fleet, variant)
        world.fleet.put("raw/a.jpg")
        world.sync()
        world.encord.starts, world.encord.usual = [StartScript.LOSE_REPLY], Fate(first=100)
        for _ in range(2):
            world.finish(world.start(world.nightly))
        return world

    return lose


def test_a_start_whose_reply_is_lost_is_settled_by_what_shows_later(lost_reply: Callable[[variants.Variant], World]):
    world = lost_reply(variants.GOOD)

    world.end()

    assert len(world.encord.jobs) == 1


def test_who_sends_again_without_settling_doubles(lost_reply: Callable[[variants.Variant], World]):
    """The story can fail: this is what settling is for."""
    world = lost_reply(variants.UNSETTLED)

    world.pass_time(400)

    with pytest.raises(AssertionError, match="registered twice"):
        world.check()
    world.close()


def test_a_process_that_stalls_before_its_start_finds_its_lease_gone(
    stalled_before_its_start: Callable[[variants.Variant], World],
):
    world = stalled_before_its_start(variants.GOOD)

    world.end()

    assert "process: ended LeaseLostError" in world.seen


def test_without_the_lease_a_process_that_stalls_before_its_start_doubles(
    stalled_before_its_start: Callable[[variants.Variant], World],
):
    """The story can fail: this is what the lease is for."""
    world = stalled_before_its_start(variants.WITHOUT_LEASE_OR_ORDER)

    with pytest.raises(AssertionError, match="registered twice"):
        world.end()
    world.close()


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_whatever_happens_every_object_is_registered_once_at_length(new_fleet: Any, note_line: Callable[[str], None]):
    profile = settings(PROFILE, max_examples=EXAMPLES)
    reached = Counter[str]()
    for number in SEEDS:
        reached += run(new_fleet, variants.GOOD, number=number, profile=profile)
        missing = EVERYTHING - set(reached)
        if number >= AT_LEAST and len(missing) <= MAY_MISS:
            break

    counted = ", ".join(f"{name} {count}" for name, count in sorted(reached.items()))
    note_line(
        f"model check of the submission: {EXAMPLES * number} examples of 12 steps each; examples by what happened: {counted}"
    )
    assert len(missing) <= MAY_MISS, missing


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_one_process_at_a_time_needs_no_lease(new_fleet: Any):
    run(new_fleet, variants.ALONE_WITHOUT_LEASE, number=1, profile=settings(PROFILE, max_examples=DOSES.alone_examples))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("variant", "problem"), [*BROKEN, *(SELDOM_BROKEN if IS_SOAK else ())])
def test_a_broken_variant_is_caught_by_the_same_machine(new_fleet: Any, variant: variants.Variant, problem: str):
    assert is_caught(new_fleet, variant, problem)
