"""What a person does in the UI: materialize assets, backfill chunks, retry those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the daemon looks for backfills every 30 s
BROKEN = (7, 23, 41)


def test_a_backfill_of_all_chunks_is_one_run_and_the_failed_ones_are_retried_from_the_ui(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    own = pipeline.own
    pipeline.add_images(50)
    pipeline.break_images(*BROKEN)
    ui = start_ui()
    assert ui.materialize(own.inventory, own.chunk_plan) == "SUCCESS"

    everything = ui.backfill([own.manifest, own.registration], pipeline.chunk_ids)

    assert everything.status == "COMPLETED_FAILED"
    assert len(everything.runs) == 1
    assert ui.partitions(own.registration) == (47, 3, 50)
    assert ui.partitions(own.manifest) == (50, 0, 50)
    assert len(pipeline.sandbox.jobs()) == 50

    pipeline.mend_images()
    retried = ui.backfill([own.registration], sorted(pipeline.chunks_of(*BROKEN)))

    assert retried.status == "COMPLETED_SUCCESS"
    assert ui.partitions(own.registration) == (50, 0, 50)
    assert len(pipeline.sandbox.jobs()) == 53
    assert pipeline.sandbox.duplicates() == {}
    assert len(pipeline.urls()) == 50
