"""The database's plans and pages: what must not grow with the folder, and what a transaction leaves behind."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.sandbox.api.pages import PageRequest, Selection, fetch_merged_page, fetch_page, page_body
from registration_pipeline.sandbox.api.wire import decode_token
from registration_pipeline.sandbox.database import DATABASE_FILE, Database
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


def _add_folder(connection: sqlite3.Connection, uuid: str, parent_id: int | None = None) -> int:
    cursor = connection.execute(
        "INSERT INTO folders (uuid, parent_id, name, description, client_metadata, owner, created_at, last_edited_at)"
        " VALUES (?, ?, ?, '', '{}', 'o', '', '')",
        (uuid, parent_id, uuid),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _add_items(connection: sqlite3.Connection, folder_id: int, names: list[str]) -> None:
    connection.executemany(
        "INSERT INTO items (uuid, folder_id, identity, item_type, name, description, client_metadata, owner, created_at,"
        " last_edited_at, job_id) VALUES (?, ?, ?, 'image', ?, '', '{}', 'o', '', '', 1)",
        [(f"{folder_id}-{n}-{name}", folder_id, f"s3://b/{n}", name) for n, name in enumerate(names)],
    )


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def add_and_break() -> None:
        with database.writing() as connection:
            _add_folder(connection, "f")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_break()

    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM folders").fetchone()[0] == 0
    with database.writing() as connection:
        _add_folder(connection, "f")


def test_a_reader_sees_one_state_while_a_writer_commits(database: Database) -> None:
    count = "SELECT count(*) FROM folders"
    with database.reading() as reader:
        assert reader.execute(count).fetchone()[0] == 0
        with database.writing() as writer:
            _add_folder(writer, "f")
        assert reader.execute(count).fetchone()[0] == 0
    with database.reading() as reader:
        assert reader.execute(count).fetchone()[0] == 1


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize(
    ("by_name", "after", "index"),
    [(True, ("m", 7), "items_by_name"), (False, (7,), "items_by_creation")],
    ids=["by name", "by creation"],
)
def test_a_page_far_into_a_listing_is_found_by_index_alone(
    database: Database,
    by_name: bool,  # noqa: FBT001 - parametrised
    after: tuple[Any, ...],
    index: str,
    descending: bool,  # noqa: FBT001 - parametrised
) -> None:
    selection = Selection("items")
    selection.where("folder_id = ?", 1)
    page = PageRequest(by_name=by_name, descending=descending, size=100, after=after)
    statements: list[str] = []
    with database.reading() as connection:
        connection.set_trace_callback(statements.append)
        fetch_page(connection, selection, page)
        connection.set_trace_callback(None)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}").fetchall()

    steps = [row["detail"] for row in plan]
    assert len(steps) == 1
    assert f"USING INDEX {index} (folder_id=? AND " in steps[0]


@settings(max_examples=examples(15, thorough=500), deadline=None)
@given(
    folders=st.lists(st.lists(st.text(max_size=3), max_size=8), min_size=1, max_size=3),
    size=st.integers(1, 5),
    by_name=st.booleans(),
    descending=st.booleans(),
)
def test_pages_over_several_folders_join_to_the_sorted_whole(
    tmp_path_factory: pytest.TempPathFactory,
    folders: list[list[str]],
    size: int,
    by_name: bool,  # noqa: FBT001 - drawn
    descending: bool,  # noqa: FBT001 - drawn
) -> None:
    database = Database(tmp_path_factory.mktemp("pages"))
    selections = []
    with database.writing() as connection:
        for number, names in enumerate(folders):
            folder_id = _add_folder(connection, str(number))
            _add_items(connection, folder_id, names)
            selection = Selection("items")
            selection.where("folder_id = ?", folder_id)
            selections.append(selection)
        listed, after = [], None
        while True:
            page = PageRequest(by_name=by_name, descending=descending, size=size, after=after)
            rows = fetch_merged_page(connection, selections, page)
            listed += [(row["name"], row["id"]) for row in rows[:size]]
            token = page_body(rows, [], page)["nextPageToken"]
            if token is None:
                break
            after = tuple(decode_token(token)[2:])
        everything = [(row["name"], row["id"]) for row in connection.execute("SELECT name, id FROM items")]
    database.close()

    ranked = sorted(everything, key=lambda row: (row[0].encode(), row[1]) if by_name else row[1], reverse=descending)
    assert listed == ranked


_OLDER_TABLES = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, folder_id INTEGER NOT NULL, identity TEXT NOT NULL,
    frames TEXT, item_type TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, client_metadata TEXT NOT NULL,
    owner TEXT NOT NULL, created_at TEXT NOT NULL, last_edited_at TEXT NOT NULL, job_id INTEGER NOT NULL,
    integration_uuid TEXT, file_size INTEGER, mime_type TEXT, media TEXT);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, folder_id INTEGER NOT NULL, owner TEXT NOT NULL,
    file_name TEXT, integration_uuid TEXT, ignore_errors INTEGER NOT NULL, submission TEXT, status TEXT NOT NULL,
    created_at TEXT NOT NULL, ended_at TEXT, units INTEGER NOT NULL, position INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0);
INSERT INTO jobs (uuid, folder_id, owner, ignore_errors, status, created_at, units) VALUES ('j', 1, 'o', 1, 'DONE', '', 3);
"""


def test_a_data_directory_of_an_older_release_gets_what_it_lacks(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as older:
        older.executescript(_OLDER_TABLES)

    for _ in range(2):
        database = Database(tmp_path)
        with database.reading() as connection:
            job = connection.execute("SELECT units, fate, fate_position, hidden, run_at FROM jobs").fetchone()
            assert tuple(job) == (3, None, None, 0, None)
            assert connection.execute("SELECT count(submitted_url) FROM items").fetchone()[0] == 0
        database.close()
