"""Upload jobs through the real SDK: start, long poll, cancel, limits of the JSON form."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from encord.exceptions import AuthorisationError, InvalidArgumentsError, PayloadTooLargeError, ResourceNotFoundError
from encord.orm.dataset import LongPollingStatus
from encord.orm.storage import StorageItemType

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox


def _images(count: int) -> dict[str, Any]:
    return {"images": [{"objectUrl": f"s3://b/{n:05}.jpg", "title": f"{n:05}.jpg"} for n in range(count)]}


def _start(sandbox: Sandbox, folder: StorageFolder, manifest: Any) -> uuid.UUID:
    return folder.add_private_data_to_folder_start(sandbox.integration_uuid(), manifest, ignore_errors=True)


def test_a_manifest_file_is_registered_under_its_name(sandbox: Sandbox, folder: StorageFolder, tmp_path: Path) -> None:
    path = tmp_path / "chunk-00017.json"
    entry = {"objectUrl": "https://b.s3.eu-west-2.amazonaws.com/a.jpg", "title": "a", "clientMetadata": {"k": "é"}}
    path.write_text(json.dumps({"images": [entry], "skip_duplicate_urls": True}))

    job = folder.add_private_data_to_folder_start(sandbox.integration_uuid(), path, ignore_errors=True)
    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=30)

    assert (result.status, result.file_name) == (LongPollingStatus.DONE, "chunk-00017.json")
    assert (result.units_done_count, result.units_error_count, result.units_pending_count) == (1, 0, 0)
    item = next(iter(folder.list_items()))
    assert [(named.item_uuid, named.name) for named in result.items_with_names] == [(item.uuid, "a")]
    assert (item.item_type, item.url, item.client_metadata) == (StorageItemType.IMAGE, entry["objectUrl"], {"k": "é"})


ENTRIES: dict[str, tuple[dict[str, Any], StorageItemType]] = {
    "videos": ({"objectUrl": "s3://b/v.mp4", "createVideo": True}, StorageItemType.VIDEO),
    "images": ({"objectUrl": "s3://b/i.png", "createVideo": False}, StorageItemType.IMAGE),
    "audio": ({"objectUrl": "s3://b/a.wav"}, StorageItemType.AUDIO),
    "pdfs": ({"objectUrl": "s3://b/d.pdf"}, StorageItemType.PDF),
    "text": ({"objectUrl": "s3://b/t.txt"}, StorageItemType.PLAIN_TEXT),
    "nifti": ({"objectUrl": "s3://b/n.nii.gz"}, StorageItemType.NIFTI),
    "image_groups": (
        {"title": "g", "createVideo": False, "objectUrl_0": "s3://b/0.png", "objectUrl_1": "s3://b/1.png"},
        StorageItemType.IMAGE_GROUP,
    ),
    "dicom_series": ({"title": "s", "objectUrl_0": "s3://b/0.dcm"}, StorageItemType.DICOM_SERIES),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_every_kind_becomes_its_item_type(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState], kind: str
) -> None:
    entry, item_type = ENTRIES[kind]

    assert submit(sandbox, folder, {kind: [entry]}).units_done_count == 1
    assert [item.item_type for item in folder.list_items()] == [item_type]


def test_an_image_group_with_create_video_becomes_a_sequence(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    frames = {f"objectUrl_{n}": f"s3://b/{n}.png" for n in range(12)}
    submit(sandbox, folder, {"image_groups": [{"title": "s", "createVideo": True, **frames}]})

    item = next(iter(folder.list_items()))
    assert (item.item_type, item.frame_count, item.url) == (StorageItemType.IMAGE_SEQUENCE, 12, None)
    assert sandbox.folder_items(folder.uuid)[0].urls == tuple(frames.values())


def test_a_title_that_is_not_given_comes_from_the_url(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    result = submit(sandbox, folder, {"images": [{"objectUrl": "s3://b/deep/a%20b.jpg"}]})

    assert [named.name for named in result.items_with_names] == ["a b.jpg"]


@pytest.mark.parametrize("casing", ["snake", "camel"])
def test_media_metadata_is_taken_in_either_casing(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState], casing: str
) -> None:
    size, mime = ("file_size", "mime_type") if casing == "snake" else ("fileSize", "mimeType")
    block = {"fps": 25.0, "duration": 2.5, "width": 640, "height": 480, size: 1234, mime: "video/mp4"}
    submit(sandbox, folder, {"videos": [{"objectUrl": "s3://b/v.mp4", "videoMetadata": block}]})

    item = next(iter(folder.list_items()))
    assert (item.file_size, item.mime_type, item.width, item.height) == (1234, "video/mp4", 640, 480)
    assert (item.duration, item.fps) == (2.5, 25.0)


def test_the_poll_is_held_and_wakes_when_the_job_ends(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(job_seconds=0.6)
    folder = connect(running).create_storage_folder("f")
    job = _start(running, folder, _images(8))
    started = time.monotonic()

    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=60)

    assert result.status is LongPollingStatus.DONE
    assert 0.3 < time.monotonic() - started < 30, "a poll that nobody wakes is held for 60 s"


def test_a_poll_with_no_timeout_answers_at_once(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(job_seconds=300)
    folder = connect(running).create_storage_folder("f")
    job = _start(running, folder, _images(8))
    started = time.monotonic()

    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=0)

    assert (result.status, result.units_pending_count) == (LongPollingStatus.PENDING, 8)
    assert time.monotonic() - started < 30, "one that waits for the job waits for 300 s, one that is held for 60 s"


@pytest.mark.slow
def test_waiting_for_a_long_job_makes_less_than_two_requests_a_second(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_sandbox(job_seconds=60)
    folder = connect(running).create_storage_folder("f")
    job = _start(running, folder, _images(8))
    sent: list[str] = []
    send = requests.Session.send

    def counting(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        sent.append(str(request.url))
        return send(session, request, **options)

    monkeypatch.setattr(requests.Session, "send", counting)
    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=4)

    assert result.status is LongPollingStatus.PENDING
    assert len(sent) < 2 * 4


def test_a_client_that_hangs_up_ends_its_poll(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    sign_for: Callable[[Sandbox], SendSigned],
) -> None:
    running = start_sandbox(job_seconds=60)
    folder = connect(running).create_storage_folder("f")
    job = _start(running, folder, _images(8))
    with pytest.raises(requests.ReadTimeout):
        _poll(sign_for(running), folder, job, timeout_seconds=0.3)

    deadline = time.monotonic() + 30
    while running._board._waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running._board._waiting


def _poll(send: SendSigned, folder: StorageFolder, job: uuid.UUID, timeout_seconds: float = 30) -> requests.Response:
    path = f"storage/folders/{folder.uuid}/data-upload-jobs/{job}"
    return send("GET", path, params={"timeoutSeconds": 60}, timeout_seconds=timeout_seconds)


def test_stopping_the_sandbox_answers_waiting_polls(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    sign_for: Callable[[Sandbox], SendSigned],
) -> None:
    """Stopping grants requests five seconds and then cuts them off: only a poll that was woken gets its answer."""
    running = start_sandbox(job_seconds=300)
    folder = connect(running).create_storage_folder("f")
    job = _start(running, folder, _images(8))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_poll, sign_for(running), folder, job, timeout_seconds=90)
        while not running._board._waiting:
            time.sleep(0.005)
        running.stop()

        assert answer.result(timeout=60).json()["status"] == "PENDING"


def test_cancelling_keeps_what_was_done_and_counts_the_rest(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(job_seconds=2.0)
    folder = connect(running).create_storage_folder("f")
    job = _start(running, folder, _images(8))
    while not running.folder_items(folder.uuid):
        time.sleep(0.01)

    answer = folder.add_data_to_folder_job_cancel(job)
    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=30)

    assert result.status is LongPollingStatus.CANCELLED
    assert 0 < result.units_done_count < 8
    assert result.units_done_count + result.units_cancelled_count == 8
    assert answer.units_cancelled_count == result.units_cancelled_count
    assert len(running.folder_items(folder.uuid)) == result.units_done_count
    assert result.units_pending_count == 0


def test_cancelling_a_finished_job_changes_nothing(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    submit(sandbox, folder, _images(2))
    job = uuid.UUID(sandbox.jobs()[0].uuid)

    assert folder.add_data_to_folder_job_cancel(job).units_cancelled_count == 0
    assert folder.add_private_data_to_folder_get_result(job).status is LongPollingStatus.DONE


def test_an_unknown_job_is_not_found(sandbox: Sandbox, encord_client: EncordUserClient, folder: StorageFolder) -> None:
    job = _start(sandbox, folder, _images(1))
    elsewhere = encord_client.create_storage_folder("elsewhere")

    for target, unknown in ((folder, uuid.uuid4()), (elsewhere, job)):
        with pytest.raises(ResourceNotFoundError):
            target.add_private_data_to_folder_get_result(unknown)
        with pytest.raises(ResourceNotFoundError):
            target.add_data_to_folder_job_cancel(unknown)


def test_an_unknown_integration_is_refused(folder: StorageFolder, sandbox: Sandbox) -> None:
    with pytest.raises(AuthorisationError, match="integration"):
        folder.add_private_data_to_folder_start(str(uuid.uuid4()), _images(1))
    assert sandbox.jobs() == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown top-level key": ({"image": []}, "unknown key 'image' in externalFiles"),
    "camelCase flag": ({"skipDuplicateUrls": True}, "unknown key 'skipDuplicateUrls'"),
    "unknown item key": ({"images": [{"objectUrl": "s3://b/a", "objectURL": "x"}]}, "unknown key 'objectURL'"),
    "media block of another kind": ({"text": [{"objectUrl": "s3://b/a", "imageMetadata": {}}]}, "imageMetadata"),
    "unknown media key": ({"images": [{"objectUrl": "s3://b/a", "imageMetadata": {"size": 1}}]}, "unknown key 'size'"),
    "flag that is no boolean": ({"skip_duplicate_urls": "true"}, "skip_duplicate_urls must be true or false"),
    "list that is none": ({"images": {}, "videos": {"objectUrl": "x"}}, "videos must be a list"),
    "entry that is no object": ({"images": ["s3://b/a"]}, r"images\[0\] must be an object"),
    "no URL": ({"images": [{"title": "t"}]}, r"images\[0\].objectUrl must be a URL"),
    "whitespace in the URL": ({"images": [{"objectUrl": "s3://b/a b"}]}, "whitespace"),
    "URL over 16 KB": ({"images": [{"objectUrl": "s3://b/" + "x" * 16_378}]}, "longer than 16384 bytes"),
    "URL over 16 KB in bytes only": ({"images": [{"objectUrl": "s3://b/" + "é" * 8_189}]}, "longer than 16384 bytes"),
    "title over 300 characters": ({"images": [{"objectUrl": "s3://b/a", "title": "x" * 301}]}, "300 characters"),
    "empty title": ({"images": [{"objectUrl": "s3://b/a", "title": ""}]}, "title"),
    "series without title": ({"dicom_series": [{"objectUrl_0": "s3://b/a"}]}, "title"),
    "group without frames": ({"image_groups": [{"title": "g"}]}, "objectUrl_0"),
    "group with a gap": (
        {"image_groups": [{"title": "g", "objectUrl_0": "s3://b/a", "objectUrl_2": "s3://b/c"}]},
        "without a gap",
    ),
    "metadata that is no object": ({"images": [{"objectUrl": "s3://b/a", "clientMetadata": "{}"}]}, "clientMetadata"),
    "metadata over 10 MB": (
        {"images": [{"objectUrl": "s3://b/a", "clientMetadata": {"k": "x" * 10_000_000}}]},
        "longer than 10000000 bytes",
    ),
    "half a surrogate pair": ({"images": [{"objectUrl": "s3://b/\ud800"}]}, "surrogate"),
    "media value of another type": ({"images": [{"objectUrl": "s3://b/a", "imageMetadata": {"width": "1"}}]}, "width"),
    "10,001 entries": (_images(10_001), "10001 entries in one upload job; the limit is 10000"),
}


@pytest.mark.parametrize(("manifest", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_manifest_that_breaks_a_rule_is_refused_whole(
    sandbox: Sandbox, folder: StorageFolder, manifest: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentsError, match=message):
        _start(sandbox, folder, manifest)
    assert sandbox.jobs() == []


@pytest.mark.parametrize(
    "entry",
    [
        {"objectUrl": "s3://b/" + "x" * 16_377},
        {"objectUrl": "s3://b/a", "title": "x" * 300},
        {"objectUrl": "s3://b/a", "clientMetadata": {"k": "x" * 9_999_990}},
    ],
    ids=["URL of 16 KB", "title of 300 characters", "metadata of 10 MB"],
)
def test_values_at_the_limits_are_taken(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState], entry: dict[str, Any]
) -> None:
    assert submit(sandbox, folder, {"images": [entry]}).units_done_count == 1


def test_a_lenient_sandbox_ignores_unknown_keys(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
) -> None:
    running = start_sandbox(lenient=True)
    folder = connect(running).create_storage_folder("f")

    manifest = {"bogus": 1, "images": [{"objectUrl": "s3://b/a", "bogus": 2, "imageMetadata": {"bogus": 3}}]}
    assert submit(running, folder, manifest).units_done_count == 1


def test_a_body_over_the_limit_is_too_large(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(body_limit_bytes=10_000)
    folder = connect(running).create_storage_folder("f")

    with pytest.raises(PayloadTooLargeError, match="larger than 10000 bytes"):
        _start(running, folder, _images(1_000))
    assert running.jobs() == []


@pytest.mark.parametrize(
    ("suffix", "sent", "location"),
    [
        ("", {"body": {"externalFiles": []}}, ["body", "externalFiles"]),
        ("", {"body": {}}, ["body", "externalFiles"]),
        ("", {"body": {"externalFiles": {}, "ignoreErrors": "no"}}, ["body", "ignoreErrors"]),
        ("", {"body": {"externalFiles": {}, "integrationHash": "x"}}, ["body", "integrationHash"]),
        ("", {"body": {"externalFiles": {}, "fileName": 1}}, ["body", "fileName"]),
        ("/x", {}, ["path", "job_uuid"]),
        ("/00000000-0000-0000-0000-000000000000", {"params": {"timeoutSeconds": "soon"}}, ["query", "timeoutSeconds"]),
        ("/00000000-0000-0000-0000-000000000000", {"params": {"timeoutSeconds": -1}}, ["query", "timeoutSeconds"]),
    ],
)
def test_malformed_job_requests_are_reported_with_their_place(
    send_signed: SendSigned, folder: StorageFolder, suffix: str, sent: dict[str, Any], location: list[str]
) -> None:
    path = f"storage/folders/{folder.uuid}/data-upload-jobs{suffix}"
    answer = send_signed("POST" if "body" in sent else "GET", path, **sent)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == location


@pytest.mark.slow
def test_many_jobs_in_flight_end_with_every_item_once(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(job_seconds=0.05)
    folder = connect(running).create_storage_folder("f")
    jobs = [
        _start(running, folder, {"images": [{"objectUrl": f"s3://b/{job}/{n}.jpg"} for n in range(500)]})
        for job in range(12)
    ]

    results = [folder.add_private_data_to_folder_get_result(job, timeout_seconds=60) for job in jobs]

    assert [result.units_done_count for result in results] == [500] * 12
    assert len({url for item in running.folder_items(folder.uuid) for url in item.urls}) == 6_000
    assert running.duplicates() == {}
