"""Places of names: Azure's order as an order of texts, and ranges that are split by it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from registration_pipeline.inventory.azure.order import RowOrder
from registration_pipeline.inventory.azure.places import UnitKeySpace, has_wide, key_at, place_of, same_in_both
from registration_pipeline.inventory.ranges.fan_out import in_many_places
from registration_pipeline.inventory.ranges.lister import KeyRange
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.schema import inventory_batch
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
# Few characters, one from each range that the two orders treat differently, so that common prefixes are common.
NAMES = st.sets(
    st.text(st.sampled_from("a0/\ud7ff\ue000\uff21\uffff\U00010000\U0001f600\U0010ffff"), min_size=1, max_size=6)
)


@given(one=TEXTS, other=TEXTS)
def test_places_are_ordered_like_utf16_and_lead_back_to_their_keys(one: str, other: str) -> None:
    assert (place_of(one) < place_of(other)) == (one.encode("utf-16-be") < other.encode("utf-16-be"))
    assert key_at(place_of(one)) == one


@given(one=TEXTS, other=TEXTS)
def test_what_is_the_same_in_both_orders_divides_all_keys_in_the_same_way(one: str, other: str) -> None:
    border = same_in_both(one)

    assert one.startswith(border)
    assert (other < border) == (place_of(other) < place_of(border))


class Store:
    """Pages of keys in the order of UTF-16. What can't be asked for, half a character, is an error."""

    prefix = ""
    was_throttled = False

    def __init__(self, keys: set[str], page_size: int) -> None:
        self.keys, self.page_size = sorted(keys, key=lambda key: key.encode("utf-16-be")), page_size
        self.places = [place_of(key) for key in self.keys]
        self.on_throttle: Callable[[], None] = lambda: None

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        key_at(after).encode()
        start = int(token) if token is not None else bisect_right(self.places, after)
        keys, places = (all_[start : start + self.page_size] for all_ in (self.keys, self.places))
        batch = inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=[0] * len(keys))
        more = str(start + len(keys)) if start + len(keys) < len(self.keys) else None
        return Page(batch, places[0] if keys else None, places[-1] if keys else None, more, place_of)

    def folders(self, prefix: str) -> list[str]:
        rests = (place[len(prefix) :] for place in self.places if place.startswith(prefix))
        return sorted({prefix + rest[: rest.index("/") + 1] for rest in rests if "/" in rest})


@settings(max_examples=examples(20, thorough=600))
@given(keys=NAMES, page_size=st.integers(1, 4), concurrency=st.integers(2, 6))
@example(keys={"\U00010000", "\U00010000\ue000", "\ue000", "a\U0010ffff", "a\uffff"}, page_size=1, concurrency=4)
def test_any_names_come_once_and_in_the_order_of_utf8(keys: set[str], page_size: int, concurrency: int) -> None:
    order, found = RowOrder(), list[str]()
    rows = in_many_places(
        Store(keys, page_size), UnitKeySpace(), KeyRange("", None), concurrency=concurrency, fan_out_after=1
    )
    for ready in [*(ready for batch in rows for ready in order.push(batch)), *order.finish()]:
        found += ready.column("key").to_pylist()

    assert found == sorted(keys, key=str.encode)


@given(keys=st.lists(TEXTS, min_size=1))
def test_batches_with_characters_beyond_ffff_are_known(keys: list[str]) -> None:
    batch = inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=[0] * len(keys))

    assert has_wide(batch) == any(letter > "\uffff" for key in keys for letter in key)
