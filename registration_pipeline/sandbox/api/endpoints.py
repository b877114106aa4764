"""The names of the sandbox's endpoints, and which one a request is for.

What does not belong here: what an endpoint does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import Route
    from starlette.types import Scope

BASE_PATH = "/v2/public"

QUERIES = {
    "dataset/GET": "get_dataset",
    "datarows/GET": "list_data_rows",
    "datasetlinkitems/POST": "link_items",
}
"""Queries of the v1 API, which all have one path, and the endpoints that they are."""


class Endpoint(StrEnum):
    """What a request can be for; the names are those of the routes."""

    LIST_INTEGRATIONS = "list_integrations"
    SEARCH_FOLDERS = "search_folders"
    LIST_FOLDERS = "list_folders"
    CREATE_FOLDER = "create_folder"
    GET_FOLDER = "get_folder"
    PATCH_FOLDER = "patch_folder"
    DELETE_FOLDER = "delete_folder"
    LIST_SUBFOLDERS = "list_subfolders"
    FOLDER_SUMMARY = "folder_summary"
    LIST_ITEMS = "list_items"
    DELETE_ITEMS = "delete_items"
    MOVE_ITEMS = "move_items"
    PATCH_ITEM = "patch_item"
    GET_ITEMS = "get_items"
    PATCH_ITEMS = "patch_items"
    GET_ITEM = "get_item"
    LIST_CHILD_ITEMS = "list_child_items"
    ITEM_SUMMARY = "item_summary"
    START_JOB = "start_job"
    POLL_JOB = "poll_job"
    STOP_JOB = "stop_job"
    CREATE_DATASET = "create_dataset"
    LIST_DATASETS = "list_datasets"
    GET_DATASET = "get_dataset"
    LIST_DATA_ROWS = "list_data_rows"
    LINK_ITEMS = "link_items"
    GET_METADATA_SCHEMA = "get_metadata_schema"
    SET_METADATA_SCHEMA = "set_metadata_schema"
    SET_SIMPLE_METADATA_SCHEMA = "set_simple_metadata_schema"
    OTHER = "other"
    """No endpoint: answered with 404 or 405."""


class EndpointFinder:
    """Names the endpoint of a request.

    Args:
        routes: in the order in which the router tries them.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._known = [(Endpoint(route.name), route.methods or set(), route.path_regex) for route in routes]

    def find(self, scope: Scope) -> Endpoint:
        """The endpoint that would answer."""
        path: str = scope["path"]
        query = scope.get("state", {}).get("query")
        if query is not None and scope["method"] == "POST":
            return Endpoint(QUERIES.get(query, Endpoint.OTHER))
        if path.startswith(BASE_PATH):
            below = path.removeprefix(BASE_PATH)
            for endpoint, methods, pattern in self._known:
                if scope["method"] in methods and pattern.match(below):
                    return endpoint
        return Endpoint.OTHER
