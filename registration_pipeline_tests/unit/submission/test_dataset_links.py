"""Linking registered units to datasets, story by story, with an Encord in memory.

What does not belong here: processes that die, outages and records (``test_dataset_links_in_trouble.py``).
"""

from __future__ import annotations

import pytest

from registration_pipeline.errors import (
    NotFoundError,
    PermissionDeniedError,
)
from registration_pipeline.settings.metadata import DatasetSettings
from registration_pipeline_tests.dataset_model.world import (
    FOLDER,
    Absent,
    Answer,
    Crash,
    LinkWorld,
    ScriptedDatasets,
    item,
    names_of,
    numbered,
)


@pytest.fixture
def world() -> LinkWorld:
    return LinkWorld()


def test_registered_units_are_linked_and_failed_ones_are_not(world: LinkWorld) -> None:
    world.conclude("chunk-1", {**numbered("a", 3), "bad": None})

    totals = world.link()

    assert world.encord.titled() == {"fleet": [item(f"a-{n}") for n in range(3)]}
    assert (totals.linked, totals.failed) == (3, 0)


def test_a_night_with_nothing_new_asks_nothing_and_writes_nothing(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 3))
    world.link()
    names, calls = list(names_of(world.store)), dict(world.encord.calls)

    assert world.link().linked == 0

    assert (list(names_of(world.store)), dict(world.encord.calls)) == (names, calls)


def test_only_what_a_retry_registered_is_linked_later(world: LinkWorld) -> None:
    world.conclude("chunk-1", {**numbered("a", 3), "late": None})
    world.link()

    world.conclude("chunk-1", {**numbered("a", 3), "late": item("late")})
    world.link()

    assert world.encord.link_sizes == [3, 1]
    assert world.links() == dict.fromkeys(world.registered, 1)


def test_an_item_that_was_registered_again_under_another_uuid_is_linked(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 2))
    world.link()
    world.encord.delete(item("a-0"))

    world.conclude("chunk-1", {**numbered("a", 2), "a-0": item("again")})
    world.link()

    assert world.encord.titled() == {"fleet": [item("a-1"), item("again")]}
    assert world.failures() == {}


def test_a_full_dataset_is_followed_by_the_next_also_in_the_middle_of_a_chunk(world: LinkWorld) -> None:
    world.settings = DatasetSettings(title="fleet", max_items=4)
    world.conclude("chunk-1", numbered("a", 6))
    world.conclude("chunk-2", numbered("b", 5))

    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == {
        "fleet": 4,
        "fleet 2": 4,
        "fleet 3": 3,
    }
    assert world.links() == dict.fromkeys(world.registered, 1)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(2, {"fleet": 3, "fleet 2": 2}, id="lowered"),
        pytest.param(10, {"fleet": 5}, id="raised"),
    ],
)
def test_another_max_items_counts_from_the_next_item_on(world: LinkWorld, later: int, expected: dict[str, int]) -> None:
    world.settings = DatasetSettings(title="fleet", max_items=4)
    world.conclude("chunk-1", numbered("a", 3))
    world.link()

    world.settings = DatasetSettings(title="fleet", max_items=later)
    world.conclude("chunk-2", numbered("b", 2))
    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == expected


def test_another_title_is_for_new_items_and_the_old_ones_stay(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 2))
    world.link()

    world.settings = DatasetSettings(title="night shift")
    world.conclude("chunk-2", numbered("b", 3))
    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == {"fleet": 2, "night shift": 3}


def test_a_dataset_that_exists_is_used_and_what_it_holds_counts(world: LinkWorld) -> None:
    uuid = world.encord.create_dataset("fleet")
    world.encord.rows[uuid] = [item("foreign-1"), item("foreign-2")]
    world.settings = DatasetSettings(title="fleet", max_items=3)
    world.conclude("chunk-1", numbered("a", 2))

    world.link()
    world.conclude("chunk-2", numbered("b", 1))
    world.link()

    assert {title: len(rows) for title, rows in world.encord.titled().items()} == {"fleet": 3, "fleet 2": 2}
    assert world.encord.calls["size"] == 1
    assert "has 2 items already" in world.notices[0]


def test_two_datasets_of_the_title_halt_before_anything_is_linked(world: LinkWorld) -> None:
    world.encord.create_dataset("fleet")
    world.encord.create_dataset("fleet")
    world.conclude("chunk-1", numbered("a", 1))

    with pytest.raises(NotFoundError, match="2 datasets titled 'fleet'"):
        world.link()

    assert list(names_of(world.store)) == []


def test_a_renamed_dataset_is_used_as_before(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 1))
    world.link()
    (uuid,) = world.encord.titles
    world.encord.titles[uuid] = "ours"

    world.conclude("chunk-2", numbered("b", 1))
    world.link()

    assert world.encord.titled() == {"ours": [item("a-0"), item("b-0")]}
    assert "was titled 'fleet' and is titled 'ours' now. It is used as before" in world.notices[-1]


def test_a_deleted_dataset_halts_and_no_other_is_made(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 1))
    world.link()
    (uuid,) = world.encord.titles
    del world.encord.titles[uuid]
    world.conclude("chunk-2", numbered("b", 1))

    with pytest.raises(
        NotFoundError, match=rf"dataset 'fleet' \({uuid}\).*so far 1 item.*move the folder fleet/links/"
    ):
        world.link()
    assert world.encord.titles == {}

    world.settings = DatasetSettings(title="other")
    world.link()
    assert world.encord.titled() == {"other": [item("b-0")]}


def test_a_full_dataset_that_was_deleted_halts_before_the_next_one_is_made(world: LinkWorld) -> None:
    world.settings = DatasetSettings(title="fleet", max_items=2)
    world.conclude("chunk-1", numbered("a", 2))
    world.link()
    (uuid,) = world.encord.titles
    del world.encord.titles[uuid]
    world.conclude("chunk-2", numbered("b", 1))

    with pytest.raises(NotFoundError, match=rf"dataset 'fleet' \({uuid}\).*so far 2 items"):
        world.link()

    assert world.encord.titles == {}


def test_an_open_intent_for_a_deleted_dataset_goes_to_the_title_configured_then(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 2))
    world.encord.answers = [Answer.OK, Answer.DIE_BEFORE]
    with pytest.raises(Crash):
        world.link()
    (uuid,) = world.encord.titles
    del world.encord.titles[uuid]

    with pytest.raises(NotFoundError, match="does not exist any more"):
        world.link()
    world.settings = DatasetSettings(title="other")
    world.link()

    assert world.encord.titled() == {"other": [item("a-0"), item("a-1")]}
    assert "which is gone, go to 'other'" in world.notices[-1]


@pytest.mark.parametrize("absent", Absent)
@pytest.mark.parametrize("lists_all", [False, True], ids=["new", "all"])
@pytest.mark.parametrize("names_items", [True, False], ids=["named", "unnamed"])
def test_a_deleted_item_fails_alone(absent: Absent, *, lists_all: bool, names_items: bool) -> None:
    world = LinkWorld(ScriptedDatasets(absent=absent, lists_all=lists_all, names_items=names_items))
    world.conclude("chunk-1", numbered("a", 20))
    gone = [item("a-3"), item("a-4"), item("a-19")]
    world.encord.delete(*gone)

    totals = world.link()

    assert world.links() == dict.fromkeys(set(world.registered) - set(gone), 1)
    assert world.failures() == dict.fromkeys(gone, "item_missing")
    assert (totals.linked, totals.failed) == (17, 3)
    calls = dict(world.encord.calls)
    world.link()
    assert dict(world.encord.calls) == calls  # not tried again each night


def test_an_item_that_is_seen_again_is_linked_when_failures_are_retried(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 3))
    world.encord.items.discard(item("a-1"))
    world.link()

    world.encord.items.add(item("a-1"))
    world.link(retry_failed=True)

    assert world.links() == dict.fromkeys(world.registered, 1)
    assert world.failures() == {}


def test_items_of_a_folder_that_is_gone_are_not_searched_one_by_one(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 500))
    world.encord.delete(*world.registered)
    world.encord.folders.discard(FOLDER)

    assert world.link().failed == 500

    assert world.encord.calls["exist"] == 1


def test_an_item_that_encord_refuses_fails_alone_with_what_it_said(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 20))
    world.encord.poison = {item("a-7")}

    totals = world.link()

    assert (totals.linked, totals.failed) == (19, 1)
    assert world.failures() == {item("a-7"): "link_refused"}


def test_a_user_who_may_not_link_halts_without_a_failure(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 20))
    world.encord.may_link = False

    with pytest.raises(PermissionDeniedError, match="Give the key's user the Admin role on the dataset"):
        world.link()

    assert world.failures() == {}
    world.encord.may_link = True
    assert world.link().linked == 20


def test_units_without_a_known_item_are_failures_and_are_linked_when_it_is_found(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 2), knows_items=False)
    world.link()
    assert world.failures() == {"a-0": "item_unknown", "a-1": "item_unknown"}

    world.conclude("chunk-1", numbered("a", 2))
    world.link()

    assert world.links() == dict.fromkeys(world.registered, 1)
    assert world.failures() == {}


def test_a_linked_unit_whose_item_is_not_known_any_more_is_not_linked_again(world: LinkWorld) -> None:
    world.conclude("chunk-1", numbered("a", 2))
    world.link()
    world.conclude("chunk-1", numbered("a", 2), knows_items=False)
    world.link()
    world.conclude("chunk-1", numbered("a", 2))

    world.settings = DatasetSettings(title="other")
    world.link()

    assert world.encord.titled() == {"fleet": world.registered}
    assert world.failures() == {}


def test_a_call_holds_a_thousand_items_of_any_chunks_at_most(world: LinkWorld) -> None:
    for number in range(5):
        world.conclude(f"chunk-{number}", numbered(f"c{number}", 450))
    world.settings = DatasetSettings(title="fleet", max_items=100_000)

    world.link(threads=4)

    assert sorted(world.encord.link_sizes) == [250, 1000, 1000]
    assert world.links() == dict.fromkeys(world.registered, 1)
