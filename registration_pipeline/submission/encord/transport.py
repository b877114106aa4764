"""How the SDK's requests go out: each with a limit on the time and the size of its whole reply.

What does not belong here: which calls are made (``gateway.py``) and what exceptions mean (``errors.py``).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from encord.http.v2 import api_client
from requests.adapters import HTTPAdapter

from registration_pipeline.bounds.reply import ReplyLimit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

REPLY_BYTES: Final = 128 << 20
"""Of a reply after decompression: a page of 1,000 items with 100 KB of foreign metadata each passes."""

_ERROR_BYTES: Final = 4 << 20
"""Of the page of a proxy that is quoted in an error."""

_QUOTED_BYTES: Final = 10_000
_NOT_JSON: Final = b"not JSON: "
_PIECE_BYTES: Final = 1 << 16


class BoundedAdapter(HTTPAdapter):
    """Reads each reply whole, within the request's timeout of reading as the time for all of it.

    Args:
        reply_bytes: of a reply after decompression.
        options: of ``HTTPAdapter``.
    """

    def __init__(self, *, reply_bytes: int = REPLY_BYTES, **options: Any) -> None:
        super().__init__(**options)
        self._reply_bytes = reply_bytes

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        """Send it and return the reply, read.

        Raises:
            ReadTimeout: the whole reply was not there in time; whether the request had its effect is not known.
            ChunkedEncodingError: it is too large, or was cut.
        """
        _, seconds = named["timeout"]
        with ReplyLimit(seconds, self._reply_bytes) as limit:
            try:
                response = super().send(request, *arguments, **{**named, "stream": True})
                self._read(response, limit)
            except Exception as error:
                if limit.is_over:
                    raise requests.ReadTimeout(limit.problem(), request=request) from error
                if limit.is_too_large:
                    raise requests.exceptions.ChunkedEncodingError(limit.problem(), request=request) from error
                raise
        return response

    def _read(self, response: requests.Response, limit: ReplyLimit) -> None:
        pieces = response.iter_content(_PIECE_BYTES)
        is_good = response.status_code == HTTPStatus.OK
        read: Any = response  # requests has no public way to give a reply the content that was read
        content = limit.whole(pieces if is_good else _beginning(pieces))
        read._content = _quotable(content)  # noqa: SLF001
        read._content_consumed = True  # noqa: SLF001
        # JSON is UTF-8; without this, what claims to be something else would be guessed at, for minutes when it is large.
        response.encoding = response.encoding or "utf-8"
        response.close()


def _beginning(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield as much of an error's page as is of use: its status counts, however long it is."""
    size = 0
    for piece in pieces:
        yield piece
        size += len(piece)
        if size >= _ERROR_BYTES:
            return


def _quotable(content: bytes) -> bytes:
    """Return the reply, or the beginning of one that is not JSON: the SDK puts the whole of it into its exception."""
    if len(content) <= _ERROR_BYTES:
        return content
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return _NOT_JSON + content[:_QUOTED_BYTES]
    return content


def bound_the_sdk() -> None:
    """Let the SDK make its sessions with our adapter; it has no setting for that."""
    sdk: Any = api_client
    made = sdk.create_new_session
    if getattr(made, "is_bounded", False):
        return

    def create_new_session(*arguments: Any, **named: Any) -> AbstractContextManager[requests.Session]:
        return _bounded(made(*arguments, **named))

    create_new_session.is_bounded = True  # type: ignore[attr-defined]
    sdk.create_new_session = create_new_session


@contextmanager
def _bounded(opening: AbstractContextManager[requests.Session]) -> Iterator[requests.Session]:
    with opening as session:
        for scheme, adapter in list(session.adapters.items()):
            session.mount(scheme, BoundedAdapter(max_retries=getattr(adapter, "max_retries", 0)))
        yield session
