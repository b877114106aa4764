"""Files that reports write, plans that write nothing, and how other people's words reach the terminal."""

from __future__ import annotations

import json
import weakref
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import pyarrow.parquet as pq
import pytest

from registration_pipeline.cli.commands import report_failures
from registration_pipeline.cli.errors import report
from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.foreign_text import printable
from registration_pipeline.tables import csv_cells
from registration_pipeline.tracking.failures import files as failure_files
from registration_pipeline.tracking.failures.files import FailureRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline_tests.unit.cli.conftest import Workplace


class Key(str):
    """A text that can be watched for how long it lives."""

    __slots__ = ("__weakref__",)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a failure log in any of its formats, as text; empty for none."""
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
    elif path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        rows = [{**row, "at": row["at"].isoformat()} for row in rows]
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv_cells.read_rows(file))
    texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    return [{**row, "at": row["at"].replace("Z", "+00:00")} for row in texts]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_failures_are_written_as_they_are_printed(synced: Workplace, tmp_path: Path, suffix: str):
    out = tmp_path / f"failed objects{suffix}"
    said = synced.run("failures", "--out", str(out))
    assert (said.status, said.out) == (0, "")
    assert said.words == f"4 rows written to {out}"
    printed = tmp_path / "printed.json"
    printed.write_text(synced.run("failures", "--json").out)
    assert read_rows(out) == read_rows(printed)
    assert list(read_rows(out)[0]) == list(read_rows(printed)[0])


def test_failures_can_be_written_and_printed_as_json_at_once(synced: Workplace, tmp_path: Path):
    out = tmp_path / "failures.json"
    said = synced.run("failures", "--out", str(out), "--json")
    assert json.loads(out.read_text()) == said.document
    assert "4 rows written" in said.err


def test_failures_replace_the_file_of_an_earlier_run(synced: Workplace, tmp_path: Path):
    out = tmp_path / "failures.csv"
    out.write_text("old\n" * 1000)
    synced.run("failures", "--out", str(out))
    assert len(read_rows(out)) == 4


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_odd_keys_survive_the_way_into_a_file(workplace: Workplace, tmp_path: Path, suffix: str):
    keys = ['quote".xyz', "comma,.xyz", "é日本.xyz", "new\nline.xyz", "return\r.xyz", " space .xyz", "=1+1.xyz"]
    workplace.put(*keys)
    workplace.plan()
    out = tmp_path / f"failures{suffix}"
    assert workplace.run("failures", "--out", str(out)).status == 0
    assert sorted(row["key"] for row in read_rows(out)) == sorted(keys)


@pytest.mark.parametrize("name", ["failures.txt", "failures", "failures.CSV", ".csv"])
def test_a_name_of_another_format_is_refused(synced: Workplace, tmp_path: Path, name: str):
    said = synced.run("failures", "--out", str(tmp_path / name))
    assert said.status == 2
    assert said.out == ""
    assert "must end in .csv, .parquet or .json" in said.words
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
@pytest.mark.parametrize("place", ["no/such/folder", "a-file"])
def test_a_place_that_is_no_folder_is_refused(synced: Workplace, tmp_path: Path, place: str, suffix: str):
    (tmp_path / "a-file").touch()
    said = synced.run("failures", "--out", str(tmp_path / place / f"failures{suffix}"))
    assert said.status == 2
    assert "Name a file in a folder that exists" in said.words
    assert "Traceback" not in said.err


def test_a_folder_in_the_place_of_the_file_is_refused(synced: Workplace, tmp_path: Path):
    (tmp_path / "failures.csv").mkdir()
    said = synced.run("failures", "--out", str(tmp_path / "failures.csv"))
    assert said.status == 2
    assert "can't be written" in said.words


def test_failures_say_so_when_nothing_is_planned_yet(workplace: Workplace):
    said = workplace.run("failures")
    assert said.status == 0
    assert "nothing is planned yet; `registration-pipeline sync fleet-cameras`" in said.words


def test_plan_and_status_show_the_suffixes_that_no_rule_knows(workplace: Workplace):
    workplace.put(
        "a.jpg", "frame_1.dat", "frame_2.dat", "[red]LICENSE", *(f"{suffix}.{suffix}x" for suffix in "abcdef")
    )
    workplace.plan()
    shown = "2 .dat, 1 without suffix, 1 .ax, 1 .bx, 1 .cx, 3 others"

    assert f"unsupported types by suffix: {shown}" in workplace.run("plan", "fleet-cameras", "--dry-run").out
    status = workplace.run("status")
    (row,) = [line for line in status.out.splitlines() if "unsupported types" in line]
    assert shown in row
    assert "Excluded and rejected objects are in no unit" in " ".join(status.out.split())


def test_plan_shows_its_warnings_and_how_many_there_are(workplace: Workplace):
    rule = {"match": "**", "as": "image_group", "by": r"^(?P<rig>[^/]+)/(?P<frame>\d+)\.jpg$"}
    workplace.configure(groups=[rule])
    workplace.put(*(f"[red]{rig}/{frame}.jpg" for rig in range(22) for frame in (1, 3)))
    workplace.plan()
    said = workplace.run("plan", "fleet-cameras", "--dry-run")
    document = workplace.run("plan", "fleet-cameras", "--dry-run", "--json").document
    words = " ".join(said.out.split())

    assert words.count("has gaps in its frame numbers: 1 number missing between 1 and 3 (2).") == 20
    assert "[red]0" in words
    assert "and 2 more warnings" in words
    assert (document["warnings"]["total"], len(document["warnings"]["first"])) == (22, 20)


@pytest.mark.parametrize("command", ["plan", pytest.param("sync", marks=pytest.mark.slow)])
def test_what_a_run_plans_is_warned_of_once_on_standard_error(workplace: Workplace, command: str):
    workplace.configure(groups=[{"match": "rigs/**", "as": "image_group", "by": "directory"}])
    workplace.put("a.jpg")
    workplace.project.take_inventory(workplace.project.source("fleet-cameras"))
    said = workplace.run(command, "fleet-cameras")

    assert said.status == 0
    assert "fleet-cameras: warning: groups[0] of source fleet-cameras" in " ".join(said.err.split())
    assert said.words.count("takes no object") == 1


def test_a_plan_counts_what_differs_from_what_was_planned_and_says_so(workplace: Workplace):
    workplace.put("a.jpg", "b.jpg")
    workplace.plan()
    workplace.put("a.jpg", body=b"another")
    workplace.project.take_inventory(workplace.project.source("fleet-cameras"))

    said = workplace.run("plan", "fleet-cameras", "--dry-run").words

    assert "1 changed since they were planned, 0 deleted since they were planned" in said


def test_status_has_no_row_of_suffixes_where_there_are_none(workplace: Workplace):
    workplace.put("a.jpg")
    workplace.plan()

    shown = workplace.run("status").out

    assert "unsupported types" not in shown
    assert "in no unit" not in shown


def test_failures_do_not_call_a_source_with_pending_objects_complete(workplace: Workplace):
    workplace.put("a.jpg", "b.jpg")
    workplace.plan()
    assert "nothing failed, and 2 objects are pending" in workplace.run("failures").words
    workplace.register()
    assert "every object that should be registered is registered" in workplace.run("failures").words


def test_only_the_first_failures_are_shown_with_the_way_to_all(workplace: Workplace):
    workplace.put(*(f"{number:03d}.xyz" for number in range(30)))
    workplace.plan()
    said = workplace.run("failures")
    assert "30 objects are not registered" in said.words
    assert "019.xyz" in said.out
    assert "020.xyz" not in said.out
    assert "… and 10 more rows: --out FILE.csv writes all of them." in said.words


CLIPS = {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.jpg$"}


@pytest.mark.parametrize("columns", [80, 200], ids=["list", "table"])
def test_the_object_that_keeps_its_unit_back_comes_first_and_the_others_of_the_unit_are_one_line(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: int
):
    monkeypatch.setattr("registration_pipeline.cli.output._PIPE_COLUMNS", columns)
    workplace.configure(groups=[CLIPS])
    workplace.put(*(f"clips/{clip}/{frame:03d}.jpg" for clip in "ab" for frame in range(30)))
    workplace.put("clips/a/017.jpg", "clips/b/003.jpg", body=b"")
    workplace.put("z.xyz")
    workplace.plan()

    said = workplace.run("failures")
    workplace.run("failures", "--out", str(tmp_path / "all.csv"))

    rows = read_rows(tmp_path / "all.csv")
    assert [(row["key"], row["reason"]) for row in rows[:3]] == [
        ("clips/a/017.jpg", "empty"),
        ("clips/b/003.jpg", "empty"),
        ("z.xyz", "unsupported_type"),
    ]
    assert len(rows) == 61
    assert {row["reason"] for row in rows[3:]} == {"unit_incomplete"}
    assert [row["key"] for row in rows[3:]] == sorted(row["key"] for row in rows[3:])
    words = " ".join(said.out.replace("│", " ").split())
    assert "61 objects are not registered" in words
    for clip in "ab":
        assert said.out.count(f"clips/{clip}/000.jpg and 28 other objects of unit") == 1 or columns == 200
    assert words.count("28 other") == 2
    assert "more row" not in words
    assert words.index("017.jpg") < words.index("28 other")
    assert "unit_incomplete: 58" in words


def test_units_beyond_those_that_are_shown_are_counted_and_each_shown_one_is_a_line(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("registration_pipeline.cli.output._PIPE_COLUMNS", 80)
    workplace.configure(groups=[CLIPS])
    workplace.put(*(f"clips/{clip:02d}/{frame}.jpg" for clip in range(15) for frame in range(3)))
    workplace.put(*(f"clips/{clip:02d}/3.jpg" for clip in range(15)), body=b"")
    workplace.plan()

    said = workplace.run("failures")

    # 15 causes and the first 5 units, of 3 objects each; 10 units are left.
    assert said.out.count("and 2 other objects of unit") == 5
    assert "… and 30 more rows: --out FILE.csv writes all of them." in said.words


@pytest.mark.parametrize(
    "wanted", [{"as_json": True}, {"as_json": False}, {"out": ".csv"}], ids=["json", "table", "out"]
)
def test_the_rows_of_a_large_log_are_never_in_memory_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: dict[str, Any]
):
    monkeypatch.setattr(failure_files, "BATCH_ROWS", 50)
    alive: weakref.WeakSet[Key] = weakref.WeakSet()
    most = 0

    def rows() -> Iterator[FailureRow]:
        nonlocal most
        facts: dict[str, Any] = dict.fromkeys((field.name for field in fields(FailureRow)), "x")
        for number in range(500):
            key = Key(number)
            alive.add(key)
            yield FailureRow(**{**facts, "key": key, "attempt": 0, "objects": 1, "at": datetime.now(UTC)})
            del key
            most = max(most, len(alive))

    out = tmp_path / f"rows{wanted['out']}" if "out" in wanted else None
    tally = report_failures(rows(), out=out, as_json=wanted.get("as_json", False))

    assert (tally.rows, tally.sample[-1].key) == (500, "19")
    assert most <= 20 + 2 * 50 + 1
    printed = capsys.readouterr().out
    assert len(json.loads(printed)) == 500 if wanted.get("as_json") else printed == ""


@pytest.mark.parametrize("is_json", [False, True], ids=["table", "json"])
def test_a_dry_run_shows_the_plan_and_writes_nothing(workplace: Workplace, *, is_json: bool):
    workplace.put("a.jpg", "b.jpg", "c.jpg", "thumbs/d.jpg", "e.xyz")
    workplace.plan()
    workplace.put("new/1.jpg", "new/2.mp4")
    workplace.project.take_inventory(workplace.project.source("fleet-cameras"))
    before = workplace.files()
    said = workplace.run("plan", "fleet-cameras", "--dry-run", *(["--json"] if is_json else []))
    assert said.status == 0
    assert workplace.files() == before
    assert not (workplace.root / ".dagster").exists()
    assert not workplace.sandbox.jobs()
    if is_json:
        counts = said.document["counts"]
        assert (said.document["dry_run"], counts["objects"], counts["known"], counts["new"]) == (True, 7, 3, 2)
        assert [chunk["first_key"] for chunk in said.document["chunks"]] == ["new/1.jpg", "new/2.mp4"]
    else:
        assert "would add 2 new objects in 2 chunks" in said.words
        assert "rejected objects: 1 unsupported_type" in said.words
        assert 'excluded objects: 1 by exclude "**/thumbs/**"' in said.words


@pytest.mark.parametrize("command", ["status", "failures", "check"])
def test_reports_write_nothing(workplace: Workplace, command: str):
    workplace.put("a.jpg", "b.xyz")
    assert workplace.run(command).status == 0
    assert not (workplace.root / "state").exists()
    workplace.plan()
    before = workplace.files(".")
    assert workplace.run(command).status == 0
    after = workplace.files(".")
    assert {name: digest for name, digest in after.items() if not name.startswith("encord/")} == {
        name: digest for name, digest in before.items() if not name.startswith("encord/")
    }


@pytest.mark.parametrize("command", [("failures",), ("plan", "fleet-cameras", "--dry-run")], ids=["failures", "plan"])
def test_keys_reach_the_terminal_as_text(workplace: Workplace, command: tuple[str, ...]):
    workplace.put("[red]a[/red].jpg", "[/nothing].xyz", "\x1b[31mred\x07.xyz", "\x1b[2J.jpg", "a\nb.xyz")
    workplace.plan()
    said = workplace.run(*command, terminal=True)
    assert said.status == 0
    for escape in ("\x1b[2J", "\x07"):
        assert escape not in said.out
    if command[0] == "failures":
        lines = said.out.splitlines()
        assert {"[/nothing].xyz", r"\x1b[31mred\x07.xyz", r"a\nb.xyz"} < set(lines)


def test_text_of_many_scripts_is_left_alone():
    assert printable("é日本 [red] \\ ½\n") == "é日本 [red] \\ ½\n"


@pytest.mark.parametrize(
    "char", ["\x00", "\r", "\t", "\x1b", "\x7f", "\x9b", "\u200e", "\u202e", "\u2028", "\u2066", "\u2069"], ids=ascii
)
def test_what_a_terminal_would_obey_is_spelled_out(char: str):
    spelled = printable(f"a{char}b")
    assert spelled.isascii()
    assert spelled.startswith("a\\")


def test_keys_are_never_broken_on_a_narrow_terminal(workplace: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    long = "/".join(["a-folder-with-a-long-name"] * 8) + "/file.xyz"
    workplace.put(long)
    workplace.plan()
    assert long in workplace.run("failures", terminal=True).out.splitlines()


def test_failures_are_a_table_where_there_is_room(synced: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "160")
    for terminal in (False, True):
        lines = synced.run("failures", terminal=terminal).out.splitlines()
        row = next(line for line in lines if "frame_3" in line)
        assert [cell.strip() for cell in row.split("│")][2:6] == ["day/frame_3.jpg", "1", "registration", "not_found"]


@pytest.mark.parametrize(
    "error",
    [ServiceUnavailableError("a\x9b31m\u202eb"), RuntimeError("a\x9b31m\u202eb"), click.UsageError("a\x9b31m\u202eb")],
    ids=["our error", "a bug", "wrong usage"],
)
def test_errors_spell_out_what_a_terminal_would_obey(error: Exception, capsys: pytest.CaptureFixture[str]):
    report(error)
    said = capsys.readouterr().err
    assert r"a\x9b31m\u202eb" in said
    assert not {"\x9b", "\u202e"} & set(said)


def test_status_says_how_tables_and_objects_fit(workplace: Workplace):
    (workplace.root / "labels.csv").write_text("key,weather\na.jpg,sun\ngone.jpg,rain\n")
    workplace.configure(metadata=[{"table": "labels.csv", "key": "key"}])
    workplace.put("a.jpg", "b.jpg", "c.jpg")
    project = workplace.project
    source = project.source("fleet-cameras")
    project.take_inventory(source)
    unread = workplace.run("status", "--json").document["sources"]["fleet-cameras"]
    project.read_metadata(source, lambda _: None)

    document = workplace.run("status", "--json").document["sources"]["fleet-cameras"]
    assert unread["tables"] == []
    assert document["tables"] == [
        {"table": str(workplace.root / "labels.csv"), "rows": 2, "without_object": 1, "without_row": 2}
    ]
    project.plan(source)
    assert (
        "fleet-cameras: labels.csv (metadata[0]): rows without an object 1, objects without a row 2"
        in workplace.run("status").out.splitlines()
    )

    workplace.configure()
    assert "tables" not in workplace.run("status", "--json").document["sources"]["fleet-cameras"]
