"""The digest of a listing tells whether anything differs, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.digest import ListingDigest
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BASE = {"key": "a", "size": 1, "last_modified": NOON, "e_tag": "x", "storage_class": None, "content_type": None}
TEXTS = st.none() | st.text(max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.text(max_size=3),
            "size": st.integers(0, 9),
            "last_modified": st.integers(0, 9).map(lambda seconds: NOON + timedelta(seconds=seconds)),
            "e_tag": TEXTS,
            "storage_class": TEXTS,
            "content_type": TEXTS,
            "version": TEXTS,
        }
    ),
    max_size=8,
)


def digest(rows: list[dict[str, Any]], *cuts: int) -> str:
    """Digest rows that come in batches which end at ``cuts``; slices of one batch, as readers of Parquet give them."""
    whole = pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)
    found, ends = ListingDigest(), [*sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    start = 0
    for end in ends:
        found.add(whole.slice(start, end - start))
        start = end
    return found.hexdigest()


@given(rows=ROWS, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_where_batches_end_leaves_no_trace(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    assert digest(rows, *cuts) == digest(rows)


@given(one=ROWS, other=ROWS)
def test_equal_digests_are_equal_rows(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert (digest(one) == digest(other)) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"key": "b"}, id="key"),
        pytest.param({"size": 2}, id="size"),
        pytest.param({"last_modified": NOON + timedelta(microseconds=1)}, id="time"),
        pytest.param({"e_tag": "y"}, id="etag"),
        pytest.param({"e_tag": None}, id="no etag"),
        pytest.param({"storage_class": "GLACIER"}, id="storage class"),
        pytest.param({"storage_class": ""}, id="empty is not absent"),
        pytest.param({"content_type": "image/png"}, id="content type"),
        pytest.param({"version": "1"}, id="version"),
    ],
)
def test_a_change_of_anything_is_seen(change: dict[str, Any]) -> None:
    assert digest([BASE, {**BASE, "key": "c"}]) != digest([{**BASE, **change}, {**BASE, "key": "c"}])


def test_text_that_moves_to_the_neighbour_is_seen() -> None:
    assert digest([{**BASE, "key": "ab"}, {**BASE, "key": "c"}]) != digest(
        [{**BASE, "key": "a"}, {**BASE, "key": "bc"}]
    )


def test_what_stands_behind_a_null_does_not_count() -> None:
    tags = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\x00\0\0\0\x03\0\0\0"), pa.py_buffer(b"old"), pa.py_buffer(b"\0")
    )
    row = pa.RecordBatch.from_pylist([{**BASE, "e_tag": None}], schema=INVENTORY_SCHEMA)
    found = ListingDigest()

    found.add(row.set_column(3, INVENTORY_SCHEMA.field("e_tag"), tags))

    assert found.hexdigest() == digest([{**BASE, "e_tag": None}])
