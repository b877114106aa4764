"""As many chunks as Dagster allows as partitions, on SQLite and on Postgres: adding them, their pages, a backfill, a night."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.postgres_server import postgres_programs, postgres_server
from benchmarks.project import SOURCE, environment, write_configuration
from benchmarks.table import Table, milliseconds, seconds_text
from benchmarks.webserver import (
    ASSET_PAGE,
    BACKFILL,
    GRAPH_BADGE,
    LAUNCH_RUN,
    LOCATION,
    PARTITION_HEALTH,
    PARTITION_LIST,
    webserver,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import dagster as dg

    from benchmarks.measure import Stopwatch

NEW_IN_A_NIGHT = 5_000
BACKFILLED = 1_000
FAILED_ONE_IN = 50
SINGLE_EVENTS = 200
AIM_SECONDS = 5.0
KEY = {"path": [SOURCE, "registration"]}


def run(objects: int, folder: Path) -> Table:
    """Measure, a chunk for each object, with everything that is written below ``folder``."""
    table = Table(
        f"partitions: {objects:,} chunks as partitions, one in {FAILED_ONE_IN} failed",
        ("", "SQLite", "CPU", "Postgres", "CPU"),
    )
    found = {"SQLite": _measure(objects, folder / "sqlite", None)}
    if postgres_programs() is not None:
        with postgres_server() as url:
            found["Postgres"] = _measure(objects, folder / "postgres", url)
    for name in found["SQLite"]:
        cells = [found[storage][name] if storage in found else (0.0, 0.0) for storage in ("SQLite", "Postgres")]
        table.add(name, *(_duration(number) for cell in cells for number in cell))
    for storage, rows in found.items():
        single, batch = rows["baseline: an event, stored by Dagster one by one"], rows["an event, stored in batches"]
        table.notes.append(
            f"{storage}: a batch takes {batch[1] / single[1]:.2f} times the CPU of the baseline an event."
        )
        slow = [name for name, (seconds, _) in rows.items() if seconds > AIM_SECONDS]
        table.notes.append(f"{storage}: above the aim of {AIM_SECONDS:.0f} s: {'; '.join(slow) or 'nothing'}.")
    table.notes.append(
        "CPU is that of the own process, or of webserver and code server; of Postgres's processes it is not."
    )
    return table


def _duration(seconds: float) -> str:
    return milliseconds(seconds) if seconds < 0.1 else seconds_text(seconds)


def _measure(chunks: int, folder: Path, postgres_url: str | None) -> dict[str, tuple[float, float]]:
    home = folder / "home"
    home.mkdir(parents=True)
    storage = f"storage: {{postgres: {{postgres_url: '{postgres_url}'}}}}\n" if postgres_url else ""
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{storage}", encoding="utf-8")
    environ = {**environment(write_configuration(folder, chunk_size=1)), "DAGSTER_HOME": str(home)}
    rows: dict[str, tuple[float, float]] = {}

    def stage(name: str, function: Any, **arguments: Any) -> None:
        measured = run_stage(function, environ, **arguments)
        each = measured.facts.get("each", 1)
        rows[name] = (measured.seconds / each, measured.cpu_seconds / each)

    stage(f"adding {chunks:,}", add, chunks=chunks)
    stage("baseline: an event, stored by Dagster one by one", store_singly, chunks=SINGLE_EVENTS)
    stage("an event, stored in batches", store_in_batches, chunks=chunks)
    stage("a night: the chunks that are shown as done, read", read_shown)
    stage(f"a night: {NEW_IN_A_NIGHT:,} new chunks added, the first {100} announced", find_new, chunks=chunks)
    _ask(environ, rows)
    stage(f"archiving all but {chunks // 10:,}", archive, chunks=chunks)
    stage("bringing them back", add, chunks=chunks)
    return rows


def _ask(environ: Mapping[str, str], rows: dict[str, tuple[float, float]]) -> None:
    """Ask the webserver what the pages ask."""
    with webserver(environ) as server:
        for name, query in (
            ("UI: badge of the asset graph, first time", GRAPH_BADGE),
            ("UI: badge of the asset graph, again", GRAPH_BADGE),
            ("UI: asset page", ASSET_PAGE),
            ("UI: partitions tab and launch dialog, every status", PARTITION_HEALTH),
            ("UI: list of partitions, 100 of them", PARTITION_LIST),
        ):
            answered = server.ask(query, k=KEY)
            rows[name] = (answered.seconds, answered.cpu_seconds)
        health = server.ask(PARTITION_HEALTH, k=KEY).data["assetNodeOrError"]
        keys = health["partitionKeysByDimension"][0]["partitionKeys"]
        assert len(health["assetPartitionStatuses"]["failedPartitions"]) > 0
        chosen = keys[-BACKFILLED:]
        selection = [{"path": [SOURCE, name]} for name in ("manifest", "registration")]
        answered = server.ask(BACKFILL, p={"assetSelection": selection, "partitionNames": chosen, "tags": []})
        assert "backfillId" in answered.data["launchPartitionBackfill"], answered.data
        rows[f"UI: starting a backfill of {len(chosen):,}"] = (answered.seconds, answered.cpu_seconds)
        _launch_range(server, selection, chosen, rows)


def _launch_range(server: Any, selection: Any, chosen: list[str], rows: dict[str, tuple[float, float]]) -> None:
    """Create the run of a range, as the daemon does for a backfill; there is no daemon here that would start it."""
    half = chosen[: len(chosen) // 2]
    tags = [
        {"key": "dagster/asset_partition_range_start", "value": half[0]},
        {"key": "dagster/asset_partition_range_end", "value": half[-1]},
    ]
    selector = {**LOCATION, "pipelineName": "__ASSET_JOB", "assetSelection": selection, "assetCheckSelection": []}
    parameters = {"selector": selector, "mode": "default", "runConfigData": {}, "executionMetadata": {"tags": tags}}
    answered = server.ask(LAUNCH_RUN, p=parameters)
    assert "run" in answered.data["launchRun"], answered.data
    rows[f"Dagster: creating a run of {len(half):,} chunks, two planned events each"] = (
        answered.seconds,
        answered.cpu_seconds,
    )


def chunk_ids(chunks: int) -> list[str]:
    """Return ids as a plan makes them."""
    return [f"20261121T020000Z-images-{number:06d}" for number in range(chunks)]


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.project.project import Project

    with open_instance(Project.load().settings, os.environ) as instance:
        instance.get_dynamic_partitions("none")  # makes the tables on first use
        yield instance


def _own() -> Any:
    from registration_pipeline.orchestration.names import SourceNames

    return SourceNames(SOURCE)


def add(watch: Stopwatch, *, chunks: int) -> None:
    """Stage: make the chunks partitions."""
    from registration_pipeline.orchestration.partitions import update_partitions

    with _instance() as instance, watch:
        update = update_partitions(instance, _own(), chunk_ids(chunks))
    assert update.live == chunks


def archive(watch: Stopwatch, *, chunks: int) -> None:
    """Stage: take nine in ten out of the partitions; a backfill that would keep them is ended first."""
    from dagster._core.execution.backfill import BulkActionStatus

    from registration_pipeline.orchestration.partitions import update_partitions
    from registration_pipeline.orchestration.private_dagster import running_backfills

    keys = chunk_ids(chunks)
    with _instance() as instance:
        for backfill in running_backfills(instance):
            ended = backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS)  # type: ignore[no-untyped-call]
            instance.update_backfill(ended)
        with watch:
            update = update_partitions(instance, _own(), keys, keys[: -(chunks // 10)])
    assert update.live == chunks // 10, update


def store_singly(watch: Stopwatch, *, chunks: int) -> None:
    """Stage, the baseline: as Dagster stores what a step yields."""
    with _instance() as instance:
        entries = _entries(instance, chunk_ids(chunks))
        with watch:
            for entry in entries:
                instance.event_log_storage.store_event(entry)
    watch.facts["each"] = len(entries)


def store_in_batches(watch: Stopwatch, *, chunks: int) -> None:
    """Stage: the events of every chunk."""
    from registration_pipeline.orchestration.runs.event_batches import BATCH, batch_store

    keys = chunk_ids(chunks)
    with _instance() as instance:
        store = batch_store(instance)
        assert store is not None
        stored = 0
        for start in range(0, chunks, BATCH // 2):
            entries = _entries(instance, keys[start : start + BATCH // 2])
            with watch:
                store(entries)
            stored += len(entries)
    watch.facts["each"] = stored


_RUN: dict[str, str] = {}


def _entries(instance: dg.DagsterInstance, keys: list[str]) -> list[dg.EventLogEntry]:
    """Return planned event and materialization of each chunk, only the first of those that failed, of a run that failed."""
    import dagster as dg
    from dagster._core.definitions.dependency import NodeHandle
    from dagster._core.test_utils import create_run_for_test

    from registration_pipeline.orchestration.private_dagster import AssetMaterializationPlannedData
    from registration_pipeline.orchestration.runs.chunk_events import Step

    if not _RUN:
        made = create_run_for_test(instance, job_name=f"{SOURCE}_sync", status=dg.DagsterRunStatus.FAILURE)
        _RUN["id"] = made.run_id
    step = Step(_RUN["id"], f"{SOURCE}_sync", NodeHandle("register_chunks", None))
    registration = _own().registration
    entries = []
    for key in keys:
        planned = dg.DagsterEvent.build_asset_materialization_planned_event(
            step.job_name, "register_chunks", AssetMaterializationPlannedData(registration, key, None)
        )
        entries.append(
            dg.EventLogEntry(None, 20, "", step.run_id, time.time(), "register_chunks", step.job_name, planned)  # type: ignore[no-untyped-call]
        )
        if int(key[-6:]) % FAILED_ONE_IN:
            metadata: dict[str, int | str] = {
                "dagster/partition_row_count": 1000,
                "registered_units": 1000,
                "kind": "images",
                "attempt": 1,
            }
            entries.append(step.entry(dg.AssetMaterialization(registration, partition=key, metadata=metadata)))
    return entries


def _planned_entry(step: Any, planned: dg.DagsterEvent) -> dg.EventLogEntry:
    import dagster as dg

    return dg.EventLogEntry(None, 20, "", step.run_id, time.time(), "register_chunks", step.job_name, planned)  # type: ignore[no-untyped-call]


def read_shown(watch: Stopwatch) -> None:
    """Stage: which chunks Dagster shows as done."""
    from registration_pipeline.orchestration.runs.shown_partitions import shown_as_done

    with _instance() as instance, watch:
        shown = shown_as_done(instance, _own())
    assert shown


def find_new(watch: Stopwatch, *, chunks: int) -> None:
    """Stage: partitions of a night's new chunks, and the planned events before the first of them is sent."""
    from registration_pipeline.orchestration.partitions import update_partitions
    from registration_pipeline.orchestration.runs.event_batches import BATCH, batch_store

    keys = chunk_ids(chunks + NEW_IN_A_NIGHT)
    with _instance() as instance:
        entries = _entries(instance, keys[-BATCH:])[:BATCH]
        store = batch_store(instance)
        assert store is not None
        with watch:
            update = update_partitions(instance, _own(), keys)
            store(entries)
    assert update.added == NEW_IN_A_NIGHT
