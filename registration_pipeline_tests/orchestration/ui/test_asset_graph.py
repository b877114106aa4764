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


def test_manifests_alone_then_registrations_alone_then_the_whole_group(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    own = pipeline.own
    pipeline.add_images(5)
    ui = start_ui()
    assert ui.materialize(own.inventory, own.chunk_plan) == "SUCCESS"

    assert ui.backfill([own.manifest], None).status == "COMPLETED_SUCCESS"
    assert ui.partitions(own.manifest) == (5, 0, 5)
    assert ui.partitions(own.registration) == (0, 0, 5)
    assert pipeline.sandbox.jobs() == []

    assert ui.backfill([own.registration], None).status == "COMPLETED_SUCCESS"
    assert ui.partitions(own.registration) == (5, 0, 5)
    assert len(pipeline.sandbox.jobs()) == 5

    pipeline.add_images(2, day="2026-11-21")
    group = [own.inventory, own.chunk_plan, own.manifest, own.registration, own.failure_log]
    whole = ui.backfill(group, None)

    assert whole.status == "COMPLETED_SUCCESS", whole.error
    assert ui.partitions(own.registration) == (5, 0, 7)
    assert len(pipeline.sandbox.jobs()) == 5
    assert (pipeline.status.registered, pipeline.status.pending) == (5, 2)
    assert instance.get_latest_materialization_event(own.failure_log) is not None
