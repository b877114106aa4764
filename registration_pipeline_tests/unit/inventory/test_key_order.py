"""Keys are in order if each is greater than the one before it, by code points."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.key_order import disorder

KEYS = st.lists(st.text(st.sampled_from("a\uffff\U00010000"), max_size=2), max_size=6)


@given(keys=KEYS)
def test_the_first_two_keys_that_do_not_increase_are_named(keys: list[str]) -> None:
    expected = next((pair for pair in pairwise(keys) if not pair[0] < pair[1]), None)

    assert disorder(pa.array(keys, pa.string())) == expected
