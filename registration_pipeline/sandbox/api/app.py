"""The application: faults, rate limit, body limit, signature, then routing.

Refusals and malformed input become the answers that the SDK knows.

What does not belong here: endpoints, sockets and threads.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.routing import Mount, Router

from registration_pipeline.sandbox.api import datasets as datasets_api
from registration_pipeline.sandbox.api import folders as folders_api
from registration_pipeline.sandbox.api import items as items_api
from registration_pipeline.sandbox.api import metadata_schema as metadata_schema_api
from registration_pipeline.sandbox.api import uploads as uploads_api
from registration_pipeline.sandbox.api.endpoints import BASE_PATH, EndpointFinder
from registration_pipeline.sandbox.api.legacy import (
    LEGACY_PATHS,
    LegacyError,
    QueryNames,
    legacy_error,
    refusal,
    verify_legacy_signature,
)
from registration_pipeline.sandbox.api.service import service_of
from registration_pipeline.sandbox.api.signatures import SignatureRefusedError, SignedRequest, verify_signature
from registration_pipeline.sandbox.api.traffic import TrafficCounter
from registration_pipeline.sandbox.api.wire import ApiError, error_response
from registration_pipeline.sandbox.faults.gate import FaultGate
from registration_pipeline.sandbox.faults.rate_limit import LimitHeaders, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from registration_pipeline.sandbox.api.service import Service

ROUTES = [
    *folders_api.ROUTES,
    *items_api.ROUTES,
    *uploads_api.ROUTES,
    *datasets_api.ROUTES,
    *metadata_schema_api.ROUTES,
]


class Gate:
    """Reads the whole body, verifies the signature on the raw bytes and only then lets the request through.

    Args:
        app: what is behind the gate.
        service: whose keys are authorised and whose limits hold.
        clock: seconds since the epoch.
    """

    def __init__(self, app: ASGIApp, *, service: Service, clock: Callable[[], float] = time.time) -> None:
        self._app, self._service, self._clock = app, service, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 or 401, or pass the request on with ``state.user`` and ``state.body``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._service.config.body_limit_bytes
        body = await _read_body(receive, limit)
        if body is None:
            await self._refuse(413, f"the body is larger than {limit} bytes")(scope, receive, send)
            return
        try:
            user = self._verify(scope, body)
        except SignatureRefusedError as error:
            await self._refuse(401, str(error))(scope, receive, send)
            return
        except LegacyError as error:
            await refusal(error.code, error.payload)(scope, receive, send)
            return
        scope.setdefault("state", {}).update(user=user, body=body)
        await self._app(scope, receive, send)

    def _refuse(self, status: int, message: str) -> Response:
        return error_response(status, {"message": message}, self._service.config.error_text)

    def _verify(self, scope: Scope, body: bytes) -> str:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] in LEGACY_PATHS:
            return verify_legacy_signature(headers, body, self._service.authorised)
        request = SignedRequest(
            method=scope["method"],
            raw_path=scope["raw_path"],
            query_string=scope["query_string"],
            headers=headers,
            body=body,
        )
        return verify_signature(
            request,
            authorised=self._service.authorised,
            now=self._clock(),
            skew_seconds=self._service.config.skew_seconds,
        )


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    """The body, or None if it is too large; it is read to its end either way, so that the client gets to the answer."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            break
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts) if size <= limit else None


def _error(request: Request, status: int, body: dict[str, object]) -> Response:
    return error_response(status, body, service_of(request).config.error_text)


async def _api_error(request: Request, error: Exception) -> Response:
    refused = cast("ApiError", error)
    return _error(request, refused.status, refused.body)


async def _http_error(request: Request, error: Exception) -> Response:
    return _error(request, getattr(error, "status_code", 500), {"message": getattr(error, "detail", "error")})


async def _internal_error(request: Request, error: Exception) -> Response:
    return _error(request, 500, {"message": f"the sandbox broke: {type(error).__name__}"})


def build_app(service: Service) -> ASGIApp:
    """The application for one service."""
    # A redirect would carry the signature of another target, so none is ever made.
    router = Router(routes=ROUTES, redirect_slashes=False)
    app = Starlette(
        routes=[Mount(BASE_PATH, app=router), *datasets_api.LEGACY_ROUTES],
        exception_handlers={
            ApiError: _api_error,
            LegacyError: legacy_error,
            404: _http_error,
            405: _http_error,
            500: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.service = service
    guarded: ASGIApp = Gate(app, service=service)
    if service.config.requests_per_second is not None:
        guarded = RateLimit(guarded, rate=service.config.requests_per_second, hint=service.config.retry_after)
    if service.config.rate_limit_headers:
        guarded = LimitHeaders(guarded)
    suffering = FaultGate(guarded, plan=service.plan, connections=service.connections, board=service.board)
    return QueryNames(TrafficCounter(suffering, traffic=service.traffic, finder=EndpointFinder(ROUTES)))
