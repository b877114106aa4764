"""The schedule under a real daemon, with nobody there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.orchestration.jobs import assets_of_sync
from registration_pipeline_tests.orchestration.ui.conftest import RUN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode {
  targetingInstigators { __typename
    ... on Schedule { name futureTicks(limit: 1) { results { timestamp } } } ... on Sensor { name } } } } }"""


def test_new_objects_are_registered_without_a_person(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    pipeline.configure(schedule="* * * * *")
    pipeline.add_images(3)
    ui = start_ui()
    pipeline.wait_until(lambda: pipeline.status.registered == 3, seconds=RUN_SECONDS, what="the first night")

    pipeline.add_images(2, day="2026-11-21")
    pipeline.wait_until(lambda: pipeline.status.registered == 5, seconds=RUN_SECONDS, what="the second night")

    for key in assets_of_sync(pipeline.project.source(pipeline.own.source), pipeline.own):
        asked_at = time.time()
        page = ui.ask(PAGE, k={"path": list(key.path)})["assetNodeOrError"]
        (schedule,) = [one for one in page["targetingInstigators"] if one["__typename"] == "Schedule"]
        assert schedule["name"] == pipeline.own.schedule
        (tick,) = schedule["futureTicks"]["results"]
        assert asked_at < tick["timestamp"] <= time.time() + 60  # however long the answer took

    for run in ui.runs(pipelineName=pipeline.own.nightly_job):
        assert ui.ended(run["runId"]) == "SUCCESS"
    assert len(pipeline.sandbox.jobs()) == 5
    assert pipeline.shown(instance, pipeline.own.registration).counts == (5, 0, 0)
