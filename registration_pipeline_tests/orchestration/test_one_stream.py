"""A run over many chunks: what is planned, made and registered comes chunk by chunk, and shows the truth wherever it ends."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, DagsterEventType, DagsterInstance, EventLogEntry

from registration_pipeline.errors import PermissionDeniedError
from registration_pipeline.manifest import files
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.manifest.violation import Violation
from registration_pipeline.orchestration.names import MANIFESTS_VALID
from registration_pipeline.orchestration.runs import planned_events
from registration_pipeline.orchestration.runs.chunk_events import ChunkEventWriter
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.listener import listening
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline_tests.orchestration.test_halted_runs import Recorder
from registration_pipeline_tests.orchestration.test_partition_statuses import check_passed

if TYPE_CHECKING:
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline_tests.orchestration.conftest import Pipeline

PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
MATERIALIZED = DagsterEventType.ASSET_MATERIALIZATION


def events_of_last_run(instance: DagsterInstance) -> list[tuple[DagsterEventType, AssetKey, str]]:
    """Return what the newest run says of partitions, in the order in which it was said; it is stored in batches."""
    (run,) = instance.get_runs(limit=1)
    entries = sorted(instance.all_logs(run.run_id, of_type={PLANNED, MATERIALIZED}), key=lambda one: one.timestamp)
    events = [entry.dagster_event for entry in entries]
    return [
        (event.event_type, event.asset_key, event.partition)
        for event in events
        if event is not None and event.asset_key is not None and event.partition is not None
    ]


def test_each_chunk_is_planned_made_and_registered_before_the_last_manifest_is_made(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned_events, "_BATCH", 2)
    pipeline.configure(max_in_flight=1)
    pipeline.add_images(8)
    own = pipeline.own

    assert run_job(instance, own.sync_job)

    events = events_of_last_run(instance)
    for chunk_id in pipeline.chunk_ids:
        mine = [(kind, key) for kind, key, partition in events if partition == chunk_id]
        assert mine == [(PLANNED, own.registration), (MATERIALIZED, own.manifest), (MATERIALIZED, own.registration)]
    steps = [(kind, key) for kind, key, _ in events]
    last_manifest = len(steps) - 1 - steps[::-1].index((MATERIALIZED, own.manifest))
    last_planned = len(steps) - 1 - steps[::-1].index((PLANNED, own.registration))
    assert steps.index((MATERIALIZED, own.registration)) < min(last_manifest, last_planned)
    assert check_passed(instance, own.manifest, MANIFESTS_VALID)


@pytest.mark.slow  # a refusal is confirmed several times before it halts
def test_a_halt_in_the_middle_leaves_what_was_never_reached_as_it_was(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned_events, "_BATCH", 3)
    pipeline.configure(max_in_flight=1)
    pipeline.add_images(12)
    own = pipeline.own
    pipeline.sandbox.script(Fault(effect=Effect.STATUS, status=403, endpoint=Endpoint.START_JOB, skip=4, times=None))
    recorder = Recorder()

    with listening(recorder):
        assert not run_job(instance, own.sync_job)

    assert [type(error) for error in recorder.errors] == [PermissionDeniedError]
    shown = pipeline.shown(instance, own.registration)
    planned = {partition for kind, _, partition in events_of_last_run(instance) if kind is PLANNED}
    # Two chunks may be ready for the only slot, and either may get it first.
    assert len(shown.materialized) == 4
    assert shown.materialized <= set(pipeline.chunk_ids[: 4 + 2])
    assert shown.failed == planned - shown.materialized
    assert 0 < len(shown.failed) <= 3 + 3  # a batch, and what there was room for
    assert pipeline.status.registered == 4

    pipeline.sandbox.clear_faults()
    assert run_job(instance, own.submit_job)
    assert pipeline.shown(instance, own.registration).counts == (12, 0, 0)
    assert pipeline.shown(instance, own.manifest).counts == (12, 0, 0)
    assert pipeline.sandbox.duplicates() == {}


def test_an_invalid_manifest_fails_its_check_and_its_chunk_and_nothing_else(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:

    def with_a_new_rule(data: bytes, limits: ManifestLimits | None, **more: bool) -> list[Violation]:
        return [
            *validate_manifest(data, limits, **more),
            *([Violation("images[0]", "is refused since today")] if b"frame_002" in data else []),
        ]

    monkeypatch.setattr(files, "validate_manifest", with_a_new_rule)
    pipeline.add_images(5)

    assert not run_job(instance, pipeline.own.sync_job)

    assert pipeline.shown(instance, pipeline.own.registration).failed == pipeline.chunks_of(2)
    assert pipeline.shown(instance, pipeline.own.manifest).counts == (5, 0, 0)
    assert not check_passed(instance, pipeline.own.manifest, MANIFESTS_VALID)
    assert (pipeline.status.registered, pipeline.status.failed) == (4, 1)
    assert len(pipeline.sandbox.jobs()) == 4


def test_an_interruption_while_a_manifest_is_shown_ends_the_threads_and_loses_no_event(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.add_images(4)
    pipeline.plan(instance)
    add, interrupted = ChunkEventWriter.add, threading.Event()

    def add_and_interrupt(self: ChunkEventWriter, entry: EventLogEntry) -> None:
        add(self, entry)
        if not interrupted.is_set():
            interrupted.set()
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ChunkEventWriter, "add", add_and_interrupt)

    with pytest.raises(KeyboardInterrupt):
        run_job(instance, pipeline.own.submit_job)

    assert interrupted.is_set()
    ours = ("submission", "chunk-events")
    assert [one.name for one in threading.enumerate() if one.name.startswith(ours)] == []
    made = [key for kind, key, _ in events_of_last_run(instance) if kind is MATERIALIZED]
    assert made == [pipeline.own.manifest]
