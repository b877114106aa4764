"""Switches for what Encord does not document: each setting as the real SDK sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from encord.exceptions import (
    AuthorisationError,
    InvalidArgumentsError,
    RateLimitExceededError,
    ResourceNotFoundError,
)
from encord.orm.dataset import LongPollingStatus

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.config import DedupeAt, ErrorText, RetryAfter, SummaryUploadJobs, UrlMatching
from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import StartSandbox

    Connect = Callable[[Sandbox], EncordUserClient]
    Submit = Callable[..., UploadLongPollingState]

NOBODY = "00000000-0000-0000-0000-000000000000"


def _images(count: int) -> dict[str, Any]:
    return {"images": [{"objectUrl": f"s3://b/{n:05}.jpg"} for n in range(count)], "skip_duplicate_urls": True}


def _start(sandbox: Sandbox, folder: StorageFolder, count: int = 4) -> UUID:
    return folder.add_private_data_to_folder_start(sandbox.integration_uuid(), _images(count), True)


def _call_repeatedly(call: Callable[[], object]) -> None:
    for _ in range(50):
        call()


def test_items_are_listed_and_counted_only_after_the_lag(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit
) -> None:
    running = start_sandbox(listing_lag_seconds=5.0)
    client = connect(running)
    folder = client.create_storage_folder("f")

    result = submit(running, folder, _images(4))
    ended = time.monotonic()

    assert (result.units_done_count, len(running.folder_items(folder.uuid))) == (4, 4)
    assert (list(folder.list_items()), folder.get_summary().files) == ([], 0)
    assert client.get_storage_item(result.items_with_names[0].item_uuid).name == "00000.jpg"
    while not folder.get_summary().files:
        assert time.monotonic() < ended + 60
        time.sleep(0.05)
    assert time.monotonic() - ended > 1.0
    assert len(list(folder.list_items())) == 4


def test_the_lag_hides_no_url_from_the_search_for_duplicates(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit
) -> None:
    running = start_sandbox(listing_lag_seconds=60.0)
    folder = connect(running).create_storage_folder("f")

    submit(running, folder, _images(4))
    submit(running, folder, _images(4))

    assert running.duplicates() == {}


def test_an_ended_job_is_forgotten_after_its_retention_and_a_pending_one_is_not(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    running = start_sandbox(job_retention_seconds=3.0, job_seconds=0.2)
    folder = connect(running).create_storage_folder("f")
    running.script(Fault(effect=Effect.JOB, fate=Fate.STUCK))
    stuck, ended = _start(running, folder), _start(running, folder, 8)
    assert folder.add_private_data_to_folder_get_result(ended).status is LongPollingStatus.DONE
    time.sleep(3.1)  # the retention itself

    with pytest.raises(ResourceNotFoundError):
        folder.add_private_data_to_folder_get_result(ended, timeout_seconds=0)

    state = folder.add_private_data_to_folder_get_result(stuck, timeout_seconds=0)
    assert state.status is LongPollingStatus.PENDING
    assert [job.status for job in running.jobs()] == ["PENDING", "DONE"]


@pytest.mark.parametrize("hold", [0.0, 0.6])
def test_a_poll_is_held_no_longer_than_the_cap(
    start_sandbox: StartSandbox, connect: Connect, sign_for: Callable[..., Any], hold: float
) -> None:
    running = start_sandbox(poll_hold_seconds=hold)
    folder = connect(running).create_storage_folder("f")
    running.script(Fault(effect=Effect.JOB, fate=Fate.STUCK))
    job = _start(running, folder)
    began = time.monotonic()

    path = f"storage/folders/{folder.uuid}/data-upload-jobs/{job}"
    state = sign_for(running)("GET", path, params={"timeoutSeconds": 60}, timeout_seconds=90).json()

    assert state["status"] == "PENDING"
    assert hold <= time.monotonic() - began < 30, "without the cap it would be held for 60 s"


@pytest.mark.parametrize(
    ("counted", "number"), [(SummaryUploadJobs.NONE, 0), (SummaryUploadJobs.PENDING, 1), (SummaryUploadJobs.ALL, 2)]
)
def test_the_summary_counts_upload_jobs_as_told(
    start_sandbox: StartSandbox, connect: Connect, submit: Submit, counted: SummaryUploadJobs, number: int
) -> None:
    running = start_sandbox(summary_upload_jobs=counted)
    folder = connect(running).create_storage_folder("f")
    submit(running, folder, _images(1))
    running.script(Fault(effect=Effect.JOB, fate=Fate.STUCK))
    _start(running, folder)

    assert folder.get_summary().upload_jobs == number


@pytest.mark.parametrize("merges", [False, True], ids=["replaces", "merges"])
def test_a_patch_replaces_client_metadata_or_merges_into_it(
    start_sandbox: StartSandbox,
    connect: Connect,
    submit: Submit,
    merges: bool,  # noqa: FBT001 - parametrised
) -> None:
    running = start_sandbox(patch_merges_metadata=merges)
    client = connect(running)
    folder = client.create_storage_folder("f", client_metadata={"a": 1, "b": 2})
    manifest = {"images": [{"objectUrl": "s3://b/1", "clientMetadata": {"a": 1, "b": 2}}]}
    item = client.get_storage_item(submit(running, folder, manifest).items_with_names[0].item_uuid)

    folder.update(client_metadata={"b": 3})
    item.update(client_metadata={"b": 3})

    expected = {"a": 1, "b": 3} if merges else {"b": 3}
    assert client.get_storage_folder(folder.uuid).client_metadata == expected
    assert client.get_storage_item(item.uuid).client_metadata == expected


@pytest.mark.parametrize(
    ("form", "seen", "raw"),
    [(RetryAfter.NONE, None, None), (RetryAfter.SECONDS, 1, "1"), (RetryAfter.DATE, None, "GMT")],
)
def test_requests_over_the_rate_are_throttled_with_the_hint_as_told(
    start_sandbox: StartSandbox, connect: Connect, form: RetryAfter, seen: int | None, raw: str | None
) -> None:
    running = start_sandbox(requests_per_second=4.0, retry_after=form)
    client = connect(running)
    folder = client.create_storage_folder("f")
    for _ in range(3):
        folder.get_summary()

    with pytest.raises(RateLimitExceededError) as raised:
        _call_repeatedly(folder.get_summary)

    assert raised.value.retry_after == seen
    unsigned = requests.get(f"{running.url}/v2/public/cloud-integrations", timeout=10)
    assert unsigned.status_code == 429
    hint = unsigned.headers.get("Retry-After")
    assert hint == raw or str(hint).endswith(str(raw))
    time.sleep(1.1)  # what the limit itself asks for
    folder.get_summary()


@pytest.mark.parametrize("form", ErrorText)
def test_an_error_carries_its_text_under_the_key_as_told(
    start_sandbox: StartSandbox, connect: Connect, form: ErrorText
) -> None:
    running = start_sandbox(error_text=form)
    client = connect(running)

    with pytest.raises(AuthorisationError) as raised:
        client.get_storage_folder(NOBODY)

    assert ("does not exist or is not accessible" in raised.value.message) == (form is not ErrorText.NONE)
    unsigned = requests.get(f"{running.url}/v2/public/cloud-integrations", timeout=10).json()
    assert list(unsigned) == ([] if form is ErrorText.NONE else [form.value])


SAME = ("https://b.s3.eu-west-2.amazonaws.com/a%2Bb.jpg", "https://b.s3.eu-west-2.amazonaws.com/a+b.jpg")


@pytest.mark.parametrize("dedupe_at", DedupeAt)
@pytest.mark.parametrize(("matching", "items"), [(UrlMatching.EXACT, 2), (UrlMatching.NORMALISED, 1)])
@pytest.mark.parametrize("grouped", [False, True], ids=["single", "group"])
def test_another_form_of_a_url_is_a_duplicate_only_if_told(  # noqa: PLR0917 - parametrised
    start_sandbox: StartSandbox,
    connect: Connect,
    submit: Submit,
    dedupe_at: DedupeAt,
    matching: UrlMatching,
    items: int,
    grouped: bool,  # noqa: FBT001 - parametrised
) -> None:
    running = start_sandbox(url_matching=matching, dedupe_at=dedupe_at, url_normalised=False)
    folder = connect(running).create_storage_folder("f")
    for url in SAME:
        entry = {"title": "g", "createVideo": False, "objectUrl_0": url} if grouped else {"objectUrl": url}
        submit(running, folder, {"image_groups" if grouped else "images": [entry], "skip_duplicate_urls": True})

    assert [item.urls for item in running.folder_items(folder.uuid)] == [(url,) for url in SAME[:items]]
    if not grouped:
        assert [item.url for item in folder.list_items()] == list(SAME[:items])


def test_more_units_than_a_plan_allows_are_refused_and_kept_as_a_violation(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    running = start_sandbox(max_units_per_job=1_000)
    folder = connect(running).create_storage_folder("f")

    with pytest.raises(InvalidArgumentsError, match="1001 entries in one upload job; the limit is 1000"):
        _start(running, folder, 1_001)

    _start(running, folder, 1_000)
    assert [violation.refused for violation in running.violations()] == [True]


def test_more_units_at_one_time_than_allowed_wait_for_the_pending_jobs(
    start_sandbox: StartSandbox, connect: Connect
) -> None:
    running = start_sandbox(max_units_in_flight=10)
    folder = connect(running).create_storage_folder("f")
    running.script(Fault(effect=Effect.JOB, fate=Fate.STUCK, share=0.0))
    job = _start(running, folder, 8)

    with pytest.raises(RateLimitExceededError):
        _start(running, folder, 3)
    folder.add_data_to_folder_job_cancel(job)
    _start(running, folder, 3)

    assert len(running.jobs()) == 2


@pytest.mark.parametrize("name", ["requests_per_second", "max_units_per_job", "max_units_in_flight", "workers"])
def test_a_limit_of_nothing_is_refused(start_sandbox: StartSandbox, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is 0"):
        start_sandbox(**{name: 0})
