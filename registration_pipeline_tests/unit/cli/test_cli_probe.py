"""The command that reads headers, the plan that reads them by itself, and the check that they can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.facts.headers.schema import latest_headers
from registration_pipeline_tests.dicom_files import PATIENT, image, written
from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

BY_HEADERS = [{"match": "**", "as": "dicom_series", "by": "headers"}]
KEYS = [
    "source",
    "objects",
    "invalid",
    "unreadable",
    "waiting",
    "read",
    "known",
    "bytes",
    "requests",
    "seconds",
    "path",
    "problems",
]


def put_scans(workplace: Workplace, number: int = 6) -> None:
    for index in range(number):
        workplace.put(f"scan {index}", body=written(image(1, index % 2 + 1, index)))


def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.project.facts.headers.missing_library", lambda: "pip install it")


@pytest.mark.slow
def test_probe_reads_what_is_new_and_says_what_is_wrong(workplace: Workplace) -> None:
    workplace.configure(groups=BY_HEADERS)
    put_scans(workplace)
    assert workplace.run("inventory", SOURCE).status == 0

    first = workplace.run("probe", SOURCE, "--json")
    document: dict[str, Any] = first.document
    assert (first.status, [*document]) == (0, KEYS)
    assert (document["objects"], document["read"], document["requests"]) == (6, 6, 6)
    assert workplace.run("probe", SOURCE, "--json").document["read"] == 0

    workplace.put("bad", body=b"not DICOM")
    workplace.put("scan 1", body=written(image(2, 7)))
    workplace.run("inventory", SOURCE)
    said = workplace.run("probe", SOURCE)
    assert said.status == 3
    assert "headers of 7 objects, of which 2 were read now" in said.words
    assert "1 object with invalid headers; 0 could not be read:" in said.words
    assert "'bad' is not a DICOM file" in said.words
    (problem,) = workplace.run("probe", SOURCE, "--json").document["problems"]
    assert (problem["key"], problem["problem"]) == ("bad", "invalid_header")
    assert PATIENT not in said.words

    planned = workplace.run("plan", SOURCE)
    assert "rejected objects: 1 invalid_header" in planned.words


@pytest.mark.slow
def test_a_plan_reads_the_headers_of_dicom_objects_by_itself(workplace: Workplace) -> None:
    for index in range(4):
        workplace.put(f"{index}.dcm", body=written(image(1, index % 2 + 1, index)))
    workplace.put("a.jpg")
    workplace.run("inventory", SOURCE)
    planned = workplace.run("plan", SOURCE, "--json").document

    assert {(chunk["kind"], chunk["units"], chunk["objects"]) for chunk in planned["chunks"]} == {
        ("dicom_series", 2, 4),
        ("images", 1, 1),
    }


@pytest.mark.slow
def test_without_dicom_objects_nothing_is_read_or_written(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    workplace.run("inventory", SOURCE)
    said = workplace.run("probe", SOURCE)

    assert (said.status, "no object needs its header read" in said.words) == (0, True)
    assert latest_headers(workplace.project.store, SOURCE) is None
    assert not (workplace.root / "state" / SOURCE / "facts").exists()


def test_probe_needs_an_inventory(workplace: Workplace) -> None:
    said = workplace.run("probe", SOURCE)

    assert said.status == 2
    assert f"`registration-pipeline inventory {SOURCE}`" in said.words


def test_check_reads_the_beginning_of_an_object_where_headers_are_needed(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    workplace.put("b.dcm", body=written(image()))
    said = workplace.run("check")

    assert said.status == 0
    assert "headers: ok:" in said.words
    assert "'b.dcm' can be read" in said.words


def test_check_says_what_to_install_where_headers_are_needed(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_library(monkeypatch)
    workplace.configure(groups=BY_HEADERS)
    said = workplace.run("check")

    assert said.status == 2
    assert "pydicom, which reads them, is not installed; install it with `pip install it`" in said.words


def test_without_the_library_nothing_is_planned_and_the_extra_is_named(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_library(monkeypatch)
    workplace.put("b.dcm", body=written(image()))
    project = workplace.project
    project.take_inventory(project.source(SOURCE))
    said = workplace.run("plan", SOURCE)

    assert said.status == 2
    assert "pip install it" in said.words


@pytest.mark.slow
def test_probe_lists_every_file_that_is_sent_without_media_metadata_and_where_it_is_not(workplace: Workplace) -> None:
    names = [f"bad {number:02}.jpg" for number in range(22)]
    workplace.configure(media_metadata="probe")
    workplace.put(*names, body=b"<html>503</html>")
    workplace.run("inventory", SOURCE)
    dry = workplace.run("plan", SOURCE, "--dry-run")
    said = workplace.run("probe", SOURCE)
    media: dict[str, Any] = workplace.run("probe", SOURCE, "--json").document["media"]

    assert f"so does `registration-pipeline probe {SOURCE}`, after which a plan shows these objects" in dry.words
    assert (said.status, "22 objects whose file is not understood; 0 could not be read:" in said.words) == (3, True)
    assert f"… and 2 more; `registration-pipeline probe {SOURCE} --json` lists up to 1,000" in said.words
    assert "They are sent without media metadata" in said.words
    assert "failures" not in said.words
    assert [problem["key"] for problem in media["problems"]] == names
    assert {problem["problem"] for problem in media["problems"]} == {"no_media_metadata"}
    assert "Without strict_client_only it is sent without media metadata" in media["problems"][0]["message"]
    assert "22 new objects" in workplace.run("plan", SOURCE, "--dry-run").words

    workplace.configure(media_metadata="probe", strict_client_only=True)
    strict = workplace.run("probe", SOURCE)
    assert "They are rejected; after a plan, `registration-pipeline failures` lists them." in strict.words
    assert "rejected objects: 22 no_media_metadata" in workplace.run("plan", SOURCE, "--dry-run").words
