"""The ``audit`` command: its exit statuses, its table, its document and its files."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from registration_pipeline.tables.csv_cells import read_rows

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

SOURCE = "fleet-cameras"


@pytest.fixture
def registered(workplace: Workplace) -> Workplace:
    """Four images in two chunks, all of them registered."""
    workplace.put(*(f"day/frame_{number}.jpg" for number in range(4)))
    workplace.register()
    return workplace


def delete_item(workplace: Workplace, key: str) -> None:
    with workplace.sandbox._database.writing() as connection:
        connection.execute("DELETE FROM items WHERE name = ?", (key,))


@pytest.mark.slow
def test_a_clean_audit_ends_with_0_and_findings_with_3(registered: Workplace):
    clean = registered.run("audit", SOURCE)
    assert clean.status == 0
    assert "4 planned units (4 objects), 4 of them registered; 4 items in 1 folder of Encord" in clean.words

    delete_item(registered, "day/frame_2.jpg")
    (registered.root / "files" / "day" / "frame_1.jpg").unlink()
    registered.plan()
    found = registered.run("audit", SOURCE)

    assert found.status == 3
    assert "│ missing │ 1 │ registered according to the ledger, and not in Encord" in found.words
    assert "`registration-pipeline submit fleet-cameras --chunk ID --force`" in found.out
    assert "moved: " not in found.out
    assert all(key in found.out for key in ("day/frame_2.jpg", "day/frame_1.jpg"))


@pytest.mark.slow
def test_the_document_holds_counts_a_sample_and_where_the_files_are(registered: Workplace):
    delete_item(registered, "day/frame_2.jpg")

    said = registered.run("audit", SOURCE, "--json")

    assert (said.status, said.err) == (3, "")
    document = said.document
    assert document["findings"] == {
        "missing": 1,
        "moved": 0,
        "duplicate": 0,
        "unknown": 0,
        "changed": 0,
        "archived": 0,
        "gone": 0,
    }
    assert (document["is_clean"], document["objects"], document["items"]) == (False, 4, 3)
    assert [row["key"] for row in document["sample"]] == ["day/frame_2.jpg"]
    assert len(pq.read_table(document["parquet"], use_threads=False)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_all_findings_go_to_a_file(registered: Workplace, suffix: str):
    delete_item(registered, "day/frame_2.jpg")
    out = registered.root / f"findings.{suffix}"

    said = registered.run("audit", SOURCE, "--out", str(out))

    assert f"1 findings written to {out}" in said.err.replace("\n", "")
    if suffix == "csv":
        rows = list(read_rows(out.open(encoding="utf-8", newline="")))
    else:
        rows = json.loads(out.read_bytes()) if suffix == "json" else pq.read_table(out, use_threads=False).to_pylist()
    assert [(row["finding"], row["key"]) for row in rows] == [("missing", "day/frame_2.jpg")]


@pytest.mark.slow
def test_adopting_after_the_state_was_lost_leaves_nothing_to_send(registered: Workplace):
    jobs = len(registered.sandbox.jobs())
    shutil.rmtree(registered.root / "state")
    registered.plan()
    assert registered.run("audit", SOURCE).status == 3

    adopted = registered.run("audit", SOURCE, "--adopt")
    synced = registered.run("sync", SOURCE, "--json")

    assert adopted.status == 0
    assert "adopted 4 units of 2 chunks; nothing was sent." in adopted.words
    assert (synced.status, synced.document["sources"][SOURCE]["registered"]) == (0, 4)
    assert len(registered.sandbox.jobs()) == jobs
    assert registered.sandbox.duplicates() == {}


@pytest.mark.slow
def test_a_refused_key_halts_with_4_and_leaves_no_report(registered: Workplace, monkeypatch: pytest.MonkeyPatch):
    stranger = registered.root / "stranger"
    stranger.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    )
    monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(stranger))
    before = registered.files()

    said = registered.run("audit", SOURCE)

    assert said.status == 4
    assert "refused the key" in said.words
    assert registered.files() == before


@pytest.mark.slow
def test_a_source_without_a_plan_says_what_to_run_first(workplace: Workplace):
    said = workplace.run("audit", SOURCE)

    assert said.status == 2
    assert (
        "registration-pipeline inventory fleet-cameras` and `registration-pipeline plan fleet-cameras` first"
        in said.words
    )


def test_a_file_of_another_kind_is_refused_before_anything_is_compared(workplace: Workplace):
    said = workplace.run("audit", SOURCE, "--out", "findings.xlsx")

    assert said.status == 2
    assert "must end in .csv, .parquet or .json" in said.err


def test_a_source_that_does_not_exist_is_refused(workplace: Workplace):
    assert workplace.run("audit", "fleet-camera").status == 2


@pytest.mark.slow
@pytest.mark.parametrize("option", ["", "--adopt"], ids=["plain", "adopting"])
def test_the_report_is_that_of_this_audit_though_an_older_one_has_a_later_name(registered: Workplace, option: str):
    assert registered.run("audit", SOURCE).status == 0
    folder = registered.root / "state" / SOURCE / "audit"
    (present,) = folder.iterdir()
    present.rename(folder / "20991231T235959999999Z")  # of a clock that was ahead
    delete_item(registered, "day/frame_2.jpg")

    said = registered.run("audit", SOURCE, "--json", *filter(None, [option]))

    assert said.status == 3
    assert said.document["findings"]["missing"] == 1
    assert said.document["audit_id"] == "21000101T000000000000Z"


def change_folders(workplace: Workplace, statement: str) -> None:
    with workplace.sandbox._database.writing() as connection:
        connection.execute(statement)


@pytest.mark.slow
def test_a_folder_that_was_renamed_is_used_as_before_by_every_command(registered: Workplace):
    change_folders(registered, "UPDATE folders SET name = 'archive'")
    registered.put("day/later.jpg")

    checked, synced, audited = (registered.run(*command) for command in (("check",), ("sync",), ("audit", SOURCE)))

    assert (checked.status, synced.status, audited.status) == (0, 0, 0)
    for said in (checked, synced, audited):
        assert "is named 'archive' now, and no folder is named 'fleet-cameras'" in said.words
    assert len({job.folder_uuid for job in registered.sandbox.jobs()}) == 1


@pytest.mark.slow
def test_a_folder_that_was_deleted_halts_every_command_that_needs_it_and_none_makes_another(registered: Workplace):
    for table in ("job_slices", "jobs", "items", "folders"):
        change_folders(registered, f"DELETE FROM {table}")
    registered.put("day/later.jpg")

    for command in (("check",), ("sync",), ("audit", SOURCE), ("audit", SOURCE, "--adopt")):
        said = registered.run(*command)
        assert said.status == 4, command
        assert "in which 4 objects of source fleet-cameras are registered, does not exist any more" in said.words, (
            command
        )
        assert "Admin" not in said.words
    assert registered.project.gateway.find_folder(SOURCE) is None


@pytest.mark.slow
def test_objects_that_another_uri_gives_other_keys_are_not_gone(registered: Workplace):
    registered.configure(uri=(registered.root / "files" / "day").as_uri())
    (registered.root / "files" / "day" / "frame_3.jpg").unlink()
    registered.register()

    said = registered.run("audit", SOURCE, "--json")

    assert said.document["findings"]["gone"] == 1
    assert [row["key"] for row in said.document["sample"] if row["finding"] == "gone"] == ["day/frame_3.jpg"]
    assert said.document["findings"]["missing"] == 0
