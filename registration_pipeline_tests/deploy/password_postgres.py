"""A Postgres on a port of the loopback interface that asks for a password, as the image of ``compose.yaml`` is set up."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, text

from benchmarks.postgres_server import START_SECONDS, postgres_programs

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    """Return a port of the loopback interface that no process uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def password_postgres(user: str, database: str, password: str) -> Iterator[int]:
    """Run a server whose only account has a password, and give its port."""
    programs, port = postgres_programs(), free_port()
    assert programs is not None, "Postgres is not installed (Debian package postgresql)"
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    data, secret, log, account = folder / "data", folder / "password", folder / "log", _account()
    secret.write_text(password)
    for path in (folder, secret):
        os.chown(path, account.get("user", -1), account.get("group", -1))
    initdb: list[str | Path] = [
        programs / "initdb",
        f"-D{data}",
        f"-U{user}",
        "-Ascram-sha-256",
        f"--pwfile={secret}",
        "--no-sync",
    ]
    subprocess.run([*initdb, "-EUTF8", "--locale=C"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **account)
    options: list[str | Path] = ["-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=output, stderr=output, cwd=folder, **account
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"ready to accept connections" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        _create(database, user, password, port)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_SECONDS)
        shutil.rmtree(folder)


def _create(database: str, user: str, password: str, port: int) -> None:
    url = URL.create("postgresql+psycopg2", user, password, "127.0.0.1", port, "postgres")
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))


def _account() -> dict[str, Any]:
    """Return who runs Postgres, which refuses to run as root."""
    if os.geteuid():
        return {}
    found = pwd.getpwnam("nobody")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
