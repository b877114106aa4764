"""What is told of a manifest at one glance is what looking at everything would tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.ids import objects_digest
from registration_pipeline.limits import (
    ENVELOPE_BYTES,
    MAX_SEQUENCE_IMAGES,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
    ManifestLimits,
)
from registration_pipeline.manifest.canonical import is_canonical_and_valid
from registration_pipeline.manifest.format import ITEM_FORMATS
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import find_violations
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline_tests.unit.manifest.media_texts import canonical, media_texts

if TYPE_CHECKING:
    from collections.abc import Sequence


def group(urls: Sequence[str], *, kind: MediaKind = MediaKind.IMAGE_GROUP) -> bytes:
    members = tuple(PlannedObject(url, url, 1) for url in urls)
    unit = PlannedUnit("0" * 16, kind, "a group", members, 0)
    return render_manifest("20261121T020000Z-image_groups-000001", ChunkUnits.of([unit]))


def rendered(titles: Sequence[str], *, kind: MediaKind = MediaKind.IMAGE, urls: Sequence[str] = ()) -> bytes:
    named = urls or [f"s3://bucket/{index}" for index in range(len(titles))]
    units = [
        PlannedUnit(f"{index:016x}", kind, title, (PlannedObject(title, url, 1),), index)
        for index, (title, url) in enumerate(zip(titles, named, strict=True))
    ]
    return render_manifest("20261121T020000Z-images-000001", ChunkUnits.of(units))


@pytest.mark.parametrize("kind", list(MediaKind), ids=str)
def test_what_we_render_of_usual_objects_is_seen_to_be_valid(kind: MediaKind) -> None:
    data = rendered(["raw/a.jpg", "raw/b é\N{GRINNING FACE}.jpg", 'raw/"\\/\t.jpg'], kind=kind)

    assert is_canonical_and_valid(data)


FRAMES = [f"s3://b/{number}" for number in range(12)]
LONG = [f"s3://b/{number}" for number in range(MAX_SEQUENCE_IMAGES + 1)]
ODD = {
    "a group with a gap": group(FRAMES).replace(b"objectUrl_7", b"objectUrl_77"),
    "a group that begins with one": group(FRAMES[:1]).replace(b"objectUrl_0", b"objectUrl_1"),
    "a group with a position twice": group(FRAMES).replace(b"objectUrl_7", b"objectUrl_6"),
    "a group with an object twice": group([*FRAMES, FRAMES[0]]),
    "a group with a single URL": group(FRAMES[:1]).replace(b"objectUrl_0", b"objectUrl"),
    "a sequence that is too long": group(LONG, kind=MediaKind.IMAGE_SEQUENCE),
    "a sequence that is too long, by default": group(LONG).replace(b'"createVideo":false,', b""),
    "a group that may be a sequence": group(FRAMES).replace(b'"createVideo":false,', b""),
    "a TIFF in a sequence": group([*FRAMES, "s3://b/a.TIFF"], kind=MediaKind.IMAGE_SEQUENCE),
    "a TIFF with a version in a sequence": group(["s3://b/a.tif?v=1", *FRAMES], kind=MediaKind.IMAGE_SEQUENCE),
    "a title twice": rendered(["a", "a"]),
    "a title twice, written in two ways": rendered(["aé", "b"]).replace(b'"b"', rb'"\u0061\u00e9"'),
    "a title of half a pair": rendered(["a", "b"]).replace(b'"title":"b"', rb'"title":"\ud83d"'),
    "a title that is too long": rendered(["a" * (MAX_TITLE_CHARACTERS + 1)]),
    "a title that is empty": rendered([""]),
    "a URL twice": rendered(["a", "b"], urls=["s3://b/x", "s3://b/x"]),
    "a URL that is too long": rendered(["a"], urls=["s3://b/" + "x" * MAX_URL_BYTES]),
    "a URL without a scheme": rendered(["a"], urls=["b/x"]),
    "a URL with a blank": rendered(["a"], urls=["s3://b/x y"]),
    "metadata where there is none": rendered(["a"]).replace(b'"images"', b'"nifti"'),
    "an unknown kind": rendered(["a"]).replace(b'"images"', b'"paintings"'),
    "a kind of several objects": rendered(["a"]).replace(b'"images"', b'"image_groups"'),
    "no item": b'{"images":[],"skip_duplicate_urls":true}\n',
    "duplicates are not skipped": rendered(["a"]).replace(b"true", b"false"),
    "a key twice": rendered(["a"]).replace(b'"title":"a"', b'"title":"a","title":"b"'),
    "metadata twice": rendered(["a"]).replace(b'{"clientMetadata"', b'{"clientMetadata":{},"clientMetadata"'),
    "no comma": rendered(["a", "b"]).replace(b"},{", b"}{"),
    "two commas": rendered(["a", "b"]).replace(b"},{", b"},,{"),
    "a comma at the end": rendered(["a", "b"]).replace(b"}]", b"},]"),
    "something between two items": rendered(["a", "b"]).replace(b"},{", b"},7,{"),
    "an item that is cut": rendered(["a", "b"])[:-60],
    "nothing": b"",
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_whatever_is_wrong_is_not_waved_through(data: bytes) -> None:
    assert not is_canonical_and_valid(data)


@pytest.mark.parametrize("kind", [kind for kind, spec in KINDS.items() if spec.is_group], ids=str)
def test_groups_of_any_size_that_we_render_are_seen_to_be_valid(kind: MediaKind) -> None:
    assert all(is_canonical_and_valid(group(LONG[:size], kind=kind)) for size in (1, 10, 11, 101, MAX_SEQUENCE_IMAGES))


def test_a_group_that_is_not_a_sequence_may_be_longer_than_one_and_hold_tiffs() -> None:
    assert is_canonical_and_valid(group([*LONG, "s3://b/a.tif"]))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4),
    st.sampled_from(MediaKind),
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.sampled_from(['"', "\\", ",", "{", "}", "]", ":", " ", "a", "\\ud83d", "\\u0041", '","title":"', "\0"]),
        ),
        max_size=3,
    ),
)
@example(["a"], MediaKind.IMAGE, [])
def test_a_damaged_manifest_passes_the_glance_only_if_a_long_check_finds_nothing(
    titles: list[str], kind: MediaKind, damage: list[tuple[int, str]]
) -> None:
    data = rendered(titles, kind=kind)
    for place, text in damage:
        at = place % len(data)
        data = data[:at] + text.encode() + data[at + place % 3 :]

    if is_canonical_and_valid(data):
        assert find_violations(data) == []


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(TEXTS, min_size=1, max_size=5, unique=True), st.sampled_from(MediaKind))
def test_a_manifest_is_what_the_json_module_makes_of_the_same_document(titles: list[str], kind: MediaKind) -> None:
    items: list[dict[str, Any]] = []
    spec = KINDS[kind]
    for index, title in enumerate(titles):
        item: dict[str, Any] = {"objectUrl_0" if spec.is_group else "objectUrl": f"s3://bucket/{index}", "title": title}
        if spec.create_video is not None:
            item["createVideo"] = spec.create_video
        if "clientMetadata" in ITEM_FORMATS[spec.list_key].keys:
            item["clientMetadata"] = {
                "registration.chunk": "20261121T020000Z-images-000001",
                "registration.unit": f"{index:016x}",
            }
            if spec.is_group:
                item["clientMetadata"]["registration.objects"] = objects_digest([f"s3://bucket/{index}"])
        items.append(item)
    document = {spec.list_key: items, "skip_duplicate_urls": True}

    assert rendered(titles, kind=kind) == json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


OWN = {
    "a key": {"registration.key": "raw/é/\N{GRINNING FACE}.jpg"},
    "embeddings": {"a": [0.5, 1e-07, -3, 1e300], "b": [["c", 1.5], []]},
    "key frames": {
        "$encord": {
            "config": {"sampling_rate": 0.5, "keyframe_mode": "frame"},
            "frames": {"0": {"e": [0.25]}, "7": {}},
        },
        "weather": "sun",
    },
    "scalars": {"a": 1, "b": -2.5e-07, "c": True, "d": None, "e": "", "f": '"\\,:{}[]'},
}
DOUBTFUL = {
    "values within each other further than usual": '{"a":[[[[[1]]]]]}',
    "a frame that is not a number": '{"$encord":{"frames":{"x":{}}}}',
    "an embedding that is too long": json.dumps({"$encord": {"frames": {"0": {"e": [0] * 4097}}}}),
    "a list with a number that becomes infinite": '{"a":[1e400]}',
    "a list of texts with a number that becomes infinite": '{"a":["",-1e400]}',
    "half a pair": '{"a":"\\ud83d"}',
    "half a pair as key": '{"\\udc00":1}',
    "U+0000": '{"a":"\\u0000"}',
    "more than Encord accepts": json.dumps({"a": "x" * 10_000_000}),
}


def with_metadata(kind: MediaKind, *texts: str | None) -> bytes:
    units = [
        PlannedUnit(f"{index:016x}", kind, f"{index}", (PlannedObject("k", f"s3://b/{index}", 1),), index, text)
        for index, text in enumerate(texts)
    ]
    return render_manifest("20261121T020000Z-images-000001", ChunkUnits.of(units))


@pytest.mark.parametrize("kind", list(MediaKind), ids=str)
@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_metadata_of_plain_values_is_seen_to_be_valid(own: dict[str, Any], kind: MediaKind) -> None:
    assert is_canonical_and_valid(with_metadata(kind, None, json.dumps(own), None))


@pytest.mark.parametrize("kind", [MediaKind.VIDEO, MediaKind.DICOM_SERIES], ids=str)
@pytest.mark.parametrize("text", DOUBTFUL.values(), ids=DOUBTFUL)
def test_metadata_that_may_be_wrong_is_checked_at_length(text: str, kind: MediaKind) -> None:
    assert not is_canonical_and_valid(with_metadata(kind, None, text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'"a":1', b'"a":1,"a":1', id="a key twice"),
        pytest.param(b'"a":1', b'"a":1e400', id="a number that becomes infinite"),
        pytest.param(b'"a":1', b'"a":01', id="a number that JSON does not have"),
        pytest.param(b'"a":1', b'"a":' + b"1" * 5_000, id="a number that is too long to read"),
        pytest.param(b'"a":1', b'"a":[1,]', id="a list that goes on"),
        pytest.param(b'"a":1', b'"a":{"b":1,"b":1}', id="a key twice in a value"),
    ],
)
def test_metadata_that_json_does_not_have_or_that_has_a_key_twice_is_checked_at_length(old: bytes, new: bytes) -> None:
    data = with_metadata(MediaKind.IMAGE, '{"a":1}')

    assert is_canonical_and_valid(data)
    assert not is_canonical_and_valid(data.replace(old, new))


def mixed(kind: MediaKind, drawn: Sequence[tuple[Any, str | None]]) -> bytes:
    units = [
        PlannedUnit(f"{index:016x}", kind, f"{index}", (PlannedObject("k", f"s3://b/{index}", 1, media),), index, text)
        for index, (own, media) in enumerate(drawn)
        for text in (None if own is None else canonical(own),)
    ]
    return render_manifest("c", ChunkUnits.of(units))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=8,
)
METADATA = st.one_of(
    st.none(), st.dictionaries(TEXTS | st.just("$encord"), VALUES, max_size=4).filter(lambda own: "NaN" not in str(own))
)


@given(st.data(), st.sampled_from(MediaKind), st.integers(0, 3))
def test_mixed_units_pass_the_glance_only_if_a_long_check_finds_nothing(
    data: st.DataObject, kind: MediaKind, damages: int
) -> None:
    drawn = data.draw(st.lists(st.tuples(METADATA, media_texts(kind)), min_size=1, max_size=4))
    try:
        made = mixed(kind, drawn)
    except StateCorruptError:
        assume(False)
    marks = st.sampled_from(
        ['"', "\\", ",", "{", "}", "[", "]", ":", "e9", "0", "9", ".", "-", "null", "NaN", "\\u0000"]
    )
    for _ in range(damages):
        at = data.draw(st.integers(0, len(made)))
        made = made[:at] + data.draw(marks).encode() + made[at + data.draw(st.integers(0, 1)) :]
    needs = data.draw(st.booleans())
    limits = ManifestLimits(entries=4, bytes=data.draw(st.integers(len(made), 2 * len(made) + 2 * ENVELOPE_BYTES)))

    if is_canonical_and_valid(made, limits, needs_media_metadata=needs):
        assert find_violations(made, limits, needs_media_metadata=needs) == []


PLAIN = {
    MediaKind.IMAGE: {"file_size": 123, "height": 4, "mime_type": "image/jpeg", "width": 5},
    MediaKind.VIDEO: {
        "duration": 12.5,
        "file_size": 123,
        "fps": 29.97,
        "height": 4,
        "mime_type": "video/mp4",
        "width": 5,
    },
    MediaKind.AUDIO: {
        "bit_depth": 16,
        "codec": "pcm",
        "duration": 1,
        "file_size": 9,
        "mime_type": "audio/wav",
        "num_channels": 1,
        "sample_rate": 8000,
    },
    MediaKind.PDF: {"file_size": 1, "num_pages": 2},
    MediaKind.TEXT: {"file_size": 1, "mime_type": "text/plain"},
}


@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_mixed_units_that_we_render_are_seen_to_be_valid(kind: MediaKind) -> None:
    media, own = canonical(PLAIN[kind]), {"$encord": {"frames": {"0": {"e": [0.5]}}}, "a": 1, "z": [1, 2.5]}

    assert is_canonical_and_valid(mixed(kind, [(None, None), (None, media), (own, None), (own, media)]))
    assert is_canonical_and_valid(mixed(kind, [(None, media), (own, media)]), needs_media_metadata=True)
    assert not is_canonical_and_valid(mixed(kind, [(None, media), (own, None)]), needs_media_metadata=True)


@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_the_glance_counts_blocks_to_the_byte(kind: MediaKind) -> None:
    data = mixed(kind, [(None, canonical(PLAIN[kind])), (None, None)])
    sent = len(json.dumps(json.loads(data))) + ENVELOPE_BYTES

    assert is_canonical_and_valid(data, ManifestLimits(entries=2, bytes=sent))
    assert not is_canonical_and_valid(data, ManifestLimits(entries=2, bytes=sent - 1))


@given(st.sampled_from(MediaKind), st.integers(1, 12), st.sampled_from([None, '{"a":"b,:"}']), st.integers(1, 3))
def test_the_glance_counts_what_is_sent_to_the_byte(
    kind: MediaKind, frames: int, metadata: str | None, count: int
) -> None:
    units = [
        PlannedUnit(
            f"{index:016x}",
            kind,
            f"{index}",
            tuple(PlannedObject("k", f"s3://b/{index}/{n}", 1) for n in range(frames if KINDS[kind].is_group else 1)),
            index,
            metadata,
        )
        for index in range(count)
    ]
    data = render_manifest("c", ChunkUnits.of(units))
    sent = len(json.dumps(json.loads(data))) + ENVELOPE_BYTES

    assert is_canonical_and_valid(data, ManifestLimits(entries=count, bytes=sent))
    assert not is_canonical_and_valid(data, ManifestLimits(entries=count, bytes=sent - 1))
    assert not is_canonical_and_valid(data, ManifestLimits(entries=count - 1, bytes=sent))
