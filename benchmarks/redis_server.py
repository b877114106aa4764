"""A Redis of its own in a temporary folder: the broker between Celery workers, which can be killed and started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 30
_HOST = "127.0.0.1"


def redis_program() -> str | None:
    """Return the server's program; None: it is not installed (`make redis`)."""
    return shutil.which("redis-server")


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A server on a port of the loopback interface.

    Args:
        folder: of its files.
        is_persistent: write each change to a file, so that tasks survive a restart.
    """

    def __init__(self, folder: Path, *, is_persistent: bool) -> None:
        self._folder, self._is_persistent = folder, is_persistent
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://{_HOST}:{self.port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = {
            "port": str(self.port),
            "bind": _HOST,
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes" if self._is_persistent else "no",
            "appendfsync": "always",
        }
        program = redis_program()
        assert program is not None, "Redis is not installed (Debian package redis-server)"
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection((_HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def redis_server(*, is_persistent: bool) -> Iterator[RedisServer]:
    """Run a server; its files are removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder, is_persistent=is_persistent)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
