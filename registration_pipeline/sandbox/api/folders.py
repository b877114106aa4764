"""Endpoints of cloud integrations and storage folders.

What does not belong here: items and upload jobs.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registration_pipeline.sandbox.api.pages import Selection, fetch_page, page_body, read_page_request
from registration_pipeline.sandbox.api.service import Service, service_of
from registration_pipeline.sandbox.api.wire import (
    flag,
    json_body,
    listed_until,
    merged_metadata,
    parse_uuid,
    path_uuid,
    refuse,
    text_field,
    timestamp,
    unprocessable,
)
from registration_pipeline.sandbox.config import SummaryUploadJobs

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request

_SUMMARY_NAMES = {
    "video": "videos",
    "image": "images",
    "imageGroup": "imageGroups",
    "imageSequence": "imageSequences",
    "dicomFile": "dicomFiles",
    "dicomSeries": "dicomSeries",
    "nifti": "niftis",
    "audio": "audios",
    "pdf": "pdfs",
    "plainText": "plainTexts",
}
_FOLDERS_BELOW = (
    "WITH RECURSIVE below(id) AS (SELECT id FROM folders WHERE parent_id = ?"
    " UNION ALL SELECT folders.id FROM folders JOIN below ON folders.parent_id = below.id) SELECT id FROM below"
)


def folder_row(connection: sqlite3.Connection, folder_uuid: str) -> sqlite3.Row:
    """The folder, or 403: an unknown folder is not distinguished from one that the user may not see."""
    row: sqlite3.Row | None = connection.execute("SELECT * FROM folders WHERE uuid = ?", (folder_uuid,)).fetchone()
    if row is None:
        refuse(403, f"folder {folder_uuid} does not exist or is not accessible")
    return row


def folders_below(connection: sqlite3.Connection, folder_id: int) -> list[int]:
    """Ids of all folders in the folder, at any depth."""
    return [row["id"] for row in connection.execute(_FOLDERS_BELOW, (folder_id,))]


def _wire_folder(connection: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    path = []
    step: sqlite3.Row | None = row
    while step is not None:
        parent = connection.execute("SELECT * FROM folders WHERE id = ?", (step["parent_id"],)).fetchone()
        parent_uuid = parent["uuid"] if parent else None
        path.append({"uuid": step["uuid"], "parentUuid": parent_uuid, "name": step["name"], "syncedDatasetHash": None})
        step = parent
    return {
        "uuid": row["uuid"],
        "parent": path[0]["parentUuid"],
        "name": row["name"],
        "description": row["description"],
        "clientMetadata": row["client_metadata"],
        "owner": row["owner"],
        "createdAt": row["created_at"],
        "lastEditedAt": row["last_edited_at"],
        "userRole": "admin",
        "syncedDatasetHash": None,
        "pathToRoot": path,
        "folderType": "generic",
        "integrationHash": None,
        "remoteUrl": None,
    }


def list_integrations(request: Request) -> Response:
    """``GET cloud-integrations``."""
    uuids = [
        parse_uuid(value, "query", "filterIntegrationUuids")
        for value in request.query_params.getlist("filterIntegrationUuids")
    ]
    titles = request.query_params.getlist("filterIntegrationTitles")
    with service_of(request).database.reading() as connection:
        rows = connection.execute("SELECT uuid, title FROM integrations ORDER BY id").fetchall()
    return JSONResponse(
        {
            "result": [
                {"integrationUuid": row["uuid"], "title": row["title"]}
                for row in rows
                if (not uuids or row["uuid"] in uuids) and (not titles or row["title"] in titles)
            ]
        }
    )


def create_folder(request: Request) -> Response:
    """``POST storage/folders``."""
    body = json_body(request)
    name = text_field(body, "name", required=True)
    if not name:
        unprocessable(("body", "name"), "String should have at least 1 character", "string_too_short")
    if body.get("cloudSyncedFolderParams") is not None:
        refuse(400, "the sandbox has no cloud-synced folders")
    metadata = text_field(body, "clientMetadata")
    if metadata is not None and not _is_json_object(metadata):
        unprocessable(("body", "clientMetadata"), "Input should be a JSON object as a string", "json_invalid")
    parent = body.get("parent")
    now = timestamp()
    with service_of(request).database.writing() as connection:
        parent_id = None if parent is None else folder_row(connection, parse_uuid(parent, "body", "parent"))["id"]
        cursor = connection.execute(
            "INSERT INTO folders (uuid, parent_id, name, description, client_metadata, owner, created_at, last_edited_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (
                *(str(uuid.uuid4()), parent_id, name, text_field(body, "description") or "", metadata or "{}"),
                *(request.state.user, now, now),
            ),
        )
        return JSONResponse(_wire_folder(connection, cursor.fetchall()[0]))


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def get_folder(request: Request) -> Response:
    """``GET storage/folders/{F}``."""
    with service_of(request).database.reading() as connection:
        return JSONResponse(_wire_folder(connection, folder_row(connection, path_uuid(request, "folder_uuid"))))


def list_folders(request: Request) -> Response:
    """``GET storage/folders``: the top level."""
    return _folders_page(request, service_of(request), top_level=True)


def search_folders(request: Request) -> Response:
    """``GET storage/search/folders``: every folder."""
    return _folders_page(request, service_of(request), top_level=False)


def list_subfolders(request: Request) -> Response:
    """``GET storage/folders/{F}/folders``, recursive or not."""
    service = service_of(request)
    page = read_page_request(request)
    selection = Selection("folders")
    with service.database.reading() as connection:
        folder = folder_row(connection, path_uuid(request, "folder_uuid"))
        if flag(request, "isRecursive"):
            selection.where(f"id IN ({_FOLDERS_BELOW})", folder["id"])
        else:
            selection.where("parent_id = ?", folder["id"])
        _filter(request, selection)
        rows = fetch_page(connection, selection, page)
        return JSONResponse(page_body(rows, [_wire_folder(connection, row) for row in rows[: page.size]], page))


def _folders_page(request: Request, service: Service, *, top_level: bool) -> Response:
    page = read_page_request(request)
    selection = Selection("folders")
    if top_level:
        selection.where("parent_id IS NULL")
    _filter(request, selection)
    if service.config.folder_search_lag_seconds:
        selection.where("created_at <= ?", timestamp(seconds_ago=service.config.folder_search_lag_seconds))
    with service.database.reading() as connection:
        rows = fetch_page(connection, selection, page)
        return JSONResponse(page_body(rows, [_wire_folder(connection, row) for row in rows[: page.size]], page))


def _filter(request: Request, selection: Selection) -> None:
    search = request.query_params.get("search")
    if search:
        selection.where_name_contains(search)
    # There are no datasets and no organisation tags here, so asking for either selects nothing.
    if flag(request, "datasetSynced") or request.query_params.getlist("organisationTagNamesAllof"):
        selection.where("0")


def patch_folder(request: Request) -> Response:
    """``PATCH storage/folders/{F}``."""
    body = json_body(request)
    name, description = text_field(body, "name"), text_field(body, "description")
    metadata = body.get("clientMetadata")
    if metadata is not None and not isinstance(metadata, dict):
        unprocessable(("body", "clientMetadata"), "Input should be a valid dictionary", "dict_type")
    with service_of(request).database.writing() as connection:
        folder = folder_row(connection, path_uuid(request, "folder_uuid"))
        connection.execute(
            "UPDATE folders SET name = ?, description = ?, client_metadata = ?, last_edited_at = ? WHERE id = ?",
            (
                name or folder["name"],
                folder["description"] if description is None else description,
                merged_metadata(folder["client_metadata"], metadata, service_of(request).config),
                timestamp(),
                folder["id"],
            ),
        )
        return JSONResponse(_wire_folder(connection, folder_row(connection, folder["uuid"])))


def folder_summary(request: Request) -> Response:
    """``GET storage/folders/{F}/summary``: what is directly in the folder."""
    service = service_of(request)
    with service.database.reading() as connection:
        folder_id = folder_row(connection, path_uuid(request, "folder_uuid"))["id"]
        counts = connection.execute(
            "SELECT item_type, count(*) AS items, total(file_size) AS bytes FROM items"
            " WHERE folder_id = ? AND created_at <= ? GROUP BY 1",
            (folder_id, listed_until(service.config)),
        ).fetchall()
        folders = connection.execute("SELECT count(*) FROM folders WHERE parent_id = ?", (folder_id,)).fetchone()[0]
        jobs = _count_jobs(connection, folder_id, service.config.summary_upload_jobs)
    summary: dict[str, float] = dict.fromkeys(_SUMMARY_NAMES.values(), 0)
    for row in counts:
        summary[_SUMMARY_NAMES[row["item_type"]]] = row["items"]
    return JSONResponse(
        {
            **summary,
            "files": sum(row["items"] for row in counts),
            "folders": folders,
            "tombstones": 0,
            "uploadJobs": jobs,
            "totalSize": sum((row["bytes"] for row in counts), 0.0),
        }
    )


def _count_jobs(connection: sqlite3.Connection, folder_id: int, counted: SummaryUploadJobs) -> int:
    if counted is SummaryUploadJobs.NONE:
        return 0
    statuses = "('PENDING')" if counted is SummaryUploadJobs.PENDING else "('PENDING', 'DONE', 'ERROR', 'CANCELLED')"
    query = f"SELECT count(*) FROM jobs WHERE folder_id = ? AND status IN {statuses}"  # noqa: S608 - fixed words
    count: int = connection.execute(query, (folder_id,)).fetchone()[0]
    return count


def delete_folder(request: Request) -> Response:
    """``DELETE storage/folders/{F}``; only an empty folder without a pending upload job goes."""
    with service_of(request).database.writing() as connection:
        folder_id = folder_row(connection, path_uuid(request, "folder_uuid"))["id"]
        for query, holds in (
            ("SELECT 1 FROM items WHERE folder_id = ? LIMIT 1", "items"),
            ("SELECT 1 FROM folders WHERE parent_id = ? LIMIT 1", "folders"),
            ("SELECT 1 FROM jobs WHERE folder_id = ? AND status = 'PENDING' LIMIT 1", "a pending upload job"),
        ):
            if connection.execute(query, (folder_id,)).fetchone() is not None:
                refuse(400, f"the folder is not empty: it holds {holds}")
        connection.execute(
            "DELETE FROM job_slices WHERE job_id IN (SELECT id FROM jobs WHERE folder_id = ?)", (folder_id,)
        )
        connection.execute("DELETE FROM jobs WHERE folder_id = ?", (folder_id,))
        connection.execute("DELETE FROM folders WHERE id = ?", (folder_id,))
    return Response(status_code=204)


ROUTES = [
    Route("/cloud-integrations", list_integrations, methods=["GET"]),
    Route("/storage/search/folders", search_folders, methods=["GET"]),
    Route("/storage/folders", list_folders, methods=["GET"]),
    Route("/storage/folders", create_folder, methods=["POST"]),
    Route("/storage/folders/{folder_uuid}", get_folder, methods=["GET"]),
    Route("/storage/folders/{folder_uuid}", patch_folder, methods=["PATCH"]),
    Route("/storage/folders/{folder_uuid}", delete_folder, methods=["DELETE"]),
    Route("/storage/folders/{folder_uuid}/folders", list_subfolders, methods=["GET"]),
    Route("/storage/folders/{folder_uuid}/summary", folder_summary, methods=["GET"]),
]
