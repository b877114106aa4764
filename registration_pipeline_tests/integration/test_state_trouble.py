"""``registration-pipeline sync`` on a state that makes trouble: it says so, loses nothing, and goes on when it is over."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.project.project import Project
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline_tests.forked_commands import ForkedCommand
from registration_pipeline_tests.in_process import run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2000)]

SOURCE = "fleet-cameras"
OBJECTS = 12
HALTED = 4


@dataclass(frozen=True, slots=True)
class Ended:
    """How one sync ended."""

    status: int
    out: str
    err: str

    @property
    def numbers(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)["sources"][SOURCE]
        return found

    def assert_halted(self, *words: str) -> None:
        """It says once, on one line, what is wrong and what to do; and not how the code got there."""
        assert self.status == HALTED, (self.out, self.err)
        (message,) = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert [word for word in words if word not in message] == [], message
        assert "Traceback" not in self.err
        assert "This is a bug" not in self.err


@dataclass(slots=True)
class Fleet:
    """A folder of 12 files, each a chunk of its own, its state and a sandbox."""

    root: Path
    sandbox: Sandbox
    state: str = "./state"
    files: list[Path] = field(default_factory=list)

    def configure(self) -> None:
        source = {
            "uri": (self.root / "files").as_uri(),
            "encord": {"integration": "sandbox"},
            "chunk_size": {"images": 1},
            "settle_seconds": 1,
        }
        (self.root / "registration.yaml").write_text(yaml.safe_dump({"state": self.state, "sources": {SOURCE: source}}))

    def add(self, name: str) -> None:
        path = self.root / "files" / name
        path.write_bytes(b"x")
        self.files.append(path)

    def sync(self) -> Ended:
        return Ended(*run_here(self.root, "sync", "--json"))

    def sync_in_a_process(self) -> Ended:
        """Sync in a process that is gone afterwards, so that a lease that it could not release need not run out."""
        process = ForkedCommand("sync", "--json", cwd=self.root, env=os.environ)
        out, err = process.communicate(timeout=900)
        return Ended(process.wait(), out, err)

    def in_own_mounts(self, *steps: str) -> list[Ended]:
        """Run shell commands, of which ``sync`` is one, among mounts that no one else sees; returns the syncs."""
        run = f"{sys.executable} -m registration_pipeline sync --json"
        sync = f"n=0; sync() {{ n=$((n + 1)); {run} > $n.out 2> $n.err && status=0 || status=$?; echo $status > $n.status; }}"
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", "\n".join(["set -e", sync, *steps])],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        return [
            Ended(int(path.read_text()), path.with_suffix(".out").read_text(), path.with_suffix(".err").read_text())
            for path in sorted(self.root.glob("*.status"))
        ]

    def assert_exactly_once(self, ended: Ended) -> None:
        assert ended.status == 0, ended.err
        numbers = ended.numbers
        assert (numbers["registered"], numbers["pending"], numbers["failed"]) == (len(self.files), 0, 0)
        assert sorted(self.urls()) == sorted(path.as_uri() for path in self.files)
        assert self.sandbox.duplicates() == {}

    def urls(self) -> list[str]:
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return [url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG", "ENCORD_SSH_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "files").mkdir()
    (tmp_path / "state").mkdir()
    with Sandbox(SandboxConfig(data=tmp_path / "encord", job_seconds=0.1, workers=8)) as sandbox:
        monkeypatch.setenv("ENCORD_DOMAIN", sandbox.url)
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(sandbox.private_key_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        fleet = Fleet(tmp_path, sandbox)
        for number in range(OBJECTS):
            fleet.add(f"frame_{number:02d}.jpg")
        fleet.configure()
        yield fleet


@pytest.fixture(scope="session")
def own_mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where this user may not mount anything, not even for itself."""
    folder = tmp_path_factory.mktemp("mounts")
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here, so no small disk can be mounted")
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


@pytest.mark.parametrize(
    ("kilobytes", "is_submitting"),
    [
        pytest.param(12, False, id="while planning"),
        pytest.param(110, True, id="at the first chunks"),
        pytest.param(180, True, id="while jobs are under way"),
    ],
)
def test_a_full_disk(own_mounts: None, fleet: Fleet, *, kilobytes: int, is_submitting: bool):
    full, after = fleet.in_own_mounts(
        f"mount -t tmpfs -o size={kilobytes}k tmpfs state",
        "sync",
        "find state -name '*-intent.json' > intents",
        "mount -o remount,size=64m state",
        "sync",
    )

    full.assert_halted(str(fleet.root / "state" / SOURCE), "No space left on device", "free space there")
    assert bool((fleet.root / "intents").read_text()) is is_submitting
    fleet.assert_exactly_once(after)


@pytest.mark.parametrize("kilobytes", [64, 700])
def test_a_full_disk_under_dagsters_own_files(own_mounts: None, fleet: Fleet, kilobytes: int):
    full, after = fleet.in_own_mounts(
        "mkdir .dagster",
        f"mount -t tmpfs -o size={kilobytes}k tmpfs .dagster",
        "sync",
        "mount -o remount,size=64m .dagster",
        "sync",
    )

    full.assert_halted("Dagster's own files can't be written", "DAGSTER_HOME", "run again")
    fleet.assert_exactly_once(after)


def test_a_state_that_is_mounted_read_only(own_mounts: None, fleet: Fleet):
    first, refused, after = fleet.in_own_mounts(
        "sync",
        "cp files/frame_00.jpg files/late.jpg",
        "mount --bind state state",
        "mount -o remount,bind,ro state",
        "sync",
        "mount -o remount,bind,rw state",
        "sync",
    )

    assert first.numbers["registered"] == OBJECTS
    refused.assert_halted(str(fleet.root / "state" / SOURCE), "Read-only file system", "mount it writable")
    fleet.files.append(fleet.root / "files" / "late.jpg")
    fleet.assert_exactly_once(after)


class RefusingProxy(ThreadingHTTPServer):
    """Stands before an S3 server and answers every PUT with an error, from the first one of some name on.

    Args:
        target: the server's URL.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.target = urlsplit(target).netloc
        self.status, self.code, self.since = 0, "", ""
        self.is_refusing = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def refuse(self, status: int, code: str, *, since: str) -> None:
        self.status, self.code, self.since = status, code, since

    def serve_all(self) -> None:
        self.is_refusing, self.since = False, "nothing"

    def refuses(self, method: str, path: str) -> bool:
        self.is_refusing = self.is_refusing or (method == "PUT" and self.since in path)
        return self.is_refusing and method == "PUT"


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RefusingProxy

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refuses(self.command, self.path):
            text = f"<?xml version='1.0'?><Error><Code>{self.server.code}</Code><Message>no</Message></Error>".encode()
            self.answer(self.server.status, [("Content-Type", "application/xml")], text)
            return
        connection = http.client.HTTPConnection(self.server.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        reply = connection.getresponse()
        data = reply.read()
        kept = [(name, value) for name, value in reply.getheaders() if name.lower() not in _HOP_BY_HOP]
        self.answer(reply.status, kept, data, length=reply.getheader("Content-Length"))
        connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815 - the server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive"}


@pytest.fixture
def proxy(moto_server: str) -> Iterator[RefusingProxy]:
    server = RefusingProxy(moto_server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


NO_PERMISSION = (403, "AccessDenied", "refuses access", "permission to list, read, write")
BUSY = (503, "SlowDown", "did not serve", "run again when it works")
NO_ROOM = (507, "InsufficientStorage", "has no room", "raise the quota")


@pytest.mark.parametrize(
    ("trouble", "since"),
    [
        pytest.param(NO_PERMISSION, "/inventory/", id="403 while listing"),
        pytest.param(NO_PERMISSION, "/lease/", id="403 before the first chunk"),
        pytest.param(BUSY, "-intent.json", id="503 before a start"),
        pytest.param(NO_PERMISSION, "-job.json", id="403 right after a start"),
        pytest.param(NO_ROOM, "/outcomes/", id="507 at the verdicts"),
    ],
)
def test_a_bucket_that_takes_no_more_writes(
    fleet: Fleet,
    s3_bucket: Callable[[], S3Bucket],
    proxy: RefusingProxy,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trouble: tuple[int, str, str, str],
    since: str,
):
    status, code, *words = trouble
    fleet.state = f"s3://{s3_bucket().name}/state"
    fleet.configure()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    proxy.refuse(status, code, since=since)

    refused = fleet.sync_in_a_process()
    proxy.serve_all()
    after = fleet.sync()

    refused.assert_halted(f"{fleet.state}/{SOURCE}/", f"{code}, HTTP {status}", *words)
    fleet.assert_exactly_once(after)


def test_a_clock_that_jumped_back_an_hour(fleet: Fleet):
    """The first inventory and its plan are an hour ahead of everything after them."""
    project = Project.load(fleet.root / "registration.yaml")
    source = project.source(SOURCE)

    def ahead() -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)

    first = take_inventory(lister=project.lister(source), store=project.store, source=SOURCE, clock=ahead)
    plan_source(store=project.store, source=source, clock=ahead)
    second = fleet.sync()
    fleet.assert_exactly_once(second)
    fleet.add("late.jpg")
    third = fleet.sync()

    fleet.assert_exactly_once(third)
    ids = [first.inventory_id, second.numbers["inventory_id"], third.numbers["inventory_id"]]
    assert ids == sorted(set(ids))
