"""Cuts client connections: knows the transport of every open one.

ASGI has no word for "close the socket now", and an exception becomes a 500. So the HTTP protocol of the server is extended by
what asyncio offers: each connection's transport, found by the peer's address that the ASGI scope carries as ``client``.

What does not belong here: when to cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Receive, Scope

_BASE: Any = AutoHTTPProtocol


class Connections:
    """The open connections of one server; used on its event loop only."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """The server's usual HTTP protocol, which registers its connections with this object."""
        transports = self._transports

        class TrackedProtocol(_BASE):  # type: ignore[misc]
            def connection_made(self, transport: asyncio.Transport) -> None:
                self._peer = transport.get_extra_info("peername")[:2]
                transports[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return TrackedProtocol

    async def cut(self, scope: Scope, receive: Receive) -> None:
        """Close the request's connection; what was sent so far still arrives. Returns when it is closed."""
        transport = self._transports.get(tuple(scope["client"]))
        if transport is not None:
            transport.close()
        # The server treats an application that returns without an answer as broken, unless the connection is lost.
        while (await receive())["type"] != "http.disconnect":
            pass


async def drain(receive: Receive) -> None:
    """Read a request to its end without keeping it, so that the client gets to an answer given without it."""
    message = await receive()
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
