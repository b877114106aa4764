"""A bucket that answers as Google's JSON API is documented to, page by page; the emulator gives everything in one page.

What does not belong here: wrong answers, which the tests make themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registration_pipeline_tests.answers import Answer

JSON = {"Content-Type": "application/json"}
UPDATED = "2026-11-21T02:00:00.123Z"


def item(name: str) -> dict[str, str]:
    return {"name": name, "size": "5", "updated": UPDATED, "md5Hash": "bWQ1", "generation": "7", "etag": "CAE="}


def bucket_of(keys: Iterable[str]) -> Callable[[dict[str, str]], Answer]:
    """Answer ``Objects: list`` with ``prefix``, ``delimiter``, ``startOffset``, ``maxResults`` and ``pageToken``."""
    names = sorted(set(keys), key=str.encode)

    def answer(query: dict[str, str]) -> Answer:
        prefix, delimiter, start = (query.get(name, "") for name in ("prefix", "delimiter", "startOffset"))
        token = json.loads(query.get("pageToken", "{}"))
        # A token that is used with other parameters than those it came with is an error of the client.
        asked = {"prefix": prefix, "delimiter": delimiter, "startOffset": start}
        assert not token or token["asked"] == asked, (token, asked)
        found: dict[str, str] = {}
        for name in names:
            if name.startswith(prefix) and name.encode() >= start.encode():
                end = name.find(delimiter, len(prefix)) if delimiter else -1
                entry = name if end < 0 else name[: end + len(delimiter)]
                found.setdefault(entry, "object" if end < 0 else "folder")
        entries = list(found.items())[token.get("at", 0) :]
        page, rest = entries[: int(query["maxResults"])], entries[int(query["maxResults"]) :]
        body: dict[str, object] = {"kind": "storage#objects"}
        if items := [item(name) for name, kind in page if kind == "object"]:
            body["items"] = items
        if folders := [name for name, kind in page if kind == "folder"]:
            body["prefixes"] = folders
        if rest:
            body["nextPageToken"] = json.dumps({"at": token.get("at", 0) + len(page), "asked": asked})
        return 200, json.dumps(body), JSON

    return answer
