"""What a result holds, and what it must not hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from registration_pipeline.rehearsal.choice import Choice
from registration_pipeline.rehearsal.findings.rules import all_findings
from registration_pipeline.rehearsal.folder import Leftovers
from registration_pipeline.rehearsal.observations import Observations, Step
from registration_pipeline.rehearsal.report import Rehearsal
from registration_pipeline.submission.gateway import UnitError
from registration_pipeline_tests.unit.rehearsal.conftest import MISSING, NEW, OLD, START, good

CHOICE = Choice(first=OLD, new=NEW, others=(), missing=MISSING, examined=9)


def result(seen: Observations, **changes: Any) -> Rehearsal:
    fields: dict[str, Any] = {
        "source": "fleet",
        "domain": "https://api.encord.com",
        "folder": "registration-pipeline rehearsal of fleet",
        "folder_uuid": "f-1",
        "choice": CHOICE,
        "seen": seen,
        "findings": all_findings(seen),
        "advice": (),
        "started_at": START,
        "finished_at": START,
    }
    return Rehearsal(**fields | changes)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"no such object {OLD[0].title}", id="a key"),
        pytest.param("no such object 0.jpg", id="the name of an object"),
        pytest.param(f"refused {OLD[0].objects[0].object_url}?sig=hunter2", id="a URL with a signature"),
        pytest.param("refused ?X-Amz-Signature=hunter2&X-Amz-Credential=hunter2", id="a query without a URL"),
        pytest.param("Signature=hunter2", id="a signature alone"),
    ],
)
def test_texts_of_encord_are_kept_without_what_names_or_opens_an_object(text: str) -> None:
    seen = good()
    seen.refused[Step.UNKNOWN_KEY] = text
    job = seen.jobs[Step.UNREADABLE]
    error = UnitError(object_urls=job.report.unit_errors[0].object_urls, message=text)
    seen.jobs[Step.UNREADABLE] = replace(job, report=replace(job.report, unit_errors=(error,)))

    document = json.dumps(result(seen, stopped=text).document())

    assert "hunter2" not in document
    assert "0.jpg" not in document
    assert "bucket.s3" not in document


def test_a_result_says_where_it_was_tried_with_what_and_whether_the_folder_is_gone() -> None:
    document = result(good()).document()

    assert document["folder"] == {
        "name": "registration-pipeline rehearsal of fleet",
        "uuid": "f-1",
        "is_removed": True,
    }
    assert document["objects"] == [{"kind": "images", "bytes": 10}] * 7
    assert document["jobs"]["first"]["items_added"] == 5
    assert sum(document["counts"].values()) == len(document["findings"])
    assert document["versions"]["encord"]


def test_what_is_left_is_in_the_result() -> None:
    left = Leftovers(name="n", folder_uuid="f-1", item_uuids=("i-1", "i-2"), why="not now")

    document = result(good(), leftovers=left).document()

    assert document["folder"]["is_removed"] is False
    assert document["left"] == ["i-1", "i-2"]
