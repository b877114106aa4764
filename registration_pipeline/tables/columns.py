"""Makes Arrow columns and constants without ``pa.array`` and ``pa.scalar``, which search for pandas and import it where it is.

That takes 45 MB and half a second, and a listing needs nothing of it; a plain number or text among the arguments of
``pyarrow.compute`` has the same effect. What does not belong here: what the columns mean.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def int32s(numbers: Iterable[int]) -> pa.Array:
    """Return a column of 32-bit numbers without nulls."""
    values = array("i", numbers)
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])


def binaries(values: Sequence[bytes | None]) -> pa.Array:
    """Return a column of bytes, or of nulls where they are None."""
    texts = [value or b"" for value in values]
    ends, data = array("i", accumulate(map(len, texts), initial=0)), b"".join(texts)
    present = pa.py_buffer(bytes(value is not None for value in values)) if None in values else None
    bits = present and pa.Array.from_buffers(pa.uint8(), len(values), [None, present]).cast(pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(values), [bits, pa.py_buffer(ends), pa.py_buffer(data)])


def byte_scalar(character: str) -> pa.Scalar:
    """Return an ASCII character's code as a constant to compare with."""
    return pa.Array.from_buffers(pa.uint8(), 1, [None, pa.py_buffer(character.encode("ascii"))])[0]


def texts(values: Sequence[str | None]) -> pa.Array:
    """Return a column of text, or of nulls where they are None.

    Raises:
        UnicodeEncodeError: a lone surrogate, which no text in UTF-8 has.
    """
    joined = "".join(filter(None, values))
    if not joined.isascii():
        return binaries([None if value is None else value.encode() for value in values]).cast(pa.string())
    if None in values:
        return binaries([None if value is None else value.encode("ascii") for value in values]).cast(pa.string())
    ends = array("i", accumulate(map(len, values), initial=0))  # type: ignore[arg-type]
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(joined.encode("ascii"))]
    )


def int64s(numbers: Iterable[int], kind: pa.DataType | None = None) -> pa.Array:
    """Return a column of 64-bit numbers without nulls.

    Args:
        numbers: in range.
        kind: another type of the same width, for example a time.

    Raises:
        OverflowError: a number is out of range.
    """
    values = array("q", numbers)
    return pa.Array.from_buffers(kind or pa.int64(), len(values), [None, pa.py_buffer(values)])
