"""What a process that probes files (``worker.py``) and the one that reads for it (``workers.py``) send each other, over pipes.

What does not belong here: probing and reading.

A job is JSON: which probe, the key and the size. The process asks for ranges (``R``, place, length) and gets each back with a
status; in the end it sends what it found as JSON (``D``). Lengths come first and are bounded, so that neither side can make
the other wait for more.
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READY: Final = b"S"
"""Sent once, when the process has started: without it something is wrong with the installation, and not with a file."""

ASKED: Final = b"R"
DONE: Final = b"D"
RANGE: Final = struct.Struct("<QI")
GIVEN: Final = 0
FAILED: Final = 1
REPLY: Final = struct.Struct("<BI")
LENGTH: Final = struct.Struct("<I")

MOST_JSON_BYTES: Final = 16 << 20


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it.

    Raises:
        BrokenPipeError: the other side is gone.
    """
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def read_exactly(read: Callable[[int], bytes], length: int) -> bytes:
    """Return so many bytes.

    Raises:
        EOFError: the other side is gone.
    """
    parts = []
    while length:
        part = read(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def packed(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object with its length before it."""
    content = json.dumps(value).encode("ascii")
    return LENGTH.pack(len(content)) + content


def unpacked(read: Callable[[int], bytes]) -> dict[str, Any]:
    """Return the JSON object that comes next.

    Raises:
        EOFError: the other side is gone.
        ValueError: it is not one, or too long.
    """
    (length,) = LENGTH.unpack(read_exactly(read, LENGTH.size))
    if length > MOST_JSON_BYTES:
        raise ValueError("too long")
    value = json.loads(read_exactly(read, length))
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - of what was sent, as the other
    return value
