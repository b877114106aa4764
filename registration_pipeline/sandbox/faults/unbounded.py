"""Replies that hold more than a client should take: one that unpacks to a gigabyte, and a listing without an end.

What does not belong here: which request gets one (gate).
"""

from __future__ import annotations

import gzip
import json
import secrets

from starlette.responses import JSONResponse, Response

from registration_pipeline.sandbox.faults.values import Effect

_MEGABYTES = 1024


def unbounded_reply(effect: Effect, body: bytes) -> Response:
    """The reply of ``Effect.BOMB`` or ``Effect.ENDLESS``.

    Args:
        body: of the real reply; empty: there is none, or it is not JSON.
    """
    if effect is Effect.BOMB:
        return Response(_bomb(), media_type="application/json", headers={"Content-Encoding": "gzip"})
    return JSONResponse({**_page(body), "nextPageToken": secrets.token_hex(8)})


def _bomb() -> bytes:
    """JSON of a gigabyte, as many compressed pieces: gzip allows them one after the other."""
    piece = gzip.compress(b" " * (1 << 20))
    return gzip.compress(b'{"padding": "') + piece * _MEGABYTES + gzip.compress(b'"}')


def _page(body: bytes) -> dict[str, object]:
    try:
        page = json.loads(body)
    except ValueError:
        page = None
    # A token of our own is refused by the listing itself.
    return page if isinstance(page, dict) and "results" in page else {"results": []}
