"""What requests for pages have in common: chains of pages, and what is refused of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.ranges.checks import PageChecks
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.ranges.requests import Chain
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKS = PageChecks("gs://bucket/raw/", "fleet", "raw/")


@given(start=st.text(), token=st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_a_token_says_where_its_chain_of_pages_began(start: str, token: str) -> None:
    following = Chain.of(start, None).following(token)

    assert Chain.of("whatever came last", following) == Chain(start, token)


def test_the_first_page_begins_where_it_is_asked_to_and_the_last_has_no_token() -> None:
    assert Chain.of("raw/b", None) == Chain("raw/b", "")
    assert Chain.of("raw/b", None).following(None) is None


def page(keys: Sequence[str]) -> Page:
    batch = inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=[0] * len(keys))
    return Page(batch, keys[0] if keys else None, keys[-1] if keys else None, None)


@pytest.mark.parametrize(
    ("keys", "after", "is_after_token", "says"),
    [
        (["raw/b"], "raw/b", True, "lists a page again or out of order: 'raw/b' comes after 'raw/b'"),
        (
            ["raw/a"],
            "raw/b",
            False,
            r"asked for keys after 'raw/b' and answered with 'raw/a'.*storage\.concurrency` to 1",
        ),
        (["raw/c", "s"], "raw/b", True, "do not start with the prefix, from 'raw/c' to 's'"),
    ],
    ids=["again", "from before its start", "of another prefix"],
)
def test_a_page_of_another_place_is_refused(keys: list[str], after: str, *, is_after_token: bool, says: str) -> None:
    with pytest.raises(ListingError, match=says):
        CHECKS.require_place(page(keys), after, is_after_token=is_after_token)


@pytest.mark.parametrize("keys", [[], ["raw/c"], ["raw/c", "raw/d"]], ids=["empty", "one key", "two keys"])
def test_a_page_of_its_place_is_accepted(keys: list[str]) -> None:
    CHECKS.require_order(pa.array(keys, pa.string()))
    CHECKS.require_place(page(keys), "raw/b", is_after_token=True)


def test_keys_out_of_order_are_named_with_what_to_do() -> None:
    checks = PageChecks("s3://bucket/", "fleet", "", " (S3 directory buckets, for one, have no order)")

    with pytest.raises(ListingError, match=r"'a' comes after 'b'\. Nothing was recorded.*\(S3 directory buckets.*uri"):
        checks.require_order(pa.array(["b", "a"], pa.string()))
