"""Datasets of the sandbox, driven by the SDK: making, finding and linking; where Encord's behaviour is open, each reading."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import requests
from encord import exceptions
from encord.orm.dataset import DataLinkDuplicatesBehavior, StorageLocation
from encord.orm.storage import StorageItemType

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import ListedLinks, SandboxConfig, UnknownLinks
from registration_pipeline.sandbox.database import DATABASE_FILE
from registration_pipeline.sandbox.faults.values import Effect, Fault, When
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.dataset import Dataset
    from encord.storage import StorageFolder

    from registration_pipeline_tests.contract.conftest import StartSandbox

FIVE = {"images": [{"objectUrl": f"s3://bucket/{n}.jpg", "title": f"{n}.jpg"} for n in range(5)]}
SKIP = DataLinkDuplicatesBehavior.SKIP


@pytest.fixture
def items(sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., Any]) -> list[UUID]:
    """Five registered images."""
    return registered(sandbox, folder, submit)


def registered(running: Sandbox, folder: StorageFolder, submit: Callable[..., Any]) -> list[UUID]:
    submit(running, folder, FIVE)
    return [UUID(item.uuid) for item in running.folder_items(folder.uuid)]


def made(client: EncordUserClient, title: str = "fleet") -> Dataset:
    created = client.create_dataset(title, StorageLocation.NEW_STORAGE, create_backing_folder=False)
    return client.get_dataset(created.dataset_hash)


def ids(rows: list[Any]) -> list[UUID]:
    return [row.backing_item_uuid for row in rows]


def test_a_dataset_is_made_without_a_folder_and_found_by_its_exact_title(encord_client: EncordUserClient) -> None:
    created = encord_client.create_dataset("fleet", StorageLocation.AWS, "all of it", create_backing_folder=False)
    made(encord_client, "fleet 2")

    found = encord_client.get_datasets(title_eq="fleet")

    assert [(one["dataset"].dataset_hash, one["dataset"].description) for one in found] == [
        (created.dataset_hash, "all of it")
    ]
    assert created.backing_folder_uuid is None
    assert len(encord_client.get_datasets(title_like="fleet%")) == len(["fleet", "fleet 2"])
    assert list(encord_client.find_storage_folders(search="fleet")) == []


def test_a_mirrored_dataset_comes_with_a_folder_of_its_name(encord_client: EncordUserClient) -> None:
    created = encord_client.create_dataset("fleet", StorageLocation.AWS)

    (folder,) = encord_client.find_storage_folders(search="fleet")
    assert folder.uuid == created.backing_folder_uuid


def test_linked_items_are_the_rows_of_the_dataset(encord_client: EncordUserClient, items: list[UUID]) -> None:
    dataset = made(encord_client)

    rows = dataset.link_items(items[:3])

    assert ids(rows) == items[:3]
    assert ids(dataset.list_data_rows()) == items[:3]
    assert ids(encord_client.get_dataset(dataset.dataset_hash).data_rows) == items[:3]
    assert ids(dataset.list_data_rows(title_eq="1.jpg")) == [items[1]]
    with pytest.raises(exceptions.DatasetError, match="not fetched"):
        _ = encord_client.get_dataset(dataset.dataset_hash, include_data_rows=False).data_rows


def test_what_is_in_a_dataset_shows_at_the_items(
    encord_client: EncordUserClient, folder: StorageFolder, items: list[UUID]
) -> None:
    made(encord_client).link_items(items[:2])

    summary = encord_client.get_storage_item(items[0]).get_summary()

    assert (summary.used_in_datasets, [one.title for one in summary.accessible_datasets]) == (1, ["fleet"])
    assert [one.uuid for one in folder.list_items(is_in_dataset=True, item_types=[StorageItemType.IMAGE])] == items[:2]
    assert [one.uuid for one in folder.list_items(is_in_dataset=False)] == items[2:]


@pytest.mark.parametrize(
    ("behavior", "rows", "error"),
    [
        pytest.param(SKIP, 3, None, id="skip"),
        pytest.param(DataLinkDuplicatesBehavior.DUPLICATE, 5, None, id="duplicate"),
        pytest.param(DataLinkDuplicatesBehavior.FAIL, 2, exceptions.ResourceExistsError, id="fail"),
    ],
)
def test_an_item_that_is_linked_again_is_treated_as_asked(
    encord_client: EncordUserClient,
    items: list[UUID],
    behavior: DataLinkDuplicatesBehavior,
    rows: int,
    error: type[Exception] | None,
) -> None:
    dataset = made(encord_client)
    dataset.link_items(items[:2])

    if error is None:
        dataset.link_items(items[:3], behavior)
    else:
        with pytest.raises(error):
            dataset.link_items(items[:3], behavior)

    assert len(dataset.list_data_rows()) == rows


@pytest.mark.parametrize(
    ("listed", "expected"),
    [pytest.param(ListedLinks.NEW, 1, id="new"), pytest.param(ListedLinks.ALL, 3, id="all")],
)
def test_the_reply_lists_new_rows_or_all(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., Any],
    listed: ListedLinks,
    expected: int,
) -> None:
    running = start_sandbox(listed_links=listed)
    client = connect(running)
    items, dataset = registered(running, client.create_storage_folder("fleet"), submit), made(client)
    dataset.link_items(items[:2])

    assert len(dataset.link_items(items[:3])) == expected


@pytest.mark.parametrize(
    ("switch", "linked", "is_refused"),
    [
        pytest.param(UnknownLinks.SKIPPED, [0, 2], False, id="skipped"),
        pytest.param(UnknownLinks.REFUSED, [], True, id="refused"),
        pytest.param(UnknownLinks.REFUSED_MIDWAY, [0], True, id="refused-midway"),
    ],
)
def test_a_deleted_item_among_others(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., Any],
    switch: UnknownLinks,
    linked: list[int],
    *,
    is_refused: bool,
) -> None:
    running = start_sandbox(unknown_links=switch)
    client = connect(running)
    folder = client.create_storage_folder("fleet")
    items, dataset = registered(running, folder, submit), made(client)
    folder.delete_storage_items([items[1]])

    if is_refused:
        with pytest.raises(exceptions.AuthorisationError):
            dataset.link_items(items[:3])
    else:
        dataset.link_items(items[:3])

    assert running.links(dataset.dataset_hash) == [str(items[index]) for index in linked]


def test_deleting_an_item_takes_it_out_of_its_datasets(
    encord_client: EncordUserClient, folder: StorageFolder, items: list[UUID]
) -> None:
    dataset = made(encord_client)
    dataset.link_items(items)

    folder.delete_storage_items(items[:2])

    assert ids(dataset.list_data_rows()) == items[2:]


def test_an_object_of_a_group_can_not_be_linked(
    sandbox: Sandbox, encord_client: EncordUserClient, folder: StorageFolder, submit: Callable[..., Any]
) -> None:
    group = {"title": "rig", "createVideo": False, "objectUrl_0": "s3://b/0.jpg", "objectUrl_1": "s3://b/1.jpg"}
    submit(sandbox, folder, {"image_groups": [group]})
    (item,) = folder.list_items()
    dataset = made(encord_client)

    with pytest.raises(exceptions.InvalidArgumentsError, match="part of a group"):
        dataset.link_items([next(iter(item.get_child_items())).uuid])
    assert ids(dataset.link_items([item.uuid])) == [item.uuid]


def test_an_unknown_dataset_is_not_found(encord_client: EncordUserClient, sandbox: Sandbox) -> None:
    dataset = made(encord_client)
    sandbox.delete_dataset(dataset.dataset_hash)

    with pytest.raises(exceptions.ResourceNotFoundError):
        encord_client.get_dataset(uuid4())
    with pytest.raises(exceptions.ResourceNotFoundError):
        dataset.link_items([uuid4()])


def test_users_who_may_only_read_can_not_link(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    dataset = made(connect(start_sandbox(datasets_read_only=True)))

    with pytest.raises(exceptions.AuthorisationError):
        dataset.link_items([uuid4()])


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        pytest.param({"data": b'{"query_type": "dataset"}'}, "AUTHENTICATION_ERROR", id="body"),
        pytest.param({"Authorization": None}, "AUTHENTICATION_ERROR", id="unsigned"),
        pytest.param({"Authorization": "0" * 64 + ":" + "0" * 128}, "SSH_KEY_NOT_FOUND_ERROR", id="other-key"),
        pytest.param({"Authorization": "Bearer abc"}, "AUTHENTICATION_ERROR", id="bearer"),
    ],
)
def test_a_query_that_is_not_signed_as_it_is_sent_is_refused(
    sandbox: Sandbox, encord_client: EncordUserClient, tamper: dict[str, Any], code: str
) -> None:
    data = b'{"query_type": "dataset", "query_method": "GET", "values": {"uid": null, "payload": null}}'
    config: Any = encord_client.user_config.config
    headers = config.define_headers(resource_id="x", resource_type="dataset", data=data.decode())
    headers |= {name: value for name, value in tamper.items() if name != "data"}

    answer = requests.post(f"{sandbox.url}/public", data=tamper.get("data", data), headers=headers, timeout=10)

    assert (answer.status_code, answer.json()["response"]) == (200, [code])


def test_faults_strike_queries_by_their_endpoint(
    sandbox: Sandbox, encord_client: EncordUserClient, items: list[UUID]
) -> None:
    dataset = made(encord_client)
    sandbox.script(
        Fault(effect=Effect.CUT, when=When.AFTER, endpoint=Endpoint.LINK_ITEMS),
        Fault(effect=Effect.HALF_LINKED, when=When.AFTER, endpoint=Endpoint.LINK_ITEMS),
        Fault(effect=Effect.QUERY_REFUSED, message="RATE_LIMIT_ERROR", endpoint=Endpoint.LINK_ITEMS),
        Fault(effect=Effect.STATUS, status=429, retry_after=7, endpoint=Endpoint.LINK_ITEMS),
    )

    with pytest.raises(exceptions.RequestException):
        dataset.link_items(items[:1])
    assert sandbox.links(dataset.dataset_hash) == [str(items[0])]
    with pytest.raises(exceptions.GenericServerError):
        dataset.link_items(items[1:])
    assert sandbox.links(dataset.dataset_hash) == [str(item) for item in items[:3]]
    with pytest.raises(exceptions.RateLimitExceededError):
        dataset.link_items(items)
    with pytest.raises(exceptions.RateLimitExceededError) as throttled:
        dataset.link_items(items)
    assert throttled.value.retry_after == len("seconds")
    assert sandbox.requests()["link_items"].struck == len(items) - 1


def test_a_data_directory_of_an_earlier_release_gets_the_tables_of_datasets(tmp_path: Path) -> None:
    with Sandbox(SandboxConfig(data=tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as connection:
        connection.execute("DROP TABLE data_rows")
        connection.execute("DROP TABLE datasets")

    with Sandbox(SandboxConfig(data=tmp_path)) as again:
        assert again.datasets() == []
