"""Integrations and storage folders through the real SDK."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from encord.exceptions import AuthorisationError, InvalidArgumentsError
from encord.orm.storage import FoldersSortBy

from registration_pipeline.sandbox.config import Integration

if TYPE_CHECKING:
    from collections.abc import Callable

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox


def test_integrations_are_listed_and_filtered(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(integrations=(Integration("sandbox"), Integration("prod-aws")))
    client = connect(running)

    assert [found.title for found in client.get_cloud_integrations()] == ["sandbox", "prod-aws"]
    only = client.get_cloud_integrations(filter_integration_titles=["prod-aws"])
    assert [found.id for found in only] == [running.integration_uuid("prod-aws")]
    by_uuid = client.get_cloud_integrations(filter_integration_uuids=[uuid.UUID(only[0].id)])
    assert [found.title for found in by_uuid] == ["prod-aws"]
    assert client.get_cloud_integrations(filter_integration_uuids=[uuid.uuid4()]) == []


def test_a_folder_comes_back_as_it_was_created(encord_client: EncordUserClient) -> None:
    made = encord_client.create_storage_folder("raw é", description="d", client_metadata={"a": None, "b": [1]})

    found = encord_client.get_storage_folder(made.uuid)

    assert (found.name, found.description, found.client_metadata) == ("raw é", "d", {"a": None, "b": [1]})
    assert (found.parent_uuid, found.is_cloud_synced) == (None, False)


def test_a_folder_without_metadata_has_an_empty_object(encord_client: EncordUserClient) -> None:
    assert encord_client.create_storage_folder("bare").client_metadata == {}


def test_two_folders_may_have_the_same_name(encord_client: EncordUserClient) -> None:
    made = {encord_client.create_storage_folder("twin").uuid for _ in range(2)}

    assert {found.uuid for found in encord_client.list_storage_folders(search="twin")} == made


def test_listing_shows_one_level_and_finding_shows_all(encord_client: EncordUserClient) -> None:
    root = encord_client.create_storage_folder("root")
    child = root.create_subfolder("child")
    grandchild = child.create_subfolder("grandchild")

    assert [found.uuid for found in encord_client.list_storage_folders()] == [root.uuid]
    assert {found.uuid for found in encord_client.find_storage_folders()} == {root.uuid, child.uuid, grandchild.uuid}
    assert [found.uuid for found in root.list_subfolders()] == [child.uuid]
    assert [found.uuid for found in root.find_subfolders()] == [child.uuid, grandchild.uuid]
    assert grandchild.parent is not None
    assert grandchild.parent.uuid == child.uuid
    assert [step.name for step in grandchild.path_to_root] == ["grandchild", "child", "root"]


@pytest.mark.parametrize("desc", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("order", list(FoldersSortBy), ids=str)
def test_folders_are_paged_in_order_without_gaps(
    encord_client: EncordUserClient,
    order: FoldersSortBy,
    desc: bool,  # noqa: FBT001 - parametrised
) -> None:
    created = [encord_client.create_storage_folder(name).uuid for name in ("b", "a", "c", "a", "é")]
    by_name = [created[index] for index in (1, 3, 0, 2, 4)]

    listed = [found.uuid for found in encord_client.list_storage_folders(order=order, desc=desc, page_size=2)]

    expected = by_name if order is FoldersSortBy.NAME else created
    assert listed == (expected[::-1] if desc else expected)


@pytest.mark.parametrize(
    ("search", "found"), [("50%", ["a 50% b"]), ("_", ["x_y"]), ("X_", ["x_y"]), ("\\", ["b\\s"]), ("zz", [])]
)
def test_search_takes_wildcard_characters_literally(
    encord_client: EncordUserClient, search: str, found: list[str]
) -> None:
    for name in ("a 50% b", "500", "x_y", "xay", "b\\s"):
        encord_client.create_storage_folder(name)

    assert [folder.name for folder in encord_client.find_storage_folders(search=search)] == found


def test_a_folder_is_patched_field_by_field(encord_client: EncordUserClient, folder: StorageFolder) -> None:
    folder.update(name="renamed", client_metadata={"a": 1})
    folder.update(description="new")

    found = encord_client.get_storage_folder(folder.uuid)
    assert (found.name, found.description, found.client_metadata) == ("renamed", "new", {"a": 1})


def test_the_summary_counts_what_is_directly_inside(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    folder.create_subfolder("below")
    images = [
        {"objectUrl": f"s3://b/{n}.jpg", "imageMetadata": {"fileSize": 10, "mimeType": "image/jpeg"}} for n in "ab"
    ]
    submit(sandbox, folder, {"images": images, "videos": [{"objectUrl": "s3://b/v.mp4"}]})

    summary = folder.get_summary()

    assert (summary.files, summary.images, summary.videos, summary.folders) == (3, 2, 1, 1)
    assert summary.total_size == 20.0


def test_an_empty_folder_can_be_deleted(encord_client: EncordUserClient, folder: StorageFolder) -> None:
    folder.delete()

    with pytest.raises(AuthorisationError):
        encord_client.get_storage_folder(folder.uuid)


def test_a_folder_with_something_inside_stays(encord_client: EncordUserClient, folder: StorageFolder) -> None:
    folder.create_subfolder("below")

    with pytest.raises(InvalidArgumentsError, match="holds folders"):
        folder.delete()
    assert encord_client.get_storage_folder(folder.uuid).name == "fleet"


def test_an_unknown_folder_is_refused_as_inaccessible(encord_client: EncordUserClient) -> None:
    with pytest.raises(AuthorisationError):
        encord_client.get_storage_folder(uuid.uuid4())
    with pytest.raises(AuthorisationError):
        encord_client.create_storage_folder("orphan", parent_folder=uuid.uuid4())


@pytest.mark.parametrize(
    ("target", "params", "body", "location"),
    [
        ("GET storage/folders/not-a-uuid", None, None, ["path", "folder_uuid"]),
        ("GET storage/folders", {"pageSize": 1001}, None, ["query", "pageSize"]),
        ("GET storage/folders", {"pageSize": 0}, None, ["query", "pageSize"]),
        ("GET storage/folders", {"pageToken": "made-up"}, None, ["query", "pageToken"]),
        ("GET storage/folders", {"order": "size"}, None, ["query", "order"]),
        ("GET storage/folders", {"desc": "maybe"}, None, ["query", "desc"]),
        ("POST storage/folders", None, b"{not json", ["body"]),
        ("POST storage/folders", None, b"[]", ["body"]),
        ("POST storage/folders", None, b'{"name": NaN}', ["body"]),
        ("POST storage/folders", None, {"name": 7}, ["body", "name"]),
        ("POST storage/folders", None, {"name": ""}, ["body", "name"]),
        ("POST storage/folders", None, {"name": "x", "clientMetadata": {}}, ["body", "clientMetadata"]),
        ("POST storage/folders", None, {"name": "x", "clientMetadata": "[]"}, ["body", "clientMetadata"]),
        ("POST storage/folders", None, {"name": "x", "parent": "?"}, ["body", "parent"]),
    ],
)
def test_malformed_input_is_reported_with_its_place(
    send_signed: SendSigned, target: str, params: dict[str, object] | None, body: object, location: list[str]
) -> None:
    answer = send_signed(*target.split(" "), params=params, body=body)

    assert answer.status_code == 422
    assert [detail["loc"] for detail in answer.json()["detail"]] == [location]
    assert set(answer.json()["detail"][0]) == {"loc", "msg", "type"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "no/such/path", 404), ("GET", "storage/folders/", 404), ("PUT", "storage/folders", 405)],
)
def test_unknown_paths_and_methods_are_refused_without_redirects(
    send_signed: SendSigned, method: str, path: str, status: int
) -> None:
    answer = send_signed(method, path)

    assert (answer.status_code, answer.history) == (status, [])
    assert answer.json()["message"]
