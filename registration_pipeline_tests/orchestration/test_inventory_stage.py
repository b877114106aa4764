"""What an inventory tells while it goes on, and when a source that held objects holds none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import AssetCheckKey, AssetCheckSeverity

from registration_pipeline.inventory.progress import ListingProgress
from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.listener import ProgressReporter, SilentListener, listening
from registration_pipeline_tests.orchestration.conftest import SOURCE

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline


class Listener(SilentListener):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None, str]] = []
        self.details: list[str] = []
        self.notices: list[str] = []

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:
        del source
        self.stages.append((stage, total, unit))

    def advanced(self, done: int, detail: str = "") -> None:
        del done
        self.details.append(detail)

    def notice(self, text: str, level: str | None = None) -> None:  # noqa: ARG002
        self.notices.append(text)


def take_inventory(pipeline: Pipeline, instance: DagsterInstance) -> Listener:
    listener = Listener()
    with listening(listener):
        assert run_job(instance, pipeline.own.inventory_job)
    return listener


def is_not_emptied(pipeline: Pipeline, instance: DagsterInstance) -> tuple[bool, AssetCheckSeverity]:
    key = AssetCheckKey(pipeline.own.inventory, names.INVENTORY_NOT_EMPTIED)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    found = record.event.dagster_event.asset_check_evaluation_data
    return found.passed, found.severity


@pytest.mark.slow
def test_the_inventory_before_says_how_many_objects_to_expect(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(3)
    first = take_inventory(pipeline, instance)
    again = take_inventory(pipeline, instance)

    assert [total for _, total, _ in (*first.stages, *again.stages)] == [None, 3]
    assert first.details[-1].startswith("3 objects, 2 requests")
    assert (first.notices, again.notices) == ([], [])


@pytest.mark.slow
def test_a_source_that_holds_nothing_any_more_is_warned_of(pipeline: Pipeline, instance: DagsterInstance) -> None:
    for path in pipeline.add_images(3):
        path.unlink()
    empty = take_inventory(pipeline, instance)
    (first,) = empty.notices
    assert "no objects in" in first
    assert f"Check `sources.{SOURCE}.uri`" in first
    pipeline.add_images(2)
    take_inventory(pipeline, instance)
    assert is_not_emptied(pipeline, instance) == (True, AssetCheckSeverity.WARN)
    for path in pipeline.add_images(2):
        path.unlink()

    (notice,) = take_inventory(pipeline, instance).notices

    assert "which held 2 objects before" in notice
    assert "Nothing is removed from Encord" in notice
    assert f"`sources.{SOURCE}.uri`" in notice
    assert is_not_emptied(pipeline, instance) == (False, AssetCheckSeverity.WARN)


def test_the_log_of_a_run_hears_of_a_long_listing_twice_a_minute() -> None:
    said: list[str] = []
    now = iter([0.0, 10.0, 31.0, 31.0, 40.0, 62.0, 62.0])
    reporter = ProgressReporter(said.append, lambda: next(now))

    for objects in (10, 20, 30, 40):
        reporter(ListingProgress(objects=objects, requests=1, seconds=10, expected=None))

    assert [line.split(",")[0] for line in said] == ["20 objects", "40 objects"]
