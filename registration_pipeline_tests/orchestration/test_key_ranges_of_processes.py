"""Three processes list the key ranges of one bucket over HTTP, and one of them is killed in the middle of its range."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml
from dagster import DagsterEventType

from registration_pipeline.definitions import defs
from registration_pipeline.inventory.claim import claims_of_runs
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory, take_inventory
from registration_pipeline.inventory.key_ranges.division import read_division
from registration_pipeline.orchestration.key_ranges import mapping_key
from registration_pipeline.project.project import utc_now
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, running
from registration_pipeline_tests.orchestration.conftest import SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

KEYS = [f"raw/camera-{number // 500:02d}/{number % 500:03d}.jpg" for number in range(6_000)]
KILLED = "raw/camera-07/250.jpg"
"""The second page of a range, and with this key, is not answered before the process that asked for it is dead."""


def inventory_job() -> dg.JobDefinition:
    return defs().resolve_job_def("fleet_cameras_inventory")


class Killer:
    """Kills the process that lists the range of ``KILLED``, once, when it asks for its second page."""

    def __init__(self, pipeline: Pipeline, instance: dg.DagsterInstance) -> None:
        self._pipeline, self._instance, self._is_taken = pipeline, instance, threading.Lock()
        self.step: str | None = None

    def __call__(self, number: int, asked: Mapping[str, str], reply: Reply) -> Reply:
        del number
        is_second = "continuation-token" in asked and KILLED.encode() in reply.body
        if is_second and self._is_taken.acquire(blocking=False):
            self.step = self._step()
            os.kill(self._worker(self.step), signal.SIGKILL)
        return reply

    def _step(self) -> str:
        store = self._pipeline.project.store
        ((_, inventory_id),) = claims_of_runs(store, SOURCE).items()
        division = read_division(store, SOURCE, inventory_id)
        assert division is not None
        number = sum(boundary < KILLED for boundary in division.boundaries)
        return f"fleet_cameras_list_key_range[{mapping_key(inventory_id, number)}]"

    def _worker(self, step: str) -> int:
        (run,) = self._instance.get_runs(limit=1)
        records = self._instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_WORKER_STARTED).records
        events = [record.event_log_entry.dagster_event for record in records]
        (found,) = (event for event in events if event is not None and event.step_key == step)
        return int(str(found.event_specific_data.metadata["pid"].value))  # type: ignore[union-attr]


def keys_in(pipeline: Pipeline) -> list[str]:
    store = pipeline.project.store
    inventory = latest_inventory(store, SOURCE)
    assert inventory is not None
    return [key for batch in read_inventory(store, inventory, ["key"]) for key in batch.column("key").to_pylist()]


def test_a_worker_that_is_killed_costs_its_range_and_nothing_else(
    pipeline: Pipeline, instance: dg.DagsterInstance, aws_environment: str, tmp_path: Path
) -> None:
    del aws_environment
    killer = Killer(pipeline, instance)
    with running(ListingStore(KEYS, interfere=killer)) as store:
        pipeline.configure(
            uri="s3://bucket/raw/", key_ranges=3, storage={"endpoint_url": store.endpoint_url, "region": "eu-west-2"}
        )
        document = yaml.safe_load(pipeline.config.read_text())
        pipeline.config.write_text(yaml.safe_dump({**document, "executor": {"multiprocess": {"max_concurrent": 3}}}))

        result = dg.execute_job(dg.reconstructable(inventory_job), instance=instance)
        asked_by_ranges = [one for one in store.asked if one.get("delimiter") is None]
        whole = take_inventory(
            lister=pipeline.project.lister(pipeline.project.source(SOURCE)),
            store=LocalStateStore(tmp_path / "whole"),
            source=SOURCE,
            clock=utc_now,
        )

    retried = [event.step_key for event in result.all_events if event.event_type is DagsterEventType.STEP_UP_FOR_RETRY]
    made = latest_inventory(pipeline.project.store, SOURCE)
    assert result.success
    assert retried == [killer.step]
    assert made is not None
    assert (made.digest, made.objects, made.key_ranges) == (whole.digest, len(KEYS), 3)
    assert keys_in(pipeline) == KEYS
    assert [name for name in pipeline.project.store.names(f"{SOURCE}/inventory/") if "range" in name] == []
    assert len(asked_by_ranges) < 60
