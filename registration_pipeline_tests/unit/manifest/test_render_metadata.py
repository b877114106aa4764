"""What is said of units besides where they are, as it is written into manifests: blocks, client metadata, upserts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.manifest.format import ITEM_FORMATS
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline_tests.unit.manifest.media_texts import canonical, media_texts

CHUNK_ID = "20261121T020000Z-images-000001"
UNIT_ID = "00000000000000aa"
OF_JSON = [kind for kind in MediaKind if ITEM_FORMATS[KINDS[kind].list_key].media_metadata]
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9 ._-]{1,12}", fullmatch=True),
    st.sampled_from(["$encord", "r", "reg", "registration", "registrationX", "registration-", "registration/", "é"]),
    st.text(max_size=5),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=12,
)
OURS = {"registration.chunk": CHUNK_ID, "registration.unit": UNIT_ID}


def unit(
    kind: MediaKind = MediaKind.IMAGE, *, media: str | None = None, own: str | None = None, index: int = 0
) -> PlannedUnit:
    entry = PlannedObject("raw/a", f"s3://b/raw/{index}", 7, media)
    return PlannedUnit(UNIT_ID, kind, f"t{index}", (entry,), index, own)


def rendered(*units: PlannedUnit, upsert: bool = False) -> bytes:
    return render_manifest(CHUNK_ID, ChunkUnits.of(units), upsert=upsert)


def item_of(data: bytes, kind: MediaKind) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data)[KINDS[kind].list_key][0]
    return found


def rewritten(data: bytes) -> bytes:
    return json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    ("kind", "neutral", "key", "block"),
    [
        pytest.param(
            MediaKind.IMAGE,
            {"mime_type": "image/jpeg", "file_size": 9, "width": 4, "height": 3},
            "imageMetadata",
            {"mimeType": "image/jpeg", "fileSize": 9, "width": 4, "height": 3},
            id="images",
        ),
        pytest.param(
            MediaKind.VIDEO,
            {"fps": 29.97, "duration": 2.5, "width": 4, "height": 3, "file_size": 9, "mime_type": "video/mp4"},
            "videoMetadata",
            {"fps": 29.97, "duration": 2.5, "width": 4, "height": 3, "file_size": 9, "mime_type": "video/mp4"},
            id="videos",
        ),
        pytest.param(
            MediaKind.AUDIO,
            {
                "duration": 2.5,
                "file_size": 9,
                "mime_type": "audio/wav",
                "sample_rate": 44100,
                "bit_depth": 24,
                "codec": "pcm",
                "num_channels": 2,
            },
            "audioMetadata",
            {
                "duration_seconds": 2.5,
                "file_size": 9,
                "mime_type": "audio/wav",
                "sample_rate": 44100,
                "bit_depth": 24,
                "codec": "pcm",
                "num_channels": 2,
            },
            id="audio",
        ),
        pytest.param(
            MediaKind.PDF, {"file_size": 9, "num_pages": 2}, "pdfMetadata", {"fileSize": 9, "numPages": 2}, id="pdfs"
        ),
        pytest.param(
            MediaKind.TEXT,
            {"file_size": 9, "mime_type": "text/plain"},
            "textMetadata",
            {"fileSize": 9, "mime_type": "text/plain"},
            id="text",
        ),
    ],
)
def test_media_metadata_is_written_with_the_names_that_encords_pages_print(
    kind: MediaKind, neutral: dict[str, Any], key: str, block: dict[str, Any]
) -> None:
    data = rendered(unit(kind, media=canonical(neutral)))

    assert item_of(data, kind) == {"clientMetadata": OURS, "objectUrl": "s3://b/raw/0", "title": "t0", key: block}
    assert rewritten(data) == data


@given(st.data(), st.lists(st.sampled_from(MediaKind), min_size=1, max_size=9))
def test_units_with_and_without_media_metadata_are_rendered_with_sorted_keys_by_row_and_by_column(
    data: st.DataObject, kinds: list[MediaKind]
) -> None:
    texts = [data.draw(media_texts(kind)) for kind in kinds]
    units = [unit(kind, media=text, index=index) for index, (kind, text) in enumerate(zip(kinds, texts, strict=True))]

    made = rendered(*units)

    items = {entry["title"]: entry for key in ITEM_FORMATS for entry in json.loads(made).get(key, [])}
    for index, (kind, text) in enumerate(zip(kinds, texts, strict=True)):
        block = ITEM_FORMATS[KINDS[kind].list_key].media_metadata_key
        assert (block is not None and block in items[f"t{index}"]) == (kind in OF_JSON and text is not None)
    assert rewritten(made) == made


@pytest.mark.parametrize("kind", [MediaKind.IMAGE_GROUP, MediaKind.DICOM_SERIES, MediaKind.NIFTI], ids=str)
def test_a_kind_without_a_block_in_the_json_form_is_written_without_it(kind: MediaKind) -> None:
    assert rendered(unit(kind, media='{"file_size":9}')) == rendered(unit(kind))


@given(st.dictionaries(NAMES, VALUES, max_size=6))
@example({"$encord": {"config": {"sampling_rate": 1}, "frames": {"0": {"e": [0.5, 1e-05]}}}, "z": [1]})
@example({"registration": 1, "registration.key": "raw/a", "registrationX": 2})
def test_own_metadata_and_where_a_unit_comes_from_are_one_sorted_object(own: dict[str, Any]) -> None:
    data = rendered(unit(own=canonical(own)))

    assert item_of(data, MediaKind.IMAGE)["clientMetadata"] == own | OURS
    assert rewritten(data) == data


def test_an_upsert_says_so_and_keeps_the_chunk_that_each_unit_was_registered_with() -> None:
    own = {"registration.chunk": "20251121T020000Z-images-000009", "registration.unit": UNIT_ID, "weather": "sun"}

    data = rendered(unit(own=canonical(own)), upsert=True)

    assert json.loads(data) | {"images": []} == {"images": [], "skip_duplicate_urls": True, "upsert_metadata": True}
    assert item_of(data, MediaKind.IMAGE)["clientMetadata"] == own
    assert rewritten(data) == data


def test_an_upsert_of_a_group_keeps_the_digest_of_its_urls() -> None:
    own = {"registration.chunk": "c", "registration.objects": "0" * 16, "registration.unit": UNIT_ID}

    data = rendered(unit(MediaKind.IMAGE_GROUP, own=canonical(own)), upsert=True)

    assert item_of(data, MediaKind.IMAGE_GROUP)["clientMetadata"] == own


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(None, id="none"),
        pytest.param({"weather": "sun"}, id="only its own"),
        pytest.param({"registration.chunk": "c", "registration.unit": "another"}, id="of another unit"),
        pytest.param({"registration.unit": UNIT_ID}, id="without a chunk"),
    ],
)
def test_an_upsert_of_a_unit_that_does_not_say_where_it_comes_from_is_refused(own: dict[str, Any] | None) -> None:
    with pytest.raises(StateCorruptError, match=f"unit {UNIT_ID} .* upsert"):
        rendered(unit(own=None if own is None else canonical(own)), upsert=True)
