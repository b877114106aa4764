"""What the sandbox does with URLs that a folder holds already, in each of its switches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.sandbox.config import DedupeAt, SkippedCountsAs

if TYPE_CHECKING:
    from collections.abc import Callable

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import StartSandbox

URLS = [f"https://b.s3.eu-west-2.amazonaws.com/{name}.jpg" for name in "abc"]


def _manifest(urls: list[str] = URLS, **flags: bool) -> dict[str, Any]:
    return {"images": [{"objectUrl": url} for url in urls], **flags}


def _start_twice(running: Sandbox, folder: StorageFolder, manifest: dict[str, Any]) -> None:
    jobs = [folder.add_private_data_to_folder_start(running.integration_uuid(), manifest, True) for _ in range(2)]
    for job in jobs:
        folder.add_private_data_to_folder_get_result(job, timeout_seconds=30)


def test_without_the_flag_duplicates_are_created(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    for _ in range(2):
        assert submit(sandbox, folder, _manifest()).units_done_count == 3

    assert sandbox.duplicates() == {str(folder.uuid): URLS}


@pytest.mark.parametrize("dedupe_at", list(DedupeAt))
def test_a_second_submission_with_the_flag_adds_nothing(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    dedupe_at: DedupeAt,
) -> None:
    running = start_sandbox(dedupe_at=dedupe_at)
    folder = connect(running).create_storage_folder("f")
    submit(running, folder, _manifest(skip_duplicate_urls=True))

    again = submit(running, folder, _manifest([*URLS, "s3://b/new.jpg"], skip_duplicate_urls=True))

    assert [named.name for named in again.items_with_names] == ["new.jpg"]
    assert (again.units_done_count, again.units_error_count, again.units_pending_count) == (1, 0, 0)
    assert running.duplicates() == {}


@pytest.mark.parametrize(("dedupe_at", "duplicated"), [(DedupeAt.START, True), (DedupeAt.MATERIALISE, False)])
def test_two_jobs_in_flight_duplicate_only_when_the_check_is_at_the_start(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    dedupe_at: DedupeAt,
    duplicated: bool,  # noqa: FBT001 - parametrised
) -> None:
    running = start_sandbox(dedupe_at=dedupe_at, job_seconds=0.3)
    folder = connect(running).create_storage_folder("f")

    _start_twice(running, folder, _manifest(skip_duplicate_urls=True))

    assert running.duplicates() == ({str(folder.uuid): URLS} if duplicated else {})


@pytest.mark.parametrize(("dedupe_at", "items"), [(DedupeAt.START, 2), (DedupeAt.MATERIALISE, 1)])
def test_a_url_listed_twice_in_one_job_is_checked_like_any_other(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    dedupe_at: DedupeAt,
    items: int,
) -> None:
    running = start_sandbox(dedupe_at=dedupe_at)
    folder = connect(running).create_storage_folder("f")

    submit(running, folder, _manifest([URLS[0], URLS[0]], skip_duplicate_urls=True))

    assert len(running.folder_items(folder.uuid)) == items


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ({}, ([], 0)),
        ({"skipped_counts_as": SkippedCountsAs.DONE}, ([], 3)),
        ({"skipped_in_items_with_names": True}, (["a.jpg", "b.jpg", "c.jpg"], 0)),
    ],
    ids=["hostile default", "counted as done", "named"],
)
def test_skipped_units_are_reported_as_the_switches_say(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., UploadLongPollingState],
    settings: dict[str, Any],
    reported: tuple[list[str], int],
) -> None:
    running = start_sandbox(**settings)
    folder = connect(running).create_storage_folder("f")
    submit(running, folder, _manifest())

    again = submit(running, folder, _manifest(skip_duplicate_urls=True))

    assert ([item.name for item in again.items_with_names], again.units_done_count) == reported
    assert running.jobs()[-1].skipped == 3


def test_the_same_url_in_another_folder_or_another_spelling_is_no_duplicate(
    sandbox: Sandbox,
    folder: StorageFolder,
    encord_client: EncordUserClient,
    submit: Callable[..., UploadLongPollingState],
) -> None:
    other = encord_client.create_storage_folder("other")
    submit(sandbox, folder, _manifest(["s3://b/a%28.jpg"], skip_duplicate_urls=True))

    assert submit(sandbox, other, _manifest(["s3://b/a%28.jpg"], skip_duplicate_urls=True)).units_done_count == 1
    assert submit(sandbox, folder, _manifest(["s3://b/a(.jpg"], skip_duplicate_urls=True)).units_done_count == 1
    assert sandbox.duplicates() == {}


def test_a_group_is_a_duplicate_only_if_all_its_frames_are_the_same(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    def group(*urls: str) -> dict[str, Any]:
        frames = {f"objectUrl_{position}": url for position, url in enumerate(urls)}
        return {"image_groups": [{"title": "g", "createVideo": False, **frames}], "skip_duplicate_urls": True}

    counts = [
        submit(sandbox, folder, group(*urls)).units_done_count
        for urls in (("s3://b/0", "s3://b/1"), ("s3://b/0", "s3://b/1"), ("s3://b/1", "s3://b/0"), ("s3://b/0",))
    ]

    assert counts == [1, 0, 1, 1]


@pytest.mark.parametrize("flags", [{}, {"upsert_metadata": True}], ids=["without upsert", "with upsert"])
def test_upsert_gives_the_existing_item_the_new_metadata(
    sandbox: Sandbox,
    folder: StorageFolder,
    submit: Callable[..., UploadLongPollingState],
    flags: dict[str, bool],
) -> None:
    def manifest(version: int) -> dict[str, Any]:
        return {
            "images": [{"objectUrl": "s3://b/a.jpg", "clientMetadata": {"v": version}}],
            "skip_duplicate_urls": True,
        }

    submit(sandbox, folder, manifest(1))
    submit(sandbox, folder, {**manifest(2), **flags})

    assert [item.client_metadata for item in folder.list_items()] == [{"v": 2 if flags else 1}]


def test_a_deleted_item_is_no_duplicate_any_more(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    submit(sandbox, folder, _manifest(skip_duplicate_urls=True))
    folder.delete_storage_items([item.uuid for item in folder.list_items()])

    assert submit(sandbox, folder, _manifest(skip_duplicate_urls=True)).units_done_count == 3


def test_a_resubmission_that_waits_for_the_first_job_duplicates_nothing(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox(job_seconds=0.2)
    folder = connect(running).create_storage_folder("f")
    manifest = _manifest(skip_duplicate_urls=True)
    folder.add_private_data_to_folder_start(running.integration_uuid(), manifest, ignore_errors=True)
    while running.jobs()[0].status == "PENDING":
        time.sleep(0.01)

    _start_twice(running, folder, manifest)

    assert len(running.folder_items(folder.uuid)) == 3
