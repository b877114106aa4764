"""Failures by reason and by folder: counted as a recount of all rows gives them, in bounded memory."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.report.breakdown import WORST
from registration_pipeline.settings.addresses import SourceLocation, SourceScheme
from registration_pipeline_tests.unit.report.figures import breakdown, row

REASONS = ("invalid_file", "unreadable", "empty")
SEGMENTS = st.sampled_from(["a", "b", "ä", "", " ", "<b>"])
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)
ROWS = st.lists(st.tuples(KEYS, st.sampled_from(REASONS), st.integers(1, 5)), max_size=60)


@given(ROWS)
def test_counts_are_those_of_a_recount(drawn: list[tuple[str, str, int]]) -> None:
    figures = breakdown(row(key, reason, objects=objects) for key, reason, objects in drawn).figures()

    by_reason, levels = Counter[str](), [Counter[str]() for _ in range(3)]
    for key, reason, objects in drawn:
        by_reason[reason] += objects
        folders = key.split("/")[:-1]
        for depth, level in enumerate(levels, start=1):
            level["/".join([*folders[:depth], ""]) if folders else ""] += objects
    shown = next((level for level in levels if len(level) > 1), levels[0])
    assert {one.reason: one.objects for one in figures.reasons} == by_reason
    assert [one.objects for one in figures.prefixes] == sorted(shown.values(), reverse=True)[:WORST]
    assert all(shown[one.prefix] == one.objects for one in figures.prefixes)
    assert figures.more_prefixes == max(0, len(shown) - WORST)
    assert (figures.rows, figures.is_exact) == (len(drawn), True)


def test_the_source_s_own_prefix_is_not_a_folder() -> None:
    location = SourceLocation(scheme=SourceScheme.S3, bucket="b", prefix="raw/cam")

    figures = breakdown([row("raw/camera-1/x.jpg"), row("raw/cam.jpg")], below_prefix=location.below_prefix).figures()

    assert {one.prefix for one in figures.prefixes} == {"camera-1/", ""}


def test_folders_without_end_do_not_fill_the_memory_and_the_worst_is_still_first() -> None:
    rows = [row(f"patient-{number}/x.jpg") for number in range(500)]
    rows[100:100] = [row("bad/x.jpg") for _ in range(50)]

    counting = breakdown(rows, most_prefixes=40)

    figures = counting.figures()
    assert (figures.prefixes[0].prefix, figures.prefixes[0].objects, figures.is_exact) == ("bad/", 50, False)
    assert all(len(level.rows) <= 40 for level in counting._levels)


def test_accepted_reasons_are_named_as_such() -> None:
    rows = [row("a/", "directory_marker", stage="plan"), row("b.jpg", "empty", stage="plan")]

    figures = breakdown(rows, accepted=("directory_marker",)).figures()

    assert {one.reason: one.is_accepted for one in figures.reasons} == {"directory_marker": True, "empty": False}
    assert figures.accepted_objects == 1
