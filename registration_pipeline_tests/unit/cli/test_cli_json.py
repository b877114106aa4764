"""What programs read: one JSON document on standard output, with the keys of the interface in their order."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

STATUS_KEYS = [
    "objects",
    "excluded",
    "rejected",
    "registered",
    "pending",
    "failed",
    "changed",
    "deleted",
    "units",
    "chunks",
    "inventory_id",
    "last_sync_at",
    "quarantined",
    "rejected_suffixes",
]
CHUNK_KEYS = ["planned", "submitted", "succeeded", "partially_failed", "failed"]
FAILURE_KEYS = [
    "source",
    "key",
    "object_url",
    "unit_id",
    "objects",
    "chunk_id",
    "attempt",
    "stage",
    "reason",
    "message",
    "subtask_uuid",
    "at",
    "trace_id",
]
COMMANDS = {
    "inventory fleet-cameras": True,
    "plan fleet-cameras": True,
    "plan fleet-cameras --dry-run": False,
    "submit fleet-cameras": True,
    "sync": True,
    "check": False,
    "status": False,
    "failures": False,
}
"""Whether they start a Dagster run, which takes more than a second each."""


def test_status_has_the_shape_of_the_interface(synced: Workplace):
    said = synced.run("status", "--json")
    assert (said.status, said.err) == (0, "")
    assert list(said.document) == ["sources"]
    assert list(said.document["sources"]) == ["fleet-cameras"]
    status = said.document["sources"]["fleet-cameras"]
    assert list(status) == STATUS_KEYS
    assert list(status["chunks"]) == CHUNK_KEYS
    assert re.fullmatch(r"\d{8}T\d{6}Z", status["inventory_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["last_sync_at"])


def test_status_counts_every_object_once(synced: Workplace):
    status = synced.run("status", "--json").document["sources"]["fleet-cameras"]
    counts = {name: status[name] for name in STATUS_KEYS[:8]}
    assert counts == {
        "objects": 12,
        "excluded": 1,
        "rejected": 2,
        "registered": 7,
        "pending": 0,
        "failed": 2,
        "changed": 0,
        "deleted": 0,
    }
    assert status["units"] == {"registered": 7, "pending": 0, "failed": 2, "changed": 0, "deleted": 0}
    assert status["chunks"] == {"planned": 0, "submitted": 0, "succeeded": 3, "partially_failed": 2, "failed": 0}
    assert status["rejected_suffixes"] == {".xyz": 1}


def test_status_before_the_first_sync_is_all_zeros(workplace: Workplace):
    status = workplace.run("status", "--json").document["sources"]["fleet-cameras"]
    assert list(status) == STATUS_KEYS
    assert status["objects"] == 0
    assert (status["inventory_id"], status["last_sync_at"]) == (None, None)


def test_failures_has_the_shape_of_the_interface(synced: Workplace):
    said = synced.run("failures", "--json")
    assert (said.status, said.err) == (0, "")
    rows = {row["key"]: row for row in said.document}
    assert all(list(row) == FAILURE_KEYS for row in said.document)
    assert set(rows) == {"note.xyz", "empty.jpg", "day/frame_3.jpg", "day/frame_4.jpg"}
    refused, rejected = rows["day/frame_3.jpg"], rows["note.xyz"]
    assert (refused["objects"], rejected["objects"], rejected["unit_id"]) == (1, 1, None)
    assert re.fullmatch("[0-9a-f]{16}", refused["unit_id"])
    assert re.fullmatch("[0-9a-f]{32}", refused["trace_id"])
    assert rejected["trace_id"] is None
    assert refused["source"] == rejected["source"] == "fleet-cameras"
    assert (refused["attempt"], refused["stage"], refused["reason"]) == (1, "registration", "not_found")
    assert refused["message"] == "The object can't be read (404)."
    assert refused["object_url"] == (synced.root / "files/day/frame_3.jpg").as_uri()
    assert re.fullmatch(r"[A-Za-z0-9_-]+", refused["chunk_id"])
    assert len(refused["subtask_uuid"]) == 36
    assert (rejected["attempt"], rejected["stage"], rejected["reason"]) == (0, "plan", "unsupported_type")
    assert (rejected["chunk_id"], rejected["subtask_uuid"]) == (None, None)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["at"]) for row in said.document)


def test_failures_of_a_complete_source_is_an_empty_list(workplace: Workplace):
    assert workplace.run("failures", "--json").document == []


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(tuple(text.split()), id=text, marks=[pytest.mark.slow] if is_run else [])
        for text, is_run in COMMANDS.items()
    ],
)
def test_json_is_all_that_standard_output_holds(workplace: Workplace, arguments: tuple[str, ...], *, terminal: bool):
    workplace.put("é/[red]\x1b[31m.jpg", "b.jpg")
    workplace.plan()
    said = workplace.run(*arguments, "--json", terminal=terminal)
    assert said.status == 0
    assert said.document is not None
    assert said.err == ""


OBEYED = "\x7f\x9b31m\u200e\u202e\u2066\u2069\u061c\ufeff\U000e0001"
"""DEL, a control sequence in one character, marks that turn the direction of text, and what is not visible."""


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("command", ["failures", "plan fleet-cameras --dry-run"])
def test_json_on_a_terminal_holds_nothing_that_the_terminal_obeys(
    workplace: Workplace, command: str, *, terminal: bool
):
    workplace.put(f"é{OBEYED}.xyz", f"é{OBEYED}.jpg")
    workplace.project.take_inventory(workplace.project.source("fleet-cameras"))
    if command == "failures":
        workplace.plan()
    said = workplace.run(*command.split(), "--json", terminal=terminal)
    assert f"é{OBEYED}" in json.dumps(said.document, ensure_ascii=False)
    assert "é" in said.out
    assert any(char in said.out for char in OBEYED if not char.isprintable()) is not terminal
    assert all(char in said.out for char in OBEYED) is not terminal


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_json_stays_alone_when_objects_fail(workplace: Workplace, *, terminal: bool):
    workplace.put("a.jpg", "b.xyz")
    workplace.refuse("a.jpg")
    said = workplace.run("sync", "--json", terminal=terminal)
    assert said.status == 3
    assert said.document["sources"]["fleet-cameras"]["failed"] == 1
    assert "2 objects are not registered: `registration-pipeline failures fleet-cameras`" in said.words


@pytest.mark.slow
def test_progress_and_results_go_to_different_streams(workplace: Workplace):
    workplace.put("a.jpg")
    said = workplace.run("sync", terminal=True)
    assert said.status == 0
    assert "registration" in said.err
    assert "━" in said.err
    assert "objects in the bucket" in said.out
    assert "objects in the bucket" not in said.err


@pytest.mark.slow
def test_stages_are_told_in_plain_lines_where_there_is_no_terminal(workplace: Workplace):
    workplace.put("a.jpg")
    said = workplace.run("sync")
    assert said.err.splitlines() == [
        "fleet-cameras: inventory",
        "fleet-cameras: plan",
        "fleet-cameras: registration, 1 chunk",
        "fleet-cameras: failure log",
    ]


@pytest.mark.slow
def test_inventory_and_plan_say_what_they_made(workplace: Workplace):
    workplace.put("a.jpg", "b.jpg", "c.jpg", "d.mp4", body=b"xyz")
    taken = workplace.run("inventory", "fleet-cameras", "--json").document
    assert (taken["source"], taken["objects"], taken["bytes"]) == ("fleet-cameras", 4, 12)
    assert (workplace.root / "state/fleet-cameras/inventory" / taken["inventory_id"] / "_SUCCESS.json").exists()
    plan = workplace.run("plan", "fleet-cameras", "--json").document
    assert (plan["dry_run"], plan["wave_id"], plan["counts"]["new"]) == (False, taken["inventory_id"], 4)
    assert [(chunk["kind"], chunk["units"]) for chunk in plan["chunks"]] == [
        ("images", 2),
        ("images", 1),
        ("videos", 1),
    ]
