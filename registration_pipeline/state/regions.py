"""Files with a digest for each region: whatever a reader takes of one, it gets bytes that were compared with their digest.

What belongs here: digesting a file region by region while it is written, and reading it so. What does not: what the regions
of a Parquet file are and where their digests are kept (``parquet.py``).
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Self

import pyarrow as pa
from xxhash import xxh3_64, xxh3_64_hexdigest, xxh3_128, xxh3_128_hexdigest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BLOCK_BYTES: Final = 1 << 20
_LONG_DIGITS: Final = 32


class DamagedRegionError(ValueError):
    """Bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Region:
    """Some bytes of a file, from ``begin`` up to ``end``.

    Args:
        begin: the first byte.
        end: the byte behind the last.
        digest: XXH3 of them, 64 or 128 bits, hexadecimal.
    """

    begin: int
    end: int
    digest: str

    def check(self, data: bytes | memoryview) -> None:
        """Compare bytes with the digest.

        Raises:
            DamagedRegionError: they are others.
        """
        digest_of = xxh3_128_hexdigest if len(self.digest) == _LONG_DIGITS else xxh3_64_hexdigest
        if len(data) != self.end - self.begin:
            raise DamagedRegionError(f"it ends before byte {self.end}")
        if digest_of(data) != self.digest:
            raise DamagedRegionError(f"bytes {self.begin} to {self.end} do not match their digest")


class RegionDigests:
    """Digests a local file that is being written, region by region; reads it from the disk's cache. A context manager.

    Args:
        path: the file, which exists already.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._whole = xxh3_128()
        self.regions: list[Region] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def end_region(self, end: int) -> None:
        """Digest what was written since the last region, up to ``end``."""
        digest, begin = xxh3_64(), self._file.tell()
        while self._file.tell() < end and (block := self._file.read(min(_BLOCK_BYTES, end - self._file.tell()))):
            self._whole.update(block)
            digest.update(block)
        if begin < end:
            self.regions.append(Region(begin, end, digest.hexdigest()))

    def finish(self) -> tuple[int, str]:
        """Digest the rest of the finished file as the last region; return the size and the XXH3-128 digest of it all."""
        size = os.fstat(self._file.fileno()).st_size
        self.end_region(size)
        return size, self._whole.hexdigest()


class VerifiedFile(io.RawIOBase):
    """Random reads of a file, each from a region that was compared with its digest; holds one region at a time.

    Args:
        stream: the file.
        regions: one after the other, from the first byte that is read to the last.
        size: of the file, in bytes.
    """

    def __init__(self, stream: IO[bytes], regions: Sequence[Region], size: int) -> None:
        super().__init__()
        # Regions are read whole, so a buffer would only read ahead what is not asked for.
        self._stream = stream.raw if isinstance(stream, io.BufferedReader) else stream
        self._regions, self._size = tuple(regions), size
        self._begins = [region.begin for region in regions]
        self._position = 0
        self._held: tuple[Region, pa.Buffer] | None = None

    def verify(self, region: Region) -> pa.Buffer:
        """Return the bytes of a region.

        Raises:
            DamagedRegionError: they are not what was written.
        """
        if self._held is None or self._held[0] != region:
            self._held = None  # before the next is read: two regions are twice the memory
            self._stream.seek(region.begin)
            data = self._stream.read(region.end - region.begin)
            region.check(data)
            self._held = region, pa.py_buffer(data)
        return self._held[1]

    def readable(self) -> bool:
        """See ``io.IOBase``."""
        return True

    def seekable(self) -> bool:
        """See ``io.IOBase``."""
        return True

    def tell(self) -> int:
        """See ``io.IOBase``."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See ``io.IOBase``."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def size(self) -> int:
        """Return the size in bytes; Arrow asks."""
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        """See ``io.RawIOBase``."""
        data: bytes = self.read_buffer(size).to_pybytes()
        return data

    def read_buffer(self, size: int | None = -1) -> pa.Buffer:
        """Return the next bytes without copying them, where they are of one region; Arrow asks for these."""
        rest = max(self._size - self._position, 0)
        end = self._position + (rest if size is None or size < 0 else min(size, rest))
        pieces = []
        while self._position < end:
            region = self._regions[max(bisect_right(self._begins, self._position) - 1, 0)]
            until = min(end, region.end)
            if not region.begin <= self._position < until:
                raise DamagedRegionError(f"byte {self._position} belongs to no region")
            pieces.append(self.verify(region).slice(self._position - region.begin, until - self._position))
            self._position = until
        return pieces[0] if len(pieces) == 1 else pa.py_buffer(b"".join(piece.to_pybytes() for piece in pieces))
