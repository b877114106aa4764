"""Units of several objects in the sandbox, through the real SDK: their objects are children, and one that fails fails all."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from encord.exceptions import AuthorisationError
from encord.orm.storage import StorageItemType
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from registration_pipeline.sandbox.config import (
    DedupeAt,
    ErrorFrames,
    GroupMatching,
    Integration,
    LocalObjects,
    UnitRule,
)
from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox

    Submit = Callable[..., UploadLongPollingState]
    Connect = Callable[[Sandbox], EncordUserClient]

CHILDREN = {
    StorageItemType.IMAGE_GROUP: StorageItemType.IMAGE,
    StorageItemType.IMAGE_SEQUENCE: StorageItemType.IMAGE,
    StorageItemType.DICOM_SERIES: StorageItemType.DICOM_FILE,
}


def frames(*urls: str) -> dict[str, str]:
    return {f"objectUrl_{position}": url for position, url in enumerate(urls)}


def manifest(
    *urls: str, kind: str = "image_groups", video: bool = False, title: str = "rig", **top: Any
) -> dict[str, Any]:
    return {kind: [{"title": title, "createVideo": video, **frames(*urls)}], "skip_duplicate_urls": True, **top}


URLS = ("s3://b/rigs/10.jpg", "s3://b/rigs/2%20%C3%A9.jpg", "s3://b/rigs/1.jpg")


@pytest.mark.parametrize(
    ("kind", "video", "item_type"),
    [
        pytest.param("image_groups", False, StorageItemType.IMAGE_GROUP, id="group"),
        pytest.param("image_groups", True, StorageItemType.IMAGE_SEQUENCE, id="sequence"),
        pytest.param("dicom_series", False, StorageItemType.DICOM_SERIES, id="series"),
    ],
)
def test_the_objects_of_a_unit_are_child_items_in_their_order(
    start_sandbox: StartSandbox,
    connect: Connect,
    submit: Submit,
    *,
    kind: str,
    video: bool,
    item_type: StorageItemType,
) -> None:
    running = start_sandbox(url_normalised=False)
    client = connect(running)
    folder = client.create_storage_folder("fleet")

    result = submit(running, folder, manifest(*URLS, kind=kind, video=video))

    (item,) = folder.list_items()
    assert (result.units_done_count, item.item_type, item.url, item.frame_count) == (1, item_type, None, 3)
    children = list(item.get_child_items())
    assert [child.url for child in children] == list(URLS)
    assert [child.name for child in children] == ["10.jpg", "2 é.jpg", "1.jpg"]
    assert {child.item_type for child in children} == {CHILDREN[item_type]}
    assert len({child.uuid for child in children} | {item.uuid}) == 4
    assert [child.uuid for child in item.get_child_items()] == [child.uuid for child in children]
    assert [client.get_storage_item(child.uuid).url for child in children] == list(URLS)
    assert [found.url for found in client.get_storage_items([child.uuid for child in children])] == list(URLS)


def test_the_summaries_of_a_group_and_of_its_objects_say_what_is_in_what(
    sandbox: Sandbox, encord_client: EncordUserClient, folder: StorageFolder, submit: Submit
) -> None:
    submit(sandbox, folder, manifest(*URLS) | {"images": [{"objectUrl": "s3://b/x.jpg", "title": "x"}]})

    group = next(item for item in folder.list_items() if item.item_type is StorageItemType.IMAGE_GROUP)
    child = list(group.get_child_items())[2]
    summary = child.get_summary()
    assert summary.frame_in_groups == 1
    assert [(entry.uuid, entry.name, entry.item_type) for entry in summary.accessible_group_items] == [
        (group.uuid, "rig", StorageItemType.IMAGE_GROUP)
    ]
    assert (group.get_summary().frame_in_groups, group.get_summary().used_in_datasets) == (0, 0)
    in_folder = folder.get_summary()
    assert (in_folder.files, in_folder.images, in_folder.image_groups) == (2, 1, 1)
    with pytest.raises(AuthorisationError):
        encord_client.get_storage_item(uuid.UUID(int=child.uuid.int ^ (1 << 40)))


def test_a_single_object_has_no_children(
    sandbox: Sandbox, folder: StorageFolder, submit: Submit, send_signed: SendSigned
) -> None:
    submit(sandbox, folder, {"images": [{"objectUrl": "s3://b/x.jpg", "title": "x"}]})
    (item,) = folder.list_items()

    answer = send_signed("GET", f"storage/folders/{folder.uuid}/items/{item.uuid}/child-items")

    assert list(item.get_child_items()) == []
    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_children_and_summaries_are_those_of_items_of_the_folder_that_was_named(
    sandbox: Sandbox, encord_client: EncordUserClient, folder: StorageFolder, submit: Submit, send_signed: SendSigned
) -> None:
    submit(sandbox, folder, manifest(*URLS))
    (item,) = folder.list_items()
    other = encord_client.create_storage_folder("other")

    for what in ("child-items", "summary"):
        path = f"storage/folders/{other.uuid}/items/{item.uuid}/{what}"
        assert send_signed("GET", path).status_code == 403


def test_a_fault_can_be_planted_on_one_frame_of_many(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit
) -> None:
    running = start_sandbox(unit_rules=(UnitRule("2%20", "Could not decode", times=1),))
    folder = connect(running).create_storage_folder("fleet")
    two = manifest(*URLS)
    two["image_groups"].append({"title": "well", "createVideo": False, **frames("s3://b/w/0.jpg", "s3://b/w/1.jpg")})

    first = submit(running, folder, two)
    again = submit(running, folder, two)

    (error,) = first.unit_errors
    assert (error.object_urls, error.error) == ([URLS[1]], "Could not decode")
    assert (first.units_done_count, first.units_error_count, len(first.items_with_names)) == (1, 1, 1)
    assert (again.units_done_count, again.units_error_count) == (1, 0)
    assert sorted(item.name for item in folder.list_items()) == ["rig", "well"]


@pytest.mark.parametrize(
    ("switch", "named"), [(ErrorFrames.FAILED, [URLS[1]]), (ErrorFrames.ALL, list(URLS))], ids=["failed", "all"]
)
def test_an_error_names_the_frame_that_failed_or_all_of_them(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit, switch: ErrorFrames, named: list[str]
) -> None:
    running = start_sandbox(unit_rules=(UnitRule("2%20", "no"),), error_frames=switch)

    result = submit(running, connect(running).create_storage_folder("fleet"), manifest(*URLS))

    assert [error.object_urls for error in result.unit_errors] == [named]


def test_a_unit_that_fails_by_the_fate_of_its_job_fails_for_one_of_its_objects(
    sandbox: Sandbox, folder: StorageFolder, submit: Submit
) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=Fate.UNITS))

    result = submit(sandbox, folder, manifest(*URLS))

    (error,) = result.unit_errors
    assert len(error.object_urls) == 1
    assert error.object_urls[0] in URLS


@pytest.mark.parametrize("dedupe_at", DedupeAt)
@pytest.mark.parametrize(
    ("matching", "urls", "skipped"),
    [
        pytest.param(GroupMatching.ALL_URLS, URLS, 1, id="all, the same"),
        pytest.param(GroupMatching.ALL_URLS, URLS[::-1], 0, id="all, in another order"),
        pytest.param(GroupMatching.ALL_URLS, URLS[:2], 0, id="all, fewer"),
        pytest.param(GroupMatching.ANY_URL, URLS, 1, id="any, the same"),
        pytest.param(GroupMatching.ANY_URL, ("s3://b/new.jpg", URLS[2]), 1, id="any, one known"),
        pytest.param(GroupMatching.ANY_URL, ("s3://b/new.jpg", "s3://b/alone.jpg"), 1, id="any, one known alone"),
        pytest.param(GroupMatching.ANY_URL, ("s3://b/new.jpg",), 0, id="any, none known"),
    ],
)
def test_a_unit_of_several_objects_is_skipped_by_the_rule_of_the_switch(
    start_sandbox: StartSandbox,
    connect: Connect,
    submit: Submit,
    *,
    dedupe_at: DedupeAt,
    matching: GroupMatching,
    urls: tuple[str, ...],
    skipped: int,
) -> None:
    running = start_sandbox(group_matching=matching, dedupe_at=dedupe_at)
    folder = connect(running).create_storage_folder("fleet")
    submit(running, folder, manifest(*URLS) | {"images": [{"objectUrl": "s3://b/alone.jpg", "title": "alone"}]})

    submit(running, folder, manifest(*urls, title="again"))

    assert running.jobs()[-1].skipped == skipped
    assert len(list(folder.list_items())) == 3 - skipped


def test_the_admin_page_says_of_how_many_objects_an_item_is(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit
) -> None:
    running = start_sandbox(admin_port=0)
    folder = connect(running).create_storage_folder("fleet")
    submit(running, folder, manifest(*(f"s3://b/{number}.jpg" for number in range(1_234))))

    with urlopen(f"{running.admin_url}/folders/{folder.uuid}") as answer:
        page = answer.read().decode()

    assert ">1,234<" in page
    assert "and 1,231 more" in page


def dicom(**tags: Any) -> bytes:
    """Return a DICOM file with the tags that Encord requires; those that are None are left out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    required = {
        "Rows": 8,
        "Columns": 8,
        "PatientID": "",
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
    }
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for name, value in (required | tags).items():
        if value is not None:
            setattr(file, name, value)
    file.BitsAllocated, file.PixelRepresentation, file.SamplesPerPixel = 8, 0, 1
    file.PixelData = b"\0" * 200_000  # more than the sandbox reads
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def picture(size: int, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), "white").save(out, form)
    return out.getvalue()


@pytest.fixture
def registered(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit, tmp_path: Path
) -> Callable[..., tuple[UploadLongPollingState, list[str]]]:
    """Registers files that the sandbox can read as one unit, and returns the result and their URLs."""
    media = tmp_path / "media"
    media.mkdir()

    def register(*files: bytes | None, **form: Any) -> tuple[UploadLongPollingState, list[str]]:
        running = start_sandbox(integrations=(Integration("sandbox", (LocalObjects(media),)),))
        for number, data in enumerate(files):
            if data is not None:
                (media / f"{number}").write_bytes(data)
        urls = [f"file://{media}/{number}" for number in range(len(files))]
        return submit(running, connect(running).create_storage_folder("fleet"), manifest(*urls, **form)), urls

    return register


@pytest.mark.parametrize(
    ("files", "failing", "message"),
    [
        pytest.param([dicom(), dicom()], None, "", id="one series"),
        pytest.param([dicom(), picture(8)], 1, "does not begin like a DICOM file", id="not DICOM"),
        pytest.param([dicom(), None], 1, "404", id="gone"),
        pytest.param([dicom(), b""], 1, "empty", id="empty"),
        pytest.param([dicom(), dicom(SeriesInstanceUID="1.2.3.2")], 1, "series 1.2.3.2", id="another series"),
        pytest.param([dicom(SeriesInstanceUID=None), dicom()], 0, "SeriesInstanceUID missing", id="without series"),
        pytest.param([dicom(StudyInstanceUID=""), dicom()], 0, "StudyInstanceUID missing", id="without study"),
        pytest.param([dicom(), dicom(Rows=None, PatientID=None)], 1, "Rows, PatientID missing", id="without two tags"),
        pytest.param([dicom(), dicom()[:140]], 1, "Invalid DICOM", id="cut in its header"),
    ],
)
def test_the_headers_of_a_series_are_read(
    registered: Callable[..., tuple[UploadLongPollingState, list[str]]],
    files: list[bytes | None],
    failing: int | None,
    message: str,
) -> None:
    result, urls = registered(*files, kind="dicom_series")

    if failing is None:
        assert (result.units_done_count, result.unit_errors) == (1, [])
    else:
        (error,) = result.unit_errors
        assert error.object_urls == [urls[failing]]
        assert message in error.error
        assert (result.units_done_count, result.units_error_count) == (0, 1)


@pytest.mark.parametrize(
    ("files", "video", "failing"),
    [
        pytest.param([picture(8), picture(16)], True, None, id="sequence of unequal sizes"),
        pytest.param([picture(8), picture(8, "TIFF")], True, 1, id="TIFF in a sequence"),
        pytest.param([picture(8), picture(8, "TIFF")], False, None, id="TIFF in a group"),
        pytest.param([picture(8), b"no picture"], False, 1, id="not a picture"),
    ],
)
def test_the_images_of_groups_and_sequences_are_opened(
    registered: Callable[..., tuple[UploadLongPollingState, list[str]]],
    files: list[bytes],
    *,
    video: bool,
    failing: int | None,
) -> None:
    result, urls = registered(*files, video=video)

    named = [error.object_urls for error in result.unit_errors]
    assert named == ([] if failing is None else [[urls[failing]]])
    assert result.units_done_count == (failing is None)
