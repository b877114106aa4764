"""Units that fail: planted failures, and objects that are read for real."""

from __future__ import annotations

import gzip
import json
import struct
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from encord.exceptions import InvalidArgumentsError
from encord.orm.dataset import LongPollingStatus

from registration_pipeline.sandbox.config import Integration, LocalObjects, S3Objects, UnitRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder, StorageItem

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.conftest import S3Bucket
    from registration_pipeline_tests.contract.conftest import StartSandbox

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


def _manifest(*urls: str, kind: str = "images") -> dict[str, Any]:
    return {kind: [{"objectUrl": url} for url in urls], "skip_duplicate_urls": True}


def _failures(result: UploadLongPollingState) -> dict[str, str]:
    return {str(unit.object_urls[0]): unit.error for unit in result.unit_errors}


def test_a_unit_error_names_url_message_subtask_and_action(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
) -> None:
    running = start_sandbox(unit_rules=(UnitRule(r"corrupt", "Invalid image: truncated"),))
    folder = connect(running).create_storage_folder("f")

    result = submit(running, folder, _manifest("s3://b/a.jpg", "s3://b/corrupt.jpg"))

    assert result.status is LongPollingStatus.DONE
    assert (result.units_done_count, result.units_error_count, result.units_pending_count) == (1, 1, 0)
    assert result.errors == ["Invalid image: truncated"]
    (unit,) = result.unit_errors
    assert (unit.object_urls, unit.error) == (["s3://b/corrupt.jpg"], "Invalid image: truncated")
    assert (uuid.UUID(str(unit.subtask_uuid)).version, unit.action_description) == (4, "Registering image")
    assert [item.urls for item in running.folder_items(folder.uuid)] == [("s3://b/a.jpg",)]


def test_a_failing_frame_fails_its_whole_group(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    sandbox.plant(UnitRule("1.png", "no"))
    frames = {f"objectUrl_{n}": f"s3://b/{n}.png" for n in range(3)}

    result = submit(sandbox, folder, {"image_groups": [{"title": "g", "createVideo": False, **frames}]})

    assert [unit.object_urls for unit in result.unit_errors] == [["s3://b/1.png"]]
    assert (result.units_error_count, result.units_done_count) == (1, 0)
    assert sandbox.folder_items(folder.uuid) == []


def test_rules_are_read_from_the_file_of_a_running_sandbox(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    rules = sandbox.config.data / "rules.json"
    rules.write_text(json.dumps([{"pattern": "a.jpg$", "error": "planted"}]))
    assert _failures(submit(sandbox, folder, _manifest("s3://b/a.jpg", "s3://b/b.jpg"))) == {"s3://b/a.jpg": "planted"}

    rules.unlink()
    assert submit(sandbox, folder, _manifest("s3://b/a.jpg", "s3://b/b.jpg")).units_done_count == 1


@pytest.mark.parametrize(
    "text",
    ["{", "{}", '[{"pattern": "("}]', '[{"pattern": "(", "error": "x"}]', '[{"pattern": "a", "error": "x", "n": 1}]'],
)
def test_a_broken_rules_file_is_reported_at_the_start_of_a_job(
    sandbox: Sandbox, folder: StorageFolder, text: str
) -> None:
    (sandbox.config.data / "rules.json").write_text(text)

    with pytest.raises(InvalidArgumentsError, match="sandbox's own rule"):
        folder.add_private_data_to_folder_start(sandbox.integration_uuid(), _manifest("s3://b/a.jpg"))


def test_a_rule_with_a_count_fails_so_often_per_url_even_across_a_restart(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
) -> None:
    rules = (UnitRule("flaky", "try again", times=2),)
    counts = []
    folder_uuid = None
    for _ in range(3):
        running = start_sandbox(unit_rules=rules)
        client = connect(running)
        folder_uuid = folder_uuid or client.create_storage_folder("f").uuid
        folder = client.get_storage_folder(folder_uuid)
        counts.append(submit(running, folder, _manifest("s3://b/flaky-1", "s3://b/flaky-2")).units_error_count)
        running.stop()

    assert counts == [2, 2, 0]


@pytest.mark.parametrize(("rollback", "left"), [(False, 1), (True, 0)], ids=["items stay", "items are taken back"])
def test_a_job_that_does_not_ignore_errors_ends_in_error(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    rollback: bool,  # noqa: FBT001 - parametrised
    left: int,
) -> None:
    running = start_sandbox(rollback_on_error=rollback, unit_rules=(UnitRule("bad", "no"),))
    folder = connect(running).create_storage_folder("f")

    result = submit(running, folder, _manifest("s3://b/good", "s3://b/bad"), ignore_errors=False)

    assert (result.status, result.units_error_count) == (LongPollingStatus.ERROR, 1)
    assert result.units_done_count == len(result.items_with_names) == len(running.folder_items(folder.uuid)) == left
    assert submit(running, folder, _manifest("s3://b/fine"), ignore_errors=False).status is LongPollingStatus.DONE


GOOD: dict[str, tuple[str, bytes, str]] = {
    "jpeg": ("images", b"\xff\xd8\xff\xe0rest", "image/jpeg"),
    "png": ("images", PNG, "image/png"),
    "webp": ("images", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    "bmp": ("images", b"BM\0\0", "image/bmp"),
    "tiff": ("images", b"II*\0\0\0", "image/tiff"),
    "avif": ("images", b"\0\0\0\x1cftypavif", "image/avif"),
    "mp4": ("videos", b"\0\0\0\x18ftypisom", "video/mp4"),
    "mov": ("videos", b"\0\0\0\x14ftypqt  ", "video/quicktime"),
    "mov of old": ("videos", b"\0\0\0\x14moov\0\0", "video/quicktime"),
    "webm": ("videos", b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
    "mkv": ("videos", b"\x1aE\xdf\xa3\x9fB\x82\x88matroska", "video/x-matroska"),
    "wav": ("audio", b"RIFF\0\0\0\0WAVEfmt ", "audio/x-wav"),
    "mp3 with a tag": ("audio", b"ID3\x04\0", "audio/mpeg"),
    "mp3": ("audio", b"\xff\xfb\x90\x00", "audio/mpeg"),
    "flac": ("audio", b"fLaC\0\0", "audio/flac"),
    "pdf": ("pdfs", b"%PDF-1.7\n", "application/pdf"),
    "text": ("text", "grün\n".encode() * 20_000, "text/plain"),
    "nifti": ("nifti", struct.pack("<i", 348) + b"\0" * 344, "application/x-nifti"),
    "nifti 2, big endian": ("nifti", struct.pack(">i", 540) + b"\0" * 536, "application/x-nifti"),
    "nifti in gzip": ("nifti", gzip.compress(struct.pack("<i", 348) + b"\0" * 344), "application/gzip"),
}
BAD: dict[str, tuple[str, bytes, str]] = {
    "text as image": ("images", b"hello", "Invalid image: the object does not begin like a JPEG"),
    "empty image": ("images", b"", "Invalid image: the object is empty"),
    "wav as image": ("images", b"RIFF\0\0\0\0WAVE", "Invalid image"),
    "avif as video": ("videos", b"\0\0\0\x1cftypavif", "Invalid video"),
    "png as video": ("videos", PNG, "Invalid video"),
    "webp as audio": ("audio", b"RIFF\0\0\0\0WEBP", "Invalid audio"),
    "one byte of audio": ("audio", b"\xff", "Invalid audio"),
    "html as pdf": ("pdfs", b"<html>", "Invalid PDF"),
    "latin-1 as text": ("text", b"gr\xfcn", "Invalid text"),
    "text cut in a character": ("text", b"gr\xc3", "Invalid text"),
    "text with NUL": ("text", b"a\0b", "Invalid text"),
    "nifti of another size": ("nifti", struct.pack("<i", 349) + b"\0" * 344, "Invalid NIfTI"),
    "gzip of nothing": ("nifti", gzip.compress(b""), "Invalid NIfTI"),
    "broken gzip": ("nifti", b"\x1f\x8b\xff\xff", "Invalid NIfTI"),
}


@pytest.fixture
def reading(start_sandbox: StartSandbox, tmp_path: Path) -> Sandbox:
    """A sandbox that reads the files below ``tmp_path / "bucket"``."""
    root = tmp_path / "bucket"
    root.mkdir()
    return start_sandbox(integrations=(Integration("sandbox", (LocalObjects(root),)),))


@pytest.fixture
def register_file(
    reading: Sandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    tmp_path: Path,
) -> Callable[[str, bytes], tuple[list[str], list[StorageItem]]]:
    """Registers a file of the given kind and content; returns the unit errors and the folder's items."""
    folder = connect(reading).create_storage_folder("f")
    path = tmp_path / "bucket" / "a b#é"

    def register(kind: str, content: bytes) -> tuple[list[str], list[StorageItem]]:
        path.write_bytes(content)
        result = submit(reading, folder, _manifest(path.as_uri(), kind=kind))
        return list(_failures(result).values()), list(folder.list_items())

    return register


RegisterFile: TypeAlias = "Callable[[str, bytes], tuple[list[str], list[StorageItem]]]"


@pytest.mark.parametrize(("kind", "content", "mime_type"), GOOD.values(), ids=GOOD.keys())
def test_an_object_that_looks_like_its_kind_is_registered_with_type_and_size(
    register_file: RegisterFile, kind: str, content: bytes, mime_type: str
) -> None:
    errors, items = register_file(kind, content)

    assert errors == []
    assert [(item.mime_type, item.file_size) for item in items] == [(mime_type, len(content))]


@pytest.mark.parametrize(("kind", "content", "error"), BAD.values(), ids=BAD.keys())
def test_an_object_that_does_not_look_like_its_kind_fails(
    register_file: RegisterFile, kind: str, content: bytes, error: str
) -> None:
    errors, items = register_file(kind, content)

    assert (len(errors), items) == (1, [])
    assert errors[0].startswith(error)


def test_missing_and_foreign_files_can_not_be_read(
    reading: Sandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    tmp_path: Path,
) -> None:
    folder = connect(reading).create_storage_folder("f")
    outside = tmp_path / "outside.png"
    outside.write_bytes(PNG)
    gone = (tmp_path / "bucket" / "gone.png").as_uri()

    result = submit(reading, folder, _manifest(outside.as_uri(), gone, (tmp_path / "bucket").as_uri()))

    assert _failures(result) == {
        outside.as_uri(): "Could not read object: 403 Forbidden",
        gone: "Could not read object: 404 Not Found",
        (tmp_path / "bucket").as_uri(): "Could not read object: 404 Not Found",
    }


def test_urls_that_no_reader_covers_are_registered_unread(
    reading: Sandbox, connect: Callable[[Sandbox], EncordUserClient], submit: Callable[..., UploadLongPollingState]
) -> None:
    folder = connect(reading).create_storage_folder("f")

    assert submit(reading, folder, _manifest("gs://b/gone.png")).units_done_count == 1
    assert [item.file_size for item in folder.list_items()] == [None]


@pytest.mark.slow
def test_objects_of_an_s3_store_are_read_below_its_endpoint(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    s3_bucket: Callable[[], S3Bucket],
) -> None:
    bucket = s3_bucket()
    bucket.put("raw/a b#é.png", PNG)
    bucket.put("raw/text.png", b"hello")
    bucket.put("raw/empty.png", b"")
    bucket.put("raw/large.png", PNG + b"\0" * 200_000)
    reader = S3Objects(endpoint_url=bucket.endpoint_url, access_key_id="testing", secret_access_key="testing")
    running = start_sandbox(integrations=(Integration("sandbox", (reader,)),))
    folder = connect(running).create_storage_folder("f")
    base = f"{bucket.endpoint_url}/{bucket.name}/raw/"

    names = ("a%20b%23%C3%A9.png", "large.png", "text.png", "empty.png", "gone.png")
    result = submit(running, folder, _manifest(*(base + name for name in names)))

    assert {url.removeprefix(base): error.split(":")[0] for url, error in _failures(result).items()} == {
        "text.png": "Invalid image",
        "empty.png": "Invalid image",
        "gone.png": "Could not read object",
    }
    assert _failures(result)[base + "gone.png"] == "Could not read object: 404 Not Found"
    assert [item.file_size for item in folder.list_items()] == [len(PNG), len(PNG) + 200_000]
