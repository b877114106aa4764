from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.unit_size import bytes_around_units, unit_bytes

WAVE = "20261121T020000Z"
UNITS = st.lists(st.tuples(st.sampled_from(MediaKind), st.integers(1, 9)), max_size=60)


@given(UNITS, st.integers(1, 7))
def test_chunks_hold_their_units_in_order_and_never_more_than_their_size(
    units: list[tuple[MediaKind, int]], size: int
) -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, size))
    places = [
        cutter.place(kind, f"{index:05d}", f"{index:05d}", size=weight, url_bytes=20)
        for index, (kind, weight) in enumerate(units)
    ]
    chunks = cutter.finish()

    by_kind = Counter(kind for kind, _ in units)
    assert Counter(chunk.kind for chunk in chunks) == {kind: -(-count // size) for kind, count in by_kind.items()}
    for chunk in chunks:
        members = [index for index, (chunk_id, _) in enumerate(places) if chunk_id == chunk.chunk_id]
        assert [places[index][1] for index in members] == list(range(chunk.units))
        assert {units[index][0] for index in members} == {chunk.kind}
        assert 1 <= chunk.units <= size
        assert chunk.bytes == sum(units[index][1] for index in members)
        assert (chunk.first_key, chunk.last_key) == (f"{members[0]:05d}", f"{members[-1]:05d}")
    assert [chunk.first_key for chunk in chunks] == sorted(chunk.first_key for chunk in chunks)


def test_chunk_ids_count_per_kind_from_one() -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 1))
    ids = [cutter.place(kind, "k", "k", size=1, url_bytes=1)[0] for kind in (MediaKind.IMAGE, MediaKind.PDF) * 2]

    assert ids == [f"{WAVE}-images-000001", f"{WAVE}-pdfs-000001", f"{WAVE}-images-000002", f"{WAVE}-pdfs-000002"]


def bytes_of(kind: MediaKind, index: int, *, url_bytes: int, client_metadata: str | None = None) -> int:
    """Return what a unit whose title is a key of five digits adds to a manifest."""
    chunk_id_bytes = len(f"{WAVE}-{kind}-000001")
    return unit_bytes(
        kind, chunk_id_bytes=chunk_id_bytes, title=f"{index:05d}", url_bytes=url_bytes, client_metadata=client_metadata
    )


def test_a_chunk_is_closed_before_its_manifest_grows_over_the_limit() -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 10_000))
    for index in range(10_000):
        cutter.place(MediaKind.IMAGE, f"{index:05d}", f"{index:05d}", size=1, url_bytes=16_384)

    room = 100_000_000 - bytes_around_units(MediaKind.IMAGE)
    fitting = room // bytes_of(MediaKind.IMAGE, 0, url_bytes=16_384)
    assert [chunk.units for chunk in cutter.finish()] == [fitting, 10_000 - fitting]


def test_a_unit_of_many_objects_counts_once_as_unit_and_widens_the_key_range() -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 2))
    cutter.place(MediaKind.IMAGE, "a", "z", size=30, url_bytes=60, objects=3)
    cutter.place(MediaKind.IMAGE, "b", "c", size=20, url_bytes=40, objects=2)

    (chunk,) = cutter.finish()
    assert (chunk.units, chunk.objects, chunk.bytes) == (2, 5, 50)
    assert (chunk.first_key, chunk.last_key) == ("a", "z")


@given(st.lists(st.sampled_from([1, 50, 4_000, 9_999, 10_000, 10_001, 32_767]), min_size=1, max_size=30))
def test_a_chunk_is_closed_before_it_would_hold_more_than_10000_objects(sizes: list[int]) -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 10_000))
    for index, objects in enumerate(sizes):
        key = f"{index:05d}"
        cutter.place(MediaKind.IMAGE_GROUP, key, key, size=1, url_bytes=40 * objects, objects=objects)

    chunks = cutter.finish()

    assert all(chunk.objects <= 10_000 or chunk.units == 1 for chunk in chunks)
    # None was closed too early: the first unit of the next chunk would not have fitted.
    firsts = [sizes[int(chunk.first_key)] for chunk in chunks]
    assert all(chunk.objects + first > 10_000 for (chunk, _), first in zip(pairwise(chunks), firsts[1:], strict=True))


@pytest.mark.parametrize("plan", EncordPlan)
def test_chunks_keep_to_the_limits_of_the_plan(plan: EncordPlan) -> None:
    limits = MANIFEST_LIMITS[plan]
    metadata = '{"a":"%s"}' % ("x" * 200_000)
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 10_000), limits)
    for index in range(10_001):
        cutter.place(MediaKind.IMAGE, f"{index:05d}", f"{index:05d}", size=1, url_bytes=10_000)
    for index in range(1_000):
        key = f"{index:05d}"
        cutter.place(MediaKind.PDF, key, key, size=1, url_bytes=1_000, client_metadata=metadata)

    chunks = cutter.finish()

    for kind, each in (
        (MediaKind.IMAGE, bytes_of(MediaKind.IMAGE, 0, url_bytes=10_000)),
        (MediaKind.PDF, bytes_of(MediaKind.PDF, 0, url_bytes=1_000, client_metadata=metadata)),
    ):
        fitting = (limits.bytes - bytes_around_units(kind)) // each
        assert max(chunk.units for chunk in chunks if chunk.kind is kind) == min(limits.entries, fitting)
