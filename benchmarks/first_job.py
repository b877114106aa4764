"""From the start of ``submit`` to its first upload job, with few and with many planned chunks; ended after some jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import clean_environment, run_stage
from benchmarks.project import SOURCE, STATE, environment, load_project, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.synthetic import SyntheticLister
from benchmarks.table import Table, megabytes, seconds_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Measured, Stopwatch

FEWER = 100
"""The baseline has this part of the chunks."""
CHUNKS_STARTED = 500
"""The command is interrupted, as by Ctrl-C, once it has begun this number of chunks."""
AIM_SECONDS = 30.0
_POLL_SECONDS = 0.02
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class FirstJob:
    """What a ``submit`` took: ``cpu_seconds`` until its first chunk was begun, ``peak_bytes`` until its end."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    chunks: int


def run(objects: int, folder: Path) -> Table:
    """Measure, a chunk for each object, with everything that is written below ``folder``."""
    table = Table(
        f"first_job: `registration-pipeline submit` of {objects:,} planned chunks, until its first job is accepted",
        ("", "first job after", "CPU by then", "peak memory", "at chunk"),
    )
    few, _ = _measure(max(1, objects // FEWER), folder / "few")
    many, planned = _measure(objects, folder / "many")
    for name, found in (
        (f"baseline: {max(1, objects // FEWER):,} chunks", few),
        (f"{objects:,} chunks", many),
    ):
        table.add(
            name,
            seconds_text(found.seconds),
            seconds_text(found.cpu_seconds),
            megabytes(found.peak_bytes),
            f"{found.chunks:,}",
        )
    verdict = "within" if many.seconds <= AIM_SECONDS else "above"
    table.notes.append(
        f"{seconds_text(many.seconds)} is {verdict} the aim of {AIM_SECONDS:.0f} s. Starting Python and Dagster is in it."
    )
    table.notes.append(
        f"`registration-pipeline plan`, which made the {objects:,} chunks and their partitions: "
        f"{seconds_text(planned.seconds)}, {megabytes(planned.peak_bytes)}"
    )
    return table


def _measure(chunks: int, folder: Path) -> tuple[FirstJob, Measured]:
    with sandbox_server(folder / "sandbox", job_seconds=0) as sandbox:
        environ = environment(write_configuration(folder, chunk_size=1), sandbox)
        planned = run_stage(prepare_partitions, environ, chunks=chunks)
        began = datetime.now(UTC)
        cpu_seconds, peak_bytes, started = _submit(
            environ, folder / STATE / SOURCE / "journal", min(chunks, CHUNKS_STARTED)
        )
    said = sandbox.farewell
    assert (said["failed"], said["duplicates"]) == (0, 0), said
    return FirstJob(_seconds_until_first(began, said["job_times"]), cpu_seconds, peak_bytes, started), planned


def _seconds_until_first(began: datetime, job_times: Sequence[tuple[str, str]]) -> float:
    return (min(datetime.fromisoformat(created) for created, _ in job_times) - began).total_seconds()


def _submit(environ: Mapping[str, str], journal: Path, chunks: int) -> tuple[float, int, int]:
    """Run the command until that many chunks are begun; return the CPU before the first, its peak memory, how many."""
    command = [sys.executable, "-m", "registration_pipeline", "submit", SOURCE, "--json"]
    process = subprocess.Popen(command, env={**clean_environment(), **environ}, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + _LONGEST_SECONDS
    try:
        _wait_for(journal, 1, process.pid, deadline)
        cpu_seconds = _cpu_seconds(process.pid)
        _wait_for(journal, chunks, process.pid, deadline)
    finally:
        process.send_signal(signal.SIGINT)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # it was waited for above, which also says what it used
    return cpu_seconds, usage.ru_maxrss * 1024, _begun(journal)


def _wait_for(journal: Path, chunks: int, pid: int, deadline: float) -> None:
    while _begun(journal) < chunks:
        assert time.monotonic() < deadline, f"{chunks} chunks were not begun within {_LONGEST_SECONDS:.0f} s"
        assert Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z", "submit ended early"
        time.sleep(_POLL_SECONDS)


def _begun(journal: Path) -> int:
    """Return how many chunks have an entry: the intent, which is written right before the request."""
    return sum(1 for _ in os.scandir(journal)) if journal.exists() else 0


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def prepare_partitions(watch: Stopwatch, *, chunks: int) -> None:
    """Stage: an inventory of synthetic objects, and the command that plans it; what is measured is the command."""
    from registration_pipeline.cli.app import run as run_command
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, _ = load_project()
    take_inventory(lister=SyntheticLister(chunks), store=project.store, source=SOURCE, clock=utc_now)
    with watch:
        assert run_command(["plan", SOURCE, "--json"]) == 0
