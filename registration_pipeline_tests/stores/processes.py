"""Starts stores that others wrote, on free ports of loopback, and stops them.

What does not belong here: what the tests put into them (``hostile_keys.py``). ``make emulators`` installs them.
"""

from __future__ import annotations

import re
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".emulators"

AZURITE_ACCOUNT: Final = "devstoreaccount1"
AZURITE_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Not a secret: Azurite's documentation prints it, and every Azurite takes it."""

SWIFT_USER: Final = "test:tester"
SWIFT_KEY: Final = "testing"


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azure's Blob emulator; yields the URL of its account."""
    program = FOLDER / "node_modules" / ".bin" / "azurite-blob"
    # The newest client speaks a newer version of the API than Azurite announces; what listing needs is in both.
    options = ["--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", "0", "--disableTelemetry"]
    with _running([str(program), *options, "--skipApiVersionCheck"], folder, r"listens on (http://[\d.:]+)") as url:
        yield f"{url}/{AZURITE_ACCOUNT}"


@contextmanager
def swift(folder: Path) -> Iterator[str]:
    """Run OpenStack Swift with its S3 API; yields the URL."""
    program = [str(FOLDER / "swift" / "bin" / "python"), "-W", "ignore"]
    script = Path(__file__).parent / "emulators" / "swift_server.py"
    with _running([*program, str(script), str(folder / "swift")], folder, r"^(\d+)$") as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def gcs_emulator() -> Iterator[str]:
    """Run gcp-storage-emulator in this process; yields the URL."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    thread = server._api
    server.start()
    while thread._httpd is None:  # it says that it runs once this is there, which its own lock does not promise
        thread.is_running.wait()
    try:
        yield f"http://127.0.0.1:{thread._httpd.server_port}"
    finally:
        server.stop()


@contextmanager
def _running(command: Sequence[str], folder: Path, ready: str) -> Iterator[str]:
    """Run a process until the block ends; yields what it says when it is ready."""
    assert Path(command[0]).exists(), f"{command[0]} is missing: run `make emulators`"
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        found = None
        for line in process.stdout:
            said.append(line)
            found = re.search(ready, line.strip())
            if found is not None:
                break
        assert found is not None, f"{command[0]} did not start: {''.join(said)}"
        # What it says later must not fill the pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=30)
