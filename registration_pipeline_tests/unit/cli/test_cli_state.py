"""``state --verify`` and ``state --prune``, and a ``status`` whose numbers can't be right."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.project.project import utc_now
from registration_pipeline.state.layout import links_summary_name, report_name
from registration_pipeline.state.sealed import sealed_json
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEvent, JournalEventKind
from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline_tests.unit.cli.conftest import Workplace


def state_of(workplace: Workplace) -> Path:
    return workplace.root / "state" / SOURCE


@pytest.fixture
def kept(synced: Workplace) -> Iterator[Workplace]:
    """The module's state, put back after the test."""
    folder = workplace_files(synced)
    yield synced
    for path in state_of(synced).rglob("*"):
        if path.is_file() and path not in folder:
            path.unlink()
    for path, data in folder.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def workplace_files(workplace: Workplace) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in state_of(workplace).rglob("*") if path.is_file()}


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_sound_state_ends_with_0_and_its_numbers(kept: Workplace) -> None:
    files = workplace_files(kept)

    said = kept.run("state", SOURCE, "--verify")
    document = kept.run("state", SOURCE, "--verify", "--json").document

    assert (said.status, said.err) == (0, "")
    assert f"{SOURCE}: {len(files)} files" in said.words
    assert document == {
        "source": SOURCE,
        "files": len(files),
        "bytes": document["bytes"],
        "leftovers": 0,
        "foreign": [],
        "damaged": [],
    }
    assert workplace_files(kept) == files


def test_damaged_and_missing_files_are_listed_with_what_to_do_and_nothing_is_changed(kept: Workplace) -> None:
    part = next(state_of(kept).glob("plan/*/part-*.parquet"))
    manifest = next(state_of(kept).glob("manifests/*.json"))
    outcomes = next(state_of(kept).glob("outcomes/*/*.parquet"))
    flip_a_bit(part)
    flip_a_bit(manifest)
    outcomes.unlink()
    before = workplace_files(kept)

    said = kept.run("state", SOURCE, "--verify")
    document = kept.run("state", SOURCE, "--verify", "--json")

    assert said.status == document.status == 4
    assert f"{part} is damaged: it does not match its digest. Restore it from a backup" in said.words
    assert f"{outcomes} is missing, though the journal names it" in said.words
    assert "3 files of the state of source fleet-cameras" in said.err
    assert {row["location"] for row in document.document["damaged"]} == {str(part), str(manifest), str(outcomes)}
    assert all(row["problem"] and row["to_do"] for row in document.document["damaged"])
    assert workplace_files(kept) == before


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        (
            report_name(SOURCE, "20261127T020000000000Z", "json"),
            sealed_json({"inventories": []}),
            "Delete it: the next sync",
        ),
        (
            links_summary_name(SOURCE, 3),
            gzip.compress(sealed_json({"upto": 3}), mtime=0),
            "Delete it: the next sync makes it again from the records",
        ),
    ],
    ids=["the figures of a report", "the summary of links"],
)
def test_what_can_be_made_again_is_verified_too(kept: Workplace, name: str, content: bytes, advice: str) -> None:
    path = kept.root / "state" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert kept.run("state", SOURCE, "--verify").status == 0
    flip_a_bit(path)

    said = kept.run("state", SOURCE, "--verify", "--json")

    (row,) = said.document["damaged"]
    assert (said.status, row["file"]) == (4, name)
    assert row["to_do"].startswith(advice)


STRAYS = ("{}/.DS_Store", "{}/._{}", "{}/.nfs0001", "{}/{}.bak", "{}/{} (copy).json", "{}/lost+found/#1")


def test_files_of_others_are_ignored_and_listed_and_nothing_is_damaged(kept: Workplace) -> None:
    before = kept.run("status", "--json").document, kept.run("failures", "--json").document
    folders = {path.parent: path.name for path in workplace_files(kept)} | {state_of(kept): "state.json"}
    strays = {folder.joinpath(stray.format(".", name)[2:]) for folder, name in folders.items() for stray in STRAYS} | {
        folder.parent / ".DS_Store" for folder in folders if folder != state_of(kept)
    }
    for path in strays:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0not ours")

    assert (kept.run("status", "--json").document, kept.run("failures", "--json").document) == before
    assert kept.run("plan", SOURCE, "--dry-run").status == 0
    said, document = kept.run("state", SOURCE, "--verify"), kept.run("state", SOURCE, "--verify", "--json").document
    assert said.status == 0
    assert document["damaged"] == []
    assert {kept.root / "state" / name for name in document["foreign"]} == strays
    assert said.out.count("is not a file of the pipeline, and nothing reads it: delete it.") == len(strays)


def test_a_folder_with_files_of_others_alone_is_a_source_without_a_state(workplace: Workplace) -> None:
    for name in (".DS_Store", "@eaDir/x", "lost+found/#1"):
        path = state_of(workplace) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    assert workplace.run("status").status == 0


def test_a_damaged_state_json_is_listed_too(kept: Workplace) -> None:
    flip_a_bit(state_of(kept) / "state.json")

    said = kept.run("state", SOURCE, "--verify", "--json")

    assert said.status == 4
    assert [row["file"] for row in said.document["damaged"]] == [f"{SOURCE}/state.json"]


def test_a_status_that_does_not_add_up_says_so_and_ends_with_4(kept: Workplace) -> None:
    event = JournalEvent(
        kind=JournalEventKind.INTENT, chunk_id="20250101T000000Z-images-000001", attempt=1, at=utc_now()
    )
    Journal(kept.project.store, SOURCE).append(event)

    said, document = kept.run("status"), kept.run("status", "--json")

    assert said.status == document.status == 4
    assert "does not add up" in said.err
    assert "has a journal, but no wave planned it" in " ".join(said.err.split())
    assert f"`registration-pipeline state {SOURCE} --verify`" in said.err
    assert document.document["sources"][SOURCE]["disagreements"]


@pytest.mark.parametrize("options", [(), ("--verify", "--prune", "3")], ids=["neither", "both"])
def test_exactly_one_of_its_options_is_wanted(kept: Workplace, options: tuple[str, ...]) -> None:
    said = kept.run("state", SOURCE, *options)

    assert said.status == 2
    assert "--verify or --prune DAYS" in said.err


def test_pruning_removes_inventories_that_nothing_needs_and_changes_no_number(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    for key in ("b.jpg", "c.jpg", "d.jpg"):
        workplace.plan()
        workplace.put(key)
    inventories = sorted(path.name for path in (state_of(workplace) / "inventory").iterdir())
    status = workplace.run("status", "--json").document

    assert workplace.run("state", SOURCE, "--prune", "1", "--json").document["removed"] == []
    make_old(workplace, inventories[:2])
    old = sorted(path.name for path in (state_of(workplace) / "inventory").iterdir())[:2]
    said = workplace.run("state", SOURCE, "--prune", "30", "--json")

    assert said.document == {"source": SOURCE, "removed": old, "reports": [], "foreign": []}
    assert [path.name for path in (state_of(workplace) / "inventory").iterdir() if any(path.iterdir())] == inventories[
        2:
    ]
    assert workplace.run("status", "--json").document == status
    assert workplace.run("state", SOURCE, "--verify").status == 0


FOREIGN = (".DS_Store", "a\u2028b", "back\\slash.json", "x (copy).json")


def test_pruning_leaves_files_that_others_have_put_there_and_names_them(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    for key in ("b.jpg", "c.jpg", "d.jpg"):
        workplace.plan()
        workplace.put(key)
    folder = state_of(workplace) / "inventory"
    make_old(workplace, sorted(path.name for path in folder.iterdir())[:2])
    oldest, older = sorted(path.name for path in folder.iterdir())[:2]
    for name in FOREIGN:
        (folder / oldest / name).write_bytes(b"theirs")

    said = workplace.run("state", SOURCE, "--prune", "30", "--yes")
    again = workplace.run("state", SOURCE, "--prune", "30", "--json").document

    assert said.status == 0
    assert "2 inventories removed" in said.words
    assert said.words.count("stays: it is not a file of the pipeline.") == len(FOREIGN)
    assert {path.name for path in (folder / oldest).iterdir()} == {*FOREIGN}
    assert not (folder / older).exists() or not any((folder / older).iterdir())
    assert again == {"source": SOURCE, "removed": [], "reports": [], "foreign": []}


def test_an_abandoned_inventory_with_a_file_of_others_stops_no_listing(workplace: Workplace) -> None:
    folder = state_of(workplace)
    workplace.put("a.jpg")
    assert workplace.run("inventory", SOURCE).status == 0
    abandoned = "20250101T000000Z"
    (folder / "inventory" / abandoned).mkdir()
    for name in (*FOREIGN, "part-0123abcd-00000.parquet"):
        (folder / "inventory" / abandoned / name).write_bytes(b"x")
    (folder / "inventory_writers").mkdir(exist_ok=True)
    (folder / "inventory_writers" / f"{abandoned}.json").write_bytes(b"{}")

    said = workplace.run("inventory", SOURCE)

    assert said.status == 0
    assert {path.name for path in (folder / "inventory" / abandoned).iterdir()} == {*FOREIGN}


def make_old(workplace: Workplace, inventories: list[str]) -> None:
    """Give inventories ids of a year ago; nothing refers to them any more."""
    for name in inventories:
        folder = state_of(workplace) / "inventory" / name
        folder.rename(folder.with_name("2025" + name[4:]))


def test_pruning_removes_old_failure_logs_and_audits_but_for_the_newest_of_each(kept: Workplace) -> None:
    folder = state_of(kept)
    for day in ("01", "02", "03"):
        for name in (f"failure_log/202511{day}T020000000000Z.csv", f"failure_log/202511{day}T020000000000Z.parquet"):
            (folder / "failure_log").mkdir(exist_ok=True)
            (folder / name).write_bytes(b"")
        for name in ("findings.csv", "findings.parquet", "_SUCCESS.json")[: 2 if day == "03" else 3]:
            path = folder / "audit" / f"202511{day}T030000000000Z" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    status, before = kept.run("status", "--json").document, set(workplace_files(kept))

    young = kept.run("state", SOURCE, "--prune", "3000", "--json")
    said = kept.run("state", SOURCE, "--prune", "30")

    assert young.document["reports"] == []
    assert "0 inventories, 4 failure log files and 1 audit removed" in said.words
    gone = {path.relative_to(folder).as_posix() for path in before - set(workplace_files(kept))}
    assert gone == {
        *(f"failure_log/202511{day}T020000000000Z.{suffix}" for day in ("01", "02") for suffix in ("csv", "parquet")),
        *(f"audit/20251101T030000000000Z/{name}" for name in ("findings.csv", "findings.parquet", "_SUCCESS.json")),
    }
    assert kept.run("status", "--json").document == status


def test_the_newest_inventory_stays_however_old_it_is(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    workplace.plan()
    before = workplace_files(workplace)

    assert workplace.run("state", SOURCE, "--prune", "0").status == 0

    assert workplace_files(workplace) == before
    assert json.loads(workplace.run("status", "--json").out)["sources"][SOURCE]["objects"] == 1
