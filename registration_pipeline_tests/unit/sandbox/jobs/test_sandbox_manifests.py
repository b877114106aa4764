"""What the sandbox's reading of a manifest refuses beyond what the contract tests show over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.sandbox.jobs import manifests
from registration_pipeline.sandbox.jobs.manifests import ManifestRefusedError, parse_external_files
from registration_pipeline.sandbox.jobs.media_names import MediaNames
from registration_pipeline.sandbox.jobs.typed_items import parse_data_items


def images(**keys: Any) -> dict[str, Any]:
    return {"images": [{"objectUrl": "s3://b/a", **keys}]}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    **{
        f"list that is {no_list!r}": ({"videos": no_list}, "videos must be a list")
        for no_list in (None, False, 0, "", "s3://b/a", 1.5)
    },
    "title that is null": (images(title=None), "title must be a string"),
    "metadata that is null": (images(clientMetadata=None), "clientMetadata must be an object"),
    "media metadata that is null": (images(imageMetadata=None), "imageMetadata must be an object"),
    "metadata of a NIfTI": (
        {"nifti": [{"objectUrl": "s3://b/a", "clientMetadata": {}}]},
        "unknown key 'clientMetadata'",
    ),
    "metadata with half a surrogate pair": (images(clientMetadata={"a": ["\ud800"]}), "half of a surrogate pair"),
    "metadata with half a surrogate pair as key": (images(clientMetadata={"a\udfff": 1}), "half of a surrogate pair"),
    "metadata with U+0000": (images(clientMetadata={"a": {"b": "x\0"}}), r"U\+0000"),
    "metadata that is nested too deep": (images(clientMetadata=nested(20_000)), "nested too deep"),
    "number that no column holds": (images(imageMetadata={"fileSize": 2**63}), "more than 64 bits"),
    "fraction where a whole number is meant": (images(imageMetadata={"width": 1.0}), "must be a whole number"),
    "position of 5,000 digits": (
        {"image_groups": [{"title": "g", "objectUrl_0": "s3://b/a", "objectUrl_" + "1" * 5_000: "s3://b/b"}]},
        "without a gap",
    ),
}


@pytest.mark.parametrize(("document", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_manifest_that_breaks_a_rule_is_refused_with_its_place(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestRefusedError, match=message):
        parse_external_files(document)


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.jpg", "/a.jpg", "//b/a.jpg", "s3:/b/a", "s3://", "://b/a", "1s3://b/a", "s_3://b/a", "\u017f3://b/a"),
        *(f"s3://b/{character}" for character in " \t\n\x1c\x85\xa0\u2028\u3000\0\x01\x7f\x9f"),
    ],
)
def test_a_url_must_be_absolute_and_without_blanks_and_control_characters(url: str) -> None:
    with pytest.raises(ManifestRefusedError, match=r"images\[0\].objectUrl"):
        parse_external_files({"images": [{"objectUrl": url}]})


@pytest.mark.parametrize("url", ["s3://b/é", "S3+x.y-1://b", "file:///a", "gs://b/\u200b%20"])
def test_every_scheme_and_every_other_character_is_accepted(url: str) -> None:
    assert parse_external_files({"images": [{"objectUrl": url}]}).units[0].urls == [url]


def test_text_that_only_resembles_an_escape_is_accepted() -> None:
    metadata = {"\\u0000": "\\ud800", "é": "\x01"}

    assert parse_external_files(images(clientMetadata=metadata)).units[0].client_metadata is not None


def test_the_number_of_urls_has_a_limit_over_all_units(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = {f"objectUrl_{position}": f"s3://b/{position}" for position in range(3)}
    group = {"title": "g", "createVideo": False, **frames}
    monkeypatch.setattr(manifests, "MAX_URLS", 4)

    assert len(parse_external_files({**images(), "image_groups": [group]}).units) == 2
    with pytest.raises(ManifestRefusedError, match="5 URLs in one upload job; the limit is 4"):
        parse_external_files({**images(), "text": [{"objectUrl": "s3://b/t"}], "image_groups": [group]})


@pytest.mark.parametrize(
    ("names", "read"),
    [
        pytest.param(MediaNames.ANY, {"fps", "width", "fileSize", "mimeType"}, id="any"),
        pytest.param(MediaNames.CAMEL, {"fps", "width", "mimeType"}, id="camelCase"),
        pytest.param(MediaNames.SNAKE, {"fps", "width", "fileSize"}, id="snake_case"),
        pytest.param(MediaNames.NONE, set(), id="none"),
    ],
)
def test_names_of_media_metadata_that_are_not_read_are_checked_and_ignored(names: MediaNames, read: set[str]) -> None:
    block = {"fps": 25.0, "width": 4, "file_size": 9, "mimeType": "video/mp4"}
    entry: dict[str, Any] = {"objectUrl": "s3://b/a", "videoMetadata": block}

    (unit,) = parse_external_files({"videos": [entry]}, media_names=names).units

    assert set(unit.media or ()) == read
    assert unit.has_media is bool(read)
    with pytest.raises(ManifestRefusedError, match="file_size must be a whole number"):
        parse_external_files({"videos": [entry | {"videoMetadata": {"file_size": "9"}}]}, media_names=names)


def test_the_typed_form_is_read_whichever_names_are_read_in_the_json_form() -> None:
    block = {"fileSize": 9, "mimeType": "text/plain"}
    item = {"objectUrl": "s3://b/a", "title": "a", "externalFileType": "PLAIN_TEXT", "textMetadata": block}

    assert parse_data_items({"text": [item]}).units[0].media == block
