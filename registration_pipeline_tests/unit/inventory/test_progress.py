"""What a person reads while a listing goes on."""

from __future__ import annotations

import pytest

from registration_pipeline.inventory.progress import ListingProgress


@pytest.mark.parametrize(
    ("objects", "seconds", "expected", "said"),
    [
        pytest.param(0, 0.0, None, "0 objects, 3 requests, 0 objects/s", id="nothing yet"),
        pytest.param(5_000, 2.0, None, "5,000 objects, 3 requests, 2,500 objects/s", id="the first inventory"),
        pytest.param(
            5_000,
            2.0,
            10_000,
            "5,000 of about 10,000 objects, 3 requests, 2,500 objects/s, about 2 s left",
            id="half of what was there before",
        ),
        pytest.param(
            1_000,
            1.0,
            301_000,
            "1,000 of about 301,000 objects, 3 requests, 1,000 objects/s, about 5 min left",
            id="minutes",
        ),
        pytest.param(20, 1.0, 10, "20 objects, 3 requests, 20 objects/s", id="more than before"),
    ],
)
def test_it_says_how_far_how_fast_and_how_long(objects: int, seconds: float, expected: int | None, said: str) -> None:
    assert str(ListingProgress(objects=objects, requests=3, seconds=seconds, expected=expected)) == said
