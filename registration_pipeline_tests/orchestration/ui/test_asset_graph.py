"""Materializing parts of the asset graph that a person may select."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_whole_group_registers_the_chunks_that_were_known_when_it_was_launched(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    own = pipeline.own
    pipeline.add_images(5)
    ui = start_ui()
    assert ui.materialize(own.inventory, own.chunk_plan) == "SUCCESS"
    pipeline.add_images(2, day="2026-11-21")

    whole = ui.backfill([own.inventory, own.chunk_plan, own.manifest, own.registration, own.failure_log], None)

    assert whole.status == "COMPLETED_SUCCESS", whole.error
    assert ui.partitions(own.registration) == (5, 0, 7)
    assert (pipeline.status.registered, pipeline.status.pending) == (5, 2)
    assert len(pipeline.sandbox.jobs()) == 5
    assert instance.get_latest_materialization_event(own.failure_log) is not None


def test_the_whole_group_of_a_new_source_lists_and_plans(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    own = pipeline.own
    pipeline.add_images(3)
    ui = start_ui()

    whole = ui.backfill([own.inventory, own.chunk_plan, own.manifest, own.registration, own.failure_log], None)

    assert whole.status == "COMPLETED_SUCCESS", whole.error
    assert ui.partitions(own.registration) == (0, 0, 3)
    assert pipeline.status.pending == 3
