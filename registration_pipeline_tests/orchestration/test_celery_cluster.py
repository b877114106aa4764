"""Whole clusters on this machine: sources in parallel on Celery workers while the broker, the database and workers fail."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from benchmarks.celery_cluster import Size
from benchmarks.celery_workers import measure
from benchmarks.postgres_server import postgres_programs
from benchmarks.redis_server import redis_program
from registration_pipeline_tests.doses import IS_SOAK

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed (`make postgres`)"),
    pytest.mark.skipif(redis_program() is None, reason="Redis is not installed (`make redis`)"),
    pytest.mark.skipif(
        version("sqlalchemy") >= "2.1", reason="the extra postgres needs SQLAlchemy below 2.1: make setup-dev"
    ),
]


def test_each_object_is_registered_once_and_shown_so_whatever_fails(tmp_path: Path) -> None:
    size = (
        Size(sources=10, objects=2_000, chunk_size=100, workers=3, job_seconds=1.0)
        if IS_SOAK
        # Three rounds of jobs, each longer than a restart of the broker: a round ends with each part of the failures.
        else Size(sources=2, objects=1_000, chunk_size=100, workers=2, job_seconds=4.0)
    )
    outcome = measure(size, tmp_path, has_faults=True, kills_worker=IS_SOAK)
    outcome.check(size)
    print(outcome.seconds, outcome.runs, outcome.notes)
    assert outcome.runs["SUCCESS"] >= size.sources
    assert sum("are cut" in note or "the broker" in note for note in outcome.notes) == 4
