"""Refuses requests that come faster than allowed with 429, in front of the signature, as a gateway would.

Or only says how many are left. What does not belong here: planted 429 answers (gate).
"""

from __future__ import annotations

import time
from math import ceil
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse

from registration_pipeline.sandbox.api.wire import retry_after_header
from registration_pipeline.sandbox.config import RetryAfter
from registration_pipeline.sandbox.faults.connections import drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 1000
"""What ``LimitHeaders`` counts down from."""


class LimitHeaders:
    """Says with every reply how many requests are left of a thousand.

    Args:
        app: what is behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._left = app, MOST

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its reply."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._left = max(0, self._left - 1)
                headers = MutableHeaders(scope=message)
                headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"] = str(MOST), str(self._left)
            await send(message)

        await self._app(scope, receive, with_headers)


class RateLimit:
    """A bucket of tokens for all requests together: it holds one second's worth.

    Args:
        app: what is behind.
        rate: requests per second, above 0.
        hint: how ``Retry-After`` is written.
        clock: monotonic seconds.
    """

    def __init__(
        self, app: ASGIApp, *, rate: float, hint: RetryAfter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._rate, self._hint, self._clock = app, rate, hint, clock
        self._most = max(1.0, rate)
        self._tokens, self._filled_at = self._most, clock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or answer 429."""
        wait = self._take() if scope["type"] == "http" else 0.0
        if wait <= 0:
            await self._app(scope, receive, send)
            return
        await drain(receive)
        form = {RetryAfter.SECONDS: False, RetryAfter.DATE: True}.get(self._hint)
        headers = {} if form is None else {"Retry-After": retry_after_header(ceil(wait), as_date=form)}
        await JSONResponse({"message": "too many requests"}, 429, headers)(scope, receive, send)

    def _take(self) -> float:
        """Seconds until there is a token again; 0: one was used."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0
