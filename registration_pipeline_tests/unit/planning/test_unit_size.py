"""What a unit adds to the JSON that the SDK sends is counted to the byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.limits import (
    ENVELOPE_BYTES,
    MANIFEST_LIMITS,
    MAX_CLIENT_METADATA_BYTES,
    MAX_SEQUENCE_IMAGES,
    MAX_URLS,
    EncordPlan,
)
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.media_blocks import media_bytes
from registration_pipeline.planning.unit_size import bytes_around_units, exceeded_limit, metadata_problem, unit_bytes
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline_tests.unit.manifest.media_texts import media_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

WAVE = "20261121T020000Z-10"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
SCALARS = st.one_of(
    TEXTS, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.none()
)
METADATA = st.one_of(
    st.none(),
    st.dictionaries(
        st.one_of(
            TEXTS,
            st.sampled_from(["registration.key", "registration.chunk", "registration.objects", "registration.unit"]),
        ),
        st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3)),
        max_size=4,
    ),
)
DRAWN = st.lists(st.tuples(st.integers(1, 120), TEXTS, METADATA), min_size=1, max_size=8)
LIMIT = MAX_CLIENT_METADATA_BYTES


def canonical(metadata: Any) -> str | None:
    return None if metadata is None else json.dumps(metadata, sort_keys=True, separators=(",", ":"))


def units_of(
    kind: MediaKind, drawn: Sequence[tuple[int, str, Any]], media: Sequence[str | None] = (None,)
) -> list[PlannedUnit]:
    return [
        PlannedUnit(
            f"{index:016x}",
            kind,
            title,
            tuple(
                PlannedObject(f"{number}", f"s3://b/{index}/{number}", 1, media[(index + number) % len(media)])
                for number in range(count if KINDS[kind].is_group else 1)
            ),
            index,
            canonical(metadata),
        )
        for index, (count, title, metadata) in enumerate(drawn)
    ]


def counted(unit: PlannedUnit, chunk_id: str) -> int:
    return unit_bytes(
        unit.kind,
        chunk_id_bytes=len(chunk_id),
        title=unit.title,
        url_bytes=sum(len(entry.object_url) for entry in unit.objects),
        objects=len(unit.objects),
        client_metadata=unit.client_metadata,
        metadata_bytes=sum(media_bytes(unit.kind, entry.media_metadata) for entry in unit.objects),
    )


@given(st.sampled_from(MediaKind), DRAWN)
@example(MediaKind.IMAGE, [(1, "\N{GRINNING FACE}" * 300, None)])
@example(MediaKind.IMAGE_SEQUENCE, [(1, "a", None), (10, "b", None), (11, "c", None), (101, "d", None)])
def test_what_a_manifest_takes_as_it_is_sent_is_counted_exactly(
    kind: MediaKind, drawn: list[tuple[int, str, Any]]
) -> None:
    units = units_of(kind, drawn)
    chunk_id = f"{WAVE}-{kind}-000001"

    sent = json.dumps(json.loads(render_manifest(chunk_id, ChunkUnits.of(units))))

    assert len(sent) + ENVELOPE_BYTES == bytes_around_units(kind) + sum(counted(unit, chunk_id) for unit in units)


@given(st.sampled_from(MediaKind), st.data())
def test_media_metadata_is_counted_exactly(kind: MediaKind, data: st.DataObject) -> None:
    texts = data.draw(st.lists(media_texts(kind), min_size=1, max_size=6))
    units = units_of(kind, [(2, f"{index}", None) for index in range(len(texts))], texts)

    sent = json.dumps(json.loads(render_manifest("c", ChunkUnits.of(units))))

    assert len(sent) + ENVELOPE_BYTES == bytes_around_units(kind) + sum(counted(unit, "c") for unit in units)


def test_what_an_upsert_takes_besides_its_units_is_counted_exactly() -> None:
    own = {"registration.chunk": "c", "registration.unit": "0" * 16, "weather": "sun"}
    units = units_of(MediaKind.IMAGE, [(1, "t", own)])

    sent = json.dumps(json.loads(render_manifest("d", ChunkUnits.of(units), upsert=True)))

    around = bytes_around_units(MediaKind.IMAGE, upsert=True)
    assert len(sent) + ENVELOPE_BYTES == around + counted(units[0], "c")


@pytest.mark.parametrize(
    ("text", "is_too_much"),
    [
        pytest.param("a" * (LIMIT - 200), False, id="short of it"),
        pytest.param("a" * LIMIT, True, id="over it"),
        pytest.param("\N{SNOWMAN}" * (LIMIT // 6), True, id="over it once it is escaped"),
        pytest.param("\N{SNOWMAN}" * (LIMIT // 6 - 50), False, id="short of it once it is escaped"),
    ],
)
def test_client_metadata_of_a_unit_beyond_10_mb_names_the_limit(text: str, *, is_too_much: bool) -> None:
    own = json.dumps({"a": text}, ensure_ascii=False)

    found = metadata_problem(own)

    assert (found is not None) == is_too_much
    assert found is None or "Encord accepts 10,000,000 of a unit (10 MB)" in found
    assert (
        exceeded_limit(MediaKind.IMAGE, ENTERPRISE, wave_id=WAVE, title="t", url_bytes=9, client_metadata=own) == found
    )
    assert (
        exceeded_limit(MediaKind.NIFTI, ENTERPRISE, wave_id=WAVE, title="t", url_bytes=9, client_metadata=own) is None
    )


@pytest.mark.parametrize("objects", [9, 10, 11, 1_000, MAX_SEQUENCE_IMAGES])
def test_a_long_sequence_is_counted_exactly(objects: int) -> None:
    units = units_of(MediaKind.IMAGE_SEQUENCE, [(objects, "a sequence", {"registration.key": "é"})])

    sent = json.dumps(json.loads(render_manifest("c", ChunkUnits.of(units))))

    around = bytes_around_units(MediaKind.IMAGE_SEQUENCE)
    assert len(sent) + ENVELOPE_BYTES == around + counted(units[0], "c")


def test_a_chunk_ends_with_the_last_unit_whose_manifest_is_not_over_the_limit() -> None:
    limits = MANIFEST_LIMITS[EncordPlan.FREE]
    units = units_of(MediaKind.IMAGE, [(1, f"{index:0300d}", {"a": "é" * 20_000}) for index in range(200)])
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, 10_000), limits)
    for unit in units:
        cutter.place(
            unit.kind,
            unit.title,
            unit.title,
            size=1,
            url_bytes=len(unit.objects[0].object_url),
            title=unit.title,
            client_metadata=unit.client_metadata,
        )

    first, *_ = cutter.finish()

    def sent(count: int) -> int:
        data = render_manifest(first.chunk_id, ChunkUnits.of(units[:count]))
        return len(json.dumps(json.loads(data))) + ENVELOPE_BYTES

    assert sent(first.units) <= limits.bytes < sent(first.units + 1)


FREE = MANIFEST_LIMITS[EncordPlan.FREE]
ENTERPRISE = MANIFEST_LIMITS[EncordPlan.ENTERPRISE]


@pytest.mark.parametrize(
    ("kind", "unit", "named"),
    [
        pytest.param(MediaKind.IMAGE_SEQUENCE, {"objects": MAX_SEQUENCE_IMAGES}, None, id="a sequence at the limit"),
        pytest.param(MediaKind.IMAGE_SEQUENCE, {"objects": MAX_SEQUENCE_IMAGES + 1}, "32,767", id="a longer sequence"),
        pytest.param(MediaKind.IMAGE_GROUP, {"objects": MAX_SEQUENCE_IMAGES + 1}, None, id="a group is not limited so"),
        pytest.param(MediaKind.DICOM_SERIES, {"objects": MAX_URLS + 1}, "1,000,000 URLs", id="URLs"),
        pytest.param(MediaKind.IMAGE_GROUP, {"objects": 9, "url_bytes": 10_000_000}, "10,000,000", id="bytes"),
        pytest.param(
            MediaKind.IMAGE, {"client_metadata": f'{{"a":"{"x" * 10_000_000}"}}'}, "10,000,000", id="metadata"
        ),
    ],
)
def test_the_limit_that_a_unit_alone_exceeds_is_named(kind: MediaKind, unit: dict[str, Any], named: str | None) -> None:
    found = exceeded_limit(kind, FREE, wave_id=WAVE, **{"title": "t", "url_bytes": 10, **unit})

    assert (found is None) if named is None else (found is not None and named in found)


def test_a_unit_alone_exceeds_the_limit_of_bytes_from_the_first_byte_over_it() -> None:
    def found(url_bytes: int) -> str | None:
        return exceeded_limit(MediaKind.IMAGE_GROUP, FREE, wave_id=WAVE, title="t", url_bytes=url_bytes, objects=600)

    chunk_id_bytes = len(f"{WAVE}-image_groups-000001")
    room = FREE.bytes - bytes_around_units(MediaKind.IMAGE_GROUP)
    room -= unit_bytes(MediaKind.IMAGE_GROUP, chunk_id_bytes=chunk_id_bytes, title="t", url_bytes=0, objects=600)

    assert found(room) is None
    assert found(room + 1) is not None
