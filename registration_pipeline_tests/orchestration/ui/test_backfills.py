"""What a person does in the UI: materialize assets, backfill chunks, retry those that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.doses import DOSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(600)]
CHUNKS, BROKEN = DOSES.chunks, (2, 5, 9)


def _logs(pipeline: Pipeline, instance: DagsterInstance) -> list[object]:
    """Return how many rows each failure log of the source had, the newest first."""
    records = instance.fetch_materializations(pipeline.own.failure_log, limit=10).records
    events = [record.asset_materialization for record in records]
    return [event.metadata["dagster/row_count"].value for event in events if event is not None]


def test_a_backfill_of_all_chunks_is_one_run_and_the_failed_ones_are_retried_from_the_ui(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    own = pipeline.own
    pipeline.add_images(CHUNKS)
    pipeline.break_images(*BROKEN)
    ui = start_ui()
    assert ui.materialize(own.inventory, own.chunk_plan) == "SUCCESS"

    everything = ui.backfill([own.manifest, own.registration], pipeline.chunk_ids)

    assert everything.status == "COMPLETED_FAILED"
    assert len(everything.runs) == 1
    assert ui.partitions(own.registration) == (CHUNKS - 3, 3, CHUNKS)
    assert ui.partitions(own.manifest) == (CHUNKS, 0, CHUNKS)
    assert len(pipeline.sandbox.jobs()) == CHUNKS
    pipeline.wait_until(
        lambda: len(_logs(pipeline, instance)) == 1, seconds=90, what="the failure log after the backfill"
    )

    pipeline.fix_images()
    retried = ui.backfill([own.registration], sorted(pipeline.chunks_of(*BROKEN)))

    assert retried.status == "COMPLETED_SUCCESS"
    assert ui.partitions(own.registration) == (CHUNKS, 0, CHUNKS)
    assert len(pipeline.sandbox.jobs()) == CHUNKS + 3
    assert pipeline.sandbox.duplicates() == {}
    assert len(pipeline.urls()) == CHUNKS
    pipeline.wait_until(lambda: len(_logs(pipeline, instance)) == 2, seconds=90, what="the failure log after the retry")
    assert _logs(pipeline, instance) == [0, 3]
