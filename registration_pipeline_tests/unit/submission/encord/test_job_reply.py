"""What a poll's reply may look like."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from encord.exceptions import EncordException

from registration_pipeline.submission.encord.replies import UploadJob, job_report, writable
from registration_pipeline.submission.gateway import JobItem, JobStatus

ONE, TWO = str(UUID(int=1)), str(UUID(int=2))


def reply(items: Any) -> dict[str, Any]:
    return {
        "status": "DONE",
        "itemsWithNames": items,
        "errors": [],
        "unitsPendingCount": 0,
        "unitsDoneCount": 1,
        "unitsErrorCount": 0,
        "unitsCancelledCount": 0,
        "unitErrors": [],
    }


def test_the_items_of_a_job_are_read_whatever_else_they_hold() -> None:
    job = UploadJob.from_dict(reply([{"itemUuid": ONE, "name": "a", "size": 7}, {"itemUuid": TWO, "name": "b"}]))

    assert (job.status, job.items_with_names) == (JobStatus.DONE, (JobItem(ONE, "a"), JobItem(TWO, "b")))


@pytest.mark.parametrize("item_uuid", ["", None, "pending", f"{ONE}x"], ids=repr)
def test_a_name_without_the_uuid_of_an_item_is_not_evidence(item_uuid: str | None) -> None:
    job = UploadJob.from_dict(reply([{"itemUuid": ONE, "name": "a"}, {"itemUuid": item_uuid, "name": "b"}]))

    assert job.items_with_names == (JobItem(ONE, "a"),)


@pytest.mark.parametrize("urls", [{}, {"objectUrls": None}, {"objectUrls": []}], ids=repr)
def test_an_error_may_come_without_the_url_that_it_is_about(urls: dict[str, Any]) -> None:
    job = job_report(
        UploadJob.from_dict(reply([]) | {"unitErrors": [{"error": "403", **urls}, {"error": None, **urls}]})
    )

    assert [(error.object_urls, error.message) for error in job.unit_errors] == [((), "403"), ((), "")]


def test_what_a_job_says_is_masked_and_the_urls_that_are_compared_are_exact() -> None:
    url = "https://bucket/a.jpg?X-Amz-Signature=4711"
    masked = "403 for https://bucket/a.jpg?X-Amz-Signature=***"
    answer = reply([]) | {
        "errors": [f"403 for {url}"],
        "unitErrors": [{"objectUrls": [url], "error": f"403 for {url}", "actionDescription": f"403 for {url}"}],
    }

    report = job_report(UploadJob.from_dict(answer))

    (unit,) = report.unit_errors
    assert (report.errors, unit.message, unit.action) == ((masked,), masked, masked)
    assert unit.object_urls == (url,)


def test_half_a_surrogate_pair_is_written_in_ascii() -> None:
    assert writable("broken \ud83d, whole \N{GRINNING FACE}") == "broken \\ud83d, whole \N{GRINNING FACE}"


@pytest.mark.parametrize(
    "items",
    [None, 7, "ab", [None], ["a"], [{"itemUuid": "1"}], [{"name": "a"}], [{"itemUuid": 1, "name": "a"}], {"a": {}}],
    ids=repr,
)
def test_a_reply_of_another_shape_is_the_same_error_as_any_malformed_reply(items: Any) -> None:
    with pytest.raises(EncordException, match="itemsWithNames"):
        UploadJob.from_dict(reply(items))
