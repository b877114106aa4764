from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.chunking import MARGIN_BYTES, ChunkCutter, manifest_bytes

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

    assert ids == [f"{WAVE}-images-00001", f"{WAVE}-pdfs-00001", f"{WAVE}-images-00002", f"{WAVE}-pdfs-00002"]


def test_a_chunk_is_closed_before_its_manifest_can_grow_over_the_limit() -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 10_000))
    for index in range(10_000):
        cutter.place(MediaKind.IMAGE, f"{index:05d}", f"{index:05d}", size=1, url_bytes=16_384)

    fitting = (100_000_000 - MARGIN_BYTES) // manifest_bytes(url_bytes=16_384, objects=1)
    assert [chunk.units for chunk in cutter.finish()] == [fitting, fitting, 10_000 - 2 * fitting]


def test_a_unit_of_many_objects_counts_once_as_unit_and_widens_the_key_range() -> None:
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 2))
    cutter.place(MediaKind.IMAGE, "a", "z", size=30, url_bytes=60, objects=3)
    cutter.place(MediaKind.IMAGE, "b", "c", size=20, url_bytes=40, objects=2)

    (chunk,) = cutter.finish()
    assert (chunk.units, chunk.objects, chunk.bytes) == (2, 5, 50)
    assert (chunk.first_key, chunk.last_key) == ("a", "z")
