"""Strikes requests with the faults in force, in front of everything else, as a load balancer would.

What does not belong here: which fault strikes (plan), and what becomes of an upload job (submissions, registration).
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from registration_pipeline.sandbox.api.legacy import refusal
from registration_pipeline.sandbox.api.wire import retry_after_header
from registration_pipeline.sandbox.faults.connections import drain
from registration_pipeline.sandbox.faults.unbounded import unbounded_reply
from registration_pipeline.sandbox.faults.values import REDIRECTS, UNBOUNDED, Effect, Fault, Form, When

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from registration_pipeline.sandbox.faults.connections import Connections
    from registration_pipeline.sandbox.faults.plan import FaultPlan, Strike
    from registration_pipeline.sandbox.jobs.runner import JobBoard

_UNPROCESSABLE = 422
_NO_CONTENT = 204
_DRIP_SECONDS = 0.2
_FIRST_FAILURE = 300
_PHRASES = frozenset(HTTPStatus)
_PAGE = (
    "<html><head><title>{status} {phrase}</title></head><body><center><h1>{status} {phrase}</h1></center><hr>"
    "<center>nginx</center></body></html>"
)
_HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_HALF_A_PAGE = b'{"results": [{"uuid": "'


class Reply:
    """What the application answered, held back."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def keep(self, message: Message) -> None:
        """The ``send`` that the application gets."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """HTTP status; 499 if the application gave none."""
        return int(self.messages[0]["status"]) if self.messages else 499

    @property
    def succeeded(self) -> bool:
        """Whether the request took effect."""
        return self.status < _FIRST_FAILURE

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    async def pass_on(self, send: Send) -> None:
        """Send it now."""
        for message in self.messages:
            await send(message)


class FaultGate:
    """Lets requests through, except those that a fault strikes; comes after the counter, which names their endpoint.

    Args:
        app: everything else.
        plan: the faults in force.
        connections: what can be cut.
        board: ends delays when the sandbox stops.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        plan: FaultPlan,
        connections: Connections,
        board: JobBoard,
    ) -> None:
        self._app, self._plan = app, plan
        self._connections, self._board = connections, board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, cut, hold or pass on the request."""
        strike = None
        if scope["type"] == "http" and self._plan.active:
            strike = await run_in_threadpool(
                self._plan.draw, endpoint=scope["state"]["endpoint"], method=scope["method"], path=scope["path"]
            )
        if strike is None:
            await self._app(scope, receive, send)
            return
        scope["state"]["way"] = strike.fault.way
        if strike.fault.effect is Effect.DELAY and strike.fault.when is When.BEFORE:
            await self._delay_then_act(strike, scope, receive, send)
        elif strike.fault.effect is not Effect.JOB and strike.fault.when is When.BEFORE:
            await self._record(strike, committed=False)
            await self._answer(strike.fault, Reply(), scope, receive, send)
        else:
            await self._act_then_strike(strike, scope, receive, send)

    async def _record(self, strike: Strike, *, committed: bool) -> int:
        return await run_in_threadpool(self._plan.record, strike, committed=committed)

    async def _delay_then_act(self, strike: Strike, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the request with its body, so that it takes effect even if the client goes away meanwhile."""
        body = await _read_all(receive)
        record = await self._record(strike, committed=False)
        if not await self._wait(strike.fault.seconds):
            await self._connections.cut(scope, receive)
            return
        reply = Reply()
        await self._app(scope, _replay(body, receive), reply.keep)
        await run_in_threadpool(self._plan.settle, record, committed=reply.succeeded)
        await reply.pass_on(send)

    async def _act_then_strike(self, strike: Strike, scope: Scope, receive: Receive, send: Send) -> None:
        fault, reply = strike.fault, Reply()
        if fault.fate is not None or fault.effect is Effect.HALF_LINKED:
            scope["state"]["fault"] = fault
        await self._app(scope, receive, reply.keep)
        if fault.effect is Effect.JOB and not reply.succeeded:
            scope["state"].pop("way")
            await run_in_threadpool(self._plan.give_back, strike)
        else:
            await self._record(strike, committed=reply.succeeded)
        await self._answer(fault, reply, scope, receive, send)

    async def _answer(self, fault: Fault, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the client is to see instead of ``reply``; an empty one: the application was not asked."""
        if fault.effect is Effect.CUT:
            if fault.when is When.MIDWAY:
                await _send_half(reply, send)
            await self._connections.cut(scope, receive)
        elif fault.effect is Effect.JOB:
            await reply.pass_on(send)
        elif fault.effect is Effect.DELAY:
            if await self._wait(fault.seconds):
                await reply.pass_on(send)
            else:
                await self._connections.cut(scope, receive)
        else:
            if not reply.messages:
                await drain(receive)
            if fault.effect is Effect.DRIP:
                await self._drip(send)
            else:
                await _forged(fault, reply, scope)(scope, receive, send)

    async def _drip(self, send: Send) -> None:
        """Send blanks, which JSON may begin with, until the client goes or the sandbox stops."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        with contextlib.suppress(OSError):
            while await self._wait(_DRIP_SECONDS):
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait(self, seconds: float) -> bool:
        """Wait; False: the sandbox stops before the time is up."""
        with self._board.watching("") as stopping, contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), seconds)
            return False
        return True


async def _read_all(receive: Receive) -> list[Message]:
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    left = iter(messages)

    async def replay() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return replay


async def _send_half(reply: Reply, send: Send) -> None:
    body = reply.body
    if body:
        await send(reply.messages[0])
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


def _forged(fault: Fault, reply: Reply, scope: Scope) -> Response:
    if fault.effect in (Effect.STATUS, Effect.HALF_LINKED, Effect.QUERY_REFUSED):
        return _status_reply(fault, reply, scope)
    if fault.effect is Effect.HTML:
        return Response(_HTML, media_type="text/html")
    if fault.effect is Effect.WRONG_SHAPE:
        return JSONResponse({"unexpected": ["shape"]})
    if fault.effect in UNBOUNDED:
        return unbounded_reply(fault.effect, reply.body)
    if fault.effect is Effect.TRUNCATED:
        body = reply.body
        return Response(body[: len(body) // 2] if body else _HALF_A_PAGE, media_type="application/json")
    text = b"" if fault.effect is Effect.EMPTY else b"upstream is busy, try later"
    return Response(text, media_type="application/json")


def _status_reply(fault: Fault, reply: Reply, scope: Scope) -> Response:
    if fault.effect is Effect.QUERY_REFUSED:
        return refusal(fault.message or "UNKNOWN_ERROR")
    if fault.status == _NO_CONTENT:
        return Response(status_code=_NO_CONTENT)
    if fault.status < _FIRST_FAILURE and reply.messages:
        return Response(reply.body, status_code=fault.status, media_type="application/json")
    response = _failure(fault)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = retry_after_header(fault.retry_after, as_date=fault.retry_after_as_date)
    if fault.status in REDIRECTS:
        response.headers["Location"] = _target(scope)
    return response


def _failure(fault: Fault) -> Response:
    status, said = fault.status, fault.message or f"planted status {fault.status}"
    phrase = HTTPStatus(status).phrase if status in _PHRASES else "Error"
    if fault.form is Form.HTML:
        return Response(_PAGE.format(status=status, phrase=phrase), status_code=status, media_type="text/html")
    if fault.form is Form.EMPTY:
        return Response(status_code=status)
    if fault.form is Form.LOOK_ALIKE:
        body: dict[str, Any] = {"message": fault.message or phrase, "request_id": "4e2b84ba0a7c"}
    elif status == _UNPROCESSABLE:
        body = {"detail": [{"loc": ["body"], "msg": said, "type": "value_error"}]}
    else:
        body = {"message": said}
    return JSONResponse(body, status_code=status)


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return str(scope["raw_path"].decode("latin-1")) + (f"?{query}" if query else "")
