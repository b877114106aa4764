"""What is said of units besides where they are, over HTTP: the typed form, client-only access, upserts, embeddings."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from encord.exceptions import InvalidArgumentsError

from registration_pipeline.errors import PermanentError
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.typed import DICOM_TAGS, typed_items
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline.sandbox.jobs.manifests import ManifestRefusedError, parse_external_files
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.gateway import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline.submission.gateway import JobReport
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox

CHUNK_ID = "20261121T020000Z-images-000001"
IMAGE = {"file_size": 9, "height": 3, "mime_type": "image/png", "width": 4}
TAGS: dict[str, Any] = {**dict.fromkeys(DICOM_TAGS), "00280010": {"vr": "US", "Value": [512]}}
MEDIA: dict[MediaKind, dict[str, Any] | None] = {
    MediaKind.IMAGE: IMAGE,
    MediaKind.VIDEO: {**IMAGE, "fps": 25, "duration": 2.5, "mime_type": "video/mp4"},
    MediaKind.AUDIO: {
        "bit_depth": 16,
        "codec": "pcm",
        "duration": 1.5,
        "file_size": 9,
        "mime_type": "audio/wav",
        "num_channels": 2,
        "sample_rate": 8000,
    },
    MediaKind.PDF: {"file_size": 9, "num_pages": 2},
    MediaKind.TEXT: {"file_size": 9, "mime_type": "text/plain"},
    MediaKind.NIFTI: None,
    MediaKind.IMAGE_GROUP: IMAGE,
    MediaKind.IMAGE_SEQUENCE: IMAGE,
    MediaKind.DICOM_SERIES: {"tags": TAGS},
}
"""Kind -> what is known of each of its objects, in neutral names."""


def units_of_every_kind() -> ChunkUnits:
    return ChunkUnits.of(
        PlannedUnit(
            f"{index:016x}",
            kind,
            f"{kind} 1",
            tuple(
                PlannedObject(f"k{n}", f"s3://b/{kind}/{n}.png", 9, json.dumps(media) if media else None)
                for n in range(2 if kind.value in {"image_groups", "image_sequences", "dicom_series"} else 1)
            ),
            index,
            json.dumps({"weather": "sun", "fleet.clip": [0.5, 0.25], "nothing": None}),
        )
        for index, (kind, media) in enumerate(MEDIA.items())
    )


def gateway_of(running: Sandbox) -> EncordGateway:
    return EncordGateway(ssh_private_key=running.private_key_path.read_text(), domain=running.url)


def sent(running: Sandbox, folder: StorageFolder, path: Path, *, data_items: dict[str, Any] | None) -> JobReport:
    """Start a job with the gateway and return its end."""
    gateway = gateway_of(running)
    job_id = gateway.start_job(
        folder_uuid=str(folder.uuid), integration_uuid=running.integration_uuid(), manifest=path, data_items=data_items
    )
    return gateway.poll_job(folder_uuid=str(folder.uuid), job_id=job_id, wait_seconds=30)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The manifest file of units of every kind."""
    path = tmp_path / f"{CHUNK_ID}.json"
    path.write_bytes(render_manifest(CHUNK_ID, units_of_every_kind()))
    return path


def items_of(folder: StorageFolder) -> dict[str, Any]:
    return {item.name: item for item in folder.list_items(include_client_metadata=True)}


@pytest.mark.parametrize("is_typed", [False, True], ids=["json", "data_items"])
def test_units_of_every_kind_are_registered_with_what_is_known_of_them(
    sandbox: Sandbox, folder: StorageFolder, manifest: Path, *, is_typed: bool
) -> None:
    items = typed_items(CHUNK_ID, units_of_every_kind()) if is_typed else None

    report = sent(sandbox, folder, manifest, data_items=items)

    assert (report.status, report.units_done, report.unit_errors) == (JobStatus.DONE, len(MEDIA), ())
    held = items_of(folder)
    video, audio = held["videos 1"], held["audio 1"]
    assert (video.fps, video.duration, video.width, video.height, video.file_size, video.mime_type) == (
        *(25, 2.5, 4, 3, 9, "video/mp4"),
    )
    assert (audio.duration, audio.audio_codec, audio.audio_sample_rate, audio.audio_bit_depth, audio.file_size) == (
        *(1.5, "pcm", 8000, 16, 9),
    )
    assert (held["images 1"].width, held["pdfs 1"].file_size, held["text 1"].mime_type) == (4, 9, "text/plain")
    own: dict[str, Any] = {"weather": "sun", "fleet.clip": [0.5, 0.25], "nothing": None}
    for index, kind in enumerate(MEDIA):
        ours = {"registration.chunk": CHUNK_ID, "registration.unit": f"{index:016x}"}
        metadata = dict(held[f"{kind} 1"].client_metadata)
        metadata.pop("registration.objects", None)
        assert metadata == ({} if kind is MediaKind.NIFTI and not is_typed else own | ours)
    for name in ("image_groups 1", "image_sequences 1"):
        children = list(held[name].get_child_items())
        known = (9, 4, 3, "image/png") if is_typed else (None, None, None, None)
        assert [(child.file_size, child.width, child.height, child.mime_type) for child in children] == [known] * 2


def test_a_name_of_the_file_is_sent_with_the_json_form_only(
    sandbox: Sandbox, folder: StorageFolder, manifest: Path
) -> None:
    for items in (None, typed_items(CHUNK_ID, units_of_every_kind())):
        sent(sandbox, folder, manifest, data_items=items)

    assert sorted(job.file_name or "" for job in sandbox.jobs()) == ["", manifest.name]


def test_both_forms_are_the_same_units_to_the_search_for_duplicates(
    sandbox: Sandbox, folder: StorageFolder, manifest: Path
) -> None:
    for items in (None, typed_items(CHUNK_ID, units_of_every_kind()), None):
        sent(sandbox, folder, manifest, data_items=items)

    assert sorted(items_of(folder)) == sorted(f"{kind} 1" for kind in MEDIA)
    assert sandbox.duplicates() == {}


def test_what_the_sdk_would_not_send_is_never_posted(sandbox: Sandbox, folder: StorageFolder, manifest: Path) -> None:
    items = typed_items(CHUNK_ID, units_of_every_kind())
    items["images"][0]["imageMetadata"]["orientation"] = 6

    with pytest.raises(
        PermanentError, match=r"would not send dataItems\.images\[0\]\.imageMetadata\.orientation as it is"
    ):
        sent(sandbox, folder, manifest, data_items=items)

    assert sandbox.jobs() == []


def text_item(**keys: Any) -> dict[str, Any]:
    return {"text": [{"objectUrl": "s3://b/t", "externalFileType": "PLAIN_TEXT", **keys}]}


def group(**keys: Any) -> dict[str, Any]:
    return {"imageGroups": [{"title": "g", "externalFileType": "IMG_GROUP", "images": [{"url": "s3://b/0"}], **keys}]}


def series(tags: dict[str, Any]) -> dict[str, Any]:
    file = {"url": "s3://b/0", "dicomMetadata": {"tags": tags}}
    return {"dicomSeries": [{"title": "d", "externalFileType": "DICOM", "dicomFiles": [file]}]}


NOT_TYPED: dict[str, tuple[dict[str, Any], list[str | int]]] = {
    "an unknown list": ({"pdfs": []}, ["pdfs"]),
    "a list that is none": ({"images": {}}, ["images"]),
    "a flag that is a text": ({"skipDuplicateUrls": "true"}, ["skipDuplicateUrls"]),
    "an unknown key": (text_item(url="x"), ["text", 0, "url"]),
    "no URL": ({"text": [{"externalFileType": "PLAIN_TEXT"}]}, ["text", 0, "objectUrl"]),
    "another file type": (text_item(externalFileType="PDF"), ["text", 0, "externalFileType"]),
    "client metadata as text": (text_item(clientMetadata="{}"), ["text", 0, "clientMetadata"]),
    "a block without a field": (text_item(textMetadata={"fileSize": 1}), ["text", 0, "textMetadata", "mimeType"]),
    "a block in snake case": (
        text_item(textMetadata={"file_size": 1, "mimeType": "a"}),
        ["text", 0, "textMetadata", "file_size"],
    ),
    "a number as text": (
        text_item(textMetadata={"fileSize": "1", "mimeType": "a"}),
        ["text", 0, "textMetadata", "fileSize"],
    ),
    "a boolean as number": (
        text_item(textMetadata={"fileSize": True, "mimeType": "a"}),
        ["text", 0, "textMetadata", "fileSize"],
    ),
    "a group without a title": (
        {"imageGroups": [{**group()["imageGroups"][0], "title": None}]},
        ["imageGroups", 0, "title"],
    ),
    "a frame without a URL": (group(images=[{}]), ["imageGroups", 0, "images", 0, "url"]),
    "a series without files": (
        {"dicomSeries": [{"title": "d", "externalFileType": "DICOM"}]},
        ["dicomSeries", 0, "dicomFiles"],
    ),
    "a required tag is missing": (
        series(dict.fromkeys(DICOM_TAGS[1:])),
        ["dicomSeries", 0, "dicomFiles", 0, "dicomMetadata", "tags", DICOM_TAGS[0]],
    ),
}


def test_what_does_not_fit_the_typed_schema_is_refused_with_its_place(
    send_signed: SendSigned, folder: StorageFolder
) -> None:
    for name, (items, place) in NOT_TYPED.items():
        reply = send_signed("POST", f"storage/folders/{folder.uuid}/data-upload-jobs", body={"dataItems": items})

        assert reply.status_code == 422, name
        assert reply.json()["detail"][0]["loc"] == ["body", "dataItems", *place], name


def test_rules_that_both_forms_share_are_refused_alike(send_signed: SendSigned, folder: StorageFolder) -> None:
    cases = {
        "dataItems.text[0].objectUrl holds whitespace": text_item(objectUrl="s3://b/a b"),
        "dataItems.image_groups[0] needs objectUrl_0": group(images=[]),
        "$encord.frames.x is not the number of a frame": text_item(clientMetadata={"$encord": {"frames": {"x": {}}}}),
        "the sandbox registers no such items": {"scenes": [{}]},
    }
    for text, items in cases.items():
        reply = send_signed("POST", f"storage/folders/{folder.uuid}/data-upload-jobs", body={"dataItems": items})

        assert (reply.status_code, text in reply.json()["message"]) == (400, True), reply.text


ENCORD: dict[str, dict[str, Any]] = {
    "it is a list": {"$encord": []},
    "an unknown key": {"$encord": {"keyframes": {}}},
    "an unknown key of the configuration": {"$encord": {"config": {"rate": 1}}},
    "a rate below 0": {"$encord": {"config": {"sampling_rate": -1}}},
    "an unknown mode": {"$encord": {"config": {"keyframe_mode": "minute"}}},
    "frames as a list": {"$encord": {"frames": [{}]}},
    "a frame without a number": {"$encord": {"frames": {"one": {}}}},
    "an embedding without numbers": {"$encord": {"frames": {"0": {"e": []}}}},
    "an embedding that is too long": {"$encord": {"frames": {"0": {"e": [0] * 4_097}}}},
    "an embedding of texts": {"$encord": {"frames": {"0": {"e": ["a"]}}}},
}


@pytest.mark.parametrize("metadata", ENCORD.values(), ids=ENCORD)
def test_key_frames_in_another_form_are_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(ManifestRefusedError, match=r"clientMetadata\.\$encord"):
        parse_external_files({"videos": [{"objectUrl": "s3://b/v", "clientMetadata": metadata}]})


def test_key_frames_are_registered_as_they_are_sent(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"clientMetadata\.\$encord must be an object"):
        submit(sandbox, folder, {"videos": [{"objectUrl": "s3://b/v", "clientMetadata": {"$encord": []}}]})

    good = {"config": {"sampling_rate": 0.5, "keyframe_mode": "seconds"}, "frames": {"0": {"e": [0.5]}, "1.5": {}}}
    submit(sandbox, folder, {"videos": [{"objectUrl": "s3://b/v", "clientMetadata": {"$encord": good}}]})

    assert next(iter(folder.list_items())).client_metadata == {"$encord": good}


@pytest.mark.parametrize("is_typed", [False, True], ids=["json", "data_items"])
def test_under_client_only_access_a_unit_without_its_block_is_that_units_error(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    manifest: Path,
    *,
    is_typed: bool,
) -> None:
    running = start_sandbox(client_only=True)
    folder = connect(running).create_storage_folder("fleet")
    items = typed_items(CHUNK_ID, units_of_every_kind()) if is_typed else None

    report = sent(running, folder, manifest, data_items=items)

    without = {"nifti 1"} if is_typed else {"nifti 1", "image_groups 1", "image_sequences 1", "dicom_series 1"}
    assert set(items_of(folder)) == {f"{kind} 1" for kind in MEDIA} - without
    assert {error.message for error in report.unit_errors} == {
        "Media metadata is required: the integration has strict client-only access"
    }
    assert len(report.unit_errors) == len(without)


@pytest.mark.parametrize("merges", [False, True], ids=["replaced", "merged"])
def test_an_upsert_changes_the_metadata_of_the_item_that_is_there_and_nothing_else(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    *,
    merges: bool,
) -> None:
    running = start_sandbox(upsert_merges_metadata=merges)
    folder = connect(running).create_storage_folder("fleet")
    submit(running, folder, {"images": [{"objectUrl": "s3://b/a", "title": "a", "clientMetadata": {"k": 1, "z": 1}}]})
    entry = {"objectUrl": "s3://b/a", "title": "another", "clientMetadata": {"k": 2, "new": [0.5]}}
    before = items_of(folder)["a"]

    submit(running, folder, {"images": [entry], "skip_duplicate_urls": True})
    assert items_of(folder)["a"].client_metadata == {"k": 1, "z": 1}
    submit(running, folder, {"images": [entry], "skip_duplicate_urls": True, "upsert_metadata": True})

    (item,) = items_of(folder).values()
    assert (item.uuid, item.name) == (before.uuid, "a")
    assert item.client_metadata == ({"k": 2, "z": 1, "new": [0.5]} if merges else {"k": 2, "new": [0.5]})


def test_an_upsert_without_skipping_has_no_effect_on_what_is_there(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    for metadata in ({"k": 1}, {"k": 2}):
        entry = {"objectUrl": "s3://b/a", "title": f"{metadata['k']}", "clientMetadata": metadata}
        submit(sandbox, folder, {"images": [entry], "upsert_metadata": True})

    assert {name: item.client_metadata for name, item in items_of(folder).items()} == {"1": {"k": 1}, "2": {"k": 2}}


def test_an_embedding_of_another_size_than_the_schema_says_fails_its_unit(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    tmp_path: Path,
) -> None:
    running = start_sandbox()
    folder = connect(running).create_storage_folder("fleet")
    with closing(sqlite3.connect(tmp_path / "encord" / "sandbox.sqlite3")) as database, database:
        fields = {"e": {"ty": "embedding", "size": 2, "api": None}, "n": {"ty": "text"}}
        database.execute("INSERT INTO metadata_schema VALUES (1, ?, '')", (json.dumps(fields),))
    metadata = {
        "fits": {"e": [0.5, 1], "n": "a", "unknown": [1]},
        "short": {"e": [0.5]},
        "text": {"e": "a"},
        "frame": {"$encord": {"frames": {"3": {"e": [1, 2, 3]}}}},
    }

    state = submit(
        running,
        folder,
        {
            "videos": [
                {"objectUrl": f"s3://b/{name[0]}", "title": name, "clientMetadata": one}
                for name, one in metadata.items()
            ]
        },
    )

    assert list(items_of(folder)) == ["fits"]
    assert sorted(error.error for error in state.unit_errors) == [
        "Client metadata e has 1 numbers; the schema says 2",
        "Client metadata e has 3 numbers; the schema says 2",
        "Client metadata e is not an embedding",
    ]
