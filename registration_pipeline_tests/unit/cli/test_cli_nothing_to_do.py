"""Commands that have nothing to do, or know nothing yet, say so and why; numbers and nouns agree."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from registration_pipeline.counted import counted
from registration_pipeline.inventory.inventory import latest_inventory

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

SOURCE = "fleet-cameras"


class Keyboard(io.StringIO):
    """A terminal at which a person types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (1, "unit", "1 unit"),
        (0, "unit", "0 units"),
        (2000, "new object", "2,000 new objects"),
        (1, "inventory", "1 inventory"),
        (2, "old inventory", "2 old inventories"),
    ],
)
def test_a_number_and_its_noun_agree(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said


@pytest.mark.parametrize("option", [(), ("--dry-run",)], ids=["plan", "dry run"])
def test_a_plan_of_what_is_planned_says_that_there_is_nothing_to_add(
    workplace: Workplace, option: tuple[str, ...]
) -> None:
    workplace.put("a.jpg")
    workplace.plan()

    said = workplace.run("plan", SOURCE, *option)

    assert said.status == 0
    assert "Nothing to add: inventory" in said.words
    assert "is planned already (wave" in said.words
    assert "1 new object in 1 chunk)." in said.words
    assert "would add" not in said.words
    document = workplace.run("plan", SOURCE, "--dry-run", "--json").document
    assert (document["already_planned"], document["counts"]["new"]) == (True, 1)


def test_a_first_plan_says_what_it_added(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg")
    workplace.project.take_inventory(workplace.project.source(SOURCE))

    dry = workplace.run("plan", SOURCE, "--dry-run").words
    inventory = latest_inventory(workplace.project.store, SOURCE)
    assert inventory is not None
    listed = f"from inventory {inventory.inventory_id} of {inventory.started_at:%Y-%m-%d %H:%M} UTC (wave"
    assert f"A plan would add 2 new objects in 1 chunk {listed}" in dry
    assert f"Nothing was written. `registration-pipeline inventory {SOURCE}` takes a new inventory." in dry
    assert f"Planned 2 new objects in 1 chunk {listed}" in workplace.run("plan", SOURCE).words


def test_a_source_that_was_never_listed_has_no_numbers(workplace: Workplace) -> None:
    said = workplace.run("status")

    assert said.out == f"{SOURCE}: not listed yet\n"
    assert json.loads(workplace.run("status", "--json").out)["sources"][SOURCE]["inventory_id"] is None


def test_a_sync_that_halts_before_the_listing_shows_no_numbers_and_names_the_source(workplace: Workplace) -> None:
    workplace.configure(uri=(workplace.root / "missing").as_uri())

    said = workplace.run("sync")

    assert said.status in (2, 4)
    assert f"Error: {SOURCE}: " in said.err
    assert said.out == ""


@pytest.mark.slow
def test_chunks_that_are_registered_are_not_sent_again_and_named(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    workplace.register()
    (chunk_id,) = [row["chunk_id"] for row in workplace.run("plan", SOURCE, "--json").document["chunks"]]

    named = workplace.run("submit", SOURCE, "--chunk", chunk_id)
    failed = workplace.run("submit", SOURCE, "--failed")
    cancelled = workplace.run("cancel", SOURCE, "--chunk", chunk_id)

    assert (named.status, failed.status, cancelled.status) == (0, 0, 0)
    assert f"nothing to send of chunk {chunk_id}: all its objects are registered. Use --force" in named.words
    assert "nothing to send: no chunk has failures." in failed.words
    assert f"{chunk_id}: nothing to cancel: the chunk is succeeded and waits for no upload job." in cancelled.words
    assert len(workplace.sandbox.jobs()) == 1


def test_a_long_key_is_not_repeated_in_the_message_of_its_failure(workplace: Workplace) -> None:
    key = f"{'deep/' * 12}frame.jpg"
    workplace.put(key, "folder.jpg")
    workplace.refuse("frame", f"The object {key} can't be read (404).")
    workplace.register()

    said = workplace.run("failures")

    assert said.out.count("frame.jpg") == 1
    assert "The object <key> can't be read" in said.words
    (row,) = workplace.run("failures", "--json").document
    assert key in row["message"]


def test_a_folder_marker_needs_nothing(synced: Workplace) -> None:
    from registration_pipeline.objects import remedy_of

    assert remedy_of("directory_marker").startswith("nothing to fix")
    assert remedy_of("unit_incomplete").startswith("fix or exclude the object that the message names")
    assert remedy_of("late_member").startswith("exclude it, or register the whole unit under another name")
    assert remedy_of("unit_too_large").startswith("change the rule")
    assert remedy_of("invalid_header").startswith("write the file with a complete DICOM header")
    assert remedy_of("header_unreadable").startswith("let the pipeline read the object")
    assert remedy_of("archived") == remedy_of("a reason of a later version") == "change the object, or exclude it"
    assert "change the object, or exclude it" in synced.run("failures").out


def test_a_check_of_two_sources_says_once_what_both_share(workplace: Workplace) -> None:
    workplace.put("one/a.jpg", "two/a.jpg")
    sources = {
        name: {
            "uri": (workplace.root / "files" / name).as_uri(),
            "encord": {"integration": "sandbox", "folder": name},
        }
        for name in ("one", "two")
    }
    workplace.config.write_text(yaml.safe_dump({"state": "./state", "sources": sources}))

    lines = workplace.run("check").out.splitlines()

    for what in ("configuration", "state", "Dagster instance"):
        assert [line.startswith(f"{what}: ok") for line in lines if f"{what}: " in line] == [True]
    assert [line.split(": ")[0] for line in lines if "directory: ok" in line] == ["one", "two"]


@pytest.mark.slow
def test_a_check_that_was_left_out_is_no_second_problem(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace.put("a.jpg")
    monkeypatch.setenv("ENCORD_DOMAIN", "http://127.0.0.1:1")

    said = workplace.run("check")

    assert said.status == 4
    assert "folder: not checked: because Encord can't be asked" in said.words
    assert "1 of 6 checks failed, 1 not checked." in said.out
    checks = workplace.run("check", "--json").document["checks"]
    assert [check["ok"] for check in checks] == [True, True, True, True, False, None]


@pytest.mark.parametrize(("typed", "status", "left"), [("y\n", 0, 1), ("n\n", 2, 2)], ids=["agreed", "refused"])
def test_pruning_on_a_terminal_lists_what_goes_and_asks(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, typed: str, status: int, left: int
) -> None:
    workplace.put("a.jpg")
    workplace.plan()
    workplace.put("b.jpg")
    workplace.plan()
    folder = workplace.root / "state" / SOURCE / "inventory"
    oldest = min(folder.iterdir())
    oldest = oldest.rename(oldest.with_name("2025" + oldest.name[4:]))
    monkeypatch.setattr(sys, "stdin", Keyboard(typed))

    said = workplace.run("state", SOURCE, "--prune", "30")

    assert said.status == status
    assert f"to be removed: {oldest}/" in said.words
    assert "Remove 1 inventory of source fleet-cameras?" in said.words
    assert len([path for path in folder.iterdir() if any(path.iterdir())]) == left
    monkeypatch.setattr(sys, "stdin", Keyboard(""))
    assert workplace.run("state", SOURCE, "--prune", "30", "--yes").status == 0
    assert len([path for path in folder.iterdir() if any(path.iterdir())]) == 1
