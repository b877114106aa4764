"""Axes: round values, evenly spaced, that hold every value; labels that stay in the chart."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.report.charts import Series, bar_chart, line_chart, round_ticks
from registration_pipeline.report.numbers import before, seconds, share, short_count, size

BEGIN = datetime(2026, 11, 1, 2, tzinfo=UTC)


@given(st.floats(0.001, 1e15), st.booleans())
def test_ticks_begin_at_zero_are_even_and_hold_the_greatest_value(most: float, whole: bool) -> None:  # noqa: FBT001
    ticks = round_ticks(most, whole=whole)

    assert ticks[0] == 0
    assert ticks[-1] >= most * (1 - 1e-9)
    assert 2 <= len(ticks) <= 6
    steps = {round((after - before) / ticks[1], 6) for before, after in itertools.pairwise(ticks)}
    assert steps == {1.0}
    assert not whole or all(tick == int(tick) for tick in ticks)


@given(st.lists(st.tuples(st.integers(0, 400 * 86_400), st.integers(0, 10**12)), min_size=1, max_size=50))
def test_every_mark_and_label_of_a_line_is_in_the_chart(drawn: list[tuple[int, int]]) -> None:
    points = sorted((BEGIN + timedelta(seconds=after), value) for after, value in drawn)

    chart = line_chart("t", "s", "objects", [Series("n", "bucket", points)], label=short_count, whole=True)

    numbers = [float(text) for text in chart.lines[0].path[1:].replace("L", " ").split()]
    assert all(-0.01 <= number <= 100.01 for number in numbers)
    assert 1 <= len(chart.x_ticks) <= 5
    assert all(-0.01 <= tick.at <= 100.01 for tick in (*chart.x_ticks, *chart.y_ticks))
    assert "nan" not in chart.lines[0].path


@given(st.lists(st.integers(-5, 10**9), min_size=1, max_size=120))
def test_a_bar_that_is_not_zero_is_seen_and_none_leaves_the_chart(values: list[int]) -> None:
    days = [(date(2026, 1, 1) + timedelta(days=number), value) for number, value in enumerate(values)]

    chart = bar_chart("t", "s", "objects", days, style="bucket", label=short_count, whole=True)

    for bar, value in zip(chart.bars, values, strict=True):
        assert bar.height >= 0.5 if value > 0 else bar.height == 0
        assert -0.01 <= bar.x <= bar.x + bar.width <= 100.01
        assert -0.01 <= bar.y <= 100.01


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "-"), (0, 7, "0 %"), (1, 10**9, "0.1 %"), (10**9 - 1, 10**9, "99.9 %"), (7, 7, "100 %"), (1, 3, "33.3 %")],
    ids=str,
)
def test_a_share_is_all_or_nothing_only_when_it_is(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (size(0), "0 B"),
        (size(999), "999 B"),
        (size(1_500_000_000_000), "1.5 TB"),
        (size(10**21), "1000 EB"),
        (short_count(0.25), "0.25"),
        (short_count(999_999), "1M"),
        (short_count(2_500), "2.5k"),
        (seconds(None), "-"),
        (seconds(59.96), "60.0 s"),
        (seconds(200), "3 min 20 s"),
        (seconds(7_500), "2 h 5 min"),
        (before(timedelta(seconds=-5)), "just before this report"),
        (before(timedelta(hours=30)), "30 h before this report"),
        (before(timedelta(days=3)), "3 days before this report"),
    ],
    ids=lambda value: value.replace(" ", "_"),
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected
