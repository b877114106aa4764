"""One signed request for a page sent over a connection that is kept, and its answer: nothing that needs credentials.

What does not belong here: signing (``signing.py``) and reading the page (``page.py``). Where the answer is not a plain
200 the caller asks again through boto3's client, which knows what to do about redirects, errors and repetitions.
"""

from __future__ import annotations

import http.client
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from urllib3.connection import HTTPConnection, HTTPSConnection

from registration_pipeline.bounds.connections import watched

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = 200


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go and how its certificate is checked: as botocore's own connection did.

    Args:
        is_tls: https rather than http.
        host: name or address.
        port: of it.
        ca_certs: file of the certificates that are trusted; None for http, or where nothing is checked.
        connect_seconds: the most for making the connection.
        read_seconds: the most between two pieces of an answer.
    """

    is_tls: bool
    host: str
    port: int
    ca_certs: str | None
    connect_seconds: float
    read_seconds: float


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A GET request, signed.

    Args:
        to: where it goes.
        target: path and query, as they were signed.
        headers: without Host and Accept-Encoding, which HTTP clients add.
    """

    to: Destination
    target: str
    headers: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {"to": asdict(self.to), "target": self.target, "headers": dict(self.headers)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the request that ``to_json`` wrote."""
        return cls(Destination(**value["to"]), value["target"], value["headers"])


class Line:
    """A connection to one destination after the other; used by one thread at a time."""

    def __init__(self) -> None:
        self._to: Destination | None = None
        self._connection: Any = None

    def ask(self, request: SignedRequest) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer; any failure closes the connection.

        Raises:
            OSError: the network, time-outs and certificates included.
            HTTPException: the answer is not HTTP, or was cut.
            HTTPError: urllib3 can't connect.
            ReplyLimitError: the limit in force was exceeded.
        """
        try:
            return self._answer(self._connected(request.to), request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._to = self._connection, None, None
        if connection is not None:
            connection.close()

    def _connected(self, to: Destination) -> Any:
        # What the other side has closed meanwhile is made again; a socket that can be read before anything was asked is.
        if self._to != to or not self._connection.is_connected:
            self.close()
            self._connection, self._to = _connection(to), to
            self._connection.connect()
            self._connection.sock.settimeout(to.read_seconds)
        return self._connection

    def _answer(self, connection: Any, request: SignedRequest) -> tuple[int, bytes]:
        connection.report()
        connection.putrequest("GET", request.target)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        # The standard library's, which gives the reply itself and not urllib3's wrapping of it.
        reply = http.client.HTTPConnection.getresponse(connection)
        body = reply.read()
        if reply.status == OK and reply.getheader("Content-Encoding"):
            raise http.client.HTTPException("the answer is compressed")
        if reply.will_close:
            self.close()
        return reply.status, body


def connected(to: Destination) -> Any:
    """Return a new socket to a destination, its certificate checked.

    Raises:
        Exception: what urllib3 raises.
    """
    connection = _connection(to)
    connection.connect()
    return connection.sock


def written(request: SignedRequest) -> bytes:
    """Return a request as it goes over a socket, with the headers that the standard library's client adds."""
    to = request.to
    name = f"[{to.host}]" if ":" in to.host else to.host
    port = "" if to.port == (HTTPSConnection if to.is_tls else HTTPConnection).default_port else f":{to.port}"
    named = {"Host": f"{name}{port}", "Accept-Encoding": "identity", **request.headers}
    head = "".join(f"{header}: {value}\r\n" for header, value in named.items())
    return f"GET {request.target} HTTP/1.1\r\n{head}\r\n".encode("latin-1")


def _connection(to: Destination) -> Any:
    if not to.is_tls:
        return watched(HTTPConnection)(to.host, to.port, timeout=to.connect_seconds)
    is_checked = to.ca_certs is not None
    return watched(HTTPSConnection)(
        to.host,
        to.port,
        timeout=to.connect_seconds,
        cert_reqs="CERT_REQUIRED" if is_checked else "CERT_NONE",
        ca_certs=to.ca_certs,
    )
