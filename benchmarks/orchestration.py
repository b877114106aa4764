"""Dagster's cost: a sync of 1,000 chunks as a Dagster run, beside the same core calls in the same order without Dagster."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.inventory import write_files
from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.table import Table, megabytes, milliseconds, seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch

UNITS_PER_CHUNK = 10
LOADS = 5
AIM_SECONDS = 0.015
"""Of Dagster's CPU for each chunk of a run."""


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``; a tenth of the objects, in chunks of 10."""
    objects //= 10
    chunks = -(-objects // UNITS_PER_CHUNK)
    write_files(folder / "files", objects)
    core = _sync_twice(sync_without_dagster, objects, folder, "core")
    singly = _sync_twice(sync_with_single_events, objects, folder, "singly")
    dagster = _sync_twice(sync_with_dagster, objects, folder, "dagster")
    table = Table(
        f"orchestration: a sync of {chunks:,} chunks, {UNITS_PER_CHUNK} files each, jobs of 0 s",
        ("", "time", "CPU", "per chunk", "CPU per chunk", "peak memory", "of which libraries"),
    )
    for name, measured in (
        ("baseline: core calls without Dagster", core[0]),
        ("Dagster run, each event stored by Dagster itself", singly[0]),
        ("Dagster run (op job, SQLite instance)", dagster[0]),
        ("baseline, second sync, nothing new", core[1]),
        ("Dagster run, second sync, nothing new", dagster[1]),
    ):
        _add(table, name, chunks, measured)
    _add_cost(table, chunks, core, dagster)
    cost, before = (run[0].cpu_seconds - core[0].cpu_seconds for run in (dagster, singly))
    verdict = "within" if cost / chunks <= AIM_SECONDS else "above"
    table.notes.append(
        f"Dagster's CPU a chunk: {milliseconds(cost / chunks)}, {verdict} the aim of {milliseconds(AIM_SECONDS)}; "
        f"{cost / before:.2f} times that of a run whose events Dagster stores one by one"
    )
    loads = [run_stage(load_code_location, environment(folder / "dagster" / "registration.yaml")) for _ in range(LOADS)]
    for fact, text in (
        ("import_seconds", "`import dagster` alone"),
        ("load_seconds", "the code location beyond it, up to the sync job"),
    ):
        median = statistics.median(load.facts[fact] for load in loads)
        table.notes.append(f"{text}: {milliseconds(median)} (median of {LOADS} processes)")
    return table


def _sync_twice(stage: Callable[..., None], objects: int, folder: Path, name: str) -> tuple[Measured, Measured]:
    config = write_configuration(folder / name, uri=(folder / "files").as_uri(), chunk_size=UNITS_PER_CHUNK)
    with sandbox_server(folder / f"sandbox-{name}", job_seconds=0) as sandbox:
        environ = environment(config, sandbox)
        first, second = run_stage(stage, environ), run_stage(stage, environ)
    said = sandbox.farewell
    assert (said["registered"], said["duplicates"]) == (objects, 0), said
    return first, second


def _add(table: Table, name: str, chunks: int, measured: Measured) -> None:
    table.add(
        name,
        seconds_text(measured.seconds),
        seconds_text(measured.cpu_seconds),
        milliseconds(measured.seconds / chunks),
        milliseconds(measured.cpu_seconds / chunks),
        megabytes(measured.peak_bytes),
        megabytes(measured.libraries_bytes),
    )


def _add_cost(table: Table, chunks: int, core: tuple[Measured, Measured], dagster: tuple[Measured, Measured]) -> None:
    (first, second), (first_dagster, second_dagster) = core, dagster
    seconds = first_dagster.seconds - first.seconds
    cpu_seconds = first_dagster.cpu_seconds - first.cpu_seconds
    table.add(
        "**Dagster's cost** (first sync, difference)",
        seconds_text(seconds),
        seconds_text(cpu_seconds),
        milliseconds(seconds / chunks),
        milliseconds(cpu_seconds / chunks),
        megabytes(first_dagster.peak_bytes - first.peak_bytes),
        megabytes(first_dagster.libraries_bytes - first.libraries_bytes),
    )
    fixed = second_dagster.seconds - second.seconds
    table.notes.append(
        f"of which whatever the number of new chunks (second sync, difference): {seconds_text(fixed)} a run"
    )


def sync_with_dagster(watch: Stopwatch) -> None:
    """Stage: the sync job as the command line runs it; making the instance's database is not counted."""
    import os

    import registration_pipeline.submission.encord.gateway  # before the clock starts
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.launch import run_job

    project, _ = load_project()
    with open_instance(project.settings, os.environ) as instance:
        instance.get_runs_count()
        instance.get_dynamic_partitions(f"{SOURCE}/chunks")
        with watch:
            succeeded = run_job(instance, f"{SOURCE}_sync")
    assert succeeded
    del registration_pipeline


def sync_with_single_events(watch: Stopwatch) -> None:
    """Stage, a baseline: the same job, whose events Dagster stores one by one as it does by itself."""
    from unittest.mock import patch

    runs = "registration_pipeline.orchestration.runs"
    with (
        patch(f"{runs}.chunk_events.batch_store", return_value=None),
        patch(f"{runs}.planned_events.batch_store", return_value=None),
    ):
        sync_with_dagster(watch)


def sync_without_dagster(watch: Stopwatch) -> None:
    """Stage: what the stages of the run call, in their order (see ``orchestration/stages.py``)."""
    import registration_pipeline.submission.chunk
    import registration_pipeline.submission.encord.gateway  # all before the clock starts
    from registration_pipeline.planning.wave import load_chunks
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.project.submitting import register
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import due_tasks
    from registration_pipeline.tracking.failures.log import source_failures, write_source_failure_log
    from registration_pipeline.tracking.status import chunk_statuses, source_status

    project, source = load_project()
    store = project.store
    with watch:
        project.take_inventory(source)
        project.plan(source)
        load_chunks(store, SOURCE)
        source_status(store, SOURCE)
        tasks = due_tasks(chunk_statuses(store, SOURCE), max_attempts=1)
        stream = register(project, source, tasks, notify=print, with_manifests=True)
        failed = sum(found.failed_objects for found in stream if isinstance(found, ChunkResult))
        chunk_statuses(store, SOURCE)
        log_id = utc_now().strftime("%Y%m%dT%H%M%S%fZ")
        write_source_failure_log(store, SOURCE, log_id, source_failures(store, SOURCE))
        status = source_status(store, SOURCE)
    assert not failed
    assert status.adds_up
    del registration_pipeline


def load_code_location(watch: Stopwatch) -> None:
    """Stage: import Dagster, then load the code location as Dagster's own processes do."""
    began = time.perf_counter()
    import dagster

    imported = time.perf_counter()
    with watch:
        from registration_pipeline.definitions import defs

        definitions: Any = defs()
        definitions.get_repository_def().get_job(f"{SOURCE}_sync")
    watch.facts.update(import_seconds=imported - began, load_seconds=time.perf_counter() - imported)
    del dagster
