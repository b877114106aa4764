"""Which requests came, and how they were answered: counts per endpoint, and the latest requests.

Kept in memory only: a restarted sandbox counts from 0.

What does not belong here: deciding anything about a request.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registration_pipeline.sandbox.api.wire import timestamp

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from registration_pipeline.sandbox.api.endpoints import Endpoint, EndpointFinder

KEPT_REQUESTS = 500
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A request that was answered, or cut (``status`` is None). ``way``: how a fault struck it."""

    at: str
    method: str
    path: str
    endpoint: str
    status: int | None
    milliseconds: float
    way: str | None


@dataclass(slots=True, kw_only=True)
class EndpointTraffic:
    """Requests to one endpoint: all, those answered with a status from 400 up or cut, and those that a fault struck."""

    requests: int = 0
    failed: int = 0
    struck: int = 0


class Traffic:
    """The counts; one thread writes, any may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: dict[str, EndpointTraffic] = {}
        self._recent: deque[RequestRecord] = deque(maxlen=KEPT_REQUESTS)

    def add(self, record: RequestRecord) -> None:
        """Count a request that has ended."""
        with self._lock:
            self._recent.append(record)
            counted = self._endpoints.setdefault(record.endpoint, EndpointTraffic())
            counted.requests += 1
            counted.failed += record.status is None or record.status >= _FIRST_ERROR
            counted.struck += record.way is not None

    def endpoints(self) -> dict[str, EndpointTraffic]:
        """Counts by endpoint, the busiest first."""
        with self._lock:
            copied = {name: replace(counted) for name, counted in self._endpoints.items()}
        return dict(sorted(copied.items(), key=lambda entry: (-entry[1].requests, entry[0])))

    def recent(self, limit: int = KEPT_REQUESTS) -> list[RequestRecord]:
        """The latest requests, latest first."""
        with self._lock:
            kept = list(self._recent)
        return kept[::-1][:limit]


class TrafficCounter:
    """Counts each request when it ends, and notes its endpoint as ``state.endpoint`` for what is behind.

    Args:
        app: everything else.
        traffic: where to count.
        finder: names endpoints.
    """

    def __init__(self, app: ASGIApp, *, traffic: Traffic, finder: EndpointFinder) -> None:
        self._app, self._traffic, self._finder = app, traffic, finder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        endpoint: Endpoint = self._finder.find(scope)
        state["endpoint"] = endpoint
        at, began, status = timestamp(), time.monotonic(), None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._traffic.add(
                RequestRecord(
                    at=at,
                    method=scope["method"],
                    path=scope["path"],
                    endpoint=endpoint,
                    status=status,
                    milliseconds=(time.monotonic() - began) * 1000,
                    way=state.get("way"),
                )
            )
