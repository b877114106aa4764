"""Submission: objects per second, CPU and memory against the sandbox, beside one SDK call after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import environment, load_project, prepare, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.synthetic import key_of
from benchmarks.table import Table, megabytes, milliseconds, rate, ratio, seconds_text

if TYPE_CHECKING:
    from benchmarks.measure import Measured, Stopwatch
    from benchmarks.servers import Server

JOB_SECONDS = (0.0, 0.2)


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    keys = folder / "keys.json"
    keys.write_text(json.dumps([key_of(number) for number in range(objects)]), encoding="utf-8")
    table = Table(
        f"submission: {objects:,} objects, 4 jobs in flight",
        (
            "",
            "jobs",
            "objects/s",
            "time",
            "own CPU per job",
            "sandbox CPU per job",
            "peak memory",
            "of which libraries",
            "against baseline",
        ),
    )
    for job_seconds in JOB_SECONDS:
        _measure(table, objects, folder / str(job_seconds), keys, job_seconds)
    table.notes.append(
        "The time of a job is a constant of the sandbox, whatever it holds, which favours the baseline's jobs of 10,000; "
        "Encord advises 1,000 images at a time. Sandbox and client share the machine's cores."
    )
    return table


def _measure(table: Table, objects: int, folder: Path, keys: Path, job_seconds: float) -> None:
    """Each way gets a sandbox of its own, which says what it did when it ends."""
    baseline: Measured | None = None
    for name, entries in (
        ("baseline: SDK calls in turn, 1,000 a JSON", 1_000),
        ("SDK calls in turn, 10,000 a JSON", 10_000),
    ):
        with sandbox_server(folder / f"sandbox-{entries}", job_seconds=job_seconds) as sandbox:
            measured = run_stage(
                submit_in_turn, keys=str(keys), folder=str(folder / f"json-{entries}"), entries=entries, **sandbox.facts
            )
        baseline = baseline or measured
        row = f"jobs of {job_seconds} s, {name}"
        _add(table, row, objects=objects, measured=measured, sandbox=sandbox, baseline=baseline)
    assert baseline is not None
    with sandbox_server(folder / "sandbox", job_seconds=job_seconds) as sandbox:
        environ = environment(write_configuration(folder / "project"), sandbox)
        run_stage(prepare, environ, objects=objects, plan=True)
        measured = run_stage(register_all, environ)
    _add(
        table,
        f"jobs of {job_seconds} s, pipeline, 1,000 a chunk",
        objects=objects,
        measured=measured,
        sandbox=sandbox,
        baseline=baseline,
    )


def _add(table: Table, name: str, *, objects: int, measured: Measured, sandbox: Server, baseline: Measured) -> None:
    said = sandbox.farewell
    assert (said["registered"], said["duplicates"], said["failed"]) == (objects, 0, 0), said
    table.add(
        name,
        f"{said['jobs']:,}",
        rate(objects, measured.seconds),
        seconds_text(measured.seconds),
        milliseconds(measured.cpu_seconds / said["jobs"]),
        milliseconds(said["work_cpu_seconds"] / said["jobs"]),
        megabytes(measured.peak_bytes),
        megabytes(measured.libraries_bytes),
        ratio(baseline.seconds, measured.seconds),
    )


def submit_in_turn(
    watch: Stopwatch, *, keys: str, folder: str, entries: int, url: str, key_file: str, integration: str
) -> None:
    """Stage: the baseline, from a file of keys to the last job's end."""
    import encord

    from benchmarks.baseline import submit, write_documents
    from benchmarks.manifests import URL_PREFIX

    del encord  # imported before the clock starts, as the pipeline's libraries are
    with watch:
        found = json.loads(Path(keys).read_text(encoding="utf-8"))
        paths = write_documents(found, URL_PREFIX, Path(folder), entries)
        submit(paths, domain=url, key_file=Path(key_file), integration=integration)


def register_all(watch: Stopwatch) -> None:
    """Stage: from a plan to the last chunk's verdict, manifests and journal included."""
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
