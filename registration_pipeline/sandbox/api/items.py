"""Endpoints of storage items: listing, lookup, what is in a group, patching, deleting, moving.

What does not belong here: how items come to be (registration).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registration_pipeline.sandbox.api.children import child_rows, find_child
from registration_pipeline.sandbox.api.datasets import wire_datasets_of
from registration_pipeline.sandbox.api.folders import folder_row, folders_below
from registration_pipeline.sandbox.api.pages import Selection, fetch_merged_page, page_body, read_page_request
from registration_pipeline.sandbox.api.service import Service, service_of
from registration_pipeline.sandbox.api.wire import (
    flag,
    json_body,
    listed_until,
    merged_metadata,
    parse_uuid,
    parse_uuids,
    path_uuid,
    refuse,
    text_field,
    timestamp,
    unprocessable,
)
from registration_pipeline.sandbox.jobs.url_forms import normalise_url

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from starlette.requests import Request

    from registration_pipeline.sandbox.api.children import ItemRow
    from registration_pipeline.sandbox.config import SandboxConfig

ITEM_TYPES = frozenset(
    (
        *("video", "image", "group", "imageGroup", "imageSequence", "dicomFile", "dicomSeries"),
        *("audio", "timeseries", "nifti", "plainText", "pdf", "scene"),
    )
)
MAX_PATCHES = 1000
"""Patches per bulk request (Encord's SDK bundles no more)."""

_MEDIA_FIELDS = {
    "fps": "fps",
    "width": "width",
    "height": "height",
    "duration": "duration",
    "durationSeconds": "duration",
    "sampleRate": "audioSampleRate",
    "bitDepth": "audioBitDepth",
    "codec": "audioCodec",
    "numChannels": "audioNumChannels",
}
_NULLABLE = (
    *("signedUrl", "duration", "fps", "height", "width", "dicomInstanceUid", "dicomStudyUid", "dicomSeriesUid"),
    *("frameCount", "audioSampleRate", "audioBitDepth", "audioCodec", "audioNumChannels"),
)


def item_row(connection: sqlite3.Connection, item_uuid: str, *, folder_id: int | None = None) -> sqlite3.Row:
    """The item, or 403 if it is unknown or not directly in the folder."""
    row: sqlite3.Row | None = connection.execute("SELECT * FROM items WHERE uuid = ?", (item_uuid,)).fetchone()
    if row is None or (folder_id is not None and row["folder_id"] != folder_id):
        refuse(403, f"item {item_uuid} does not exist or is not accessible")
    return row


def _storage_location(url: str | None, *, integrated: bool) -> str:
    if not integrated:
        return "directAccess"
    url = url or ""
    if url.startswith("s3://") or ".amazonaws.com/" in url:
        return "s3"
    if url.startswith("gs://") or "//storage.cloud.google.com/" in url or "//storage.googleapis.com/" in url:
        return "gcp"
    return "azure" if ".blob.core.windows.net/" in url else "s3Compatible"


def _wire_item(service: Service, row: ItemRow, folder_uuid: str, *, with_metadata: bool = True) -> dict[str, Any]:
    frames = json.loads(row["frames"]) if row["frames"] else None
    url = None if frames else row["submitted_url"] or row["identity"]
    # What was said of each object of a group is with its children.
    media = json.loads(row["media"]) if row["media"] and not frames else {}
    return {
        **dict.fromkeys(_NULLABLE),
        **{wire: media[name] for name, wire in _MEDIA_FIELDS.items() if name in media},
        "uuid": row["uuid"],
        "parent": folder_uuid,
        "itemType": row["item_type"],
        "name": row["name"],
        "description": row["description"],
        "clientMetadata": row["client_metadata"] if with_metadata else "{}",
        "owner": row["owner"],
        "createdAt": row["created_at"],
        "lastEditedAt": row["last_edited_at"],
        "isTombstone": False,
        "isPlaceholder": False,
        "backedDataUnitsCount": 1,
        "storageLocation": _storage_location(
            url or (frames or [None])[0], integrated=row["integration_uuid"] is not None
        ),
        "integrationHash": row["integration_uuid"],
        "url": normalise_url(url) if url and service.config.url_normalised else url,
        "fileSize": row["file_size"],
        "mimeType": row["mime_type"],
        **({"frameCount": len(frames)} if frames else {}),
    }


def _folder_uuids(connection: sqlite3.Connection, rows: Sequence[ItemRow]) -> dict[int, str]:
    query = "SELECT uuid FROM folders WHERE id = ?"
    return {id_: connection.execute(query, (id_,)).fetchone()[0] for id_ in {row["folder_id"] for row in rows}}


def _wire_items(
    service: Service, connection: sqlite3.Connection, rows: Sequence[ItemRow], *, with_metadata: bool = True
) -> list[dict[str, Any]]:
    uuids = _folder_uuids(connection, rows)
    return [_wire_item(service, row, uuids[row["folder_id"]], with_metadata=with_metadata) for row in rows]


def list_items(request: Request) -> Response:
    """``GET storage/folders/{F}/items``: directly in the folder, or below it too with ``isRecursive``."""
    service = service_of(request)
    page = read_page_request(request, by_creation=service.config.listing_in_order)
    recursive = bool(flag(request, "isRecursive", default=False))
    with_metadata = flag(request, "includeClientMetadata", default=True) is True
    flag(request, "signUrls")
    if flag(request, "clientMetadataAsSignedUrl"):
        refuse(400, "the sandbox has no signed URLs; ask for client metadata in the answer")
    filters = _filters(request)
    filters.where("created_at <= ?", listed_until(service.config))
    if request.query_params.get("search") and not service.config.search_finds_items:
        filters.where("0")
    with service.database.reading() as connection:
        folder_id = folder_row(connection, path_uuid(request, "folder_uuid"))["id"]
        folder_ids = [folder_id, *(folders_below(connection, folder_id) if recursive else ())]
        selections = []
        for id_ in folder_ids:
            selection = filters.copy()
            selection.where("folder_id = ?", id_)
            selections.append(selection)
        rows = fetch_merged_page(connection, selections, page)
        results = _wire_items(service, connection, rows[: page.size], with_metadata=with_metadata)
    return JSONResponse(page_body(rows, results, page))


def _filters(request: Request) -> Selection:
    selection = Selection("items")
    search = request.query_params.get("search")
    if search:
        selection.where_name_contains(search)
    types = request.query_params.getlist("itemTypes")
    unknown = [name for name in types if name not in ITEM_TYPES]
    if unknown:
        unprocessable(("query", "itemTypes"), f"unknown item type {unknown[0]!r}", "enum")
    if types:
        selection.where_in("item_type", types)
    is_in_dataset = flag(request, "isInDataset")
    if is_in_dataset is not None:
        linked = "EXISTS (SELECT 1 FROM data_rows WHERE item_id = items.id)"
        selection.where(linked if is_in_dataset else f"NOT {linked}")
    return selection


def list_child_items(request: Request) -> Response:
    """``GET storage/folders/{F}/items/{I}/child-items``: the objects of a group, sequence or series, in order; not paged."""
    service = service_of(request)
    flag(request, "signUrls")
    with service.database.reading() as connection:
        folder_uuid = path_uuid(request, "folder_uuid")
        folder_id = folder_row(connection, folder_uuid)["id"]
        row = item_row(connection, path_uuid(request, "item_uuid"), folder_id=folder_id)
    return JSONResponse(
        {"results": [_wire_item(service, child, folder_uuid) for child in child_rows(row)], "nextPageToken": None}
    )


def item_summary(request: Request) -> Response:
    """``GET storage/folders/{F}/items/{I}/summary``: which groups and datasets it is in."""
    flag(request, "includeGroupLayout")
    item_uuid = path_uuid(request, "item_uuid")
    with service_of(request).database.reading() as connection:
        folder = folder_row(connection, path_uuid(request, "folder_uuid"))
        row = _any_row(connection, item_uuid)
        if row["folder_id"] != folder["id"]:
            refuse(403, f"item {item_uuid} does not exist or is not accessible")
        groups = [item_row(connection, row["group_uuid"])] if "group_uuid" in row else []
        datasets = [] if groups else wire_datasets_of(connection, row["id"])
    return JSONResponse(
        {
            "frameInGroups": len(groups),
            "accessibleGroupItems": [
                {
                    "uuid": group["uuid"],
                    "name": group["name"],
                    "parentUuid": folder["uuid"],
                    "parentName": folder["name"],
                    "itemType": group["item_type"],
                }
                for group in groups
            ],
            "usedInDatasets": len(datasets),
            "accessibleDatasets": datasets,
            "groupLayout": None,
        }
    )


def _any_row(connection: sqlite3.Connection, item_uuid: str) -> ItemRow:
    """The item, or the object of a group that has this UUID; 403 if there is neither."""
    return find_child(connection, item_uuid) or dict(item_row(connection, item_uuid))


def get_item(request: Request) -> Response:
    """``GET storage/items/{I}``."""
    service = service_of(request)
    flag(request, "signUrl")
    with service.database.reading() as connection:
        row = _any_row(connection, path_uuid(request, "item_uuid"))
        return JSONResponse(_wire_items(service, connection, [row])[0])


def get_items(request: Request) -> Response:
    """``POST storage/items/get-bulk``: in the order asked for; one unknown item refuses all."""
    service = service_of(request)
    uuids = parse_uuids(json_body(request), "itemUuids")
    with service.database.reading() as connection:
        rows = [_any_row(connection, item_uuid) for item_uuid in uuids]
        return JSONResponse({"results": _wire_items(service, connection, rows), "nextPageToken": None})


def patch_item(request: Request) -> Response:
    """``PATCH storage/folders/{F}/items/{I}``."""
    service, body = service_of(request), json_body(request)
    item_uuid = path_uuid(request, "item_uuid")
    with service.database.writing() as connection:
        folder_id = folder_row(connection, path_uuid(request, "folder_uuid"))["id"]
        _patch(connection, item_row(connection, item_uuid, folder_id=folder_id), body, ("body",), service.config)
        return JSONResponse(_wire_items(service, connection, [item_row(connection, item_uuid)])[0])


def patch_items(request: Request) -> Response:
    """``PATCH storage/items/patch-bulk``: all or nothing."""
    service, patches = service_of(request), json_body(request).get("itemPatches")
    if not isinstance(patches, dict) or not all(isinstance(patch, dict) for patch in patches.values()):
        unprocessable(("body", "itemPatches"), "Input should be a valid dictionary of objects", "dict_type")
    if len(patches) > MAX_PATCHES:
        unprocessable(("body", "itemPatches"), f"Dictionary should have at most {MAX_PATCHES} items", "too_long")
    uuids = [parse_uuid(key, "body", "itemPatches", key) for key in patches]
    with service.database.writing() as connection:
        for item_uuid, patch in zip(uuids, patches.values(), strict=True):
            location = ("body", "itemPatches", item_uuid)
            _patch(connection, item_row(connection, item_uuid), patch, location, service.config)
        rows = [item_row(connection, item_uuid) for item_uuid in uuids]
        return JSONResponse({"results": _wire_items(service, connection, rows), "nextPageToken": None})


def _patch(
    connection: sqlite3.Connection,
    item: sqlite3.Row,
    patch: dict[str, Any],
    location: tuple[str, ...],
    config: SandboxConfig,
) -> None:
    """Apply one patch."""
    name, description, metadata = (
        text_field(patch, "name"),
        text_field(patch, "description"),
        patch.get("clientMetadata"),
    )
    if metadata is not None and not isinstance(metadata, dict):
        unprocessable((*location, "clientMetadata"), "Input should be a valid dictionary", "dict_type")
    if patch.get("timeseriesSettings") is not None:
        refuse(400, f"item {item['uuid']} is not a time series")
    connection.execute(
        "UPDATE items SET name = ?, description = ?, client_metadata = ?, last_edited_at = ? WHERE id = ?",
        (
            name or item["name"],
            item["description"] if description is None else description,
            merged_metadata(item["client_metadata"], metadata, config),
            timestamp(),
            item["id"],
        ),
    )


def _children(connection: sqlite3.Connection, request: Request, uuids: list[str]) -> list[int]:
    folder_id = folder_row(connection, path_uuid(request, "folder_uuid"))["id"]
    return [item_row(connection, item_uuid, folder_id=folder_id)["id"] for item_uuid in dict.fromkeys(uuids)]


def delete_items(request: Request) -> Response:
    """``POST storage/folders/{F}/items/delete``: direct children only, all or nothing."""
    uuids = parse_uuids(json_body(request), "childUuids")
    with service_of(request).database.writing() as connection:
        ids = _children(connection, request, uuids)
        connection.executemany("DELETE FROM items WHERE id = ?", [(id_,) for id_ in ids])
    return JSONResponse({"removedItemsCount": len(ids), "removedFoldersCount": 0})


def move_items(request: Request) -> Response:
    """``POST storage/folders/{F}/items/move``: direct children only, all or nothing."""
    body = json_body(request)
    uuids = parse_uuids(body, "itemUuids")
    target = parse_uuid(body.get("newParentUuid"), "body", "newParentUuid")
    with service_of(request).database.writing() as connection:
        ids = _children(connection, request, uuids)
        target_id = folder_row(connection, target)["id"]
        connection.executemany("UPDATE items SET folder_id = ? WHERE id = ?", [(target_id, id_) for id_ in ids])
    return Response(status_code=204)


ROUTES = [
    Route("/storage/folders/{folder_uuid}/items", list_items, methods=["GET"]),
    Route("/storage/folders/{folder_uuid}/items/delete", delete_items, methods=["POST"]),
    Route("/storage/folders/{folder_uuid}/items/move", move_items, methods=["POST"]),
    Route("/storage/folders/{folder_uuid}/items/{item_uuid}/child-items", list_child_items, methods=["GET"]),
    Route("/storage/folders/{folder_uuid}/items/{item_uuid}/summary", item_summary, methods=["GET"]),
    Route("/storage/folders/{folder_uuid}/items/{item_uuid}", patch_item, methods=["PATCH"]),
    Route("/storage/items/get-bulk", get_items, methods=["POST"]),
    Route("/storage/items/patch-bulk", patch_items, methods=["PATCH"]),
    Route("/storage/items/{item_uuid}", get_item, methods=["GET"]),
]
