"""A host loses its network to the state in the middle of a sync: it stops sending, and another one goes on and finishes."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest
import yaml

from registration_pipeline_tests.e2e.command_project import CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.test_two_hosts import HOST

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_IMAGES: Final = 40
_PIECE: Final = 65_536


class Network:
    """The way to a server, which can be cut: connections stay open, and nothing goes through any more in either direction.

    Args:
        target: URL of the server.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.is_whole = threading.Event()
        self.is_whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._target)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                self.is_whole.wait()
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.is_whole.set()
        self._listening.close()


@pytest.fixture
def network(aws_environment: str) -> Iterator[Network]:
    made = Network(aws_environment)
    yield made
    made.close()


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_bucket: Callable[[], S3Bucket]
) -> Iterator[CommandProject]:
    configure(tmp_path, chunk_size={"images": 5}, max_in_flight=2, settle_seconds=1)
    document = yaml.safe_load((tmp_path / "registration.yaml").read_text())
    (tmp_path / "registration.yaml").write_text(yaml.safe_dump(document | {"state": f"s3://{s3_bucket().name}/state"}))
    with open_sandbox(tmp_path, monkeypatch, job_seconds=1.0) as sandbox:
        made = CommandProject(tmp_path, sandbox)
        made.put(*(f"{number:03d}.jpg" for number in range(_IMAGES)))
        yield made


def start(project: CommandProject, host: str, state_url: str) -> subprocess.Popen[str]:
    home = str(project.root / host)
    return project.start(host, "sync", "--json", code=HOST, DAGSTER_HOME=home, AWS_ENDPOINT_URL=state_url)


def test_a_host_that_is_cut_off_from_the_state_sends_nothing_more_and_another_finishes(
    project: CommandProject, network: Network, aws_environment: str
) -> None:
    cut_off = start(project, "one", network.url)
    try:
        while not project.sandbox.jobs():
            assert cut_off.poll() is None, cut_off.communicate()
            time.sleep(0.05)
        network.is_whole.clear()
        other = project.finish(start(project, "two", aws_environment))
        sent = len(project.sandbox.jobs())
        network.is_whole.set()
        ended = project.finish(cut_off)
    finally:
        project.kill(cut_off) if cut_off.poll() is None else None

    assert other.status == 0, other.said
    assert other.numbers["registered"] == _IMAGES
    assert ended.status == 4, ended.said
    assert len(project.sandbox.jobs()) == sent
    assert set(project.registered().values()) == {1}
    assert len(project.registered()) == _IMAGES
    assert project.sandbox.duplicates() == {}
