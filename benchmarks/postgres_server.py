"""A Postgres of its own in a temporary folder, on a socket there: what a team's Dagster keeps its events in."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60
_ACCOUNT = "nobody"
"""Postgres refuses to run as root; then it runs as this."""
_DEBIAN = Path("/usr/lib/postgresql")
_OTHERS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


def postgres_programs() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``: on the path, or where Debian's package puts them; None: neither."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server on a socket in its own folder, and give the URL of its database, with the driver's name in it."""
    with postgres() as server:
        yield server.url


@contextmanager
def postgres(port: int | None = None) -> Iterator[PostgresServer]:
    """Run a server on a socket in its own folder, and on a port of the loopback interface if one is given."""
    programs = postgres_programs()
    assert programs is not None, "Postgres is not installed (Debian package postgresql)"
    # Not below a test's folder: the path of a socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    account = _account()
    if account:
        os.chown(folder, account["user"], account["group"])
    data = folder / "data"
    options = [f"-D{data}", "-Upostgres", "-Atrust", "-EUTF8", "--locale=C", "--no-sync", "--no-instructions"]
    subprocess.run([programs / "initdb", *options], check=True, stdout=subprocess.DEVNULL, cwd=folder, **account)
    server = PostgresServer(programs, folder, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


class PostgresServer:
    """A server that can be stopped, started again and asked for its clients.

    Args:
        programs: the folder of Postgres' programs.
        folder: of its data and its socket.
        port: of the loopback interface; None: only the socket.
    """

    def __init__(self, programs: Path, folder: Path, port: int | None) -> None:
        self._programs, self._folder, self.port = programs, folder, port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The database, with the name of the driver."""
        return self.plain_url.replace("postgresql:", "postgresql+psycopg2:")

    @property
    def plain_url(self) -> str:
        """The database as Dagster's documentation writes it."""
        return f"postgresql://postgres@/postgres?host={self._folder}&port={self.port or 5432}"

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        listens = "127.0.0.1" if self.port else ""
        log = self._folder / "log"
        log.unlink(missing_ok=True)
        with log.open("wb") as output:
            command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder)]
            options = ["-p", str(self.port or 5432), "-c", f"listen_addresses={listens}", "-c", "fsync=off"]
            self._process = process = subprocess.Popen(
                [*command, *options], stdout=output, stderr=output, cwd=self._folder, **_account()
            )
        _wait_for(self._folder / f".s.PGSQL.{self.port or 5432}", process, log)

    def stop(self) -> None:
        """End it as an administrator does who does not wait: all connections are cut."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)  # "fast": it does not wait for clients
        self._process.wait(START_SECONDS)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        import psycopg2

        connection = psycopg2.connect(self.plain_url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def connections(self) -> int:
        """Return how many clients are connected, this question not counted."""
        ((count,),) = self.ask(f"SELECT count(*) {_OTHERS}")
        return int(count)

    def cut_connections(self) -> int:
        """Cut the connection of every client, and return how many had one."""
        return len(self.ask(f"SELECT pg_terminate_backend(pid) {_OTHERS}"))


def _account() -> dict[str, Any]:
    if os.geteuid():
        return {}
    found = pwd.getpwnam(_ACCOUNT)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    # The file appears before the server takes connections; its log says when it does.
    while not socket.exists() or b"ready to accept connections" not in log.read_bytes():
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.05)
