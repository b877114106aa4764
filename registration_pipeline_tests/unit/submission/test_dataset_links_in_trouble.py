"""Linking to datasets when a process dies, Encord does not answer or a record is damaged: nothing is lost or made twice."""

from __future__ import annotations

import gzip
from datetime import timedelta

import pytest

from registration_pipeline.errors import (
    PermissionDeniedError,
    ServiceUnavailableError,
    StateConflictError,
    StateCorruptError,
)
from registration_pipeline.settings.metadata import DatasetSettings
from registration_pipeline.tracking.links.ledger import RECORDS_PER_SUMMARY, LinkRecords
from registration_pipeline_tests.dataset_model.world import (
    AT,
    SOURCE,
    Answer,
    Crash,
    DyingStore,
    LinkWorld,
    item,
    names_of,
    numbered,
)


@pytest.fixture
def world() -> LinkWorld:
    return LinkWorld()


@pytest.mark.parametrize("moment", [Answer.DIE_BEFORE, Answer.DIE_AFTER])
def test_a_kill_in_a_call_links_to_the_same_dataset_again(world: LinkWorld, moment: Answer) -> None:
    world.conclude("chunk-1", numbered("a", 3))
    world.encord.answers = [Answer.OK, moment]
    with pytest.raises(Crash):
        world.link()
    world.settings = DatasetSettings(title="fleet", max_items=1)

    world.link()

    assert world.encord.titled() == {"fleet": [item(f"a-{n}") for n in range(3)]}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_at_any_record_is_made_up_for(world: LinkWorld, number: int, *, after: bool) -> None:
    world.conclude("chunk-1", numbered("a", 3))

    with pytest.raises(Crash):
        world.link(store=DyingStore(world.store, number, after=after))
    world.link()

    assert world.encord.titled() == {"fleet": [item(f"a-{n}") for n in range(3)]}
    assert world.ledger.fill == dict.fromkeys(world.encord.titles, 3)


SEVEN_BY_TWO = {"fleet": 2, "fleet 2": 2, "fleet 3": 2, "fleet 4": 1}
"""Seven units take four datasets: as many records and calls that make them, then the intent, four calls, and its end."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 7))
def test_a_kill_at_any_record_leaves_no_dataset_that_is_not_filled(
    world: LinkWorld, number: int, *, after: bool
) -> None:
    world.settings = DatasetSettings(title="fleet", max_items=2)
    world.conclude("chunk-1", numbered("a", 7))

    with pytest.raises(Crash):
        world.link(store=DyingStore(world.store, number, after=after))
    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == SEVEN_BY_TWO
    assert world.links() == dict.fromkeys(world.registered, 1)


@pytest.mark.parametrize("end", [Answer.DIE_BEFORE, Answer.DIE_AFTER, Answer.REFUSE])
@pytest.mark.parametrize("number", range(8))
def test_a_kill_or_a_refusal_at_any_call_leaves_no_dataset_that_is_not_filled(
    world: LinkWorld, number: int, end: Answer
) -> None:
    world.settings = DatasetSettings(title="fleet", max_items=2)
    world.conclude("chunk-1", numbered("a", 7))
    world.encord.answers = [*[Answer.OK] * number, *[end] * 9]  # one refusal is asked again, and believed in the end

    with pytest.raises((Crash, PermissionDeniedError)):
        world.link()
    world.encord.answers = []
    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == SEVEN_BY_TWO
    assert world.links() == dict.fromkeys(world.registered, 1)


def test_datasets_that_a_halt_left_empty_are_filled_in_their_order_before_another_is_made(world: LinkWorld) -> None:
    world.settings = DatasetSettings(title="fleet", max_items=2)
    world.conclude("chunk-1", numbered("a", 5))
    world.encord.answers = [*[Answer.OK] * 2, *[Answer.REFUSE] * 9]
    with pytest.raises(PermissionDeniedError):
        world.link()

    world.encord.answers = []
    world.settings = DatasetSettings(title="fleet", max_items=5)
    world.link()
    assert {title: len(rows) for title, rows in world.encord.titled().items()} == {"fleet": 5, "fleet 2": 0}
    world.conclude("chunk-2", numbered("b", 6))
    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == {
        "fleet": 5,
        "fleet 2": 5,
        "fleet 3": 1,
    }


@pytest.mark.parametrize("answer", [Answer.LOSE_REPLY, Answer.LOSE_REQUEST, Answer.HALF, Answer.THROTTLE])
def test_a_call_that_fails_for_a_while_is_repeated(world: LinkWorld, answer: Answer) -> None:
    world.conclude("chunk-1", numbered("a", 4))
    world.encord.answers = [Answer.OK, answer, answer]

    world.link()

    assert world.encord.titled() == {"fleet": [item(f"a-{n}") for n in range(4)]}


@pytest.mark.parametrize("answer", [Answer.LOSE_REPLY, Answer.LOSE_REQUEST])
def test_a_dataset_whose_making_was_not_answered_is_searched_before_another_is_made(
    world: LinkWorld, answer: Answer
) -> None:
    world.conclude("chunk-1", numbered("a", 1))
    world.encord.answers = [answer]

    world.link()

    assert world.encord.titled() == {"fleet": [item("a-0")]}


def test_an_outage_halts_and_the_next_night_goes_on(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 2))
    world.encord.answers = [Answer.OK, *[Answer.LOSE_REPLY] * 6]
    with pytest.raises(ServiceUnavailableError):
        world.link()

    world.link()

    assert world.links() == dict.fromkeys(world.registered, 1)


def test_records_are_summarised_so_that_a_night_does_not_read_those_of_all_nights(world: LinkWorld) -> None:
    for number in range(RECORDS_PER_SUMMARY + 5):
        world.conclude(f"chunk-{number:03}", numbered(f"c{number}", 2))
        world.link()
    expected = world.ledger
    read = list[str]()

    class Watched:
        def __init__(self, inner: object) -> None:
            self._inner = inner

        def read(self, name: str) -> bytes:
            read.append(name)
            data: bytes = self._inner.read(name)  # type: ignore[attr-defined]
            return data

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

    found = LinkRecords(Watched(world.store), SOURCE).read()  # type: ignore[arg-type]

    assert (found.chunks, found.fill, found.last) == (expected.chunks, expected.fill, expected.last)
    assert len(read) < 2 * RECORDS_PER_SUMMARY / 2
    assert sum(name.startswith("summary") for name in names_of(world.store)) == 1


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "of another number"])
def test_a_damaged_summary_costs_time_and_nothing_else(world: LinkWorld, damage: str) -> None:
    for number in range(RECORDS_PER_SUMMARY):
        world.conclude(f"chunk-{number:03}", numbered(f"c{number}", 1))
        world.link()
    (name,) = (f"{SOURCE}/links/{one}" for one in names_of(world.store) if one.startswith("summary"))
    expected, data = world.ledger, world.store.read(name)
    world.store.delete(name)
    if damage == "flipped":
        world.store.create(name, gzip.compress(gzip.decompress(data).replace(b'"fleet"', b'"flees"')))
    elif damage == "cut":
        world.store.create(name, data[: len(data) // 2])
    elif damage != "missing":
        world.store.create(name.replace("0000003", "0000002"), data)

    found = world.ledger

    assert (found.chunks, found.fill, found.last) == (expected.chunks, expected.fill, expected.last)


@pytest.mark.parametrize("name", ["00000001.json", "00000002.json", "00000002-done.json"])
def test_a_missing_or_exchanged_record_is_refused_by_name(world: LinkWorld, name: str) -> None:
    world.conclude("chunk-1", numbered("a", 1))
    world.link()
    world.conclude("chunk-2", numbered("b", 1))
    world.link()
    whole = f"{SOURCE}/links/{name}"
    world.store.delete(whole)

    with pytest.raises(StateCorruptError, match=f"{name} is missing"):
        _ = world.ledger

    other = "00000003-done.json" if "done" in name else "00000003.json"
    world.store.create(whole, world.store.read(f"{SOURCE}/links/{other}"))
    with pytest.raises(StateCorruptError, match=f"{name} is a copy of another record"):
        _ = world.ledger


def test_a_process_that_was_overtaken_ends_at_its_next_record(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 1))

    class Overtaken:
        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def create(self, name: str, data: bytes) -> None:
            if name.endswith("-done.json"):
                world.link(clock=lambda: AT + timedelta(minutes=1))
            world.store.create(name, data)

    with pytest.raises(StateConflictError):
        world.link(store=Overtaken())

    assert world.links() == dict.fromkeys(world.registered, 1)
