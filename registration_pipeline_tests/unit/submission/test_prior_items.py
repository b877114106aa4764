"""A folder that was filled by hand before the first sync: what is the source's is adopted, the rest is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from registration_pipeline.audit.adoption import Adoption
from registration_pipeline.audit.audit import audit_source
from registration_pipeline.errors import StoppedError, TransientError
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.target import Target
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline_tests.unit.submission.hand_filled import PREFIX, HandFilled

if TYPE_CHECKING:
    from registration_pipeline.submission.gateway import ItemPage


@pytest.fixture
def hand_filled(fleet_of: Any) -> HandFilled:
    """Six images in three chunks."""
    return HandFilled(fleet_of(*(f"{letter} é.jpg" for letter in "abcdef")))


def items_of(filled: HandFilled) -> list[str | None]:
    return [outcome.item_uuid for outcome in filled.fleet.outcomes()]


def test_what_the_folder_holds_is_adopted_and_the_rest_is_sent(hand_filled: HandFilled):
    """One chunk is there whole, one in part, one not at all."""
    fleet = hand_filled.fleet
    by_hand = hand_filled.put("https://elsewhere/x.jpg", *fleet.urls()[:3], f"{PREFIX}never planned.jpg")

    results = hand_filled.register()

    assert sorted(fleet.encord.urls()) == sorted(
        [*fleet.urls(), "https://elsewhere/x.jpg", f"{PREFIX}never planned.jpg"]
    )
    assert items_of(hand_filled)[:3] == by_hand[1:4]
    assert sorted((result.state.value, result.job_id is None) for result in results) == [
        ("succeeded", False),
        ("succeeded", False),
        ("succeeded", True),
    ]
    assert len(fleet.encord.manifests) == 2
    assert fleet.status().registered == 6
    assert "held 5 items before the first upload, 4 of them with URLs of fleet" in hand_filled.notices[-1]


def test_a_folder_is_listed_once_and_what_it_held_is_known_to_later_runs(hand_filled: HandFilled):
    by_hand = hand_filled.put(*hand_filled.fleet.urls()[:3])
    hand_filled.find()
    hand_filled.notices.clear()

    hand_filled.register()

    assert items_of(hand_filled)[:3] == by_hand
    assert hand_filled.notices == []
    hand_filled.fleet.assert_exactly_once()


def test_a_folder_that_is_filled_after_the_first_upload_is_not_listed(hand_filled: HandFilled):
    hand_filled.register(tasks=hand_filled.fleet.tasks()[:1])
    hand_filled.put(*hand_filled.fleet.urls()[2:])

    assert hand_filled.find() is None
    assert hand_filled.notices == []


def test_a_folder_from_which_an_audit_adopted_is_listed_before_the_first_upload(hand_filled: HandFilled):
    """It leaves the chunks of which only some units are there, and those are sent."""
    fleet = hand_filled.fleet
    by_hand = hand_filled.put(*fleet.urls()[:3])
    adopted = Adoption(fleet.time.clock)
    audit_source(
        store=fleet.store,
        source="fleet",
        gateway=fleet.encord,
        retry=RetryPolicy(),
        target_folder=hand_filled.folder,
        clock=fleet.time.clock,
        adoption=adopted,
    )
    assert len(adopted.adopted) == 1

    hand_filled.register()

    fleet.assert_exactly_once()
    assert items_of(hand_filled)[:3] == by_hand
    assert None not in items_of(hand_filled)


def test_items_that_were_deleted_since_are_registered_again(hand_filled: HandFilled):
    hand_filled.put(*hand_filled.fleet.urls()[:3])
    prior = hand_filled.find()
    del hand_filled.fleet.encord.items[hand_filled.folder][1:]

    hand_filled.fleet.register(prior=prior)

    hand_filled.fleet.assert_exactly_once()
    assert None not in items_of(hand_filled)


def test_urls_that_encord_shows_in_another_encoding_are_recognised(hand_filled: HandFilled):
    urls = hand_filled.fleet.urls()
    by_hand = hand_filled.put(*map(unquote, urls))

    hand_filled.register()

    assert items_of(hand_filled) == by_hand
    assert hand_filled.fleet.encord.manifests == []


def test_a_start_in_doubt_is_settled_with_what_the_folder_held(hand_filled: HandFilled):
    by_hand = hand_filled.put(*hand_filled.fleet.urls()[:1])
    hand_filled.fleet.encord.starts = [StartScript.LOSE_REPLY]

    hand_filled.register()

    hand_filled.fleet.assert_exactly_once()
    assert items_of(hand_filled)[:1] == by_hand


def test_what_was_adopted_does_not_keep_a_refused_chunk_from_being_given_up(fleet_of: Any):
    """Else every unit of a chunk would be tried alone when the integration is refused: 2,000 starts for 1,000 units."""
    names = [f"{number:03d}.jpg" for number in range(64)]
    filled = HandFilled(fleet_of(*names, chunk_size={"images": 64}))
    filled.put(*filled.fleet.urls()[::2])
    filled.fleet.encord.starts = [StartScript.REFUSE] * 200

    (result,) = filled.register()

    assert (result.registered_objects, result.failed_objects) == (32, 32)
    assert len(filled.fleet.encord.starts) > 200 - 40


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_while_a_filled_folder_is_adopted_loses_and_doubles_nothing(
    hand_filled: HandFilled, crash: Any, crashing_store: Any, number: int, moment: str
):
    fleet = hand_filled.fleet
    hand_filled.put(*fleet.urls()[:3])
    dying = crashing_store(fleet.store, number, moment)
    with pytest.raises(crash):
        fleet.register(prior=hand_filled.find(store=dying), store=dying)

    hand_filled.register()

    fleet.assert_exactly_once()
    assert None not in items_of(hand_filled)
    assert len(list(fleet.store.names("fleet/prior_items/"))) == 2


def test_what_another_process_found_meanwhile_is_used(hand_filled: HandFilled):
    """A machine that slept while it listed the folder: another one has taken the lease and listed it, too."""
    by_hand = hand_filled.put(*hand_filled.fleet.urls())
    others: list[Any] = []

    class Asleep(ScriptedGateway):
        """The other process comes before the first page is answered."""

        def items_page(self, folder_uuid: str, page_token: str | None, **options: Any) -> ItemPage:
            others.append(hand_filled.find())
            page: ItemPage = hand_filled.fleet.encord.items_page(folder_uuid, page_token, **options)
            return page

    prior = hand_filled.find(gateway=Asleep())

    assert prior == others[0]
    assert prior is not None
    assert sorted(prior.of(hand_filled.fleet.units()).values()) == sorted(by_hand)


def test_a_listing_whose_files_another_process_cleared_away_stops(hand_filled: HandFilled):
    hand_filled.put(*hand_filled.fleet.urls())
    store = hand_filled.fleet.store

    class Cleared:
        """The state as a process sees it that slept before it looks for its files."""

        def names(self, prefix: str) -> list[str]:
            for name in list(store.names(prefix)):
                store.delete(name)
            return list(store.names(prefix))

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

    with pytest.raises(StoppedError, match=r"Another process lists Encord folder .* Run again"):
        hand_filled.find(store=Cleared())


@pytest.mark.parametrize(
    ("urls", "changes"),
    [
        ([], {}),
        (["https://elsewhere/x.jpg", None], {}),
        ([PREFIX], {"has_sent": lambda: True}),
        ([PREFIX], {"target": Target(folder_uuid="f", integration_uuid=None, is_new=True)}),
    ],
    ids=["empty", "items of others", "the source has sent before", "the folder is new"],
)
def test_nothing_is_known_of_a_folder_that_held_nothing_of_the_source(
    hand_filled: HandFilled, urls: list[str], changes: dict[str, Any]
):
    hand_filled.put(*urls)

    assert hand_filled.find(**changes) is None


def test_a_folder_of_others_is_not_listed_again(hand_filled: HandFilled):
    hand_filled.put("https://elsewhere/x.jpg")
    hand_filled.find()
    hand_filled.notices.clear()

    assert hand_filled.find() is None
    assert hand_filled.notices == []


def test_a_folder_of_many_pages_is_listed_in_pages_that_are_asked_for_again(hand_filled: HandFilled):
    urls = hand_filled.fleet.urls()
    hand_filled.put(*(f"https://elsewhere/{number}.jpg" for number in range(50)), *urls)
    hand_filled.fleet.encord.page_size = 10

    class Failing(ScriptedGateway):
        """Every page fails once."""

        pages = 0

        def items_page(self, folder_uuid: str, page_token: str | None, **options: Any) -> ItemPage:
            self.pages += 1
            if self.pages % 2:
                raise TransientError("503")
            page: ItemPage = hand_filled.fleet.encord.items_page(folder_uuid, page_token, **options)
            return page

    failing = Failing()
    prior = hand_filled.find(gateway=failing)

    assert prior is not None
    assert len(prior.of(hand_filled.fleet.units())) == 6
    assert failing.pages == 2 * 6
