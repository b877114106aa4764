"""What is told of a manifest at one glance is what looking at everything would tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
    "scalars": {"a": 1, "b": -2.5e-07, "c": True, "d": None, "e": "", "f": '"\\,:{}[]'},
}
DOUBTFUL = {
    "a value that holds others": '{"a":[1]}',
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
        pytest.param(b'"a":1', b'"z":1', id="keys in another order"),
    ],
)
def test_metadata_that_we_would_write_in_another_way_is_checked_at_length(old: bytes, new: bytes) -> None:
    data = with_metadata(MediaKind.IMAGE, '{"a":1}')

    assert is_canonical_and_valid(data)
    assert not is_canonical_and_valid(data.replace(old, new))


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
