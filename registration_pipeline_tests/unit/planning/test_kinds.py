from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.kinds import (
    KIND_BY_CONTENT_TYPE,
    KIND_BY_SUFFIX,
    UNPLANNED_SUFFIXES,
    KindFinder,
    media_kind,
    media_kinds,
    suffix_of,
    unplanned_note,
)
from registration_pipeline.settings.addresses import parse_location
from registration_pipeline.settings.units import KindRule, ObjectKind

KEYS = st.text(max_size=12) | st.builds(
    "{}{}".format,
    st.text(alphabet="ab./N", max_size=6),
    st.sampled_from([*KIND_BY_SUFFIX, *UNPLANNED_SUFFIXES, ".gz", ".JPG", ".Nii.GZ", ""]),
)
CONTENT_TYPES = st.none() | st.sampled_from(["", "image/png", "VIDEO/MP4; codecs=avc1", "application/zip", "text/csv"])


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        *[(f"a/b{suffix}", kind) for suffix, kind in KIND_BY_SUFFIX.items()],
        ("A/B.JPG", MediaKind.IMAGE),
        ("a.b/c.Nii.Gz", MediaKind.NIFTI),
        ("two.dots.mp4", MediaKind.VIDEO),
        (".jpg", MediaKind.IMAGE),
        ("clip.metadata.json", MediaKind.TEXT),
    ],
    ids=str,
)
def test_the_suffix_decides_the_kind_in_any_letter_case(key: str, kind: MediaKind) -> None:
    assert media_kind(key) is kind


@pytest.mark.parametrize(
    "key", ["", "jpg", "a.jpg/b", "a.jpg/", "a.gz", "a.tar.gz", "a.", "a.jpgx", "a.jpg ", "a.zip", "a.dcm2", "a.csv"]
)
def test_what_encord_does_not_list_has_no_kind(key: str) -> None:
    assert media_kind(key) is None


@pytest.mark.parametrize(("content_type", "kind"), KIND_BY_CONTENT_TYPE.items())
def test_the_content_type_decides_where_the_suffix_says_nothing(content_type: str, kind: MediaKind) -> None:
    assert media_kind("frames/000017", content_type) is kind
    assert media_kind("frames/17.of.20", f" {content_type.upper()} ; charset=utf-8") is kind


def test_the_suffix_wins_over_the_content_type() -> None:
    assert media_kind("a.png", "video/mp4") is MediaKind.IMAGE
    assert media_kind("slice.dcm", "image/png") is MediaKind.DICOM_SERIES
    assert media_kind("lidar.ply", "image/png") is None


@pytest.mark.parametrize("content_type", ["application/gzip", "application/x-nifti", "application/octet-stream"])
def test_a_content_type_that_says_too_little_is_not_believed(content_type: str) -> None:
    assert media_kind("volumes/17", content_type) is None
    assert media_kind("volumes/17.gz", content_type) is None


@pytest.mark.parametrize(
    ("key", "content_type", "word"),
    [
        ("a.CSV", None, "time series"),
        ("a", "text/csv", "time series"),
        ("a.ply", "", "point"),
    ],
)
def test_formats_that_encord_has_and_we_do_not_plan_are_named(key: str, content_type: str | None, word: str) -> None:
    note = unplanned_note(key, content_type)

    assert note is not None
    assert word in note


def test_formats_that_no_one_accepts_have_no_note() -> None:
    assert unplanned_note("a.zip", "application/zip") is None


@given(st.lists(st.tuples(KEYS, CONTENT_TYPES)))
def test_a_batch_is_distinguished_like_its_single_keys(pairs: list[tuple[str, str | None]]) -> None:
    keys = [key for key, _ in pairs]
    content_types = [content_type for _, content_type in pairs]

    assert media_kinds(keys, content_types) == [media_kind(*pair) for pair in pairs]
    assert media_kinds(keys) == [media_kind(key) for key in keys]


def kind_finder(*rules: dict[str, str], uri: str = "s3://bucket/raw/") -> KindFinder:
    return KindFinder([KindRule.model_validate(rule) for rule in rules], parse_location(uri).below_prefix)


def test_the_first_pattern_that_matches_decides_before_suffix_and_content_type() -> None:
    finder = kind_finder(
        {"match": "frames/**/*.dat", "kind": "images"},
        {"match": "frames/**", "kind": "dicom"},
        {"match": "*.json", "kind": "videos"},
    )
    keys = ["raw/frames/a/1.dat", "raw/frames/x.json", "raw/other/x.json", "raw/other/1.dat", "raw/a.mp3"]

    assert finder.kinds(keys, ["video/mp4"] * 5) == [
        MediaKind.IMAGE,
        MediaKind.DICOM_SERIES,
        MediaKind.VIDEO,
        MediaKind.VIDEO,
        MediaKind.AUDIO,
    ]


def test_patterns_are_matched_below_the_prefix() -> None:
    rule = {"match": "/day/*", "kind": "audio"}

    assert kind_finder(rule, uri="s3://bucket/raw/").kinds(["raw/day/1", "day/1"]) == [MediaKind.AUDIO, None]
    assert kind_finder(rule, uri="s3://bucket").kinds(["raw/day/1", "day/1"]) == [None, MediaKind.AUDIO]


@pytest.mark.parametrize("kind", ObjectKind)
def test_every_word_of_kinds_is_a_kind(kind: ObjectKind) -> None:
    (found,) = kind_finder({"match": "*", "kind": kind.value}).kinds(["raw/x"])

    assert found is kind.media_kind


@given(st.lists(st.tuples(KEYS, CONTENT_TYPES)))
def test_without_patterns_the_tables_decide(pairs: list[tuple[str, str | None]]) -> None:
    keys, content_types = [key for key, _ in pairs], [content_type for _, content_type in pairs]

    assert kind_finder().kinds(keys, content_types) == media_kinds(keys, content_types)


@given(KEYS)
def test_a_suffix_never_reaches_over_a_slash(key: str) -> None:
    assert "/" not in suffix_of(key)
    assert key.lower().endswith(suffix_of(key))
