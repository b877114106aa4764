"""A manifest is validated: each rule of Encord's, its place, and what is said.

What does not belong here: client metadata (``test_validate_metadata.py``) and changes at random (``test_mutations.py``).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.limits import MAX_GROWTH, ManifestLimits
from registration_pipeline.manifest import items
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline_tests.unit.manifest.manifests import EVERY_KIND, found, item, manifest


def test_every_kind_and_key_of_the_format_is_accepted() -> None:
    assert found(EVERY_KIND) == []


@pytest.mark.parametrize(
    ("data", "violations"),
    [
        (manifest(images=[item()], dicoms=[]), ["dicoms is not a key of the upload format"]),
        (manifest(images=[item(url="s3://b/x")]), ["images[0].url is not a key of the upload format for this kind"]),
        (
            manifest(nifti=[item(clientMetadata={})]),
            ["nifti[0].clientMetadata is not a key of the upload format for this kind"],
        ),
        (
            manifest(images=[item(objectUrl_0="s3://b/x")]),
            ["images[0].objectUrl_0 is not a key of the upload format for this kind"],
        ),
        (manifest(images=[{}]), ["images[0].objectUrl is missing", "images[0].title is missing"]),
        (manifest(images=[item() | {"objectUrl": True}]), ["images[0].objectUrl must be a string"]),
        (manifest(images=[item() | {"title": False}]), ["images[0].title must be a string"]),
        (manifest(images=[item(createVideo=1)]), ["images[0].createVideo must be a boolean"]),
        (manifest(images=[item(clientMetadata="{}")]), ["images[0].clientMetadata must be an object"]),
        (manifest(images=[item(clientMetadata=None)]), ["images[0].clientMetadata must be an object"]),
        (manifest(images=["s3://bucket/a"]), ["images[0] must be an object"]),
        (manifest(images=item(), text=[item()]), ["images must be a list"]),
        (manifest(images=[item() | {"title": ""}]), ["images[0].title must not be empty"]),
        (
            manifest(images=[item() | {"title": "é" * 301}]),
            ["images[0].title is 301 characters long; Encord accepts 300"],
        ),
        (manifest(images=[item("a"), item("b") | {"title": "a"}]), ["images[1].title is the same as images[0].title"]),
        (
            manifest(images=[item("a")], videos=[item("a") | {"title": "b"}]),
            ["videos[0].objectUrl is the same as images[0].objectUrl"],
        ),
        (manifest(), ["manifest has no items"]),
        (manifest(images=[]), ["manifest has no items"]),
        (manifest(images=[item(imageMetadata=[])]), ["images[0].imageMetadata must be an object"]),
        (
            manifest(images=[item(imageMetadata={"file_size": 1, "width": "1"})]),
            [
                "images[0].imageMetadata.file_size is not a field of this block",
                "images[0].imageMetadata.width must be a whole number of at most 64 bits",
            ],
        ),
        (
            manifest(images=[item(imageMetadata={"height": 1.0, "fileSize": 2**63, "width": 2**63 - 1})]),
            [
                "images[0].imageMetadata.height must be a whole number of at most 64 bits",
                "images[0].imageMetadata.fileSize must be a whole number of at most 64 bits",
            ],
        ),
        (manifest(videos=[item(videoMetadata={"fps": 10**400})]), ["videos[0].videoMetadata.fps must be a number"]),
        (manifest(videos=[item(videoMetadata={"fps": True})]), ["videos[0].videoMetadata.fps must be a number"]),
        (
            manifest(text=[item(pdfMetadata={})]),
            ["text[0].pdfMetadata is not a key of the upload format for this kind"],
        ),
        (manifest(images=[item()], upsert_metadata="yes"), ["upsert_metadata must be a boolean"]),
        (manifest(dicom_series=[{"title": "d"}]), ["dicom_series[0].objectUrl_0 is missing"]),
        (
            manifest(dicom_series=[{"title": "g", "objectUrl_01": "s3://b/x", "objectUrl_0": "s3://b/y"}]),
            ["dicom_series[0].objectUrl_01 is not a key of the upload format for this kind"],
        ),
    ],
)
def test_one_fault_is_one_violation_at_its_place(data: bytes, violations: list[str]) -> None:
    assert found(data) == violations


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("bucket/a.jpg", "absolute URL"),
        ("/a.jpg", "absolute URL"),
        ("s3://", "absolute URL"),
        ("", "absolute URL"),
        ("s3://b/a b", "whitespace"),
        ("s3://b/a\u00a0b", "whitespace"),
        ("s3://b/a\u2003b", "whitespace"),
        ("s3://b/a\n", "whitespace"),
        ("s3://b/\x00", "control"),
        ("s3://b/\x7f", "control"),
        ("s3://b/\x85", "control"),
        ("s3://b/" + "x" * 16_378, "16,385 bytes long; Encord accepts 16,384"),
        ("s3://b/" + "é" * 8_189, "16,385 bytes long"),
    ],
)
def test_a_url_that_encord_would_not_take_is_found(url: str, problem: str) -> None:
    (violation,) = validate_manifest(manifest(images=[{"objectUrl": url, "title": "t"}]))

    assert violation.where == "images[0].objectUrl"
    assert problem in violation.problem


@pytest.mark.parametrize(
    "url", ["s3://b/" + "x" * 16_377, "file:///a", "https://arn:aws:s3::1:accesspoint/x.mrap/a", "gs://b/é"]
)
def test_a_url_at_the_limit_and_every_scheme_are_accepted(url: str) -> None:
    assert found(manifest(images=[{"objectUrl": url, "title": "t"}])) == []


@pytest.mark.parametrize(
    ("present", "positions"),
    [([0, 2], 2), ([1], 1), ([1, 2], 1), ([0, 1, 2, 10], 10)],
    ids=["gap", "starts at one", "starts at one and goes on", "gap behind a two-digit position"],
)
def test_positions_of_a_group_start_at_zero_and_leave_no_gap(present: list[int], positions: int) -> None:
    group = {"title": "g", "createVideo": False} | {
        f"objectUrl_{position}": f"s3://b/{position}" for position in present
    }

    (violation,) = validate_manifest(manifest(image_groups=[group]))
    assert violation.where == f"image_groups[0].objectUrl_{positions}"
    assert "positions start at 0" in violation.problem


@pytest.mark.parametrize("flags", [{}, {"skip_duplicate_urls": False}], ids=["missing", "false"])
def test_skip_duplicate_urls_must_be_there_and_true(flags: dict[str, Any]) -> None:
    (violation,) = found(json.dumps({"images": [item()], **flags}).encode())

    assert violation.startswith("skip_duplicate_urls must be there and true")


@pytest.mark.parametrize("name", ["skip_duplicate_urls", "upsert_metadata"])
@pytest.mark.parametrize("value", [None, 0, 1, "true", []])
def test_a_flag_must_be_a_boolean(name: str, value: object) -> None:
    assert found(manifest(images=[item()], **{name: value})) == [f"{name} must be a boolean"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff{}", "is not UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"", "is not JSON"),
        (b"{'images': []}", "is not JSON"),
        (b"[]", "must be an object"),
        (b"[" * 100_000, "nested too deep"),
        (b"1" * 5_000, "is not JSON"),
    ],
    ids=["not utf-8", "byte order mark", "empty", "python", "list", "deep", "huge number"],
)
def test_what_is_no_json_object_is_one_violation(data: bytes, problem: str) -> None:
    (violation,) = validate_manifest(data)

    assert violation.where == "manifest"
    assert problem in violation.problem


def test_repeated_keys_are_found_at_any_depth() -> None:
    data = (
        b'{"skip_duplicate_urls":true,"images":[{"title":"t","title":"u","objectUrl":"s3://b/a",'
        b'"clientMetadata":{"x":{"y":1,"y":2}}}],"images":[{"title":"t","objectUrl":"s3://b/a"}],"text":[],"text":[]}'
    )

    assert found(data) == ["images is repeated", "text is repeated"]
    inner = data.replace(b',"images":[{"title":"t","objectUrl":"s3://b/a"}],"text":[],"text":[]', b"")
    assert found(inner) == [
        "images[0].title is repeated",
        "images[0].clientMetadata.x.y is repeated",
    ]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_found(number: str) -> None:
    data = manifest(images=[item(clientMetadata={"a": [0, "HERE"]})]).replace(b'"HERE"', number.encode())

    assert found(data) == ["images[0].clientMetadata.a[1] must be a finite number"]


def test_half_a_surrogate_pair_is_found() -> None:
    data = manifest(images=[item() | {"objectUrl": "s3://b/\ud800"}])

    assert found(data) == ["images[0].objectUrl holds half of a surrogate pair, which is not Unicode text"]


def test_a_place_with_half_a_surrogate_pair_can_be_written_down() -> None:
    data = manifest(images=[item(clientMetadata={"a\ud800": 1}) | {"\udfff": 2}], **{"\udc00": 3})

    assert [violation.encode() for violation in found(data)] == [
        b"images[0].clientMetadata.a\\ud800 holds half of a surrogate pair, which is not Unicode text",
        b"images[0].\\udfff holds half of a surrogate pair, which is not Unicode text",
        b"\\udc00 holds half of a surrogate pair, which is not Unicode text",
        b"\\udc00 is not a key of the upload format",
        b"images[0].\\udfff is not a key of the upload format for this kind",
    ]


def test_metadata_must_fit_into_jsonb() -> None:
    assert found(manifest(images=[item(clientMetadata={"a": "\\u0000\x01"})])) == []
    assert [
        violation.where for violation in validate_manifest(manifest(images=[item(clientMetadata={"a": ["\0"]})]))
    ] == ["images[0].clientMetadata.a[0]"]


def _nested(levels: int) -> bytes:
    value: Any = 1
    for _ in range(levels - 4):
        value = [value]
    return manifest(images=[item(clientMetadata={"a": value})])


def test_a_manifest_may_be_as_deep_as_the_sdk_can_send_it() -> None:
    assert found(_nested(255)) == []
    for levels in (256, 300, 900):
        assert found(_nested(levels)) == ["manifest is nested too deep: the SDK can send 255 levels"]


def test_client_metadata_has_a_limit() -> None:
    assert found(manifest(images=[item(clientMetadata={"a": "x" * 9_999_991})])) == []
    (violation,) = validate_manifest(manifest(images=[item(clientMetadata={"a": "x" * 9_999_992})]))
    assert str(violation) == "images[0].clientMetadata is 10,000,001 bytes long; Encord accepts 10,000,000"


@pytest.mark.parametrize("filling", ["", "é", "\x7f", 1e15, {"b": "\N{GRINNING FACE}"}], ids=repr)
@pytest.mark.parametrize("ensure_ascii", [True, False], ids=["escaped", "not escaped"])
def test_the_limit_of_client_metadata_is_on_what_is_sent(
    filling: Any,
    ensure_ascii: bool,  # noqa: FBT001 - a pytest case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(items, "MAX_CLIENT_METADATA_BYTES", 10_000)
    metadata: dict[str, Any] = {"a": [filling] * 300, "b": ""}
    metadata["b"] = "x" * (10_000 - len(json.dumps(metadata)))
    document = {"skip_duplicate_urls": True, "images": [item(clientMetadata=metadata)]}

    assert found(json.dumps(document, ensure_ascii=ensure_ascii).encode()) == []
    metadata["b"] += "x"
    (words,) = found(json.dumps(document, ensure_ascii=ensure_ascii).encode())
    assert words.startswith("images[0].clientMetadata is 10,001 bytes long")


@pytest.mark.parametrize(
    ("urls", "keys", "fits"),
    [
        (32_767, {"createVideo": True}, True),
        (32_768, {"createVideo": True}, False),
        (32_768, {"createVideo": False}, True),
    ],
)
def test_a_sequence_has_a_limit(urls: int, keys: dict[str, Any], fits: bool) -> None:  # noqa: FBT001 - a pytest case
    group = {"title": "g", **{f"objectUrl_{number}": f"s3://b/{number}" for number in range(urls)}, **keys}
    words = (
        "image_groups[0] lists 32,768 images; Encord accepts 32,767 in a sequence: "
        "split it, or set createVideo to false"
    )

    assert found(manifest(image_groups=[group])) == ([] if fits else [words])


def test_the_number_of_urls_has_a_limit_over_all_items() -> None:
    group = {"title": "g", "createVideo": True, "objectUrl_0": "s3://b/0", "objectUrl_1": "s3://b/1"}
    limits = ManifestLimits(entries=9, bytes=9_999, urls=3)

    assert found(manifest(images=[item()], image_groups=[group]), limits) == []
    assert found(manifest(images=[item("a"), item("b")], image_groups=[group]), limits) == [
        "manifest has 4 URLs; Encord accepts 3: lower chunk_size"
    ]


def test_the_number_of_items_has_a_limit_over_all_kinds() -> None:
    images = [item(f"i{number}") for number in range(9_999)]

    assert found(manifest(images=images, text=[item("t")])) == []
    assert found(manifest(images=images, text=[item("t"), item("u")])) == [
        "manifest has 10,001 items; Encord accepts 10,000: lower chunk_size"
    ]


def test_the_size_of_a_manifest_has_a_limit() -> None:
    data = manifest(images=[item()])
    limits = ManifestLimits(entries=1, bytes=len(data) - 1)

    assert [violation.where for violation in validate_manifest(data, limits)] == ["manifest"]
    assert found(data + b" ", limits)[0].startswith(f"manifest is {len(data) + 1} bytes long")


def test_a_manifest_that_grows_over_the_limit_when_it_is_sent_is_found() -> None:
    document = {"skip_duplicate_urls": True, "images": [item(clientMetadata={"a": "\x7f" * 1_000})]}
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    sent = len(json.dumps(document)) + 512  # the SDK escapes and spaces out, and sends more around it
    assert sent > 5 * len(data)

    assert found(data, ManifestLimits(entries=1, bytes=sent)) == []
    assert found(data, ManifestLimits(entries=1, bytes=sent - 1)) == [
        f"manifest grows to {sent:,} bytes when it is sent; Encord accepts {sent - 1:,}: lower chunk_size"
    ]


@given(
    st.recursive(
        st.floats() | st.integers() | st.text(max_size=9),
        lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=3), below, max_size=4),
        max_leaves=8,
    )
)
def test_nothing_grows_more_than_the_table_says(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    assert len(json.dumps(json.loads(text))) <= MAX_GROWTH * len(text.encode("utf-8", "surrogatepass"))


def test_every_violation_is_reported_not_just_the_first() -> None:
    data = b'{"bogus":1,"images":[{"objectUrl":"a b","title":""},7],"text":[{"title":3}]}'

    assert [violation.where for violation in validate_manifest(data)] == [
        "bogus",
        "skip_duplicate_urls",
        "images[0].objectUrl",
        "images[0].objectUrl",
        "images[0].title",
        "images[1]",
        "text[0].title",
        "text[0].objectUrl",
    ]


def test_a_group_that_does_not_say_whether_it_is_a_sequence_may_not_be_what_was_meant() -> None:
    frames = {f"objectUrl_{number}": f"s3://b/{number}.tif" for number in range(3)}

    assert found(manifest(image_groups=[{"title": "g", **frames}])) == [
        "image_groups[0].createVideo is missing: without it Encord makes a sequence of the images, with it (false) a group",
        "image_groups[0].objectUrl_0 is a TIFF, which Encord does not accept in a sequence",
    ]
    assert found(manifest(image_groups=[{"title": "g", "createVideo": False, **frames}])) == []
    assert found(manifest(dicom_series=[{"title": "g", **frames}])) == []
