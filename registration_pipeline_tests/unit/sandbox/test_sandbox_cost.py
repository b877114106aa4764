"""What a chunk costs the sandbox: a benchmark of the pipeline must measure the pipeline."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.config import DedupeAt, SandboxConfig
from registration_pipeline.sandbox.database import Database
from registration_pipeline.sandbox.jobs.manifests import parse_external_files
from registration_pipeline.sandbox.jobs.readers import Examined
from registration_pipeline.sandbox.jobs.registration import register_slice
from registration_pipeline.sandbox.jobs.submissions import accept_job, load_submission

if TYPE_CHECKING:
    from pathlib import Path

UNITS = 1_000
JOBS = 6
GRAIN = 100
"""SQLite's virtual machine reports after this many of its instructions."""
STEPS_PER_UNIT = 200
"""Instructions of SQLite's virtual machine; a look at the index and an insert into four indices take 109. A scan of the
folder's items, of which there are thousands, would take many times as many."""


def _register(database: Database, config: SandboxConfig, body: str) -> str:
    files = parse_external_files(json.loads(body))
    with database.writing() as connection:
        job_id, _ = accept_job(
            connection,
            folder_id=1,
            owner="o",
            files=files,
            rules=(),
            dedupe_at=DedupeAt.START,
            file_name="chunk.json",
            integration_uuid=None,
            ignore_errors=True,
        )
        stored = connection.execute("SELECT submission FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
    submission = load_submission(stored)
    status = "PENDING"
    for start in range(0, UNITS, UNITS // 4):
        with database.writing() as connection:
            status = register_slice(
                connection,
                job_id=job_id,
                submission=submission,
                start=start,
                examined=[Examined()] * (UNITS // 4),
                config=config,
            )
    return status


class _Steps:
    """Counts what SQLite executes; the same on every machine, unlike seconds."""

    def __init__(self) -> None:
        self.taken = 0

    def __call__(self) -> int:
        self.taken += GRAIN
        return 0


@pytest.mark.slow
def test_a_job_costs_a_few_steps_of_the_database_a_unit_however_many_jobs_were_before_it(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.writing() as connection:
        connection.execute("INSERT INTO folders VALUES (1, ?, NULL, 'f', '', '{}', 'o', '', '')", (str(uuid.uuid4()),))
    costs = []
    for job in range(JOBS):
        images = [
            {
                "objectUrl": f"https://fleet.s3.eu-west-2.amazonaws.com/raw/{job:04}/{n:06}.jpg",
                "title": f"raw/{job:04}/{n:06}.jpg",
                "clientMetadata": {"registration.chunk": f"{job}", "registration.unit": f"{n:016x}"},
            }
            for n in range(UNITS)
        ]
        steps = _Steps()
        with database.writing() as connection:
            connection.set_progress_handler(steps, GRAIN)
        body = json.dumps({"images": images, "skip_duplicate_urls": True})
        assert _register(database, SandboxConfig(data=tmp_path), body) == "DONE"
        costs.append(steps.taken / UNITS)
    database.close()

    assert 0 < costs[-1] < STEPS_PER_UNIT
    assert costs[-1] < 1.1 * costs[1]
