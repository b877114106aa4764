"""Many jobs at once: 1,000 chunks with jobs of a fixed length, beside the least time that they can take."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import environment, load_project, prepare, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.table import Table, megabytes, milliseconds, seconds_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Stopwatch

CHUNKS = 1_000
IN_FLIGHT = 16
JOB_SECONDS = 2.0
AIM = 1.05


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    chunk_size = max(1, objects // CHUNKS)
    table = Table(
        f"in_flight: {CHUNKS:,} chunks of {chunk_size:,} images, jobs of {JOB_SECONDS:.0f} s, {IN_FLIGHT} in flight",
        ("", "time", "of ideal", "own CPU per chunk", "polls per job and second", "peak memory"),
    )
    ideal = math.ceil(CHUNKS / IN_FLIGHT) * JOB_SECONDS
    table.add(f"baseline: ceil({CHUNKS:,} / {IN_FLIGHT}) jobs in turn", seconds_text(ideal), "1.00", "", "", "")
    with sandbox_server(folder / "sandbox", job_seconds=JOB_SECONDS, workers=2 * IN_FLIGHT) as sandbox:
        config = write_configuration(folder / "project", chunk_size=chunk_size, max_in_flight=IN_FLIGHT)
        environ = environment(config, sandbox)
        run_stage(prepare, environ, objects=chunk_size * CHUNKS, plan=True)
        measured = run_stage(register_all, environ)
    said = sandbox.farewell
    assert (said["registered"], said["duplicates"], said["jobs"]) == (chunk_size * CHUNKS, 0, CHUNKS), said
    share = measured.seconds / ideal
    start_up = _seconds_until_full(said["job_times"], measured.seconds)
    allowed = AIM * ideal + start_up
    table.add(
        "pipeline, from the plan to the last verdict",
        seconds_text(measured.seconds),
        f"{share:.3f}",
        milliseconds(measured.cpu_seconds / CHUNKS),
        f"{said['polls'] / (CHUNKS * JOB_SECONDS):.2f}",
        megabytes(measured.peak_bytes),
    )
    verdict = "within" if measured.seconds <= allowed else "above"
    table.notes.append(
        f"Start-up: {IN_FLIGHT} jobs were open at once after {seconds_text(start_up)}, because a source begins with two and "
        f"takes one more for each that went through. {seconds_text(measured.seconds)} is {verdict} {AIM} x the ideal plus "
        f"start-up, {seconds_text(allowed)}."
    )
    return table


def _seconds_until_full(job_times: Sequence[tuple[str, str]], run_seconds: float) -> float:
    """Return the seconds from the beginning of a run that ended with its last job until ``IN_FLIGHT`` jobs were open."""
    times = [(datetime.fromisoformat(began), datetime.fromisoformat(ended)) for began, ended in job_times]
    full = next(at for at, _ in sorted(times) if sum(began <= at < ended for began, ended in times) == IN_FLIGHT)
    return run_seconds - (max(ended for _, ended in times) - full).total_seconds()


def register_all(watch: Stopwatch) -> None:
    """Stage: from a plan to the last chunk's verdict."""
    import registration_pipeline.submission.chunk
    import registration_pipeline.submission.encord.gateway  # both before the clock starts
    from registration_pipeline.project.submitting import register
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import due_tasks
    from registration_pipeline.tracking.status import chunk_statuses

    project, source = load_project()
    with watch:
        tasks = due_tasks(chunk_statuses(project.store, source.name), max_attempts=1)
        results = register(project, source, tasks, notify=print)
        failed = sum(found.failed_objects for found in results if isinstance(found, ChunkResult))
    assert not failed
    del registration_pipeline
