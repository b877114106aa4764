"""End to end: ``registration-pipeline sync`` from S3 to the sandbox, first run and second, beside the whole baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.baseline import MOST_ENTRIES
from benchmarks.measure import run_stage, tree_size
from benchmarks.project import STATE, environment, write_configuration
from benchmarks.servers import bucket_server, sandbox_server
from benchmarks.table import Table, figures, megabytes, ratio

if TYPE_CHECKING:
    from benchmarks.measure import Measured, Stopwatch

JOB_SECONDS = 0.2


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"end_to_end: {objects:,} objects from S3 to the sandbox, jobs of {JOB_SECONDS} s",
        ("", "objects/s", "time", "CPU of the process", "peak memory", "of which libraries", "against baseline"),
    )
    with bucket_server(objects) as bucket:
        baseline, baseline_again = _baseline(objects, folder, bucket.facts["endpoint_url"], bucket.facts["bucket"])
        project = folder / "project"
        config = write_configuration(project, endpoint_url=bucket.facts["endpoint_url"])
        with sandbox_server(folder / "sandbox", job_seconds=JOB_SECONDS) as sandbox:
            environ = environment(config, sandbox)
            first = run_stage(sync, environ)
            sizes = [("state", tree_size(project / STATE)), ("Dagster's database", tree_size(project / ".dagster"))]
            second = run_stage(sync, environ)
            sizes += [("state after the second run", tree_size(project / STATE))]
    said = sandbox.farewell
    assert (said["registered"], said["duplicates"], said["failed"]) == (objects, 0, 0), said
    for name, measured, against in (
        ("baseline: boto3 loop, JSONs of 10,000, SDK calls in turn", baseline, baseline),
        ("`registration-pipeline sync`, first run", first, baseline),
        ("baseline run again (Encord skips every URL)", baseline_again, baseline_again),
        ("`registration-pipeline sync`, nothing new", second, baseline_again),
    ):
        _add(table, name, objects, measured, against)
    for name, (files, size) in sizes:
        table.notes.append(f"{name}: {files:,} files, {megabytes(size)}, {size / objects:.0f} bytes an object")
    return table


def _baseline(objects: int, folder: Path, endpoint_url: str, bucket: str) -> tuple[Measured, Measured]:
    """Run it twice into one Encord folder: the second time it lists, writes and sends everything again."""
    with sandbox_server(folder / "sandbox-baseline", job_seconds=JOB_SECONDS) as sandbox:
        arguments = {"endpoint_url": endpoint_url, "bucket": bucket, "folder": str(folder / "json"), **sandbox.facts}
        environ = environment(folder / "no.yaml")
        first = run_stage(baseline_way, environ, **arguments)
        second = run_stage(baseline_way, environ, **arguments, folder_uuid=first.facts["folder_uuid"])
    said = sandbox.farewell
    assert (said["registered"], said["duplicates"]) == (objects, 0), said
    return first, second


def _add(table: Table, name: str, objects: int, measured: Measured, baseline: Measured) -> None:
    table.add(
        name,
        *figures(objects, measured),
        ratio(baseline.seconds, measured.seconds),
    )


def baseline_way(
    watch: Stopwatch,
    *,
    endpoint_url: str,
    bucket: str,
    folder: str,
    url: str,
    key_file: str,
    integration: str,
    folder_uuid: str | None = None,
) -> None:
    """Stage: Encord's documented way from the bucket to the last job's end."""
    import boto3
    import encord

    from benchmarks.baseline import list_keys, submit, write_documents

    del boto3, encord  # imported before the clock starts
    with watch:
        keys = list_keys(endpoint_url, bucket)
        paths = write_documents(keys, f"{endpoint_url}/{bucket}/", Path(folder), MOST_ENTRIES)
        folder_uuid = submit(
            paths, domain=url, key_file=Path(key_file), integration=integration, folder_uuid=folder_uuid
        )
    watch.facts["folder_uuid"] = folder_uuid


def sync(watch: Stopwatch) -> None:
    """Stage: the command, Dagster run and all; its libraries load inside, as they do for a user."""
    from registration_pipeline.cli.app import run as run_command

    with watch:
        status = run_command(["sync", "--json"])
    assert status == 0, status
