"""Objects of a store as files that are read piece by piece, only where they are read, and never beyond a limit.

What does not belong here: what the bytes mean (the kinds of readings) and asking a store for them (``readers/``).

A parser that skips what it does not need costs nothing: only the pieces that it reads are asked for. The first piece holds
nearly every header; each further one is twice as long, so that a long header takes few requests.
"""

from __future__ import annotations

import io
import threading
import zlib
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

FIRST_PIECE_BYTES: Final = 16 << 10
"""A header without private blocks has 2 to 10 KB."""

_LONGEST_PIECE_BYTES: Final = 1 << 20

_PACKED_BYTES: Final = 4 << 10
"""That are unpacked at once: most headers are in what was read already."""

MAX_HEADER_BYTES: Final = 16 << 20
"""Of one object, that are read, or unpacked, to find the tags. Headers of enhanced objects with thousands of frames have a
few MB before them at the most; what is longer is not a header."""

_LARGE_BYTES: Final = 256 << 10
"""From here on an object waits for its turn. A parsed header takes up to thirty times the memory of its bytes."""

_ONE_LARGE_AT_A_TIME: Final = threading.Lock()


class HeaderTooLongError(Exception):
    """The tags are not within ``MAX_HEADER_BYTES``."""


class ReadToTheEndError(Exception):
    """All the rest is wanted at once: only a parser of compressed content does that."""


class _PiecewiseFile(io.RawIOBase):
    """A file of which a growing part is known. Subclasses fetch it.

    Attributes:
        is_cut: something was wanted that lies beyond the end.
        trouble: what reading raised first; a parser may have turned it into something else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self.is_cut = False
        self.trouble: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise ReadToTheEndError
        self._position = max(offset + (self._position if whence == io.SEEK_CUR else 0), 0)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            raise ReadToTheEndError
        if self.trouble is not None:
            raise self.trouble
        try:
            found = self._bytes(self._position, size)
        except Exception as error:
            self.trouble = error
            raise
        # Reading at the very end is how a parser finds out that there is no more; anything else misses something.
        self.is_cut = self.is_cut or (len(found) < size and (bool(found) or self._is_beyond_the_end(self._position)))
        self._position += len(found)
        return found

    def _bytes(self, start: int, size: int) -> bytes:
        raise NotImplementedError

    def _is_beyond_the_end(self, position: int) -> bool:
        raise NotImplementedError


class RangedFile(_PiecewiseFile):
    """An object of a store; a context manager, as a long header waits for others and must let them go on at the end.

    Args:
        fetch: gives the bytes from a place on, at most as many as asked for; called with places within the object only.
        size: of the object, in bytes.

    Attributes:
        bytes_read: that were fetched.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._fetch, self._size = fetch, size
        self._begin, self._piece = 0, b""
        self._next_bytes = FIRST_PIECE_BYTES
        self._is_alone = False
        self.bytes_read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Let the next long header go on."""
        if self._is_alone:
            self._is_alone = False
            _ONE_LARGE_AT_A_TIME.release()

    def _is_beyond_the_end(self, position: int) -> bool:
        return position > self._size

    def _bytes(self, start: int, size: int) -> bytes:
        end = min(start + size, self._size)
        if start >= end:
            return b""
        if end - start > MAX_HEADER_BYTES:
            raise HeaderTooLongError
        if not self._begin <= start <= self._begin + len(self._piece):
            self._begin, self._piece = start, b""  # what was skipped is not needed any more
        while self._begin + len(self._piece) < end:
            self._extend(start, end)
        return self._piece[start - self._begin : end - self._begin]

    def _extend(self, needed_from: int, needed_to: int) -> None:
        """Fetch the next piece, and forget what lies well before what is needed: parsers step back a few bytes only."""
        known_to = self._begin + len(self._piece)
        length = min(max(self._next_bytes, needed_to - known_to), self._size - known_to)
        if self.bytes_read + length > MAX_HEADER_BYTES:
            raise HeaderTooLongError
        self._wait_if_large(length)
        piece = self._fetch(known_to, length)
        if not piece:
            self.is_cut = True
            raise EOFError
        keep_from = max(self._begin, min(needed_from, known_to) - FIRST_PIECE_BYTES)
        self._piece, self._begin = self._piece[keep_from - self._begin :] + piece, keep_from
        self.bytes_read += len(piece)
        self._next_bytes = min(self._next_bytes * 2, _LONGEST_PIECE_BYTES)

    def _wait_if_large(self, length: int) -> None:
        if not self._is_alone and self.bytes_read + length > _LARGE_BYTES:
            _ONE_LARGE_AT_A_TIME.acquire()
            self._is_alone = True


class InflatedFile(_PiecewiseFile):
    """The rest of a file, unpacked as far as it is read. What is cut in it, and its trouble, is the file's.

    Args:
        packed: raw deflate from its present position on, as DICOM's deflated transfer syntax has it.
    """

    def __init__(self, packed: RangedFile) -> None:
        super().__init__()
        self._packed = packed
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._found = bytearray()

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, or fewer at the end."""
        try:
            return super().read(size)
        finally:
            # Not what reading the packed bytes says: their last piece is shorter than others.
            self._packed.is_cut, self._packed.trouble = self.is_cut, self.trouble

    def _is_beyond_the_end(self, position: int) -> bool:
        return position > len(self._found)

    def _bytes(self, start: int, size: int) -> bytes:
        end = start + size
        while len(self._found) < end and not self._inflater.eof:
            if len(self._found) >= MAX_HEADER_BYTES:
                raise HeaderTooLongError
            packed = self._inflater.unconsumed_tail or self._packed.read(_PACKED_BYTES)
            if not packed:
                break
            # A piece at a time: a few bytes can unpack to a gigabyte.
            self._found += self._inflater.decompress(packed, FIRST_PIECE_BYTES)
        return bytes(self._found[start:end])
