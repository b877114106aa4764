"""A process that answers Google's and Azure's listings: ``python -m benchmarks.listing_clouds_server …``.

It keeps no object: pages are cut from rendered blocks (see ``listing_server.py``), so that a benchmark of a client measures
the client. What does not belong here: signatures and odd keys, for which the tests have emulators and imitations.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
import threading
from bisect import bisect_left
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from benchmarks.listing_server import BUCKET, LAYOUTS, Bucket, Range
from benchmarks.servers import announce, farewell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BLOCK, _BASES = 1_000, 64
_GOOGLE_PAGE, _AZURE_PAGE = 1_000, 5_000

# The fields that an inventory asks for. Google's own client gets no more here, though it asks for all: in its favour.
_GOOGLE = (
    ',{{"name":"{key}","size":"{size}","updated":"2026-03-{day:02d}T09:26:53.123Z","md5Hash":"{md5}","crc32c":"AAAAAA==",'
    '"etag":"CJ/8","contentType":"image/jpeg","storageClass":"STANDARD","generation":"1700000000000001"}}'
)
_AZURE = (
    "<Blob><Name>{key}</Name><Properties><Creation-Time>Fri, 13 Mar 2026 09:26:53 GMT</Creation-Time><Last-Modified>"
    "Sat, 14 Mar 2026 09:26:{day:02d} GMT</Last-Modified><Etag>0x8DE{size:012d}</Etag><Content-Length>{size}</Content-Length>"
    "<Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 /><Content-MD5>{md5}"
    "</Content-MD5><Cache-Control /><Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
    "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
    "<ServerEncrypted>true</ServerEncrypted>{kind}</Properties><Metadata /><OrMetadata /></Blob>"
)
_DIRECTORY = (
    "<Blob><Name>raw</Name><Properties><Last-Modified>Sat, 14 Mar 2026 09:26:53 GMT</Last-Modified><Content-Length>0"
    "</Content-Length><BlobType>BlockBlob</BlobType><ResourceType>directory</ResourceType></Properties><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
    "</Blob>"
)
_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/" ContainerName="{bucket}">'
    "<Prefix>{prefix}</Prefix><MaxResults>{most}</MaxResults><Blobs>"
)


class CloudBucket(Bucket):
    """A ``Bucket`` whose entries are written as one of the clouds writes them."""

    def __init__(self, layout: str, objects: int, entry: str) -> None:
        self._entry, self._key_at = entry, entry.replace("{{", "{").index("{key}")
        super().__init__(layout, objects)

    def starting_at(self, key: str) -> int:
        """Return the number of the first object whose key is not less."""
        return bisect_left(range(self.objects), key, key=self.key_of)

    def _block(self, block: int) -> bytearray:
        data = bytearray(self._bases[block % _BASES])
        leading = f"{block * _BLOCK:0{len(self._digits)}d}"[: len(self._digits) - 3]
        for place, digit in zip(self._digits, leading, strict=False):
            data[self._key_at + place :: self._width] = digit.encode() * _BLOCK
        return data

    def _render_bases(self) -> tuple[int, list[bytes]]:
        chance = random.Random(2026)
        bases = []
        for _ in range(_BASES):
            entries = [
                self._entry.format(
                    key=self.key_of(row),
                    day=chance.randrange(10, 29),
                    md5=base64.b64encode(chance.randbytes(16)).decode(),
                    size=chance.randrange(100_000, 1_000_000),
                    kind="",
                )
                for row in range(_BLOCK)
            ]
            bases.append("".join(entries).encode())
        return len(bases[0]) // _BLOCK, bases


def google_page(bucket: CloudBucket, asked: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the parts of the answer to one ``Objects: list`` request."""
    prefix, most = asked.get("prefix", ""), min(int(asked.get("maxResults", _GOOGLE_PAGE)), _GOOGLE_PAGE)
    found = bucket.below(prefix)
    start = max(found.start, bucket.starting_at(asked.get("startOffset", "")), int(asked.get("pageToken", "0")))
    if asked.get("delimiter"):
        folders = ",".join(f'"{folder}"' for folder in bucket.folders(Range(start, found.end), prefix, most))
        yield f'{{"kind":"storage#objects","prefixes":[{folders}]}}'.encode()
        return
    end = min(start + most, found.end)
    more = f'"nextPageToken":"{end}",' if end < found.end else ""
    yield f'{{"kind":"storage#objects",{more}"items":['.encode()
    for number, part in enumerate(bucket.entries(start, end)):
        yield part if number else part[1:]  # entries begin with a comma
    yield b"]}"


def azure_page(bucket: CloudBucket, asked: Mapping[str, str], *, is_hierarchical: bool) -> Iterator[bytes | memoryview]:
    """Yield the parts of the answer to one List Blobs request."""
    prefix, most = asked.get("prefix", ""), min(int(asked.get("maxresults", _AZURE_PAGE)), _AZURE_PAGE)
    found = bucket.below(prefix)
    start = max(found.start, bucket.starting_at(asked.get("startFrom", "")), int(asked.get("marker") or "0"))
    yield _HEAD.format(bucket=BUCKET, prefix=prefix, most=most).encode()
    # A level of these layouts has folders or objects, never both.
    has_folders = found.start < found.end and "/" in bucket.key_of(found.start)[len(prefix) :]
    if asked.get("delimiter") and has_folders:
        for folder in bucket.folders(Range(start, found.end), prefix, most):
            yield f"<BlobPrefix><Name>{folder}</Name></BlobPrefix>".encode()
        yield b"</Blobs><NextMarker /></EnumerationResults>"
        return
    if is_hierarchical and not asked.get("delimiter") and start == 0:
        yield _DIRECTORY.encode()
    end = min(start + most, found.end)
    yield from bucket.entries(start, end)
    marker = f"<NextMarker>{end}</NextMarker>" if end < found.end else "<NextMarker />"
    yield f"</Blobs>{marker}</EnumerationResults>".encode()


class Answers(asyncio.Protocol):
    """One connection: GET requests in, pages out, after a latency."""

    def __init__(self, bucket: CloudBucket, cloud: str, latency: float) -> None:
        self._bucket, self._cloud, self._latency, self._received = bucket, cloud, latency, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``; a client sends its next request when it has the answer."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        self._received = rest
        path, _, query = head.split(b" ", 2)[1].decode("ascii").partition("?")
        asyncio.get_running_loop().call_later(self._latency, self._answer, path, dict(parse_qsl(query)))

    def _answer(self, path: str, asked: Mapping[str, str]) -> None:
        if self._cloud == "google":
            is_list = path.endswith("/o")
            body = (
                list(google_page(self._bucket, asked)) if is_list else [b'{"kind":"storage#bucket","name":"benchmark"}']
            )
            kind = "application/json"
        else:
            body = list(azure_page(self._bucket, asked, is_hierarchical=self._cloud == "azure folders"))
            kind = "application/xml"
        length = sum(map(len, body))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        self._transport.writelines([head.encode(), *body])


async def _serve(
    bucket: CloudBucket, cloud: str, latency: float, started: threading.Event, facts: dict[str, str]
) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answers(bucket, cloud, latency), "127.0.0.1", 0)
    facts["endpoint_url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    started.set()
    async with server:
        await server.serve_forever()


def main(cloud: str, layout: str, objects: str, latency: str) -> None:
    """Serve until standard input is closed; the latency is in seconds."""
    assert layout in LAYOUTS
    entry = _GOOGLE if cloud == "google" else _AZURE
    if cloud == "azure folders":
        entry = entry.replace("{kind}", "<ResourceType>file</ResourceType>")
    started, facts = threading.Event(), dict[str, str]()
    bucket = CloudBucket(layout, int(objects), entry)
    threading.Thread(
        target=asyncio.run, args=(_serve(bucket, cloud, float(latency), started, facts),), daemon=True
    ).start()
    started.wait()
    announce(bucket=BUCKET, **facts)
    farewell()
    sys.stdout.flush()
    os._exit(0)  # whatever connections are still open


if __name__ == "__main__":
    main(*sys.argv[1:])
