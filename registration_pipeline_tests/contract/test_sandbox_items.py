"""Storage items through the real SDK: listing in pages, looking up, patching, deleting, moving."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from encord.exceptions import AuthorisationError, InvalidArgumentsError
from encord.http.bundle import Bundle
from encord.orm.storage import FoldersSortBy, StorageItemType, StorageLocationName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder, StorageItem

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox

NAMES = ["b.jpg", "a.jpg", "c.jpg", "a.jpg", "é.jpg", "A.jpg"]


@pytest.fixture
def filled(sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]) -> StorageFolder:
    """A folder with six images and a video."""
    images = [{"objectUrl": f"s3://b/{n}", "title": name, "clientMetadata": {"n": n}} for n, name in enumerate(NAMES)]
    submit(sandbox, folder, {"images": images, "videos": [{"objectUrl": "s3://b/v", "title": "v.mp4"}]})
    return folder


def _numbers(items: Iterator[StorageItem] | Any) -> list[str]:
    return [str(item.url).removeprefix("s3://b/") for item in items]


@pytest.mark.parametrize("page_size", [1, 2, 7, 1000])
@pytest.mark.parametrize("desc", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize(
    ("order", "expected"),
    [(FoldersSortBy.NAME, ["5", "1", "3", "0", "2", "v", "4"]), (FoldersSortBy.CREATED_AT, list("v012345"))],
    ids=["by name", "by creation"],
)
def test_items_are_paged_in_order_without_gaps_or_repeats(
    filled: StorageFolder,
    order: FoldersSortBy,
    expected: list[str],
    desc: bool,  # noqa: FBT001 - parametrised
    page_size: int,
) -> None:
    listed = _numbers(filled.list_items(order=order, desc=desc, page_size=page_size))

    assert listed == (expected[::-1] if desc else expected)


def test_items_added_between_pages_neither_repeat_nor_hide_others(
    sandbox: Sandbox, filled: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    listing = iter(filled.list_items(page_size=2))
    first = [next(listing), next(listing)]
    submit(
        sandbox,
        filled,
        {"images": [{"objectUrl": "s3://b/early", "title": "0"}, {"objectUrl": "s3://b/z", "title": "z"}]},
    )

    assert _numbers([*first, *listing]) == ["5", "1", "3", "0", "2", "v", "z", "4"]


def test_items_are_filtered_by_name_type_and_dataset(filled: StorageFolder) -> None:
    assert _numbers(filled.list_items(search="A.J")) == ["5", "1", "3"]
    assert _numbers(filled.list_items(item_types=[StorageItemType.VIDEO, StorageItemType.PDF])) == ["v"]
    assert _numbers(filled.list_items(is_in_dataset=True)) == []
    assert len(_numbers(filled.list_items(is_in_dataset=False))) == 7


def test_client_metadata_can_be_left_out(filled: StorageFolder) -> None:
    assert {json.dumps(item.client_metadata) for item in filled.list_items(include_client_metadata=False)} == {"{}"}
    assert [item.client_metadata for item in filled.list_items(search="b.jpg")] == [{"n": 0}]


@pytest.mark.parametrize("page_size", [1, 3, 100])
def test_finding_descends_into_sub_folders_in_one_order(
    sandbox: Sandbox, filled: StorageFolder, submit: Callable[..., UploadLongPollingState], page_size: int
) -> None:
    child = filled.create_subfolder("child")
    grandchild = child.create_subfolder("grandchild")
    submit(sandbox, child, {"images": [{"objectUrl": "s3://b/x", "title": "a.jpg"}]})
    submit(sandbox, grandchild, {"images": [{"objectUrl": "s3://b/y", "title": "b.jpg"}]})

    found = filled.find_items(item_types=[StorageItemType.IMAGE], page_size=page_size)

    assert _numbers(found) == ["5", "1", "3", "x", "0", "y", "2", "4"]
    descending = filled.find_items(item_types=[StorageItemType.IMAGE], page_size=page_size, desc=True)
    assert _numbers(descending) == ["4", "2", "y", "0", "x", "3", "1", "5"]


def test_an_item_is_looked_up_alone_and_in_bulk_in_the_order_asked_for(
    sandbox: Sandbox, encord_client: EncordUserClient, filled: StorageFolder
) -> None:
    items = list(filled.list_items())

    one = encord_client.get_storage_item(items[3].uuid)
    many = encord_client.get_storage_items([item.uuid for item in reversed(items)])

    assert (one.url, one.name, one.client_metadata) == ("s3://b/0", "b.jpg", {"n": 0})
    assert (one.parent_folder_uuid, one.storage_location) == (filled.uuid, StorageLocationName.S3)
    assert str(one.integration_hash) == sandbox.integration_uuid()
    assert [item.uuid for item in many] == [item.uuid for item in reversed(items)]


def test_unknown_items_are_refused_as_inaccessible(encord_client: EncordUserClient, filled: StorageFolder) -> None:
    known = next(iter(filled.list_items()))

    with pytest.raises(AuthorisationError):
        encord_client.get_storage_item(uuid.uuid4())
    with pytest.raises(AuthorisationError):
        encord_client.get_storage_items([known.uuid, uuid.uuid4()])


def test_an_item_is_patched_field_by_field(encord_client: EncordUserClient, filled: StorageFolder) -> None:
    item = next(iter(filled.list_items(search="b.jpg")))

    item.update(name="renamed.jpg")
    item.update(client_metadata={"reviewed": True})

    found = encord_client.get_storage_item(item.uuid)
    assert (found.name, found.client_metadata, found.url) == ("renamed.jpg", {"reviewed": True}, "s3://b/0")


def test_items_are_patched_in_bulk(encord_client: EncordUserClient, filled: StorageFolder) -> None:
    items = list(filled.list_items())
    with Bundle(bundle_size=4) as bundle:
        for number, item in enumerate(items):
            item.update(client_metadata={"number": number}, bundle=bundle)

    found = encord_client.get_storage_items([item.uuid for item in items])
    assert [item.client_metadata for item in found] == [{"number": number} for number in range(7)]


def test_a_bulk_patch_with_an_unknown_item_changes_nothing(send_signed: SendSigned, filled: StorageFolder) -> None:
    item = next(iter(filled.list_items(search="b.jpg")))
    patches = {str(item.uuid): {"name": "changed"}, str(uuid.uuid4()): {"name": "unknown"}}

    answer = send_signed("PATCH", "storage/items/patch-bulk", body={"itemPatches": patches})

    assert answer.status_code == 403
    assert [found.name for found in filled.list_items(search="changed")] == []


def test_deleted_items_are_gone(sandbox: Sandbox, encord_client: EncordUserClient, filled: StorageFolder) -> None:
    doomed = [item.uuid for item in filled.list_items(item_types=[StorageItemType.IMAGE])]

    filled.delete_storage_items(doomed)

    assert _numbers(filled.list_items()) == ["v"]
    with pytest.raises(AuthorisationError):
        encord_client.get_storage_item(doomed[0])
    with pytest.raises(AuthorisationError):
        filled.delete_storage_items(doomed)


def test_items_move_between_folders(encord_client: EncordUserClient, filled: StorageFolder) -> None:
    target = encord_client.create_storage_folder("archive")
    moved = next(iter(filled.list_items(search="v.mp4")))

    filled.move_items_to_folder(target, [moved.uuid])

    assert _numbers(target.list_items()) == ["v"]
    assert "v" not in _numbers(filled.list_items())
    assert encord_client.get_storage_item(moved.uuid).parent_folder_uuid == target.uuid
    with pytest.raises(AuthorisationError):
        filled.move_items_to_folder(target, [moved.uuid])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://b.s3.eu-west-2.amazonaws.com/a%20b.jpg", "https://b.s3.eu-west-2.amazonaws.com/a%20b.jpg"),
        ("https://b.s3.eu-west-2.amazonaws.com/a%28%2B%29.jpg", "https://b.s3.eu-west-2.amazonaws.com/a(+).jpg"),
        ("https://b.s3.eu-west-2.amazonaws.com/%FF%23", "https://b.s3.eu-west-2.amazonaws.com/%FF%23"),
    ],
)
@pytest.mark.parametrize("normalised", [True, False], ids=["normalised", "as submitted"])
def test_items_show_an_equivalent_url_unless_told_otherwise(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    normalised: bool,  # noqa: FBT001 - parametrised
    url: str,
    shown: str,
) -> None:
    running = start_sandbox(url_normalised=normalised)
    folder = connect(running).create_storage_folder("f")
    job = folder.add_private_data_to_folder_start(running.integration_uuid(), {"images": [{"objectUrl": url}]})
    folder.add_private_data_to_folder_get_result(job, timeout_seconds=30)

    assert [item.url for item in folder.list_items()] == [shown if normalised else url]
    assert [item.urls for item in running.folder_items(folder.uuid)] == [(url,)]


def test_signed_urls_of_metadata_are_refused_with_a_reason(filled: StorageFolder) -> None:
    with pytest.raises(InvalidArgumentsError, match="no signed URLs"):
        list(filled.list_items(resolve_client_metadata_locally=True))


@pytest.mark.parametrize(
    ("target", "sent", "location"),
    [
        ("GET storage/items/x", {}, ["path", "item_uuid"]),
        ("POST storage/items/get-bulk", {"body": {"itemUuids": ["x"]}}, ["body", "itemUuids", 0]),
        ("POST storage/items/get-bulk", {"body": {}}, ["body", "itemUuids"]),
        ("PATCH storage/items/patch-bulk", {"body": {"itemPatches": []}}, ["body", "itemPatches"]),
        ("GET storage/folders/{folder}/items", {"params": {"pageSize": 1001}}, ["query", "pageSize"]),
        ("GET storage/folders/{folder}/items", {"params": {"itemTypes": "movie"}}, ["query", "itemTypes"]),
        ("GET storage/folders/{folder}/items", {"params": {"pageToken": "WyJuYW1lIl0="}}, ["query", "pageToken"]),
    ],
)
def test_malformed_item_requests_are_reported_with_their_place(
    send_signed: SendSigned, folder: StorageFolder, target: str, sent: dict[str, Any], location: list[Any]
) -> None:
    method, path = target.format(folder=folder.uuid).split(" ")
    answer = send_signed(method, path, **sent)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == location


def test_more_than_a_thousand_patches_in_one_request_are_refused(send_signed: SendSigned) -> None:
    patches = {str(uuid.uuid4()): {"name": "x"} for _ in range(1001)}

    answer = send_signed("PATCH", "storage/items/patch-bulk", body={"itemPatches": patches})

    assert answer.status_code == 422
