"""A sync with its state in a bucket that answers after 30 ms, beside the same sync with its state on a path."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import environment, write_configuration
from benchmarks.servers import listing_server, sandbox_server, state_server
from benchmarks.table import Table, ratio, seconds_text

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch

LATENCY_SECONDS = 0.030
JOB_SECONDS = 0.2
MOST = 1.5
"""Times as long as on a path."""
_KINDS = ("PUT", "GET", "HEAD", "LIST", "DELETE")
_NIGHTS = ("first sync", "nothing new")


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"state_in_bucket: `sync` of {objects:,} objects, jobs of {JOB_SECONDS} s, {LATENCY_SECONDS * 1000:.0f} ms a request",
        ("state", "run", "time", "CPU of the process", *_KINDS, "against a path"),
    )
    on_path = _syncs(objects, folder / "path", {}, None)
    for name, measured in zip(_NIGHTS, on_path, strict=True):
        table.add("on a path", name, seconds_text(measured.seconds), seconds_text(measured.cpu_seconds), *[""] * 6)
    with state_server(LATENCY_SECONDS) as server:
        environ = {"AWS_ENDPOINT_URL_S3": server.facts["endpoint_url"], "AWS_REGION": "us-east-1"}
        place = f"s3://{server.facts['bucket']}/registration"
        in_bucket = _syncs(objects, folder / "bucket", environ, place)
    for name, path, bucket in zip(_NIGHTS, on_path, in_bucket, strict=True):
        counts = [f"{bucket.facts['requests'].get(kind, 0):,}" for kind in _KINDS]
        times = seconds_text(bucket.seconds), seconds_text(bucket.cpu_seconds)
        table.add("in a bucket", name, *times, *counts, ratio(bucket.seconds, path.seconds))
    slower = in_bucket[0].seconds / on_path[0].seconds
    table.notes.append(
        f"The first sync takes {slower:.2f} times as long: {'within' if slower <= MOST else 'above'} {MOST}."
    )
    return table


def _syncs(objects: int, folder: Path, environ: dict[str, str], state: str | None) -> list[Measured]:
    """Sync twice, with servers of its own for each place."""
    with (
        listing_server("flat", objects) as bucket,
        sandbox_server(folder / "sandbox", job_seconds=JOB_SECONDS) as sandbox,
    ):
        config = write_configuration(
            folder, uri=f"s3://{bucket.facts['bucket']}/", endpoint_url=bucket.facts["endpoint_url"]
        )
        if state is not None:
            config.write_text(re.sub(r"^state: .*$", f"state: {state}", config.read_text(), flags=re.MULTILINE))
        measured = [run_stage(sync, environment(config, sandbox) | environ) for _ in _NIGHTS]
    said = sandbox.farewell
    assert (said["registered"], said["duplicates"], said["failed"]) == (objects, 0, 0), said
    return measured


def sync(watch: Stopwatch) -> None:
    """Stage: the command, Dagster run and all; its libraries load inside, as they do for a user."""
    from registration_pipeline.cli.app import run as run_command

    with watch:
        status = run_command(["sync", "--json"])
    assert status == 0, status
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3"):
        with urllib.request.urlopen(f"{endpoint}/counts", timeout=60) as reply:
            watch.facts["requests"] = json.load(reply)
