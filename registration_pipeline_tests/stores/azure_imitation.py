"""Containers that answer List Blobs as Azure does: flat ones, and ones with a hierarchical namespace, which no emulator has.

What does not belong here: wrong answers, which the tests make themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registration_pipeline_tests.answers import Answer

XML = {"Content-Type": "application/xml"}


def blob(name: str, *, metadata: str = "", more: str = "", encoded: str = "", kind: str = "") -> str:
    """One entry as the REST reference shows it."""
    return (
        f"<Blob><Name{encoded}>{escape(name)}</Name>{more}<Properties><Last-Modified>Sat, 21 Nov 2026 02:00:00 GMT"
        "</Last-Modified><Etag>0x8D1</Etag><Content-Length>5</Content-Length><Content-Type>image/jpeg</Content-Type>"
        f"<BlobType>BlockBlob</BlobType><AccessTier>Archive</AccessTier>{kind}</Properties>"
        f"<Metadata>{metadata}</Metadata></Blob>"
    )


def page(*blobs: str, marker: str = "", prefix: str = "", size: int = 5000) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x/" ContainerName="box">'
        f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{size}</MaxResults><Blobs>{''.join(blobs)}</Blobs><NextMarker>{escape(marker)}</NextMarker></EnumerationResults>"
    )


def utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def flat(keys: Iterable[str]) -> Callable[[dict[str, str]], Answer]:
    """Answer with ``prefix``, ``delimiter``, ``startFrom``, ``maxresults`` and ``marker``, in the order of UTF-16."""
    names = sorted(set(keys), key=utf16)

    def answer(query: dict[str, str]) -> Answer:
        prefix, delimiter, start = (query.get(name, "") for name in ("prefix", "delimiter", "startFrom"))
        found: dict[str, bool] = {}
        for name in names:
            if name.startswith(prefix) and utf16(name) >= utf16(start):
                end = name.find(delimiter, len(prefix)) if delimiter else -1
                found.setdefault(name if end < 0 else name[: end + len(delimiter)], end >= 0)
        return paged(query, [_folder(name) if is_folder else _plain(name) for name, is_folder in found.items()])

    return answer


def paged(query: dict[str, str], entries: list[str]) -> Answer:
    """One page of entries; a marker that is used with other parameters than those it came with is the client's error."""
    marker = json.loads(query.get("marker", "{}"))
    asked = {name: query.get(name, "") for name in ("prefix", "delimiter", "startFrom")}
    assert not marker or marker["asked"] == asked, (marker, asked)
    start, size = marker.get("at", 0), int(query["maxresults"])
    rest = len(entries) > start + size
    following = json.dumps({"at": start + size, "asked": asked}) if rest else ""
    # Azure's own client asks for the next page with the prefix and the size that it reads here.
    return 200, page(*entries[start : start + size], marker=following, prefix=asked["prefix"], size=size), XML


def hierarchical(keys: set[str], *, says_kinds: bool = False) -> Callable[[dict[str, str]], Answer]:
    """Answer as an account with a hierarchical namespace does: folders are entries, and a slash is less than all else.

    Args:
        keys: of files.
        says_kinds: entries say what they are, as in newer versions of the service.
    """
    folders = {key[:at] for key in keys for at, letter in enumerate(key) if letter == "/"}

    def order(name: str) -> bytes:
        return utf16(name.replace("/", "\0"))

    def answer(query: dict[str, str]) -> Answer:
        prefix, delimiter, start = (query.get(name, "") for name in ("prefix", "delimiter", "startFrom"))
        names = sorted((name for name in keys | folders if name.startswith(prefix)), key=order)
        if delimiter:
            names = [name for name in names if delimiter not in name[len(prefix) :]]
        names = [name for name in names if order(name) >= order(start)]
        return paged(query, [entry(name, is_level=bool(delimiter)) for name in names])

    def entry(name: str, *, is_level: bool) -> str:
        if name not in folders:
            return _plain(name, kind="<ResourceType>file</ResourceType>" if says_kinds else "")
        if is_level:
            return _folder(f"{name}/")
        return blob(name, metadata="<hdi_isfolder>true</hdi_isfolder>")

    return answer


def _plain(name: str, *, kind: str = "") -> str:
    return (
        blob(quote(name, safe=""), encoded=' Encoded="true"', kind=kind)
        if _needs_encoding(name)
        else blob(name, kind=kind)
    )


def _folder(name: str) -> str:
    if _needs_encoding(name):
        return f'<BlobPrefix><Name Encoded="true">{quote(name, safe="")}</Name></BlobPrefix>'
    return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"


def _needs_encoding(name: str) -> bool:
    return any(letter < " " or letter in "\ufffe\uffff" for letter in name)
