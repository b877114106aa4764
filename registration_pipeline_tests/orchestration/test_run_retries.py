"""An instance that repeats failed runs does not repeat ours, except those whose worker died."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from registration_pipeline.orchestration.runs.instance import dagster_home, open_instance
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline_tests.orchestration.test_partition_statuses import run_range
from registration_pipeline_tests.orchestration.test_stale_runs import a_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline_tests.orchestration.conftest import Pipeline

REPEATING = "run_retries: {enabled: true, max_retries: 3}\n"


@pytest.fixture
def repeating(pipeline: Pipeline, empty_home: Path) -> Iterator[DagsterInstance]:
    """An instance as a team may have it: Dagster repeats every failed run three times."""
    home = dagster_home(pipeline.project.settings, os.environ)
    shutil.copytree(empty_home, home)
    (home / "dagster.yaml").write_text(REPEATING)
    with open_instance(pipeline.project.settings, os.environ) as instance:
        yield instance


def will_be_repeated(instance: DagsterInstance) -> list[str | None]:
    """Return what Dagster recorded of each failed run, the newest first: its daemon does as it says."""
    return [run.tags.get("dagster/will_retry") for run in instance.get_runs() if run.status is DagsterRunStatus.FAILURE]


@pytest.mark.slow
def test_runs_with_refused_objects_are_not_repeated_and_crashed_ones_are(
    pipeline: Pipeline, repeating: DagsterInstance
) -> None:
    own = pipeline.own
    pipeline.add_images(2)
    pipeline.break_images(1)

    assert not run_job(repeating, own.sync_job)
    assert not run_range(pipeline, repeating, own.manifest, own.registration)

    assert will_be_repeated(repeating) == ["false", "false"]
    repeating.report_run_failed(a_run(pipeline, repeating, DagsterRunStatus.STARTED), "its worker died")
    assert will_be_repeated(repeating) == ["true", "false", "false"]
