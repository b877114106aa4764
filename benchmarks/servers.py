"""Starts the servers that benchmarks speak to, each in a process of its own on the loopback interface.

A server prints one JSON line when it is ready, ends when its standard input is closed, which also happens when the
benchmark is killed, and prints a second JSON line about what it did.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.measure import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STOP_SECONDS = 30


class ServerFailedError(Exception):
    """A server did not start, or did not say what it did; its own message is on standard error."""


@dataclass(slots=True)
class Server:
    """A server process.

    Args:
        facts: what it said when it was ready.
        farewell: what it said at the end; empty until then.
    """

    facts: Mapping[str, Any]
    farewell: dict[str, Any] = field(default_factory=dict)


@contextmanager
def bucket_server(objects: int) -> Iterator[Server]:
    """Run ``benchmarks.bucket_server``; facts: ``endpoint_url``, ``bucket``."""
    with _server("benchmarks.bucket_server", str(objects)) as server:
        yield server


@contextmanager
def listing_server(layout: str, objects: int, *, latency: float = 0) -> Iterator[Server]:
    """Run ``benchmarks.listing_server``, each page after ``latency`` seconds; facts: ``endpoint_url``, ``bucket``."""
    with _server("benchmarks.listing_server", layout, str(objects), str(latency)) as server:
        yield server


@contextmanager
def listing_clouds_server(cloud: str, layout: str, objects: int, *, latency: float) -> Iterator[Server]:
    """Run ``benchmarks.listing_clouds_server``, each page after ``latency`` seconds; facts: ``endpoint_url``, ``bucket``."""
    with _server("benchmarks.listing_clouds_server", cloud, layout, str(objects), str(latency)) as server:
        yield server


@contextmanager
def file_server(folder: Path, *, latency: float = 0) -> Iterator[Server]:
    """Run ``benchmarks.file_server``, each request after ``latency`` seconds; facts: ``endpoint_url``, ``bucket``."""
    with _server("benchmarks.file_server", str(folder), str(latency)) as server:
        yield server


@contextmanager
def state_server(latency: float) -> Iterator[Server]:
    """Run ``benchmarks.state_server``, each answer after ``latency`` seconds; facts: ``endpoint_url``, ``bucket``."""
    with _server("benchmarks.state_server", str(latency)) as server:
        yield server


@contextmanager
def sandbox_server(data: Path, *, job_seconds: float, workers: int = 4) -> Iterator[Server]:
    """Run ``benchmarks.sandbox_server``; facts: ``url``, ``key_file``, ``integration``."""
    with _server("benchmarks.sandbox_server", str(data), str(job_seconds), str(workers)) as server:
        yield server


@contextmanager
def _server(module: str, *arguments: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise ServerFailedError(f"{module} did not start")
        server = Server(json.loads(line))
        yield server
        last, _ = process.communicate(timeout=STOP_SECONDS)
        if not last:
            raise ServerFailedError(f"{module} did not end well (status {process.returncode})")
        server.farewell.update(json.loads(last))
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def announce(**facts: Any) -> None:
    """Say that this server is ready, then return once it should end. Called inside the server's process."""
    print(json.dumps(facts), flush=True)
    sys.stdin.read()


def farewell(**facts: Any) -> None:
    """Say what this server did, its own cost included. Called inside the server's process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**facts, "cpu_seconds": time.process_time(), "peak_bytes": peak}), flush=True)
