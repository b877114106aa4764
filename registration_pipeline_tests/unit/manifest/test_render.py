from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.ids import objects_digest
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline.settings import SourceSettings
from registration_pipeline.urls import url_writer

if TYPE_CHECKING:
    from random import Random

CHUNK_ID = "20261121T020000Z-images-000001"
WRITTEN_AT = datetime(2026, 11, 20, tzinfo=UTC)
SOURCE = SourceSettings.model_validate(
    {"name": "cams", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}, "encord": {"integration": "aws"}}
)
KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


def unit(key: str, index: int, kind: MediaKind = MediaKind.IMAGE, unit_id: str = "0123456789abcdef") -> PlannedUnit:
    item = PlannedObject(key=key, object_url=url_writer(SOURCE)(key), size=1)
    return PlannedUnit(unit_id=unit_id, kind=kind, title=key, objects=(item,), unit_index=index)


def test_the_bytes_of_a_manifest_are_these() -> None:
    units = [unit("raw/b é.jpg", 1, unit_id="00000000000000bb"), unit("raw/a+1.jpg", 0, unit_id="00000000000000aa")]

    assert render_manifest(CHUNK_ID, ChunkUnits.of(units)) == (
        b'{"images":['
        b'{"clientMetadata":{"registration.chunk":"20261121T020000Z-images-000001",'
        b'"registration.unit":"00000000000000aa"},'
        b'"objectUrl":"https://bucket.s3.eu-west-2.amazonaws.com/raw/a%2B1.jpg","title":"raw/a+1.jpg"},'
        b'{"clientMetadata":{"registration.chunk":"20261121T020000Z-images-000001",'
        b'"registration.unit":"00000000000000bb"},'
        b'"objectUrl":"https://bucket.s3.eu-west-2.amazonaws.com/raw/b%20%C3%A9.jpg","title":"raw/b \\u00e9.jpg"}'
        b'],"skip_duplicate_urls":true}\n'
    )


def test_a_nifti_item_has_only_the_keys_that_encord_prints_for_it() -> None:
    document = json.loads(render_manifest("c", ChunkUnits.of([unit("a.nii.gz", 0, MediaKind.NIFTI)])))

    assert document["nifti"][0].keys() == {"objectUrl", "title"}


@given(st.sampled_from(MediaKind), st.lists(KEYS, min_size=1, max_size=20, unique=True), st.randoms())
def test_whatever_is_rendered_is_valid_and_does_not_depend_on_the_order_of_units(
    kind: MediaKind, keys: list[str], spread: Random
) -> None:
    units = [unit(key, index, kind) for index, key in enumerate(keys)]
    data = render_manifest(CHUNK_ID, ChunkUnits.of(units))
    spread.shuffle(units)

    assert validate_manifest(data) == []
    assert render_manifest(CHUNK_ID, ChunkUnits.of(units)) == data
    assert [item["title"] for item in json.loads(data)[KINDS[kind].list_key]] == keys


def test_a_unit_that_is_no_single_object_is_refused() -> None:
    one = unit("a.jpg", 0)
    two = PlannedUnit(unit_id="", kind=MediaKind.IMAGE, title="t", objects=tuple(one.objects) * 2, unit_index=0)

    with pytest.raises(StateCorruptError, match="has 2 objects"):
        render_manifest(CHUNK_ID, ChunkUnits.of([two]))


@pytest.mark.parametrize(
    ("kind", "list_key", "video"),
    [
        pytest.param(MediaKind.IMAGE_GROUP, "image_groups", b'"createVideo":false,', id="group"),
        pytest.param(MediaKind.IMAGE_SEQUENCE, "image_groups", b'"createVideo":true,', id="sequence"),
        pytest.param(MediaKind.DICOM_SERIES, "dicom_series", b'"createVideo":false,', id="series"),
    ],
)
def test_the_bytes_of_a_unit_of_many_objects_are_these(kind: MediaKind, list_key: str, video: bytes) -> None:
    members = tuple(PlannedObject(f"raw/{n}", f"s3://bucket/raw/{n}", 1) for n in range(11))
    rig = PlannedUnit(unit_id="00000000000000aa", kind=kind, title="rig 1", objects=members, unit_index=0)

    digest = objects_digest(entry.object_url for entry in reversed(members)).encode()
    urls = b"".join(b'"objectUrl_%d":"s3://bucket/raw/%d",' % (n, n) for n in range(11))
    assert render_manifest(CHUNK_ID, ChunkUnits.of([rig])) == (
        b'{"' + list_key.encode() + b'":['
        b'{"clientMetadata":{"registration.chunk":"20261121T020000Z-images-000001",'
        b'"registration.objects":"%s","registration.unit":"00000000000000aa"},'
        % digest
        + video
        + urls
        + b'"title":"rig 1"}],"skip_duplicate_urls":true}\n'
    )


def described(metadata: str | None, kind: MediaKind = MediaKind.IMAGE) -> PlannedUnit:
    return unit("raw/a.jpg", 0, kind, unit_id="00000000000000aa")._replace(client_metadata=metadata)


@pytest.mark.parametrize("kind", [kind for kind in MediaKind if kind is not MediaKind.NIFTI], ids=str)
def test_client_metadata_of_a_unit_is_merged_with_where_it_comes_from_and_keys_are_sorted(kind: MediaKind) -> None:
    own = '{"weather":"sun","registration.key":"raw/é","a":[{"c":1,"b":null}],"Z":1.5}'

    data = render_manifest(CHUNK_ID, ChunkUnits.of([described(own, kind)]))

    digest = objects_digest([described(own, kind).objects[0].object_url]).encode()
    objects = b'"registration.objects":"%s",' % digest if KINDS[kind].is_group else b""
    assert (
        b'{"clientMetadata":{"Z":1.5,"a":[{"b":null,"c":1}],'
        b'"registration.chunk":"20261121T020000Z-images-000001","registration.key":"raw/\\u00e9",'
        + objects
        + b'"registration.unit":"00000000000000aa","weather":"sun"},'
    ) in data


def test_where_a_unit_comes_from_wins_over_its_own_metadata() -> None:
    own = '{"registration.chunk":"mine","registration.unit":7}'

    assert render_manifest(CHUNK_ID, ChunkUnits.of([described(own)])) == render_manifest(
        CHUNK_ID, ChunkUnits.of([described(None)])
    )


def test_a_nifti_item_has_no_metadata_of_its_own_either() -> None:
    data = render_manifest(CHUNK_ID, ChunkUnits.of([described('{"a":1}', MediaKind.NIFTI)]))

    assert json.loads(data)["nifti"][0].keys() == {"objectUrl", "title"}


@pytest.mark.parametrize("kind", [MediaKind.IMAGE, MediaKind.IMAGE_GROUP], ids=str)
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '"a"', "null", '{"a":NaN}', "[" * 100_000],
    ids=["empty", "cut", "list", "text", "null", "not a number", "nested"],
)
def test_client_metadata_that_is_not_an_object_is_refused_as_damage(text: str, kind: MediaKind) -> None:
    with pytest.raises(StateCorruptError, match="client metadata of unit 00000000000000aa"):
        render_manifest(CHUNK_ID, ChunkUnits.of([described(text, kind)]))


def test_groups_sequences_and_single_objects_of_one_chunk_are_rendered_in_their_order() -> None:
    kinds = [MediaKind.IMAGE_SEQUENCE, MediaKind.IMAGE, MediaKind.IMAGE_GROUP, MediaKind.PDF, MediaKind.IMAGE]
    units = [unit(f"{index}", index, kind) for index, kind in enumerate(kinds)]

    document = json.loads(render_manifest(CHUNK_ID, ChunkUnits.of(units)))

    assert list(document) == sorted(document)
    assert [(entry["title"], entry["createVideo"]) for entry in document["image_groups"]] == [("0", True), ("2", False)]
    assert [entry["title"] for entry in document["images"]] == ["1", "4"]
    assert [entry["title"] for entry in document["pdfs"]] == ["3"]
