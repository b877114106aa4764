from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.planning.kinds import suffix_of
from registration_pipeline.planning.suffixes import REST, SuffixCounts

KEYS = st.builds("{}.{}".format, st.sampled_from("ab"), st.integers(0, 80) | st.text(max_size=20))


def counted(*batches: list[str]) -> dict[str, int]:
    counts = SuffixCounts()
    for batch in batches:
        counts.add(batch)
    return dict(counts.result())


def test_the_most_frequent_suffix_comes_first_and_none_is_a_suffix_too() -> None:
    assert list(counted(["a.DAT", "b/c"], ["c.dat", "d.bin", "e.dat"]).items()) == [(".dat", 3), ("", 1), (".bin", 1)]


def test_at_most_fifty_are_kept_and_the_others_are_counted_together() -> None:
    rare, frequent = [f"a.{number}" for number in range(60)], [f"b.{number}" for number in range(50, 60)]
    result = counted(rare, frequent)

    assert len(result) == 51
    assert all(result[f".{number}"] == 2 for number in range(50, 60))
    assert (list(result)[-1], result[REST]) == (REST, 20 - 10)


def test_what_is_too_long_for_a_suffix_is_not_kept() -> None:
    assert counted(["notes/v1.2 of the final report"]) == {REST: 1}


def test_memory_is_bounded_whatever_the_names_are() -> None:
    counts = SuffixCounts()
    for number in range(0, 100_000, 1_000):
        counts.add([f"a.{name}" for name in range(number, number + 1_000)])

    assert len(counts._counts) <= 1_001
    assert sum(counts.result().values()) == 100_000


@given(st.lists(st.lists(KEYS)))
def test_every_object_is_counted_once(batches: list[list[str]]) -> None:
    result = counted(*batches)
    whole = Counter(suffix_of(key) for batch in batches for key in batch)

    assert sum(result.values()) == whole.total()
    assert all(count == whole[suffix] for suffix, count in result.items() if suffix != REST)
