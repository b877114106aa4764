"""``export``: files for Encord's upload dialog."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.manifest.csv_form import csv_rows
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

SOURCE = "fleet-cameras"
GROUPED = [
    {"match": "rigs/**", "as": "image_group", "by": "directory"},
    {"match": "clips/**", "as": "image_sequence", "by": "directory"},
]


def test_json_files_are_the_manifests_byte_for_byte_and_nothing_is_sent(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg", "c.jpg")
    chunks = workplace.plan()

    said = workplace.run("export", SOURCE, "--out", "upload", "--json")

    assert said.status == 0
    files = sorted((workplace.root / "upload").iterdir())
    assert [file.name for file in files] == sorted(f"{chunk}.json" for chunk in chunks)
    assert len(said.document["files"]) == len(chunks)
    for file in files:
        assert file.read_bytes() == (workplace.root / "state" / SOURCE / "manifests" / file.name).read_bytes()
    assert workplace.run("status", "--json").document["sources"][SOURCE]["registered"] == 0
    before = workplace.files("upload")
    assert workplace.run("export", SOURCE, "--out", "upload").status == 0
    assert workplace.files("upload") == before


def test_csv_files_have_the_headings_of_their_kind_and_a_row_per_object(workplace: Workplace) -> None:
    workplace.configure(groups=GROUPED)
    workplace.put("rigs/1/left, front.jpg", "rigs/1/right.jpg", "clips/2/1.png", "clips/2/2.png", 'c "x".jpg', "d.mp4")
    workplace.plan()

    assert workplace.run("export", SOURCE, "--format", "csv", "--out", "upload").status == 0

    tables = [list(csv.reader(file.open(newline=""))) for file in (workplace.root / "upload").iterdir()]
    by_heading = {tuple(rows[0]): rows[1:] for rows in tables if rows[0][1] != "Image group title"}
    files = (workplace.root / "files").as_uri()
    assert by_heading == {
        ("ObjectURL", "Image title"): [[f"{files}/c%20%22x%22.jpg", 'c "x".jpg']],
        ("ObjectURL", "Video title"): [[f"{files}/d.mp4", "d.mp4"]],
    }
    groups = sorted(
        row for rows in tables if rows[0] == ["ObjectURL", "Image group title", "Create video"] for row in rows[1:]
    )
    assert groups == [
        [f"{files}/clips/2/1.png", "clips/2", "true"],
        [f"{files}/clips/2/2.png", "clips/2", "true"],
        [f"{files}/rigs/1/left%2C%20front.jpg", "rigs/1", "false"],
        [f"{files}/rigs/1/right.jpg", "rigs/1", "false"],
    ]


def test_titles_that_a_spreadsheet_would_run_are_exact_and_counted_in_one_notice(workplace: Workplace) -> None:
    workplace.put("=1+1.jpg", "-a.jpg", "@b.jpg", "c.jpg")
    workplace.plan()

    said = workplace.run("export", SOURCE, "--format", "csv", "--out", "upload")

    titles = {row[1] for file in (workplace.root / "upload").iterdir() for row in csv.reader(file.open(newline=""))}
    assert titles == {"Image title", "=1+1.jpg", "-a.jpg", "@b.jpg", "c.jpg"}
    assert said.words.count("3 titles begin with =, +, - or @") == 1
    assert "titles begin" not in workplace.run("export", SOURCE, "--out", "json").words


def test_kinds_that_csv_can_not_say_are_refused_before_anything_is_written(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.mp3")
    workplace.plan()

    said = workplace.run("export", SOURCE, "--format", "csv", "--out", "upload")

    assert said.status == 2
    assert "no headings for audio" in said.words
    assert "--format json" in said.words
    assert not (workplace.root / "upload").exists()


def test_a_chunk_can_be_chosen_and_an_unknown_one_is_named(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg", "c.jpg")
    first, _ = workplace.plan()

    assert workplace.run("export", SOURCE, "--out", "one", "--chunk", first).status == 0
    assert [file.name for file in (workplace.root / "one").iterdir()] == [f"{first}.json"]
    said = workplace.run("export", SOURCE, "--out", "none", "--chunk", "images-9")
    assert said.status == 2
    assert "images-9" in said.words


def test_a_folder_in_the_state_and_a_source_without_chunks_are_refused(workplace: Workplace) -> None:
    said = workplace.run("export", SOURCE, "--out", "upload")
    assert (said.status, "no chunks to export" in said.words) == (2, True)
    workplace.put("a.jpg")
    workplace.plan()
    before = workplace.files()

    for out in ("state", "state/fleet-cameras/manifests", "state/x"):
        said = workplace.run("export", SOURCE, "--out", out, "--json")
        error = said.document["error"]
        assert (said.status, error["source"]) == (2, SOURCE)
        assert error["message"].startswith(f"--out {out} is in the state")
        assert error["message"].endswith("Name another folder.")
    assert workplace.files() == before
    (workplace.root / "file").write_text("x")
    said = workplace.run("export", SOURCE, "--out", "file")
    assert (said.status, "--out file" in said.words) == (2, True)


def test_what_is_registered_is_exported_only_by_name_and_the_message_says_what_a_sync_does(
    workplace: Workplace,
) -> None:
    workplace.put("a.jpg", "b.jpg")
    workplace.register()
    (registered,) = (chunk["chunk_id"] for chunk in workplace.run("chunks", SOURCE, "--json").document["chunks"])

    none = workplace.run("export", SOURCE, "--out", "none")

    assert none.status == 0
    assert "nothing to export: all chunks are wholly registered" in none.words
    assert "--chunk ID exports one all the same" in none.words
    assert not (workplace.root / "none").exists()
    assert workplace.run("export", SOURCE, "--out", "none", "--json").document["files"] == []

    named = workplace.run("export", SOURCE, "--out", "named", "--chunk", registered)
    assert [file.name for file in (workplace.root / "named").iterdir()] == [f"{registered}.json"]
    assert "1 chunk wholly registered: no sync sends it again" in named.words
    assert "a sync sends what you upload" not in named.words

    workplace.put("c.jpg", "d.jpg")
    workplace.refuse("d[.]jpg")
    workplace.register()
    workplace.put("e.mp4")
    workplace.plan()
    mixed = workplace.run("export", SOURCE, "--out", "mixed")
    assert len(list((workplace.root / "mixed").iterdir())) == 2
    assert f"{registered}.json" not in {file.name for file in (workplace.root / "mixed").iterdir()}
    assert "1 chunk not registered yet: a sync sends what you upload by hand, too, until" in mixed.words
    assert "1 chunk with failures: Encord skips what is registered" in mixed.words
    assert "wholly registered" not in mixed.words


@given(st.lists(st.tuples(st.text(min_size=1), st.integers(min_value=1, max_value=4)), max_size=5))
def test_every_object_has_one_row_with_the_title_of_its_unit(units: list[tuple[str, int]]) -> None:
    planned = ChunkUnits.of(
        PlannedUnit(
            unit_id=f"{index:016x}",
            kind=MediaKind.DICOM_SERIES,
            title=title,
            objects=[PlannedObject(f"{index}/{place}", f"s3://b/{index}/{place}", 1) for place in range(size)],
            unit_index=index,
        )
        for index, (title, size) in enumerate(units)
    )

    headings, *rows = csv_rows(MediaKind.DICOM_SERIES, planned)

    assert headings == ("ObjectURL", "Dicom title")
    assert rows == [
        (f"s3://b/{index}/{place}", title) for index, (title, size) in enumerate(units) for place in range(size)
    ]
