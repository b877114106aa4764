from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.limits import ENVELOPE_BYTES, MANIFEST_LIMITS, EncordPlan
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.chunking import MARGIN_BYTES, ChunkCutter, manifest_bytes
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit

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


TITLES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


def counted(units: list[PlannedUnit]) -> int:
    """Return the most that a chunk of these units may take as it is sent, as the cutter reckons."""
    return MARGIN_BYTES + sum(
        manifest_bytes(url_bytes=sum(len(entry.object_url) for entry in unit.objects), objects=len(unit.objects))
        for unit in units
    )


def sent(units: list[PlannedUnit]) -> int:
    """Return how many bytes the SDK makes of their manifest, with what it sends around it."""
    data = render_manifest("20261121T020000Z-10-image_sequences-000001-abababababab", ChunkUnits.of(units))
    return len(json.dumps(json.loads(data))) + ENVELOPE_BYTES


def frames(count: int, *, title: str, index: int, kind: MediaKind = MediaKind.IMAGE_SEQUENCE) -> PlannedUnit:
    members = tuple(PlannedObject(f"{number}", f"s3://b/{index}/{number}", 1) for number in range(count))
    return PlannedUnit("0" * 16, kind, title, members, index)


@given(
    st.lists(st.tuples(st.integers(1, 50), TITLES), min_size=1, max_size=20),
    st.sampled_from([MediaKind.IMAGE_GROUP, MediaKind.IMAGE_SEQUENCE, MediaKind.DICOM_SERIES]),
)
def test_a_manifest_as_it_is_sent_is_never_larger_than_was_counted(
    drawn: list[tuple[int, str]], kind: MediaKind
) -> None:
    units = [frames(count, title=title, index=index, kind=kind) for index, (count, title) in enumerate(drawn)]

    assert sent(units) <= counted(units)


@pytest.mark.parametrize(
    "units",
    [
        pytest.param([frames(32_767, title="s", index=0)], id="a long sequence"),
        pytest.param([frames(1, title="\N{GRINNING FACE}" * 300, index=index) for index in range(1000)], id="titles"),
        pytest.param([frames(50, title=f"{index}", index=index) for index in range(200)], id="10,000 objects"),
    ],
)
def test_a_large_manifest_is_not_larger_than_was_counted(units: list[PlannedUnit]) -> None:
    assert sent(units) <= counted(units)


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
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 10_000), limits)
    for index in range(10_001):
        cutter.place(MediaKind.IMAGE, f"{index:05d}", f"{index:05d}", size=1, url_bytes=1_000)
    for index in range(1_000):
        cutter.place(MediaKind.PDF, f"{index:05d}", f"{index:05d}", size=1, url_bytes=1_000, metadata_bytes=200_000)

    chunks = cutter.finish()

    assert max(chunk.units for chunk in chunks if chunk.kind is MediaKind.IMAGE) == min(
        limits.entries, (limits.bytes - MARGIN_BYTES) // manifest_bytes(url_bytes=1_000, objects=1)
    )
    each = manifest_bytes(url_bytes=1_000, objects=1, metadata_bytes=200_000)
    assert max(chunk.units for chunk in chunks if chunk.kind is MediaKind.PDF) == (limits.bytes - MARGIN_BYTES) // each
