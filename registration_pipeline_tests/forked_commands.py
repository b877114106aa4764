"""Commands as processes of their own that do not load the libraries again: forks of one process that has loaded them.

Six of the seven seconds of processor time of a short ``sync`` are imports. A fork has a process identifier, a session, an
environment, a folder and pipes of its own, and can be signalled, killed and paused as any other process.

What belongs here: both ends of that, the server (this module, run as a program) and its client. What does not: what is tested
of the start itself (``python -m registration_pipeline``), and commands that can run in the test's process (``in_process.py``).
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PRELOADED: Final = (
    "registration_pipeline.cli.app",
    "registration_pipeline.cli.audit",
    "registration_pipeline.cli.commands",
    "registration_pipeline.cli.log_listener",
    "registration_pipeline.cli.progress",
    "registration_pipeline.audit.adoption",
    "registration_pipeline.audit.audit",
    "registration_pipeline.inventory.local",
    "registration_pipeline.manifest.files",
    "registration_pipeline.orchestration.definitions",
    "registration_pipeline.orchestration.runs.instance",
    "registration_pipeline.orchestration.runs.interrupted",
    "registration_pipeline.orchestration.runs.launch",
    "registration_pipeline.project.clients.listers",
    "registration_pipeline.project.facts.source_facts",
    "registration_pipeline.report.nightly",
    "registration_pipeline.report.page",
    "registration_pipeline.state.local",
    "registration_pipeline.submission.encord.gateway",
    "registration_pipeline.submission.registrar",
    "boto3",
    "dagster._core.definitions.repository_definition.repository_data_builder",
    "dagster._core.execution.plan.active",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.instance.runs.run_domain",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.storage.noop_compute_log_manager",
    "dagster._core.workspace.autodiscovery",
    "dagster._core.utility_ops",
    "dagster._utils.test.definitions",
    "fsspec.implementations.local",
    "jinja2",
    "pandas",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "rich.progress",
    "sqlalchemy.dialects.sqlite",
    "tenacity",
    "upath.implementations.local",
)
"""Modules that a command imports sooner or later; importing them starts no thread of Python."""

_LONGEST_SECONDS: Final = 900
"""Until a process is there, on a machine with much other work."""


class ForkedCommand(subprocess.Popen[str]):
    """A command that was started by the server, with the interface of a child of this process.

    Args:
        arguments: of ``registration-pipeline``, or of the code.
        cwd: its folder.
        env: its whole environment.
        code: run instead of the command.
        preload: the environment that the server itself is started with, for libraries that are loaded with it.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str],
        code: str | None = None,
        preload: Mapping[str, str] | None = None,
    ) -> None:
        self.args = arguments
        self.stdin = None
        self.returncode: int | Any = None
        self._said: dict[str, str] = {}
        pipes = [os.pipe() for _ in range(2)]
        self._server = socket.socket(socket.AF_UNIX)
        self._server.settimeout(_LONGEST_SECONDS)
        self._server.connect(_server_address(tuple(sorted((preload or {}).items()))))
        request = {"arguments": arguments, "cwd": str(cwd), "env": dict(env), "code": code}
        socket.send_fds(self._server, [b"!"], [write for _, write in pipes])
        self._server.sendall(json.dumps(request).encode() + b"\n")
        self._replies = self._server.makefile("r")
        self.pid = int(self._replies.readline())
        self._server.settimeout(None)
        for _, write in pipes:
            os.close(write)
        self.stdout, self.stderr = (os.fdopen(read, encoding="utf-8") for read, _ in pipes)
        self._ended = threading.Event()
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def _wait_for_end(self) -> None:
        self._status = int(self._replies.readline() or -signal.SIGKILL)
        self._ended.set()

    def poll(self) -> int | None:
        """Return the status of a process that has ended, or None: then it can still be signalled."""
        if self._ended.is_set() and self.returncode is None:
            self.returncode = self._status
            self._replies.close()
            self._server.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the status when the process has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        self._ended.wait(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002
        """Return what the process said when it has ended and everything was read.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        assert input is None
        streams = {"out": self.stdout, "err": self.stderr}
        readers = [threading.Thread(target=self._read, args=one, daemon=True) for one in streams.items()]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._said["out"], self._said["err"]

    def _read(self, name: str, stream: IO[str] | None) -> None:
        if stream is not None and not stream.closed:
            self._said[name] = self._said.get(name, "") + stream.read()
            stream.close()

    def __del__(self) -> None:
        """Leave it to the server to wait for the process."""


@functools.cache
def _server_address(preload: tuple[tuple[str, str], ...]) -> str:
    """Start a server that ends with this process, and return its address."""
    folder = tempfile.mkdtemp(prefix="commands-")
    address = f"{folder}/server"
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # a pipe as well: Python's stream keeps for good whether its file could be sought in
        env=os.environ | dict(preload),
    )
    atexit.register(process.communicate)
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"ready\n"):
        said += (line := process.stdout.readline())
        assert line, said
    return address


class Server:
    """Forks for each request until standard input ends.

    A process that has ended is waited for when its client knows of the end: until then its identifier is its own.

    Args:
        address: of the socket to listen on.
    """

    def __init__(self, address: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._address = Path(address)
        self._listening.listen(64)
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._clients: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        for source in (self._listening, self._woken, sys.stdin):
            self._selector.register(source, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any]:
        """Return in the children only, with what each has to do."""
        print("ready", flush=True)
        while True:
            ready = {key.fileobj: key.data for key, _ in self._selector.select()}
            for client, pid in ready.items():
                if pid is not None:
                    self._forget(client, pid)
            if self._woken in ready:
                self._woken.recv(4096)
                self._report_ended()
            if sys.stdin in ready:
                self._end_all()
            if self._listening in ready:
                client, _ = self._listening.accept()
                if not (pid := os.fork()):
                    self._leave()
                    return _accept(client)
                self._clients[pid] = client

    def _leave(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for other in (self._listening, self._woken, self._wakes, *self._clients.values()):
            other.close()

    def _report_ended(self) -> None:
        told = {key.data for key in self._selector.get_map().values()}
        for pid in self._clients.keys() - told:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            with suppress(OSError):  # the client has ended
                self._clients[pid].sendall(f"{status}\n".encode())
            self._selector.register(self._clients[pid], selectors.EVENT_READ, pid)

    def _forget(self, client: Any, pid: int) -> None:
        self._selector.unregister(client)
        self._clients.pop(pid).close()
        os.waitpid(pid, 0)

    def _end_all(self) -> None:
        for pid in self._clients:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self._address.unlink()
        self._address.parent.rmdir()
        sys.exit()


def _accept(client: socket.socket) -> dict[str, Any]:
    """Become the process that was asked for; returns the request."""
    _, descriptors, *_ = socket.recv_fds(client, 1, 2)
    with client, client.makefile("r") as lines:
        request: dict[str, Any] = json.loads(lines.readline())
        os.setsid()
        client.sendall(f"{os.getpid()}\n".encode())
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    for descriptor, to in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, to)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None
    return request


def run(request: dict[str, Any]) -> None:
    """Run the command, or the code, as the interpreter would at its start."""
    sys.path[0] = request["cwd"]
    if request["code"] is None:
        sys.argv = ["registration_pipeline", *request["arguments"]]
        runpy.run_module("registration_pipeline", run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *request["arguments"]]
        exec(request["code"], {"__name__": "__main__"})


if __name__ == "__main__":
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    run(Server(sys.argv[1]).serve())
