"""What a run takes on: what is open, what may pass by itself, what was fixed; and what is not retried any more."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.tracking.due import due_tasks, failed_tasks, named_tasks
from registration_pipeline.tracking.repairs import repaired_chunks
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import chunk_statuses, source_status

MAX_ATTEMPTS = 3


def statuses(fleet: Any) -> Any:
    return chunk_statuses(fleet.store, "fleet")


def repaired(fleet: Any) -> frozenset[str]:
    return repaired_chunks(fleet.store, read_snapshot(fleet.store, "fleet"), statuses(fleet))


def due(fleet: Any) -> list[Any]:
    return due_tasks(statuses(fleet), max_attempts=MAX_ATTEMPTS, repaired=repaired(fleet))


def failed(fleet: Any, **options: Any) -> list[Any]:
    return failed_tasks(statuses(fleet), max_attempts=MAX_ATTEMPTS, repaired=repaired(fleet), **options)


def nights(fleet: Any, count: int) -> list[int]:
    """Run so many nightly syncs and tell how many chunks each took on."""
    return runs(fleet, count, seconds_apart=86_400)


def runs(fleet: Any, count: int, *, seconds_apart: float) -> list[int]:
    """Run so many syncs with pauses between them and return how many chunks each took on."""
    chosen = []
    for number in range(count):
        if number:
            fleet.time.sleep(seconds_apart)
        fleet.sync()
        tasks = due(fleet)
        chosen.append(len(tasks))
        fleet.register(tasks=tasks)
    return chosen


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """Two chunks, the first with an object that fails as scripted."""
    return fleet_of("a.jpg", "b.jpg", "c.jpg")


def fails_with(fleet: Any, message: str) -> None:
    fleet.encord.fails = lambda url: message if url.endswith("b.jpg") else None


def test_a_failure_that_may_pass_is_tried_by_later_runs_and_then_left_alone(fleet: Any):
    fails_with(fleet, "503 try again")

    assert nights(fleet, 5) == [2, 1, 1, 0, 0]
    assert failed(fleet) == []
    assert len(failed(fleet, force=True)) == 1
    assert source_status(fleet.store, "fleet", max_attempts=MAX_ATTEMPTS).quarantined == 1


def test_runs_in_quick_succession_count_as_one_try(fleet: Any):
    """What repeats a run at once, or every minute of an outage, must not use up the tries of three nights."""
    fails_with(fleet, "503 try again")

    assert runs(fleet, 5, seconds_apart=20) == [2, 1, 1, 1, 1]
    fleet.time.sleep(3600)
    assert runs(fleet, 4, seconds_apart=3600) == [1, 1, 0, 0]


@pytest.mark.parametrize("minutes", [30, 60], ids=["every half hour", "every hour"])
def test_scheduled_runs_count_each(fleet: Any, minutes: int):
    fails_with(fleet, "503 try again")

    assert runs(fleet, 5, seconds_apart=60 * minutes) == [2, 1, 1, 0, 0]


def test_a_failure_that_passes_in_time_ends_registered(fleet: Any):
    fails_with(fleet, "timeout")
    nights(fleet, 2)
    fleet.encord.fails = lambda _: None

    assert nights(fleet, 2) == [1, 0]
    fleet.assert_exactly_once()


@pytest.mark.parametrize("message", ["403 forbidden", "corrupt image", "no idea"])
def test_a_failure_that_someone_has_to_fix_is_not_tried_by_itself(fleet: Any, message: str):
    fails_with(fleet, message)

    assert nights(fleet, 3) == [2, 0, 0]
    assert len(failed(fleet)) == 1


@pytest.mark.parametrize("message", ["corrupt image", "503 try again"], ids=["to be mended", "given up"])
def test_an_object_that_is_written_again_is_tried_again_whatever_happened_before(fleet: Any, message: str):
    fails_with(fleet, message)
    nights(fleet, 4)
    fleet.time.sleep(60)
    fleet.put("raw/b.jpg", e_tag="mended")

    fleet.sync()
    assert repaired(fleet) == {fleet.chunks[0].chunk_id}
    assert len(failed(fleet)) == 1
    fleet.encord.fails = lambda _: None
    assert nights(fleet, 2) == [1, 0]
    fleet.assert_exactly_once()


def test_a_fixed_object_that_fails_again_has_all_its_tries_again(fleet: Any):
    fails_with(fleet, "503 try again")
    nights(fleet, 4)
    fleet.time.sleep(60)
    fleet.put("raw/b.jpg", e_tag="mended")

    assert nights(fleet, 5) == [1, 1, 1, 0, 0]


def test_a_change_of_an_object_that_is_registered_sends_nothing(fleet: Any):
    fails_with(fleet, "corrupt")
    nights(fleet, 1)
    fleet.time.sleep(60)
    fleet.put("raw/a.jpg", e_tag="other")

    assert nights(fleet, 2) == [0, 0]


def test_an_object_is_fixed_once(fleet: Any):
    """The census compares with the plan, so it names the object every night from then on."""
    fails_with(fleet, "corrupt")
    nights(fleet, 1)
    fleet.time.sleep(60)
    fleet.put("raw/b.jpg", e_tag="mended badly")

    assert nights(fleet, 3) == [1, 0, 0]


def test_a_named_chunk_is_tried_however_often_it_failed(fleet: Any):
    fails_with(fleet, "503 try again")
    nights(fleet, 4)
    fleet.encord.fails = lambda _: None

    fleet.register(tasks=named_tasks("fleet", statuses(fleet), [fleet.chunks[0].chunk_id]))

    fleet.assert_exactly_once()


def test_a_registered_chunk_that_is_named_is_sent_again_only_by_force(fleet: Any):
    nights(fleet, 1)
    sent = len(fleet.encord.manifests)
    gone = fleet.encord.items[fleet.encord.folders["fleet"]].pop()
    chunk_of = {unit.title: chunk.chunk_id for chunk in fleet.chunks for unit in fleet.units_of(chunk)}
    chunk_id = chunk_of[gone.name]

    fleet.register(tasks=named_tasks("fleet", statuses(fleet), [chunk_id]))
    assert len(fleet.encord.manifests) == sent
    fleet.register(tasks=named_tasks("fleet", statuses(fleet), [chunk_id], force=True))

    assert len(fleet.encord.manifests) == sent + 1
    assert gone.url in fleet.encord.urls()
    fleet.assert_exactly_once()


@pytest.mark.parametrize("is_back", [False, True], ids=["it is gone", "it is back meanwhile"])
def test_an_item_that_is_contested_counts_as_registered_only_while_it_is_there(
    fleet: Any,
    is_back: bool,  # noqa: FBT001 - a pytest case
):
    nights(fleet, 1)
    items = fleet.encord.items[fleet.encord.folders["fleet"]]
    gone = items.pop()
    chunk_of = {unit.title: chunk.chunk_id for chunk in fleet.chunks for unit in fleet.units_of(chunk)}

    def fail(url: str) -> str | None:
        if url != gone.url:
            return None
        if is_back:
            items.append(gone)
        return "404 not found"

    fleet.encord.fails = fail
    (result,) = fleet.register(tasks=named_tasks("fleet", statuses(fleet), [chunk_of[gone.name]], force=True))

    assert result.failed_objects == (0 if is_back else 1)
    fleet.assert_exactly_once(failing=set() if is_back else {gone.url})


def test_two_runs_that_chose_the_same_failure_retry_it_once(fleet: Any):
    fails_with(fleet, "503 try again")
    nights(fleet, 1)
    chosen = due(fleet)
    fleet.register(tasks=chosen)

    (result,) = fleet.register(tasks=chosen)

    assert (result.is_new, result.attempt) == (False, 2)
