"""An object that was fixed before Encord accepted it is not changed; what was written later, or may have been, is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.wave import read_census
from registration_pipeline.tracking.repairs import AcceptedRepairs

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "raw/b.jpg"
REFUSED = "403 Forbidden"
PASSING = "503 try again"
AHEAD = timedelta(hours=2)


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """A chunk of three objects, and another one; no attempt yet."""
    return fleet_of("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def register(fleet: Any, message: str | None) -> None:
    """Register with ``b.jpg`` failing like this, some time after whatever happened last."""
    fleet.time.sleep(60)
    fleet.encord.fails = lambda url: message if url.endswith("b.jpg") else None
    fleet.register(retry_failed=True)


def write(fleet: Any, key: str = KEY, **facts: Any) -> None:
    fleet.time.sleep(60)
    fleet.put(key, e_tag=f"written at {fleet.time.clock()}", **facts)


def fixed_before(fleet: Any) -> None:
    register(fleet, REFUSED)
    write(fleet)
    register(fleet, None)


def fixed_after_two_refusals(fleet: Any) -> None:
    register(fleet, REFUSED)
    write(fleet)
    register(fleet, REFUSED)
    write(fleet)
    register(fleet, None)


def tried_in_vain_once_more(fleet: Any) -> None:
    register(fleet, REFUSED)
    write(fleet)
    register(fleet, PASSING)
    register(fleet, None)


def written_between_two_tries(fleet: Any) -> None:
    """The first try may have registered it, though its job named a failure that may pass."""
    register(fleet, REFUSED)
    register(fleet, PASSING)
    write(fleet)
    register(fleet, None)


def fixed_a_moment_before(fleet: Any) -> None:
    """A listing with fractions of seconds leaves no doubt."""
    register(fleet, REFUSED)
    write(fleet, last_modified=fleet.time.clock() + timedelta(seconds=119, microseconds=999_000))
    register(fleet, None)


def fixed_by_a_clock_that_is_ahead(fleet: Any) -> None:
    """The plan before the attempt saw the object as it is now, whatever the store's clock says."""
    register(fleet, REFUSED)
    write(fleet, last_modified=fleet.time.clock() + AHEAD)
    fleet.sync()
    register(fleet, None)


def written_later_by_a_clock_that_is_ahead(fleet: Any) -> None:
    fixed_by_a_clock_that_is_ahead(fleet)
    write(fleet, last_modified=fleet.time.clock() + AHEAD)


def not_planned_since_by_a_clock_that_is_ahead(fleet: Any) -> None:
    register(fleet, REFUSED)
    write(fleet, last_modified=fleet.time.clock() + AHEAD)
    register(fleet, None)


def retried_again_for_another_object(fleet: Any) -> None:
    fixed_before(fleet)
    fleet.time.sleep(60)
    fleet.register(tasks=[one_forced(task) for task in fleet.tasks(retry_failed=True)])


def one_forced(task: Any) -> Any:
    return type(task)(chunk=task.chunk, after_attempt=task.after_attempt, is_forced=True)


def written_after_it_was_accepted(fleet: Any) -> None:
    fixed_before(fleet)
    write(fleet)


def written_while_it_was_accepted(fleet: Any) -> None:
    """The listing leaves out fractions of seconds, so the same second may be before or after."""
    register(fleet, REFUSED)
    write(fleet, last_modified=fleet.time.clock() + timedelta(seconds=120))
    register(fleet, None)


def never_refused(fleet: Any) -> None:
    """Encord may have registered it in the attempt whose job named it with a failure that may pass."""
    register(fleet, PASSING)
    write(fleet)
    register(fleet, None)


def never_retried(fleet: Any) -> None:
    register(fleet, None)
    write(fleet)


def another_one_of_the_chunk(fleet: Any) -> None:
    register(fleet, REFUSED)
    write(fleet, "raw/a.jpg")
    register(fleet, None)


@pytest.mark.parametrize(
    ("story", "changed"),
    [
        pytest.param(story, changed, id=story.__name__)
        for story, changed in (
            (fixed_before, 0),
            (fixed_after_two_refusals, 0),
            (tried_in_vain_once_more, 0),
            (fixed_a_moment_before, 0),
            (fixed_by_a_clock_that_is_ahead, 0),
            (written_between_two_tries, 1),
            (written_later_by_a_clock_that_is_ahead, 1),
            (not_planned_since_by_a_clock_that_is_ahead, 1),
            (retried_again_for_another_object, 0),
            (written_after_it_was_accepted, 1),
            (written_while_it_was_accepted, 1),
            (never_refused, 1),
            (never_retried, 1),
            (another_one_of_the_chunk, 1),
        )
    ],
)
def test_only_what_encord_did_not_read_is_changed(
    fleet: Any, auditor_of: Any, story: Callable[[Any], None], changed: int
) -> None:
    story(fleet)
    fleet.sync()

    status = fleet.status()
    assert (status.registered, status.changed, status.adds_up) == (4, changed, True)
    assert len(auditor_of(fleet).found()) == changed


class Unread:
    """A state that must not be read."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def test_chunks_that_were_never_retried_cost_no_reading(fleet: Any) -> None:
    """Thousands of objects may be written again in a night, and each chunk has a journal."""
    never_retried(fleet)
    fleet.sync()
    latest = load_history(fleet.store, "fleet").latest
    assert latest is not None
    (changed,) = read_census(fleet.store, latest, "changed")
    repairs = AcceptedRepairs(Unread(), "fleet", fleet.journal.progress)  # type: ignore[arg-type]

    assert repairs.left_out(changed).num_rows == changed.num_rows == 1
