"""What a sandbox holds, for tests and the admin page: folders, items, jobs, duplicates, refused manifests.

What does not belong here: answers of the API, and how the page shows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registration_pipeline.sandbox.api.metadata_schema import held_schema
from registration_pipeline.sandbox.api.pages import Selection

if TYPE_CHECKING:
    import sqlite3

    from registration_pipeline.sandbox.database import Database

_JOBS = """
SELECT jobs.*, folders.uuid AS folder_uuid, folders.name AS folder_name
FROM jobs JOIN folders ON folders.id = folder_id ORDER BY jobs.id DESC LIMIT ?"""
_FOLDERS = """
WITH RECURSIVE tree(id, uuid, path) AS (
    SELECT id, uuid, name FROM folders WHERE parent_id IS NULL
    UNION ALL SELECT folders.id, folders.uuid, tree.path || ' / ' || folders.name
    FROM folders JOIN tree ON folders.parent_id = tree.id)
SELECT uuid, path,
    (SELECT count(*) FROM items WHERE folder_id = tree.id) AS items,
    (SELECT count(*) FROM jobs WHERE folder_id = tree.id) AS jobs
FROM tree ORDER BY path LIMIT ?"""
_DUPLICATES = """
SELECT folders.uuid AS folder_uuid, folders.name AS folder_name, identity, submitted_url, frames, count(*) AS times
FROM items JOIN folders ON folders.id = folder_id
GROUP BY folder_id, identity HAVING count(*) > 1 ORDER BY folder_id, identity LIMIT ?"""


_DATASETS = """
SELECT datasets.uuid, title, count(data_rows.id) AS links, count(DISTINCT item_id) AS items
FROM datasets LEFT JOIN data_rows ON dataset_id = datasets.id GROUP BY datasets.id ORDER BY datasets.id LIMIT ?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """A dataset; ``links`` counts its rows, ``items`` the items that these are of."""

    uuid: str
    title: str
    links: int
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRecord:
    """A folder; ``path`` names those above it, ``items`` and ``jobs`` count what is directly in it."""

    uuid: str
    path: str
    items: int
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredItem:
    """An item as it was registered: ``urls`` are the submitted strings, ``media`` the submitted media metadata as JSON."""

    uuid: str
    name: str
    item_type: str
    urls: tuple[str, ...]
    client_metadata: str
    media: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """An upload job as the sandbox has it. Times are ISO 8601 in UTC; ``fate`` is what a fault made of it."""

    uuid: str
    folder_uuid: str
    folder_name: str
    file_name: str | None
    status: str
    created_at: str
    ended_at: str | None
    units: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    fate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRecord:
    """A URL that a folder holds ``times`` times; of a group, its first URL."""

    folder_uuid: str
    folder_name: str
    url: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationRecord:
    """A manifest that was refused, or accepted with a remark (``refused`` is false)."""

    at: str
    folder_uuid: str
    folder_name: str | None
    file_name: str | None
    refused: bool
    message: str


class Insight:
    """Reads one sandbox's database. A ``limit`` of None means all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> dict[str, Any]:
        """How much there is of everything."""
        with self._database.reading() as connection:
            statuses = connection.execute(
                "SELECT status, count(*) FROM jobs GROUP BY status ORDER BY status"
            ).fetchall()
            violations = dict(connection.execute("SELECT refused, count(*) FROM violations GROUP BY 1").fetchall())
            # A rehearsal sends what must be refused, and removes its folder: nothing is wrong any more then.
            in_folders = "SELECT count(*) FROM violations WHERE refused AND folder_uuid IN (SELECT uuid FROM folders)"
            return {
                "folders": _count(connection, "folders"),
                "datasets": _count(connection, "datasets"),
                "links": _count(connection, "data_rows"),
                "items": _count(connection, "items"),
                "duplicates": connection.execute(f"SELECT count(*) FROM ({_DUPLICATES})", (-1,)).fetchone()[0],  # noqa: S608
                "jobs": {row[0]: row[1] for row in statuses},
                "refused_manifests": violations.get(1, 0),
                "refused_in_folders": connection.execute(in_folders).fetchone()[0],
                "remarks": violations.get(0, 0),
                "metadata_fields": len(held_schema(connection) or {}),
            }

    def datasets(self, limit: int | None = None) -> list[DatasetRecord]:
        """Every dataset, oldest first."""
        return [DatasetRecord(**row) for row in self._rows(_DATASETS, _bound(limit))]

    def links(self, dataset_uuid: object) -> list[str]:
        """The UUIDs of the items in a dataset, one for each row, oldest first."""
        query = (
            "SELECT items.uuid FROM data_rows JOIN items ON items.id = item_id JOIN datasets ON datasets.id = dataset_id"
            " WHERE datasets.uuid = ? ORDER BY data_rows.id"
        )
        return [row["uuid"] for row in self._rows(query, str(dataset_uuid))]

    def folders(self, limit: int | None = None) -> list[FolderRecord]:
        """Every folder, by path."""
        return [FolderRecord(**row) for row in self._rows(_FOLDERS, _bound(limit))]

    def folder(self, folder_uuid: str) -> FolderRecord | None:
        """One folder, with its own name for a path."""
        query = (
            "SELECT uuid, name AS path, (SELECT count(*) FROM items WHERE folder_id = folders.id) AS items,"
            " (SELECT count(*) FROM jobs WHERE folder_id = folders.id) AS jobs FROM folders WHERE uuid = ?"
        )
        rows = self._rows(query, folder_uuid)
        return FolderRecord(**rows[0]) if rows else None

    def items(
        self, folder_uuid: object, *, search: str = "", limit: int | None = None, offset: int = 0
    ) -> list[RegisteredItem]:
        """What is directly in a folder, oldest first; ``search``: only where name or URL contain it."""
        selection = Selection("items")
        selection.where("folder_id = (SELECT id FROM folders WHERE uuid = ?)", str(folder_uuid))
        if search:
            selection.where("(instr(lower(name), lower(?)) OR instr(lower(identity), lower(?)))", search, search)
        query = f"SELECT * FROM items WHERE {' AND '.join(selection.conditions)} ORDER BY id LIMIT ? OFFSET ?"  # noqa: S608
        return [
            RegisteredItem(
                uuid=row["uuid"],
                name=row["name"],
                item_type=row["item_type"],
                urls=_urls(row),
                client_metadata=row["client_metadata"],
                media=row["media"],
            )
            for row in self._rows(query, *selection.values, _bound(limit), offset)
        ]

    def jobs(self, limit: int | None = None) -> list[JobRecord]:
        """Upload jobs, oldest first; with a limit, the latest ones."""
        rows = self._rows(_JOBS, _bound(limit))
        names = JobRecord.__slots__
        return [JobRecord(**{name: row[name] for name in names}) for row in reversed(rows)]

    def duplicates(self, limit: int | None = None) -> list[DuplicateRecord]:
        """URLs registered more than once in a folder."""
        return [
            DuplicateRecord(
                folder_uuid=row["folder_uuid"],
                folder_name=row["folder_name"],
                url=_urls(row)[0],
                times=row["times"],
            )
            for row in self._rows(_DUPLICATES, _bound(limit))
        ]

    def violations(self, limit: int | None = None) -> list[ViolationRecord]:
        """Manifests that were refused or accepted with a remark, latest first."""
        query = (
            "SELECT violations.*, folders.name AS folder_name FROM violations"
            " LEFT JOIN folders ON folders.uuid = folder_uuid ORDER BY violations.id DESC LIMIT ?"
        )
        rows = self._rows(query, _bound(limit))
        return [
            ViolationRecord(
                at=row["at"],
                folder_uuid=row["folder_uuid"],
                folder_name=row["folder_name"],
                file_name=row["file_name"],
                refused=bool(row["refused"]),
                message=row["message"],
            )
            for row in rows
        ]

    def metadata_schema(self) -> dict[str, Any] | None:
        """The organisation's metadata schema as the API gives it; None: there is none."""
        with self._database.reading() as connection:
            return held_schema(connection)

    def integration_uuid(self, title: str) -> str | None:
        """UUID of the integration of that title."""
        rows = self._rows("SELECT uuid FROM integrations WHERE title = ?", title)
        return str(rows[0]["uuid"]) if rows else None

    def _rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self._database.reading() as connection:
            return connection.execute(statement, values).fetchall()


def _bound(limit: int | None) -> int:
    return -1 if limit is None else limit


def _count(connection: sqlite3.Connection, table: str) -> int:
    count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a fixed name
    return count


def _urls(row: sqlite3.Row) -> tuple[str, ...]:
    return tuple(json.loads(row["frames"])) if row["frames"] else (row["submitted_url"] or row["identity"],)
