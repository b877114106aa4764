"""Endpoints of datasets: making and finding them (v2), and reading and linking what is in them (the v1 API).

What does not belong here: the envelope and the signature of v1 (``legacy.py``), and the tables (``database.py``).
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registration_pipeline.sandbox.api.children import find_child
from registration_pipeline.sandbox.api.legacy import (
    AUTHORISATION,
    INVALID_ARGUMENTS,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RESOURCE_EXISTS,
    Query,
    envelope,
    read_query,
    refuse_query,
)
from registration_pipeline.sandbox.api.service import Service, service_of
from registration_pipeline.sandbox.api.wire import flag, json_body, text_field, timestamp, unprocessable
from registration_pipeline.sandbox.config import ListedLinks, UnknownLinks
from registration_pipeline.sandbox.faults.values import Effect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request

SKIP, DUPLICATE, FAIL = "SKIP", "DUPLICATE", "FAIL"

_DATA_TYPES: Final = {
    "video": "VIDEO",
    "image": "IMAGE",
    "imageGroup": "IMG_GROUP",
    "imageSequence": "VIDEO",
    "dicomFile": "DICOM",
    "dicomSeries": "DICOM",
    "audio": "AUDIO",
    "nifti": "NIFTI",
    "plainText": "PLAIN_TEXT",
    "pdf": "PDF",
}
_LOCATION: Final = 1
"""``storage_location`` of every row: that of Amazon's store, as the number that the older API uses."""

_ROWS: Final = (
    "SELECT data_rows.uuid AS data_hash, data_rows.created_at AS linked_at, items.* FROM data_rows"
    " JOIN items ON items.id = item_id"
)


def dataset_row(connection: sqlite3.Connection, dataset_uuid: str) -> sqlite3.Row:
    """The dataset, or a refusal: it is unknown."""
    found: sqlite3.Row | None = connection.execute("SELECT * FROM datasets WHERE uuid = ?", (dataset_uuid,)).fetchone()
    if found is None:
        refuse_query(NOT_FOUND)
    return found


def wire_datasets_of(connection: sqlite3.Connection, item_id: int) -> list[dict[str, Any]]:
    """The datasets that an item is linked to, each once, as an item's summary lists them."""
    query = (
        "SELECT datasets.*, group_concat(data_rows.uuid) AS hashes, min(data_rows.created_at) AS linked_at FROM datasets"
        " JOIN data_rows ON dataset_id = datasets.id WHERE item_id = ? GROUP BY datasets.id ORDER BY datasets.id"
    )
    return [
        {
            "datasetHash": row["uuid"],
            "backingFolderUuid": row["folder_uuid"],
            "title": row["title"],
            "dataHashes": row["hashes"].split(","),
            "dataUnitsCreatedAt": row["linked_at"],
        }
        for row in connection.execute(query, (item_id,))
    ]


def create_dataset(request: Request) -> Response:
    """``POST datasets``: titles need not be unique. A mirrored dataset comes with a folder of its name."""
    body, service = json_body(request), service_of(request)
    title = text_field(body, "title", required=True)
    if not title:
        unprocessable(("body", "title"), "String should have at least 1 character", "string_too_short")
    if not isinstance(body.get("createBackingFolder"), bool):
        unprocessable(("body", "createBackingFolder"), "Input should be a valid boolean", "bool_type")
    dataset, now, owner = str(uuid.uuid4()), timestamp(), request.state.user
    folder = str(uuid.uuid4()) if body["createBackingFolder"] else None
    with service.database.writing() as connection:
        if folder:
            connection.execute(
                "INSERT INTO folders (uuid, name, description, client_metadata, owner, created_at, last_edited_at)"
                " VALUES (?, ?, '', '{}', ?, ?, ?)",
                (folder, title, owner, now, now),
            )
        connection.execute(
            "INSERT INTO datasets (uuid, title, description, owner, created_at, last_edited_at, folder_uuid)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (dataset, title, text_field(body, "description") or "", owner, now, now, folder),
        )
    return JSONResponse({"datasetUuid": dataset, "backingFolderUuid": folder})


def list_datasets(request: Request) -> Response:
    """``GET datasets/list``: not paged."""
    service, query = service_of(request), request.query_params
    flag(request, "includeOrgAccess")
    wheres = {
        "titleEq": "title = ?",
        "titleLike": "title LIKE ?",
        "descriptionEq": "description = ?",
        "descriptionLike": "description LIKE ?",
        "createdBefore": "created_at < ?",
        "createdAfter": "created_at >= ?",
        "editedBefore": "last_edited_at < ?",
        "editedAfter": "last_edited_at >= ?",
    }
    chosen = {text: query[name] for name, text in wheres.items() if name in query}
    chosen["created_at <= ?"] = timestamp(seconds_ago=service.config.dataset_search_lag_seconds)
    with service.database.reading() as connection:
        rows = connection.execute(
            f"SELECT * FROM datasets WHERE {' AND '.join(chosen)} ORDER BY id",  # noqa: S608 - fixed texts
            tuple(chosen.values()),
        ).fetchall()
    return JSONResponse({"result": list(map(_listed, rows))})


def _listed(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "datasetUuid": row["uuid"],
        "title": row["title"],
        "description": row["description"],
        "createdAt": row["created_at"],
        "lastEditedAt": row["last_edited_at"],
        "userRole": "admin",
        "storageLocation": None,
        "backingFolderUuid": row["folder_uuid"],
    }


async def ask(request: Request) -> Response:
    """``POST /public``: one of the queries of the v1 API."""
    query, service = read_query(request), service_of(request)
    answer = _QUERIES.get(query.name)
    if answer is None:
        refuse_query(METHOD_NOT_ALLOWED)
    fault = getattr(request.state, "fault", None)
    is_halved = fault is not None and fault.effect is Effect.HALF_LINKED
    return envelope(await run_in_threadpool(answer, service, query, is_halved=is_halved))


async def ask_as_user(_request: Request) -> Response:
    """``POST /public/user``: the sandbox has no query of that address."""
    refuse_query(METHOD_NOT_ALLOWED)


def _dataset(service: Service, query: Query, *, is_halved: bool) -> object:
    del is_halved
    settings = _access_settings(query)
    with service.database.reading() as connection:
        row = dataset_row(connection, query.resource)
        rows = _data_rows(connection, row["id"]) if settings.get("fetch_rows", True) else []
        return {
            "dataset_hash": row["uuid"],
            "title": row["title"],
            "description": row["description"],
            "dataset_type": "NEW_STORAGE",
            "backing_folder_uuid": row["folder_uuid"],
            "data_rows": [_wire_row(service, one) for one in rows],
        }


def _rows_of_dataset(service: Service, query: Query, *, is_halved: bool) -> object:
    del is_halved
    payload = query.payload if isinstance(query.payload, dict) else {}
    wheres = {"title_eq": "name = ?", "title_like": "name LIKE ?"}
    chosen = {text: payload[name] for name, text in wheres.items() if payload.get(name) is not None}
    hashes = payload.get("data_hashes")
    kinds = payload.get("data_types")
    with service.database.reading() as connection:
        rows = _data_rows(connection, dataset_row(connection, query.resource)["id"], chosen)
    return [
        _wire_row(service, row)
        for row in rows
        if (hashes is None or row["data_hash"] in hashes)
        and (kinds is None or _DATA_TYPES[row["item_type"]] in kinds)
        and (payload.get("created_before") is None or row["linked_at"] < payload["created_before"])
        and (payload.get("created_after") is None or row["linked_at"] >= payload["created_after"])
    ]


def _access_settings(query: Query) -> dict[str, Any]:
    payload = query.payload if isinstance(query.payload, dict) else {}
    settings = payload.get("dataset_access_settings")
    return settings if isinstance(settings, dict) else {}


def _data_rows(
    connection: sqlite3.Connection, dataset_id: int, wheres: dict[str, Any] | None = None
) -> list[sqlite3.Row]:
    conditions = " AND ".join(["dataset_id = ?", *(wheres or {})])
    query = f"{_ROWS} WHERE {conditions} ORDER BY data_rows.id"
    return connection.execute(query, (dataset_id, *(wheres or {}).values())).fetchall()


def _link_items(service: Service, query: Query, *, is_halved: bool) -> object:
    """Link items as ``duplicates_behavior`` says; what is refused midway stays linked as far as it came."""
    uuids, behavior = _asked_links(query)
    with service.database.writing() as connection:
        dataset = dataset_row(connection, query.resource)
        if service.config.datasets_read_only or query.uid != query.resource:
            refuse_query(AUTHORISATION)
        links = _Links(service, connection, dataset["id"], behavior)
        refused = links.add(uuids[: len(uuids) // 2] if is_halved else uuids)
        listed = links.listed()
        if refused is not None and service.config.unknown_links is not UnknownLinks.REFUSED_MIDWAY:
            refuse_query(*refused)
    if refused is not None:
        refuse_query(*refused)
    return [_wire_row(service, row) for row in listed]


def _asked_links(query: Query) -> tuple[list[str], str]:
    payload = query.payload if isinstance(query.payload, dict) else {}
    uuids, behavior = payload.get("item_uuids"), payload.get("duplicates_behavior")
    if not isinstance(uuids, list) or behavior not in (SKIP, DUPLICATE, FAIL):
        refuse_query(INVALID_ARGUMENTS, "item_uuids must be a list, and duplicates_behavior SKIP, DUPLICATE or FAIL")
    try:
        return [str(uuid.UUID(one)) for one in uuids], behavior
    except (ValueError, TypeError, AttributeError):
        refuse_query(INVALID_ARGUMENTS, "item_uuids must hold UUIDs")


class _Links:
    """Adds links of one call to a dataset, in the order asked for."""

    def __init__(self, service: Service, connection: sqlite3.Connection, dataset_id: int, behavior: str) -> None:
        self._config, self._connection = service.config, connection
        self._dataset_id, self._behavior = dataset_id, behavior
        self._added: list[int] = []
        self._known: list[int] = []

    def add(self, uuids: Sequence[str]) -> tuple[str, object] | None:
        """Link items; returns the refusal, if there is one."""
        for item_uuid in uuids:
            found = self._connection.execute("SELECT id FROM items WHERE uuid = ?", (item_uuid,)).fetchone()
            if found is None and find_child(self._connection, item_uuid) is not None:
                return INVALID_ARGUMENTS, f"item {item_uuid} is a part of a group and can't be linked"
            if found is None:
                if self._config.unknown_links is not UnknownLinks.SKIPPED:
                    return AUTHORISATION, None
                continue
            if (refused := self._link(found["id"], item_uuid)) is not None:
                return refused
        return None

    def _link(self, item_id: int, item_uuid: str) -> tuple[str, object] | None:
        query = "SELECT id FROM data_rows WHERE dataset_id = ? AND item_id = ?"
        held = self._connection.execute(query, (self._dataset_id, item_id)).fetchone()
        if held is not None and self._behavior == FAIL:
            return RESOURCE_EXISTS, f"item {item_uuid} is linked already"
        if held is not None and self._behavior == SKIP:
            self._known.append(held["id"])
            return None
        made = self._connection.execute(
            "INSERT INTO data_rows (uuid, dataset_id, item_id, created_at) VALUES (?, ?, ?, ?)",
            (str(uuid.uuid4()), self._dataset_id, item_id, timestamp()),
        )
        assert made.lastrowid is not None
        self._added.append(made.lastrowid)
        return None

    def listed(self) -> list[sqlite3.Row]:
        """The rows that the reply lists."""
        is_all = self._config.listed_links is ListedLinks.ALL
        return list(_by_id(self._connection, [*self._added, *(self._known if is_all else ())]))


def _by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> Iterable[sqlite3.Row]:
    return [connection.execute(f"{_ROWS} WHERE data_rows.id = ?", (id_,)).fetchone() for id_ in ids]


def _wire_row(service: Service, row: sqlite3.Row) -> dict[str, Any]:
    frames = json.loads(row["frames"]) if row["frames"] else None
    media = json.loads(row["media"]) if row["media"] else {}
    named = {"backing_item_uuid": row["uuid"]} if service.config.links_name_items else {}
    return {
        "data_hash": row["data_hash"],
        "data_title": row["name"],
        "data_type": _DATA_TYPES[row["item_type"]],
        "created_at": _seconds(row["linked_at"]),
        "last_edited_at": _seconds(row["linked_at"]),
        "width": media.get("width"),
        "height": media.get("height"),
        "file_link": frames[0] if frames else row["submitted_url"] or row["identity"],
        "file_size": row["file_size"],
        "file_type": row["mime_type"],
        "storage_location": _LOCATION,
        "frames_per_second": media.get("fps"),
        "duration": media.get("duration"),
        **named,
    }


def _seconds(at: str) -> str:
    return at[:19].replace("T", " ")


_QUERIES: Final[dict[str, Callable[..., object]]] = {
    "dataset/GET": _dataset,
    "datarows/GET": _rows_of_dataset,
    "datasetlinkitems/POST": _link_items,
}

ROUTES = [
    Route("/datasets", create_dataset, methods=["POST"]),
    Route("/datasets/list", list_datasets, methods=["GET"]),
]
LEGACY_ROUTES = [
    Route("/public", ask, methods=["POST"]),
    Route("/public/user", ask_as_user, methods=["POST"]),
]
