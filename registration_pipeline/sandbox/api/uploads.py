"""Endpoints of upload jobs: start, long poll, cancel.

What does not belong here: what a manifest may hold (manifests) and how units are registered (registration).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.api.folders import folder_row
from registration_pipeline.sandbox.api.service import Service, service_of
from registration_pipeline.sandbox.api.wire import (
    json_body,
    parse_uuid,
    path_uuid,
    refuse,
    text_field,
    unprocessable,
    whole_number,
)
from registration_pipeline.sandbox.jobs.manifests import ExternalFiles, ManifestRefusedError, parse_external_files
from registration_pipeline.sandbox.jobs.submissions import (
    PENDING,
    accept_job,
    add_violation,
    cancel_job,
    find_job,
    job_state,
    units_in_flight,
)
from registration_pipeline.sandbox.jobs.typed_items import NotTypedError, parse_data_items
from registration_pipeline.sandbox.jobs.unit_rules import RULES_FILE, read_rules

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request

    from registration_pipeline.sandbox.config import SandboxConfig

_LOG = logging.getLogger(__name__)


def start_job(request: Request) -> Response:
    """``POST storage/folders/{F}/data-upload-jobs``; answers the job's UUID as a bare JSON string."""
    service = service_of(request)
    folder_uuid = path_uuid(request, "folder_uuid")
    body = json_body(request)
    file_name = text_field(body, "fileName")
    files = _submitted(service, body, folder_uuid=folder_uuid, file_name=file_name)
    ignore_errors = body.get("ignoreErrors", False)
    if not isinstance(ignore_errors, bool):
        unprocessable(("body", "ignoreErrors"), "Input should be a valid boolean", "bool_type")
    given = body.get("integrationHash")
    integration = None if given is None else parse_uuid(given, "body", "integrationHash")
    try:
        rules = (*service.config.unit_rules, *read_rules(service.config.data / RULES_FILE))
    except UsageError as error:
        refuse(400, f"the sandbox's own {error}")
    with service.database.writing() as connection:
        folder = folder_row(connection, folder_uuid)
        _require_integration(connection, integration)
        _require_room(connection, len(files.units), service.config)
        job_id, job_uuid = accept_job(
            connection,
            folder_id=folder["id"],
            owner=request.state.user,
            files=files,
            rules=rules,
            dedupe_at=service.config.dedupe_at,
            url_matching=service.config.url_matching,
            group_matching=service.config.group_matching,
            file_name=file_name,
            integration_uuid=integration,
            ignore_errors=ignore_errors,
            fault=getattr(request.state, "fault", None),
        )
        for note in files.notes:
            add_violation(connection, folder_uuid=folder_uuid, file_name=file_name, message=note, refused=False)
            _LOG.info("upload job %s: %s", job_uuid, note)
    service.runner.run(job_id)
    return JSONResponse(job_uuid)


def _submitted(service: Service, body: dict[str, Any], *, folder_uuid: str, file_name: str | None) -> ExternalFiles:
    files, items = body.get("externalFiles"), body.get("dataItems")
    if files is not None and items is not None:
        refuse(400, "send externalFiles or dataItems, not both")
    key, given = ("externalFiles", files) if items is None else ("dataItems", items)
    if not isinstance(given, dict):
        unprocessable(("body", key), "Input should be a valid dictionary", "dict_type")
    try:
        parsed = (
            parse_data_items(given)
            if key == "dataItems"
            else parse_external_files(given, lenient=service.config.lenient, media_names=service.config.media_names)
        )
        _require_size(parsed, service.config.max_units_per_job)
    except NotTypedError as error:
        _note_violation(service, folder_uuid, file_name, str(error))
        unprocessable(("body", key, *error.location), error.message, error.kind)
    except ManifestRefusedError as error:
        _note_violation(service, folder_uuid, file_name, str(error))
        refuse(400, str(error))
    return parsed


def _note_violation(service: Service, folder_uuid: str, file_name: str | None, message: str) -> None:
    with service.database.writing() as connection:
        add_violation(connection, folder_uuid=folder_uuid, file_name=file_name, message=message, refused=True)


def _require_size(files: ExternalFiles, limit: int) -> None:
    if len(files.units) > limit:
        raise ManifestRefusedError(f"{len(files.units)} entries in one upload job; the limit is {limit}")


def _require_room(connection: sqlite3.Connection, units: int, config: SandboxConfig) -> None:
    limit = config.max_units_in_flight
    if limit is not None and units_in_flight(connection) + units > limit:
        refuse(429, f"more than {limit} data units at one time; wait for the upload jobs that are pending")


def _require_integration(connection: sqlite3.Connection, integration_uuid: str | None) -> None:
    if integration_uuid is None:
        return
    if connection.execute("SELECT 1 FROM integrations WHERE uuid = ?", (integration_uuid,)).fetchone() is None:
        refuse(403, f"integration {integration_uuid} does not exist or is not accessible")


async def poll_job(request: Request) -> Response:
    """``GET storage/folders/{F}/data-upload-jobs/{J}``: holds until the job ends, the time is up or the client is gone."""
    service = service_of(request)
    folder_uuid, job_uuid = path_uuid(request, "folder_uuid"), path_uuid(request, "job_uuid")
    hold = min(whole_number(request, "timeoutSeconds", default=0, low=0), service.config.poll_hold_seconds)
    with service.board.watching(job_uuid) as ended:
        state = await run_in_threadpool(_load_state, service, folder_uuid, job_uuid)
        if state["status"] == PENDING and hold > 0:
            if not await _hold(request, ended, hold):
                return Response(status_code=499)
            state = await run_in_threadpool(_load_state, service, folder_uuid, job_uuid)
    return JSONResponse(state)


async def _hold(request: Request, ended: asyncio.Event, seconds: float) -> bool:
    """Wait for the end of the job or of the time; False: the client is gone."""
    gone = asyncio.ensure_future(_disconnected(request))
    done = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({gone, done}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return not gone.done()
    finally:
        gone.cancel()
        done.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _load_state(service: Service, folder_uuid: str, job_uuid: str) -> dict[str, Any]:
    with service.database.reading() as connection:
        return job_state(connection, _job(service, connection, folder_uuid, job_uuid))


def _job(service: Service, connection: sqlite3.Connection, folder_uuid: str, job_uuid: str) -> sqlite3.Row:
    folder_id = folder_row(connection, folder_uuid)["id"]
    job = find_job(connection, folder_id, job_uuid, retention_seconds=service.config.job_retention_seconds)
    if job is None:
        refuse(404, f"upload job {job_uuid} does not exist in folder {folder_uuid}")
    return job


def stop_job(request: Request) -> Response:
    """``POST storage/folders/{F}/data-upload-jobs/{J}/cancel``; units already registered stay."""
    service = service_of(request)
    folder_uuid, job_uuid = path_uuid(request, "folder_uuid"), path_uuid(request, "job_uuid")
    with service.database.writing() as connection:
        cancelled = cancel_job(connection, _job(service, connection, folder_uuid, job_uuid))
    service.board.announce(job_uuid)
    return JSONResponse({"unitsCancelledCount": cancelled})


ROUTES = [
    Route("/storage/folders/{folder_uuid}/data-upload-jobs", start_job, methods=["POST"]),
    Route("/storage/folders/{folder_uuid}/data-upload-jobs/{job_uuid}", poll_job, methods=["GET"]),
    Route("/storage/folders/{folder_uuid}/data-upload-jobs/{job_uuid}/cancel", stop_job, methods=["POST"]),
]
