"""The admin port: the page, and the same as JSON, with faults to read, plant and remove.

It asks for no signature, so it listens on loopback only and is never part of the signed surface. A web page from
elsewhere can't use it through the visitor's browser: other host names are refused, and so are bodies that are not JSON.

What does not belong here: the HTML (page), what a fault is (faults).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.admin.page import SHOWN_ITEMS, SHOWN_ROWS, Overview, folder_page, overview_page
from registration_pipeline.sandbox.faults.plan import dump_fault, dump_profile, load_fault, load_profile
from registration_pipeline.sandbox.jobs.unit_rules import RULES_FILE, dump_rules, parse_rules, read_rules, write_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from registration_pipeline.sandbox.admin.insight import Insight
    from registration_pipeline.sandbox.api.service import Service

_LISTED_ROWS = 1000
"""Most rows of a JSON list, unless ``?limit=`` says otherwise."""
# Nothing on the page comes from elsewhere or runs.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
}


class Admin:
    """The endpoints.

    Args:
        service: whose faults, rules and requests.
        insight: what it holds.
        domain: where the signed API is.
    """

    def __init__(self, service: Service, insight: Insight, *, domain: str) -> None:
        self._service, self._insight, self._domain = service, insight, domain

    def page(self, request: Request) -> Response:
        """``GET /``."""
        insight, plan, traffic = self._insight, self._service.plan, self._service.traffic
        overview = Overview(
            domain=self._domain,
            admin=str(request.base_url).rstrip("/"),
            data=str(self._service.config.data.resolve()),
            counts=insight.counts(),
            folders=insight.folders(SHOWN_ROWS),
            datasets=insight.datasets(SHOWN_ROWS),
            jobs=insight.jobs(SHOWN_ROWS)[::-1],
            duplicates=insight.duplicates(SHOWN_ROWS),
            violations=insight.violations(SHOWN_ROWS),
            metadata_schema=insight.metadata_schema() or {},
            scripted=plan.scripted,
            profile=plan.profile,
            strikes=plan.counts(),
            strike_log=plan.records(SHOWN_ROWS),
            traffic=traffic.endpoints(),
            requests=traffic.recent(SHOWN_ROWS),
        )
        return HTMLResponse(overview_page(overview), headers=_HEADERS)

    def folder(self, request: Request) -> Response:
        """``GET /folders/{uuid}``: its items; ``?search=``, ``?offset=``."""
        folder = self._insight.folder(request.path_params["uuid"])
        if folder is None:
            return JSONResponse({"message": "no such folder"}, 404)
        search, offset = request.query_params.get("search", ""), _number(request, "offset", 0)
        items = self._insight.items(folder.uuid, search=search, limit=SHOWN_ITEMS + 1, offset=offset)
        return HTMLResponse(folder_page(folder, items, search=search, offset=offset), headers=_HEADERS)

    def state(self, _request: Request) -> Response:
        """``GET /state``: how much there is of everything."""
        service = self._service
        return JSONResponse(
            {
                "domain": self._domain,
                **self._insight.counts(),
                "faults": service.plan.counts(),
                "requests": {name: asdict(counted) for name, counted in service.traffic.endpoints().items()},
            }
        )

    def folders(self, request: Request) -> Response:
        """``GET /folders``."""
        return _listed(self._insight.folders(_limit(request)))

    def datasets(self, request: Request) -> Response:
        """``GET /datasets``: oldest first."""
        return _listed(self._insight.datasets(_limit(request)))

    def items(self, request: Request) -> Response:
        """``GET /folders/{uuid}/items``; ``?search=``, ``?offset=``, ``?limit=``."""
        query = request.query_params
        return _listed(
            self._insight.items(
                request.path_params["uuid"],
                search=query.get("search", ""),
                limit=_limit(request),
                offset=_number(request, "offset", 0),
            )
        )

    def jobs(self, request: Request) -> Response:
        """``GET /jobs``: the latest ones, oldest first."""
        return _listed(self._insight.jobs(_limit(request)))

    def duplicates(self, request: Request) -> Response:
        """``GET /duplicates``."""
        return _listed(self._insight.duplicates(_limit(request)))

    def violations(self, request: Request) -> Response:
        """``GET /violations``: latest first."""
        return _listed(self._insight.violations(_limit(request)))

    def metadata_schema(self, _request: Request) -> Response:
        """``GET /metadata-schema``: as the API gives it, null when there is none."""
        return JSONResponse(self._insight.metadata_schema())

    def requests(self, request: Request) -> Response:
        """``GET /requests``: latest first."""
        return _listed(self._service.traffic.recent(_limit(request)))

    def faults(self, _request: Request) -> Response:
        """``GET /faults``: what is in force, and how often what struck."""
        plan = self._service.plan
        scripted = [
            {
                "id": entry.id,
                "seen": entry.seen,
                "struck": entry.struck,
                "spent": entry.spent,
                "fault": json.loads(dump_fault(entry.fault)),
            }
            for entry in plan.scripted
        ]
        random = json.loads(dump_profile(plan.profile)) if plan.profile else None
        return JSONResponse({"scripted": scripted, "random": random, "counts": plan.counts()})

    def strikes(self, request: Request) -> Response:
        """``GET /faults/log``: what struck, latest first."""
        return _listed(self._service.plan.records(_limit(request)))

    async def add_faults(self, request: Request) -> Response:
        """``POST /faults``: one fault or a list of them; answers their ids."""
        document = await _json(request)
        listed = document if isinstance(document, list) else [document]
        return JSONResponse({"ids": self._service.plan.script(*_faults(listed))})

    async def replace_faults(self, request: Request) -> Response:
        """``PUT /faults``: ``{"scripted": [...], "random": {...} | null}`` instead of all that are in force."""
        document = await _json(request)
        if not isinstance(document, dict) or not set(document) <= {"scripted", "random"}:
            raise UsageError('write {"scripted": [...], "random": {...} or null}')
        faults = _faults(document.get("scripted", []))
        given = document.get("random")
        profile = None if given is None else load_profile(json.dumps(given))
        plan = self._service.plan
        plan.clear()
        ids = plan.script(*faults)
        plan.randomise(profile)
        return JSONResponse({"ids": ids})

    def clear_faults(self, _request: Request) -> Response:
        """``DELETE /faults``: what struck stays counted."""
        self._service.plan.clear()
        return Response(status_code=204)

    def rules(self, _request: Request) -> Response:
        """``GET /rules``: the unit failures of ``rules.json``."""
        return JSONResponse(dump_rules(read_rules(self._service.config.data / RULES_FILE)))

    async def replace_rules(self, request: Request) -> Response:
        """``PUT /rules``: for the jobs started from now on."""
        write_rules(self._service.config.data / RULES_FILE, parse_rules(await _json(request), where="rules"))
        return Response(status_code=204)


def _faults(listed: object) -> list[Any]:
    if not isinstance(listed, list):
        raise UsageError("scripted must be a list of faults")
    return [load_fault(json.dumps(entry)) for entry in listed]


async def _json(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UsageError("send JSON with Content-Type: application/json (curl --json)")
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise UsageError(f"the body is not JSON: {error}") from error


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"{name} is {text!r}; write a whole number from 0 up")
    return int(text)


def _limit(request: Request) -> int:
    return _number(request, "limit", _LISTED_ROWS)


def _listed(records: Sequence[Any]) -> Response:
    return JSONResponse([asdict(record) for record in records])


async def _refused(_request: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(cast("UsageError", error))}, status_code=400)


Handler: TypeAlias = "Callable[[Admin, Request], Any]"

_PAGES: dict[str, Handler] = {"GET /": Admin.page, "GET /folders/{uuid}": Admin.folder}
_JSON: dict[str, Handler] = {
    "GET /folders/{uuid}/items": Admin.items,
    "GET /state": Admin.state,
    "GET /folders": Admin.folders,
    "GET /datasets": Admin.datasets,
    "GET /jobs": Admin.jobs,
    "GET /duplicates": Admin.duplicates,
    "GET /violations": Admin.violations,
    "GET /metadata-schema": Admin.metadata_schema,
    "GET /requests": Admin.requests,
    "GET /faults": Admin.faults,
    "POST /faults": Admin.add_faults,
    "PUT /faults": Admin.replace_faults,
    "DELETE /faults": Admin.clear_faults,
    "GET /faults/log": Admin.strikes,
    "GET /rules": Admin.rules,
    "PUT /rules": Admin.replace_rules,
}
PATHS = tuple(_JSON)
"""Methods and paths of the API."""


def build_admin(service: Service, insight: Insight, *, domain: str) -> ASGIApp:
    """The application of the admin port."""
    admin = Admin(service, insight, domain=domain)
    routes = []
    for place, handler in {**_PAGES, **_JSON}.items():
        method, path = place.split()
        routes.append(Route(path, partial(handler, admin), methods=[method]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        exception_handlers={UsageError: _refused},
    )
