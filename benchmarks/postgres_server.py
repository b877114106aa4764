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


def postgres_programs() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``: on the path, or where Debian's package puts them; None: neither."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server on a socket in its own folder, and give the URL of its database, in the form that Dagster needs."""
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
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="],
        stdout=log,
        stderr=log,
        cwd=folder,
        **account,
    )
    try:
        _wait_for(folder / ".s.PGSQL.5432", process, folder / "log")
        yield f"postgresql+psycopg2://postgres@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)  # "fast": it does not wait for clients
        process.wait(START_SECONDS)
        log.close()
        shutil.rmtree(folder)


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
