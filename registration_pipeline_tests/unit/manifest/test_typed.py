"""The typed form says what the manifest file says and more, is what the SDK sends, and is counted to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from encord.orm.storage import DataUploadItems, PostUploadJobParams
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import PermanentError, StateCorruptError
from registration_pipeline.limits import ENVELOPE_BYTES, MANIFEST_LIMITS, EncordPlan, ManifestLimits
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.typed import DICOM_TAGS, typed_items, typed_violations
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.media_blocks import media_block, media_bytes, media_remedy
from registration_pipeline.planning.typed_form import TYPED_KINDS, TYPED_LISTS
from registration_pipeline.planning.unit_size import bytes_around_units, unit_bytes
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline.settings.metadata import SubmitAs
from registration_pipeline.submission.encord.typed_items import as_sent_by_the_sdk
from registration_pipeline.submission.testing import as_external_files
from registration_pipeline_tests.unit.manifest.media_texts import canonical, media_texts

LIMITS = MANIFEST_LIMITS[EncordPlan.ENTERPRISE]
CHUNK_ID = "20261121T020000Z-images-000001"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=6,
)
OWN = st.one_of(st.none(), st.dictionaries(TEXTS | st.just("registration.key"), VALUES, max_size=3).map(canonical))
ANY_KIND = st.sampled_from(MediaKind)


@st.composite
def drawn_units(draw: st.DrawFn, kinds: st.SearchStrategy[MediaKind] = ANY_KIND) -> list[PlannedUnit]:
    units = []
    for index in range(draw(st.integers(1, 4))):
        kind = draw(kinds)
        members = tuple(
            PlannedObject(f"k{number}", f"s3://b/{index}/{number}", 1, draw(media_texts(kind)))
            for number in range(draw(st.integers(1, 12)) if KINDS[kind].is_group else 1)
        )
        title = f"{index} {draw(TEXTS)}"
        units.append(PlannedUnit(f"{index:016x}", kind, title, members, index, draw(OWN)))
    return units


@given(drawn_units())
def test_the_typed_form_is_just_what_the_sdk_sends(units: list[PlannedUnit]) -> None:
    document = typed_items(CHUNK_ID, ChunkUnits.of(units))

    assert as_sent_by_the_sdk(document).to_dict() == document
    assert typed_violations(document, LIMITS) == []
    assert tuple(document)[: len(TYPED_LISTS)] == TYPED_LISTS == tuple(DataUploadItems().to_dict())[: len(TYPED_LISTS)]


@given(drawn_units())
def test_the_typed_form_says_of_every_unit_what_the_manifest_file_says(units: list[PlannedUnit]) -> None:
    typed = as_external_files(typed_items(CHUNK_ID, ChunkUnits.of(units)))
    file = json.loads(render_manifest(CHUNK_ID, ChunkUnits.of(units)))

    for kind in {unit.kind for unit in units}:
        shown = {item["title"]: item for item in typed[TYPED_KINDS[kind].list_key]}
        for item in file[KINDS[kind].list_key]:
            known = {
                key: value for key, value in item.items() if not key.endswith("Metadata") or key == "clientMetadata"
            }
            if kind is MediaKind.DICOM_SERIES:
                del known["createVideo"]
            assert known.items() <= shown[item["title"]].items()


@given(st.data(), st.sampled_from(MediaKind))
def test_what_the_typed_form_takes_as_it_is_sent_is_counted_exactly(data: st.DataObject, kind: MediaKind) -> None:
    units = data.draw(drawn_units(st.just(kind)))
    payload = PostUploadJobParams(data_items=as_sent_by_the_sdk(typed_items(CHUNK_ID, ChunkUnits.of(units))))

    sent = len(json.dumps(payload.to_dict()["dataItems"])) + ENVELOPE_BYTES

    assert sent == bytes_around_units(kind, SubmitAs.DATA_ITEMS) + sum(
        unit_bytes(
            kind,
            chunk_id_bytes=len(CHUNK_ID),
            title=unit.title,
            url_bytes=sum(len(member.object_url) for member in unit.objects),
            objects=len(unit.objects),
            client_metadata=unit.client_metadata,
            metadata_bytes=sum(
                media_bytes(kind, member.media_metadata, SubmitAs.DATA_ITEMS) for member in unit.objects
            ),
            submit_as=SubmitAs.DATA_ITEMS,
        )
        for unit in units
    )


def unit(kind: MediaKind, *media: str | None, own: str | None = None) -> PlannedUnit:
    members = tuple(PlannedObject(f"k{n}", f"s3://b/{n}", 1, text) for n, text in enumerate(media))
    return PlannedUnit("00000000000000aa", kind, "t", members, 0, own)


def found(*units: PlannedUnit, limits: ManifestLimits = LIMITS, needs: bool = False) -> list[str]:
    document = typed_items(CHUNK_ID, ChunkUnits.of(units))
    return [str(one) for one in typed_violations(document, limits, needs_media_metadata=needs)]


def test_objects_of_groups_and_series_and_nifti_say_what_the_json_form_has_no_place_for() -> None:
    image = canonical({"file_size": 9, "height": 3, "mime_type": "image/png", "width": 4})
    tags = dict.fromkeys(DICOM_TAGS) | {"00080018": {"vr": "UI", "Value": ["1.2"]}}
    units = [
        unit(MediaKind.IMAGE_GROUP, image, None),
        unit(MediaKind.DICOM_SERIES, canonical({"tags": tags}))._replace(title="u", unit_index=1),
        unit(MediaKind.NIFTI, None, own='{"weather":"sun"}')._replace(title="v", unit_index=2),
    ]

    document = typed_items(CHUNK_ID, ChunkUnits.of(units))

    assert document["imageGroups"][0]["images"] == [
        {"url": "s3://b/0", "imageMetadata": {"fileSize": 9, "height": 3, "mimeType": "image/png", "width": 4}},
        {"url": "s3://b/1"},
    ]
    assert document["dicomSeries"][0]["dicomFiles"] == [{"url": "s3://b/0", "dicomMetadata": {"tags": tags}}]
    assert document["nifti"][0]["clientMetadata"] == {
        "registration.chunk": CHUNK_ID,
        "registration.unit": "00000000000000aa",
        "weather": "sun",
    }


@pytest.mark.parametrize(
    ("kind", "media", "violations"),
    [
        pytest.param(
            MediaKind.TEXT, {"file_size": 1}, ["text[0].textMetadata.mimeType is missing"], id="a field is missing"
        ),
        pytest.param(
            MediaKind.PDF,
            {"file_size": "1", "num_pages": 1},
            ["pdf[0].pdfMetadata.fileSize must be a whole number of at most 64 bits"],
            id="a text in place of a number",
        ),
        pytest.param(
            MediaKind.IMAGE_GROUP,
            {"file_size": 1, "mime_type": "a", "width": 1, "height": 1, "orientation": 6},
            ["imageGroups[0].images[0].imageMetadata.orientation is not a field of this block"],
            id="a field that the SDK would drop",
        ),
    ],
)
def test_a_block_that_the_sdk_would_refuse_or_change_is_a_violation(
    kind: MediaKind, media: dict[str, Any], violations: list[str]
) -> None:
    document = typed_items(CHUNK_ID, ChunkUnits.of([unit(kind, canonical(media))]))

    assert [str(one) for one in typed_violations(document, LIMITS)] == violations
    with pytest.raises(PermanentError, match=r"the SDK (refuses|would not send dataItems\.)"):
        as_sent_by_the_sdk(document)


def test_tags_that_encord_requires_of_a_dicom_file_and_that_are_missing_are_violations() -> None:
    tags: dict[str, Any] = {**dict.fromkeys(DICOM_TAGS), "00280010": 512}
    del tags["00080018"]

    assert found(unit(MediaKind.DICOM_SERIES, canonical({"tags": tags}))) == [
        "dicomSeries[0].dicomFiles[0].dicomMetadata.tags.00080018 is missing; a tag that the file lacks is null",
        "dicomSeries[0].dicomFiles[0].dicomMetadata.tags.00280010 must be an object or null",
    ]


@pytest.mark.parametrize(
    ("kind", "violation"),
    [
        (MediaKind.IMAGE, "images[0].imageMetadata is missing"),
        (MediaKind.IMAGE_SEQUENCE, "imageGroups[0].images[0].imageMetadata is missing"),
        (MediaKind.DICOM_SERIES, "dicomSeries[0].dicomFiles[0].dicomMetadata is missing"),
        (MediaKind.NIFTI, "nifti[0] has no media metadata"),
    ],
    ids=str,
)
def test_nothing_is_sent_without_its_block_where_all_must_have_one(kind: MediaKind, violation: str) -> None:
    assert found(unit(kind, None)) == []
    (problem,) = found(unit(kind, None), needs=True)
    assert problem.startswith(violation)
    assert "strict_client_only" in problem


def test_client_metadata_of_nifti_is_checked_because_the_file_does_not_hold_it() -> None:
    own = canonical({"$encord": {"frames": {"x": {}}}})

    assert found(unit(MediaKind.NIFTI, None, own=own)) == [
        "nifti[0].clientMetadata.$encord.frames.x must be named by a number, e.g. 12"
    ]


def test_a_chunk_that_is_too_large_only_in_the_typed_form_is_not_sent_in_it() -> None:
    one = unit(MediaKind.IMAGE, None)
    sent = len(json.dumps(typed_items(CHUNK_ID, ChunkUnits.of([one])))) + ENVELOPE_BYTES

    assert found(one, limits=ManifestLimits(entries=1, bytes=sent)) == []
    assert found(one, limits=ManifestLimits(entries=1, bytes=sent - 1)) == [
        f"dataItems takes {sent:,} bytes as dataItems; Encord accepts {sent - 1:,}: lower chunk_size"
    ]


@pytest.mark.parametrize("text", ["", "[]", "{"], ids=["empty", "list", "cut"])
def test_media_metadata_that_is_not_an_object_is_refused_as_damage(text: str) -> None:
    with pytest.raises(StateCorruptError, match="object k0 whose media metadata"):
        typed_items(CHUNK_ID, ChunkUnits.of([unit(MediaKind.IMAGE, text)]))


def test_an_upsert_keeps_the_chunk_that_each_unit_was_registered_with() -> None:
    own = {"registration.chunk": "c", "registration.unit": "00000000000000aa", "weather": "sun"}

    document = typed_items(CHUNK_ID, ChunkUnits.of([unit(MediaKind.NIFTI, None, own=canonical(own))]), upsert=True)

    assert document["upsertMetadata"] is True
    assert document["nifti"][0]["clientMetadata"] == own


def test_a_kind_without_a_block_in_a_form_is_said_what_helps() -> None:
    assert "submit_as: data_items" in media_remedy(MediaKind.IMAGE_GROUP, SubmitAs.JSON)
    assert "strict_client_only: false" in media_remedy(MediaKind.NIFTI, SubmitAs.JSON)
    assert [kind for kind in MediaKind if media_block(kind, SubmitAs.DATA_ITEMS) is None] == [MediaKind.NIFTI]
