"""UTF-16's order of names becomes UTF-8's."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.inventory.azure.order import KeyOrder

# Few characters, one from each range that the two orders treat differently, so that common prefixes are common.
names = st.lists(st.text(st.sampled_from("a/\ud7ff\ue000\uff21\uffff\U00010000\U0001f600\U0010ffff"), max_size=6))


def utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def reordered(keys: list[str]) -> list[str]:
    order = KeyOrder[str]()
    return [ready for key in keys for ready in order.push(key, key)] + order.finish()


@given(keys=names)
@example(keys=["\U00010000", "\uff21"])
@example(keys=["a/\U00010000/x", "a/\U00010000/\uff21", "a/\uff21", "a0"])
@example(keys=["\U00010000\U00010000", "\U00010000\uffff", "\uffff\U00010000"])
def test_names_in_the_order_of_utf16_come_out_in_the_order_of_utf8(keys: list[str]) -> None:
    assert reordered(sorted(set(keys), key=utf16)) == sorted(set(keys), key=str.encode)


@given(keys=names)
def test_names_in_the_order_of_utf8_stay_as_they_are(keys: list[str]) -> None:
    ordered = sorted(set(keys), key=str.encode)

    assert reordered(ordered) == ordered


def test_what_has_its_turn_is_not_held_back() -> None:
    order = KeyOrder[str]()

    assert order.push("a/x", "a/x") == ["a/x"]
    assert order.push("a/\U0001f600", "smile") == []
    assert order.push("a/\uff21", "wide letter") == ["wide letter"]
    assert (order.held, order.push("b", "b"), order.held) == (1, ["smile", "b"], 0)
