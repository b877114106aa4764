"""The dialect of Encord's older v1 API: one address, an envelope around every request and reply, and a signature of its own.

A request says in its body what it is about, so the body is read before its endpoint is known. A refusal comes with HTTP
status 200 and a code in the envelope. What does not belong here: what any single query means (``datasets.py``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEGACY_PATHS: Final = frozenset({"/public", "/public/user"})

AUTHENTICATION = "AUTHENTICATION_ERROR"
AUTHORISATION = "AUTHORISATION_ERROR"
INVALID_ARGUMENTS = "INVALID_ARGUMENTS_ERROR"
KEY_NOT_FOUND = "SSH_KEY_NOT_FOUND_ERROR"
NOT_FOUND = "RESOURCE_NOT_FOUND_ERROR"
RESOURCE_EXISTS = "RESOURCE_EXISTS_ERROR"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED_ERROR"

_STATUS: Final = {
    AUTHENTICATION: 401,
    KEY_NOT_FOUND: 401,
    AUTHORISATION: 403,
    NOT_FOUND: 404,
    METHOD_NOT_ALLOWED: 405,
    RESOURCE_EXISTS: 409,
    "RATE_LIMIT_ERROR": 429,
    "UNKNOWN_ERROR": 500,
}
_OTHER_STATUS: Final = 400
_AUTHORIZATION: Final = re.compile(r"([0-9a-f]{64}):([0-9a-f]{128})")


class LegacyError(Exception):
    """Ends a v1 request with a code.

    Args:
        code: as the SDK knows it, e.g. ``AUTHORISATION_ERROR``.
        payload: what else the envelope holds.
    """

    def __init__(self, code: str, payload: object = None) -> None:
        self.code, self.payload = code, payload
        super().__init__(f"{code} {payload}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a v1 request asks for.

    Args:
        name: type and method, e.g. ``datasetlinkitems/POST``.
        uid: what it is about, by the request's own words.
        payload: the rest.
        resource: the ``ResourceID`` header.
    """

    name: str
    uid: Any
    payload: Any
    resource: str


def refuse_query(code: str, payload: object = None) -> NoReturn:
    """End the request with a code in the envelope."""
    raise LegacyError(code, payload)


def query_name(body: bytes) -> str | None:
    """What a v1 request's body says that it is; None: it is not one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    return f"{document.get('query_type')}/{document.get('query_method')}"


def read_query(request: Request) -> Query:
    """The request's query, from a body that ``query_name`` knows."""
    document = json.loads(request.state.body)
    values = document.get("values")
    if not isinstance(values, dict):
        refuse_query(INVALID_ARGUMENTS, "values must be an object with uid and payload")
    return Query(
        name=f"{document['query_type']}/{document['query_method']}",
        uid=values.get("uid"),
        payload=values.get("payload"),
        resource=request.headers.get("ResourceID", ""),
    )


def envelope(response: object) -> JSONResponse:
    """A success."""
    return JSONResponse({"status": 200, "response": response})


def refusal(code: str, payload: object = None) -> JSONResponse:
    """A refusal: HTTP status 200 all the same."""
    body = {"status": _STATUS.get(code, _OTHER_STATUS), "response": [code]}
    return JSONResponse(body if payload is None else {**body, "payload": payload})


async def legacy_error(_request: Request, error: Exception) -> JSONResponse:
    """The answer of a query that was refused."""
    refused = cast("LegacyError", error)
    return refusal(refused.code, refused.payload)


def verify_legacy_signature(headers: Mapping[str, str], body: bytes, authorised: Mapping[str, str]) -> str:
    """Return the user whose key signed a v1 request: its body's SHA-256, and nothing else, so that replays are accepted.

    Args:
        headers: lower-case names.
        body: whole.
        authorised: user by the raw public key in hex.

    Raises:
        LegacyError: for anything but a valid signature of an authorised key.
    """
    given = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if given is None:
        refuse_query(AUTHENTICATION)
    user = authorised.get(given[1])
    if user is None:
        refuse_query(KEY_NOT_FOUND)
    try:
        public_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(given[1]))
        public_key.verify(bytes.fromhex(given[2]), sha256(body).digest())
    except (InvalidSignature, ValueError):
        refuse_query(AUTHENTICATION)
    return user


class QueryNames:
    """Notes what a v1 request asks for as ``state.query``, so that faults and counts know its endpoint.

    Args:
        app: everything else.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a v1 request, and pass all on."""
        if scope["type"] != "http" or scope["path"] not in LEGACY_PATHS:
            await self._app(scope, receive, send)
            return
        messages: list[Message] = [await receive()]
        while messages[-1]["type"] == "http.request" and messages[-1].get("more_body"):
            messages.append(await receive())
        body = b"".join(message.get("body", b"") for message in messages)
        scope.setdefault("state", {})["query"] = query_name(body)
        left = iter(messages)

        async def replay() -> Message:
            message = next(left, None)
            return await receive() if message is None else message

        await self._app(scope, replay, send)
