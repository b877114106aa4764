"""Signs requests for pages with the client's own signer, after the example of what the client itself sent.

What does not belong here: sending them (``wire.py``), and what the client is asked for itself (``requests.py``).

boto3's client takes a millisecond to make a request, of which signing is a twentieth; the rest finds the same endpoint and
the same headers again. So two pages are asked for through the client. From the first is learned what it sends, to where and
with what signer; what would be sent for the second is compared with what the client does send for it. Only if these are
the same is the third page asked for without it. Credentials are the signer's: it renews them, and none is kept here.
"""

from __future__ import annotations

import random
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from botocore.awsrequest import AWSRequest
from botocore.utils import percent_encode_sequence

from registration_pipeline.inventory.s3.plain.wire import Destination, SignedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

OPERATION: Final = "ListObjectsV2"
_BEFORE_SIGN: Final = f"before-sign.s3.{OPERATION}"
_BEFORE_SEND: Final = f"before-send.s3.{OPERATION}"

_PLACES: Final = frozenset({"start-after", "continuation-token"})
"""Parameters of the query that differ from page to page."""

_OF_ONE_REQUEST: Final = frozenset({"authorization", "x-amz-date", "x-amz-security-token", "amz-sdk-invocation-id"})
"""Headers that differ from request to request: the signer's, and a number."""

_RANDOM: Final = random.Random()  # noqa: S311 - ids for the store's support, not secrets
_UNCHECKED: Final = (ssl.CERT_NONE, "CERT_NONE")
_INVOCATION, _ATTEMPT = "amz-sdk-invocation-id", "amz-sdk-request"


@dataclass(slots=True)
class Example:
    """One request of the client, as far as its events showed it.

    Args:
        url: with its query, before it was signed.
        headers: before it was signed.
        context: botocore's, with region, name of the service and so on.
        auth_path: botocore's, of old signatures.
        signer: botocore's.
        sent_headers: as they were sent.
        to: where it was sent; None if it was not sent over a connection like those that are made here.
        sends: how often it was sent.
    """

    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    auth_path: str | None = None
    signer: Any = None
    sent_headers: dict[str, str] = field(default_factory=dict)
    to: Destination | None = None
    sends: int = 0

    def is_usable(self) -> bool:
        """Whether more requests can be made after it: it was signed, sent once, and to a place that is known."""
        return self.signer is not None and self.to is not None and self.sends == 1

    def signed(self, place: Mapping[str, str]) -> SignedRequest:
        """Return the same request for another place of the bucket.

        Args:
            place: ``start-after`` or ``continuation-token``, if any.

        Raises:
            Exception: what the signer raises, which may have to renew the credentials.
        """
        assert self.to is not None
        address, _, query = self.url.partition("?")
        asked = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in _PLACES]
        pairs: Any = [*asked, *place.items()]
        request = AWSRequest(
            method="GET",
            url=f"{address}?{percent_encode_sequence(pairs)}",
            headers=self.headers,
            auth_path=self.auth_path,
        )
        request.context.update(self.context)
        self.signer.sign(OPERATION, request)
        prepared = request.prepare()
        parts = urlsplit(prepared.url)
        headers = _texts(prepared.headers)
        if _ATTEMPT in self.sent_headers:
            headers |= {_INVOCATION: _invocation(), _ATTEMPT: self.sent_headers[_ATTEMPT]}
        return SignedRequest(self.to, f"{parts.path or '/'}?{parts.query}", headers)

    def place(self) -> dict[str, str]:
        """Return which place of the bucket it asked for."""
        return {name: value for name, value in self._asked() if name in _PLACES}

    def is_what(self, request: SignedRequest) -> bool:
        """Whether it is the same request, but for the time and what follows from it."""
        asked = parse_qsl(request.target.partition("?")[2], keep_blank_values=True)
        address = urlsplit(self.url)
        return (
            request.to == self.to
            and request.target.partition("?")[0] == (address.path or "/")
            and sorted(asked) == sorted(self._asked())
            and _lasting(request.headers) == _lasting(self.sent_headers)
        )

    def _asked(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.url).query, keep_blank_values=True)


class Signing:
    """Follows a client's own requests, and makes further ones like them. A context manager: it listens until its end.

    Args:
        client: of S3.
    """

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._seen = threading.local()
        self._lock = threading.Lock()
        self._known: Example | None = None
        self._is_proved = False

    def __enter__(self) -> Self:
        self._client.meta.events.register_first(_BEFORE_SIGN, self._note_unsigned)
        self._client.meta.events.register_last(_BEFORE_SEND, self._note_sent)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.meta.events.unregister(_BEFORE_SIGN, self._note_unsigned)
        self._client.meta.events.unregister(_BEFORE_SEND, self._note_sent)

    def follow(self) -> None:
        """Begin to follow the request that this thread is about to make through the client."""
        self._seen.example = Example()

    def learn(self, connection: Any) -> None:
        """Learn from the request that this thread made, which brought a page.

        Args:
            connection: over which it was sent; None if none is known.
        """
        example: Example = self._seen.example
        self._seen.example = None
        example.to = self._destination(connection)
        with self._lock:
            known = self._known
        is_proved = known is not None and example.is_usable() and self._proves(known, example)
        with self._lock:
            if example.sends == 1:  # else the client repeated it, which says nothing of how a request must be
                self._known, self._is_proved = (example, is_proved) if example.is_usable() else (None, False)

    def forget(self) -> None:
        """Learn again from the client's next requests: a request of ours was refused."""
        with self._lock:
            self._known, self._is_proved = None, False

    def request(self, place: Mapping[str, str]) -> SignedRequest | None:
        """Return the signed request for a place of the bucket; None as long as only the client can make it."""
        with self._lock:
            known = self._known if self._is_proved else None
        return self._try(known, place) if known is not None else None

    def _proves(self, known: Example, example: Example) -> bool:
        request = self._try(known, example.place())
        return request is not None and example.is_what(request)

    def _try(self, known: Example, place: Mapping[str, str]) -> SignedRequest | None:
        try:
            return known.signed(place)
        except Exception:  # noqa: BLE001 - the client runs into the same, and there it is translated
            self.forget()
            return None

    def _note_unsigned(self, *, request: Any, request_signer: Any, **_: object) -> None:
        """Handle botocore's event: before other handlers change the request, as they will change ours."""
        example: Example | None = getattr(self._seen, "example", None)
        if example is not None:
            example.url, example.auth_path, example.signer = request.url, request.auth_path, request_signer
            example.headers, example.context = _texts(request.headers), dict(request.context)

    def _note_sent(self, *, request: Any, **_: object) -> None:
        """Handle botocore's event."""
        example: Example | None = getattr(self._seen, "example", None)
        if example is not None:
            example.sent_headers = _texts(request.headers)
            example.sends += 1

    def _destination(self, connection: Any) -> Destination | None:
        """Return where a connection of botocore's leads; None for proxies and certificates of the client's own."""
        if connection is None or getattr(connection, "proxy", None) is not None:
            return None
        if getattr(connection, "cert_file", None) or getattr(connection, "key_file", None):
            return None
        config: Any = self._client.meta.config
        is_tls = hasattr(connection, "ca_certs")
        if is_tls and connection.ca_certs is None and connection.cert_reqs not in _UNCHECKED:
            return None
        return Destination(
            is_tls,
            connection.host,
            connection.port,
            connection.ca_certs if is_tls else None,
            config.connect_timeout,
            config.read_timeout,
        )


def _invocation() -> str:
    """Return a random id; ``uuid4`` asks the system for each, and gives the interpreter's lock away meanwhile."""
    return str(UUID(int=_RANDOM.getrandbits(128), version=4))


def _texts(headers: Any) -> dict[str, str]:
    return {name: value.decode("utf-8") if isinstance(value, bytes) else str(value) for name, value in headers.items()}


def _lasting(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    named = ((name.lower(), value) for name, value in headers.items())
    return sorted(pair for pair in named if pair[0] not in _OF_ONE_REQUEST)
