"""What the process that lists and those that read pages for it send each other, over pairs of sockets.

What does not belong here: the processes themselves (``worker.py``, ``pool.py``).

There is a pair for each request at once. A task is JSON: a signed request and its limits. A reply is a status, JSON and, for a
plain page, its rows as Arrow's IPC. Lengths come first. Neither credentials nor names of files go over, but for that of the
trusted certificates.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

READY: Final = b"S"
"""Sent once for each socket, when the process has started."""

_TASK: Final = struct.Struct("<I")
_REPLY: Final = struct.Struct("<HII")

NO_ANSWER: Final = 0
"""The status of a request that brought no whole answer."""


def send_task(line: socket.socket, task: dict[str, Any]) -> None:
    """Send what is to be asked for.

    Raises:
        OSError: the other side is gone.
    """
    content = json.dumps(task).encode("ascii")
    line.sendall(_TASK.pack(len(content)) + content)


def receive_task(line: socket.socket) -> dict[str, Any]:
    """Wait for a task.

    Raises:
        EOFError: the other side is gone.
    """
    (length,) = _TASK.unpack(_exactly(line, _TASK.size))
    task: dict[str, Any] = json.loads(_exactly(line, length))
    return task


def send_reply(line: socket.socket, status: int, facts: dict[str, Any], rows: Any = b"") -> None:
    """Send what came of a task.

    Args:
        line: to the process that asked.
        status: of HTTP, or ``NO_ANSWER``.
        facts: of the page; empty if it is not a plain one.
        rows: bytes, or an Arrow buffer.

    Raises:
        OSError: the other side is gone.
    """
    content = json.dumps(facts).encode("ascii")
    data = memoryview(rows).cast("B")
    head = _REPLY.pack(status, len(content), len(data)) + content
    sent = line.sendmsg([head, data])
    for piece in (memoryview(head)[sent:], data[max(0, sent - len(head)) :]):
        if piece:
            line.sendall(piece)


def receive_reply(line: socket.socket) -> tuple[int, dict[str, Any], bytes]:
    """Wait for a reply and return status, facts and rows.

    Raises:
        EOFError: the other side is gone.
    """
    status, length, size = _REPLY.unpack(_exactly(line, _REPLY.size))
    facts: dict[str, Any] = json.loads(_exactly(line, length))
    return status, facts, _exactly(line, size)  # apart, so that Arrow finds them where memory is aligned


def _exactly(line: socket.socket, length: int) -> bytes:
    """Return so many bytes, in one call of the system as a rule: each wakes the thread that waits."""
    parts: list[bytes] = []
    while length:
        part = line.recv(length, socket.MSG_WAITALL)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
