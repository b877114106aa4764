"""An object of a store as a file for a parser that jumps about: read in blocks that are kept for a while, within a limit.

What does not belong here: what the bytes mean, and headers that are read from the front only (``facts/reading``).

A jump costs one short request. Reading on doubles what is asked for each time, so that a long header takes few requests. How
much and how often is limited for each object, so that no file can make the parser read all of it, or read for ever.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from registration_pipeline.facts.media.trouble import TooMuchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK: Final = 16 << 10
"""Bytes that are kept or forgotten together."""

_LONGEST_PIECE: Final = 1 << 20

_KEPT_BYTES: Final = 2 << 20
"""Of one file: parsers step back to what they read a moment ago."""

MOST_REQUESTS: Final = 200
"""Of one object. A parser that needs more jumps where a hostile file sends it."""


class ProbedFile(io.RawIOBase):
    """A part of an object, read on demand.

    Args:
        fetch: gives the bytes from a place on, as many as asked for; called with places within the object only.
        size: of the object, in bytes.
        most_bytes: that may be fetched.
        piece: bytes of the first request, and of one after a jump; a multiple of 16 KiB.

    Attributes:
        bytes_read: that were fetched.
        requests: that were made.
        trouble: what fetching raised first; a parser may have turned it into something else.
    """

    def __init__(
        self, fetch: Callable[[int, int], bytes], size: int, *, most_bytes: int, piece: int = 2 * BLOCK
    ) -> None:
        super().__init__()
        self._fetch, self.size, self._most_bytes, self._piece = fetch, size, most_bytes, piece
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self._begin, self._current = 0, b""
        self._next_block, self._next_bytes = 0, piece
        self.bytes_read = self.requests = 0
        self.trouble: Exception | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, which may lie behind the end."""
        base = (0, self._position, self.size)[whence]
        self._position = max(base + offset, 0)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or fewer at the end.

        Raises:
            TooMuchError: the limit of the object is reached.
        """
        rest = max(self.size - self._position, 0)
        length = rest if size is None or size < 0 else min(size, rest)
        begin = self._position - self._begin
        if begin >= 0 and begin + length <= len(self._current):  # most reads are of a few bytes
            self._position += length
            return self._current[begin : begin + length]
        if self.trouble is not None:
            raise self.trouble
        try:
            found = self._bytes(self._position, length)
        except Exception as error:
            self.trouble = error
            raise
        self._position += len(found)
        return found

    def read_at(self, start: int, length: int) -> bytes:
        """Return the bytes from a place on, or fewer at the end."""
        self._position = start
        return self.read(length)

    @contextmanager
    def in_small_pieces(self) -> Iterator[None]:
        """Fetch as little as possible inside the block: for jumps from one short header to the next."""
        piece, self._piece = self._piece, BLOCK
        try:
            yield
        finally:
            self._piece = piece

    def _bytes(self, start: int, length: int) -> bytes:
        if not length:
            return b""
        if length > self._most_bytes:
            raise self._too_much()
        first, last = start // BLOCK, (start + length - 1) // BLOCK
        for block in range(first, last + 1):
            if block not in self._blocks:
                self._load(block, last)
            self._blocks.move_to_end(block)
        content = b"".join(self._blocks[block] for block in range(first, last + 1))
        self._begin, self._current = first * BLOCK, content
        while len(self._blocks) * BLOCK > _KEPT_BYTES:
            self._blocks.popitem(last=False)
        return content[start - self._begin : start - self._begin + length]

    def _load(self, block: int, last: int) -> None:
        """Fetch the blocks from one that is missing to the last that is needed, and some of those behind them."""
        if block != self._next_block:
            self._next_bytes = self._piece
        wanted = max(last + 1 - block, self._next_bytes // BLOCK)
        end = next((number for number in range(block, block + wanted) if number in self._blocks), block + wanted)
        left = self._most_bytes - self.bytes_read
        begin = block * BLOCK
        length = min((end - block) * BLOCK, self.size - begin)
        if length > left:
            length = min((last + 1 - block) * BLOCK, self.size - begin)  # without what is only convenient
        if length > left or self.requests >= MOST_REQUESTS:
            raise self._too_much()
        self.requests += 1
        content = self._fetch(begin, length)
        self.bytes_read += len(content)
        if len(content) != length:
            raise EOFError
        for place in range(0, length, BLOCK):
            self._blocks[block + place // BLOCK] = content[place : place + BLOCK]
        self._next_block = block + -(-length // BLOCK)
        self._next_bytes = min(self._next_bytes * 2, _LONGEST_PIECE)

    def _too_much(self) -> TooMuchError:
        return TooMuchError(
            f"does not say what it is within {self._most_bytes >> 10:,} KiB and {MOST_REQUESTS} requests: it is damaged, or "
            "not a file of its kind"
        )
