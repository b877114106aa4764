"""A process that answers ListObjectsV2 for millions of synthetic objects: ``python -m benchmarks.listing_server …``.

It keeps no object. A page is cut from blocks of 1,000 entries, rendered once with all but the leading digits of their keys,
which are put in by slices. So a page of any key range of a bucket of any size takes 0.35 ms of CPU,
and a benchmark of a client measures the client. What does not belong here: signatures, writes, and odd keys, for which moto
is used (``bucket_server.py``).
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias
from urllib.parse import parse_qsl, quote_plus

from benchmarks.servers import announce, farewell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

BUCKET = "benchmark"
LAYOUTS = {
    "flat": "raw/img_########.jpg",
    "deep": "raw/camera-####/2026-03-14/frame-00####.jpg",
}
"""Keys: the hash signs are replaced by the digits of the object's number. The deep ones are those of ``synthetic.py``."""

_BLOCK = 1000
_MOST_KEYS = 1000
_ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-03-{day:02d}T09:26:53.000Z</LastModified><ETag>&quot;{e_tag}&quot;</ETag>"
    "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
    "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>{bucket}</Name><Prefix>{prefix}</Prefix>{more}<KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys>"
    "<EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>"
)
_BASES = 64  # the number of blocks with ETags and sizes of their own, 20 MB; then they come again
_BEYOND = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers of objects, from ``start`` to before ``end``."""

    start: int
    end: int


class Bucket:
    """Objects ``0`` to ``objects - 1`` with keys of one layout, and pages of them.

    Args:
        layout: of ``LAYOUTS``.
        objects: how many.
        entry: what a store writes of one of them; it is filled with ``str.format``.
    """

    def __init__(self, layout: str, objects: int, entry: str = _ENTRY) -> None:
        self._pattern, self.objects = LAYOUTS[layout], objects
        self._entry, self._key_at = entry, entry.replace("{{", "{").index("{key}")
        self._digits = [place for place, character in enumerate(self._pattern) if character == "#"]
        self._width, self._bases = self._render_bases()

    def key_of(self, number: int) -> str:
        """Return an object's key; keys ascend with the numbers."""
        characters = list(self._pattern)
        for place, digit in zip(self._digits, f"{number:0{len(self._digits)}d}", strict=True):
            characters[place] = digit
        return "".join(characters)

    def after(self, key: str) -> int:
        """Return the number of the first object whose key is greater."""
        return bisect_right(range(self.objects), key, key=self.key_of)

    def starting_at(self, key: str) -> int:
        """Return the number of the first object whose key is not less."""
        return bisect_left(range(self.objects), key, key=self.key_of)

    def below(self, prefix: str) -> Range:
        """Return the objects whose keys start with a prefix."""
        numbers = range(self.objects)
        start = bisect_left(numbers, prefix, key=self.key_of)
        return Range(start, bisect_left(numbers, prefix + _BEYOND, key=self.key_of))

    def entries(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield what is written of objects, at most a block at a time."""
        while start < end:
            block, row = divmod(start, _BLOCK)
            rows = min(_BLOCK - row, end - start)
            yield memoryview(self._block(block))[row * self._width : (row + rows) * self._width]
            start += rows

    def folders(self, found: Range, prefix: str, most: int) -> Iterator[str]:
        """Yield the common prefixes up to the next slash; objects directly below the prefix are left out."""
        number = found.start
        while number < found.end and most:
            rest = self.key_of(number)[len(prefix) :]
            folder, slash, _ = rest.partition("/")
            if slash:
                yield prefix + folder + slash
            number = self.below(prefix + folder + slash).end
            most -= 1

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
                    e_tag=f"{chance.getrandbits(128):032x}",
                    md5=base64.b64encode(chance.randbytes(16)).decode(),
                    size=chance.randrange(100_000, 1_000_000),
                )
                for row in range(_BLOCK)
            ]
            bases.append("".join(entries).encode())
        return len(bases[0]) // _BLOCK, bases


class Answer(NamedTuple):
    """What is sent back.

    Args:
        kind: its content type.
        parts: its body.
    """

    kind: str
    parts: Iterable[bytes | memoryview]


Answering: TypeAlias = "Callable[[str, Mapping[str, str]], Answer]"
"""Makes the answer to a request of its path and its query."""


class Connection(asyncio.Protocol):
    """One connection: GET requests in, pages out, after a latency."""

    def __init__(self, answer: Answering, latency: float) -> None:
        self._make_answer, self._latency, self._received = answer, latency, b""

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
        asked = dict(parse_qsl(query))
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._answer, path, asked)
        else:
            self._answer(path, asked)

    def _answer(self, path: str, asked: Mapping[str, str]) -> None:
        answer = self._make_answer(path, asked)
        body = list(answer.parts)
        length = sum(map(len, body))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {answer.kind}\r\nContent-Length: {length}\r\n\r\n"
        self._transport.writelines([head.encode(), *body])


def page(bucket: Bucket, asked: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the parts of the answer to one ListObjectsV2 request."""
    prefix, most = asked.get("prefix", ""), min(int(asked.get("max-keys", _MOST_KEYS)), _MOST_KEYS)
    found = bucket.below(prefix)
    if token := asked.get("continuation-token"):
        found = Range(int(token), found.end)
    elif after := asked.get("start-after"):
        found = Range(max(found.start, bucket.after(after)), found.end)
    shared = {"bucket": BUCKET, "prefix": quote_plus(prefix), "most": most}
    if asked.get("delimiter"):
        folders = list(bucket.folders(found, prefix, most))
        yield _HEAD.format(**shared, more="", count=len(folders), truncated="false").encode()
        for folder in folders:
            yield f"<CommonPrefixes><Prefix>{quote_plus(folder, safe='/')}</Prefix></CommonPrefixes>".encode()
    else:
        end = min(found.start + most, found.end)
        is_truncated = end < found.end
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if is_truncated else ""
        count = max(0, end - found.start)
        yield _HEAD.format(**shared, more=more, count=count, truncated=str(is_truncated).lower()).encode()
        yield from bucket.entries(found.start, end)
    yield b"</ListBucketResult>"


async def _serve(answer: Answering, latency: float, started: threading.Event, facts: dict[str, str]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answer, latency), "127.0.0.1", 0)
    facts["endpoint_url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    started.set()
    async with server:
        await server.serve_forever()


def serve(answer: Answering, latency: float) -> NoReturn:
    """Serve until standard input is closed, each answer after so many seconds, and end the process."""
    started, facts = threading.Event(), dict[str, str]()
    serving = _serve(answer, latency, started, facts)
    threading.Thread(target=asyncio.run, args=(serving,), daemon=True).start()
    started.wait()
    announce(bucket=BUCKET, **facts)
    farewell()
    sys.stdout.flush()
    os._exit(0)  # whatever connections are still open


def main(layout: str, objects: str, latency: str) -> None:
    """Serve a bucket of S3; the latency is in seconds."""
    bucket = Bucket(layout, int(objects))
    serve(lambda _, asked: Answer("application/xml", page(bucket, asked)), float(latency))


if __name__ == "__main__":
    main(*sys.argv[1:])
