"""An answer in pieces is whole when, and only when, all of it is there, and says what the standard library reads of it."""

from __future__ import annotations

import http.client
import io
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.s3.processes.reply import RawReply

WIDE = 1 << 20
BODIES = st.one_of(st.binary(max_size=300), st.lists(st.sampled_from([b"0\r\n\r\n", b"\r\n", b"x"])).map(b"".join))


def chunked(body: bytes, sizes: list[int]) -> bytes:
    parts: list[bytes] = []
    place = 0
    while place < len(body):
        size = sizes[len(parts) % len(sizes)]
        piece = body[place : place + size]
        parts.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        place += size
    return b"".join(parts) + b"0\r\n\r\n"


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, int, bytes, bool]:
    """Draw an answer, its status, its body and whether its connection is kept."""
    body, status = draw(BODIES), draw(st.sampled_from([200, 301, 403, 503]))
    is_kept = draw(st.booleans())
    head = f"HTTP/1.1 {status} Words\r\nX-Other: content-length: 7\r\n" + ("" if is_kept else "Connection: close\r\n")
    if draw(st.booleans()):
        name = draw(st.sampled_from(["Content-Length", "content-length", "CONTENT-LENGTH"]))
        return f"{head}{name}: {len(body)}\r\n\r\n".encode() + body, status, body, is_kept
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(body, sizes), status, body, is_kept


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(answers(), st.lists(st.integers(0, 10_000), max_size=12))
def test_it_is_whole_with_its_last_byte_and_not_before(answer: tuple[bytes, int, bytes, bool], cuts: list[int]) -> None:
    data, status, body, is_kept = answer
    reply = RawReply(WIDE)

    *others, last = pieces(data, cuts)

    assert not any(reply.take(piece) for piece in others)
    assert not reply.ends_here()
    assert reply.take(last)
    assert (reply.status, reply.body, reply.is_kept) == (status, body, is_kept)


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=6))
def test_without_a_length_it_ends_with_the_connection(body: bytes, cuts: list[int]) -> None:
    reply = RawReply(WIDE)
    data = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n" + body

    assert not any(reply.take(piece) for piece in pieces(data, cuts))
    assert reply.ends_here()
    assert (reply.status, reply.body, reply.is_kept) == (200, body, False)


@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(0, 10_000), max_size=6))
def test_whatever_comes_it_reads_what_the_standard_library_reads_or_nothing(data: bytes, cuts: list[int]) -> None:
    reply = RawReply(WIDE)
    if not any(reply.take(piece) for piece in pieces(data, cuts)) and not reply.ends_here():
        return

    expected = http.client.HTTPResponse(Given(data))  # type: ignore[arg-type]
    expected.begin()
    assert (reply.status, reply.body) == (expected.status, expected.read())


class Given:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> Any:
        return io.BytesIO(self._data)


def test_more_than_it_may_have_is_too_large() -> None:
    reply = RawReply(1000)

    assert not reply.take(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    assert reply.take(b"x" * 1000)
    assert reply.is_too_large


def test_a_compressed_answer_has_no_body_because_it_was_not_asked_for() -> None:
    reply = RawReply(WIDE)

    assert reply.take(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
    assert reply.body == b""
