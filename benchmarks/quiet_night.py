"""A sync where nothing changed: what it takes beyond its listing, with every chunk registered before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.servers import listing_server, sandbox_server
from benchmarks.table import Table, megabytes, seconds_text

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Stopwatch

AIM = 0.10
"""Of the listing's time, everything else together."""


def run(objects: int, folder: Path) -> Table:
    """Measure at ten times the objects, with everything that is written below ``folder``."""
    size = objects * 10
    table = Table(
        f"quiet_night: `registration-pipeline sync` of {size:,} objects on S3, all registered, nothing new",
        ("", "time", "CPU of the process", "peak memory"),
    )
    with listing_server("flat", size) as bucket, sandbox_server(folder / "sandbox", job_seconds=0) as sandbox:
        config = write_configuration(
            folder, uri=f"s3://{bucket.facts['bucket']}/", endpoint_url=bucket.facts["endpoint_url"]
        )
        environ = environment(config, sandbox)
        run_stage(prepare_registered, environ)
        night = run_stage(sync, environ)
    listing, facts = night.facts["listing_seconds"], night.facts
    assert (facts["objects"], facts["registered"]) == (size, size), facts
    assert not sandbox.farewell["jobs"]
    rest = night.seconds - listing
    table.add("baseline: its listing, to the committed inventory", seconds_text(listing), "", "")
    table.add(
        "the whole sync", seconds_text(night.seconds), seconds_text(night.cpu_seconds), megabytes(night.peak_bytes)
    )
    verdict = "within" if rest / listing <= AIM else "above"
    table.notes.append(
        f"Beyond its listing it took {seconds_text(rest)}, {rest / listing:.1%} of it: {verdict} {AIM:.0%}. Starting Python "
        "and Dagster is in it."
    )
    return table


def prepare_registered(watch: Stopwatch) -> None:
    """Stage: list and plan everything, and write the journal that registering all chunks would have written."""
    from registration_pipeline.cli.app import run as run_command
    from registration_pipeline.planning.wave import load_chunks
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.tracking.journal.states import JournalEvent

    with watch:
        for command in ("inventory", "plan"):
            assert run_command([command, SOURCE, "--json"]) == 0
        project, _ = load_project()
        journal = Journal(project.store, SOURCE)
        for chunk in load_chunks(project.store, SOURCE).values():
            for facts in entries_of(chunk.objects):
                journal.append(JournalEvent(chunk_id=chunk.chunk_id, attempt=1, at=utc_now(), **facts))
        journal.summarise()
        # Dagster is shown what was registered without it, which would else be a part of the measured night.
        assert run_command(["submit", SOURCE, "--json"]) == 0


def entries_of(objects: int) -> list[dict[str, Any]]:
    """Return what the three entries of a chunk say that went through at once."""
    from registration_pipeline.tracking.journal.states import ChunkState, JournalEventKind

    concluded = {"state": ChunkState.SUCCEEDED, "registered": objects, "outcomes": "0001-000000000000.parquet"}
    return [
        {"kind": JournalEventKind.INTENT, "folder_uuid": "f" * 36, "manifest_sha256": "a" * 64},
        {"kind": JournalEventKind.JOB, "job_id": "b" * 36},
        {"kind": JournalEventKind.VERDICT, "job_id": "b" * 36, **concluded},
    ]


def sync(watch: Stopwatch) -> None:
    """Stage: the command; its libraries load inside, as they do for a user."""
    from registration_pipeline.cli.app import run as run_command

    with watch:
        status = run_command(["sync", "--json"])
    assert status == 0, status
    from registration_pipeline.inventory.inventory import latest_inventory

    project, source = load_project()
    inventory, standing = latest_inventory(project.store, SOURCE), project.status(source)
    assert inventory is not None
    watch.facts.update(
        listing_seconds=(inventory.finished_at - inventory.started_at).total_seconds(),
        objects=standing.objects,
        registered=standing.registered,
    )
