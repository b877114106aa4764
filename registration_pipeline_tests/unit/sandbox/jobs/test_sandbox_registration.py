"""One slice of a job after the other, without threads: what a cancel, a kill or a repeated slice leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.sandbox.config import DedupeAt, SandboxConfig
from registration_pipeline.sandbox.database import Database
from registration_pipeline.sandbox.jobs.manifests import parse_external_files
from registration_pipeline.sandbox.jobs.readers import Examined
from registration_pipeline.sandbox.jobs.registration import register_slice
from registration_pipeline.sandbox.jobs.submissions import accept_job, cancel_job, job_state, load_submission
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "INSERT INTO folders VALUES (1, 'f', NULL, 'f', '', '{}', 'o', '', '')"


class Job:
    """An accepted job of four images, registered slice by slice by hand."""

    def __init__(self, database: Database, config: SandboxConfig, *rules: UnitRule) -> None:
        self.database, self.config = database, config
        images = [{"objectUrl": f"s3://b/{number}"} for number in range(4)]
        files = parse_external_files({"images": images, "skip_duplicate_urls": True})
        with database.writing() as connection:
            self.id, _ = accept_job(
                connection,
                folder_id=1,
                owner="o",
                files=files,
                rules=rules,
                dedupe_at=DedupeAt.START,
                file_name=None,
                integration_uuid=None,
                ignore_errors=True,
            )
        self.submission = load_submission(self.row()["submission"])

    def row(self) -> Any:
        with self.database.reading() as connection:
            return connection.execute("SELECT * FROM jobs WHERE id = ?", (self.id,)).fetchone()

    def state(self) -> dict[str, Any]:
        with self.database.reading() as connection:
            return job_state(connection, self.row())

    def register(self, start: int, count: int) -> str:
        with self.database.writing() as connection:
            return register_slice(
                connection,
                job_id=self.id,
                submission=self.submission,
                start=start,
                examined=[Examined()] * count,
                config=self.config,
            )

    def items(self) -> int:
        with self.database.reading() as connection:
            count: int = connection.execute("SELECT count(*) FROM items").fetchone()[0]
            return count


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    with opened.writing() as connection:
        connection.execute(FOLDER)
    yield opened
    opened.close()


@pytest.fixture
def job(database: Database, tmp_path: Path) -> Job:
    return Job(database, SandboxConfig(data=tmp_path))


def test_counts_add_up_after_every_slice(job: Job) -> None:
    statuses = []
    for start in range(4):
        statuses.append(job.register(start, 1))
        state = job.state()
        assert state["unitsDoneCount"] + state["unitsPendingCount"] == 4
        assert job.items() == start + 1

    assert statuses == ["PENDING", "PENDING", "PENDING", "DONE"]


def test_a_cancelled_job_registers_nothing_more(job: Job) -> None:
    job.register(0, 2)
    with job.database.writing() as connection:
        assert cancel_job(connection, job.row()) == 2

    assert job.register(2, 2) == "CANCELLED"
    assert job.items() == 2
    state = job.state()
    assert (state["status"], state["unitsDoneCount"], state["unitsCancelledCount"]) == ("CANCELLED", 2, 2)


def test_a_slice_that_is_not_committed_leaves_items_progress_and_strikes_as_they_were(
    database: Database, tmp_path: Path
) -> None:
    job = Job(database, SandboxConfig(data=tmp_path), UnitRule("/0$", "planted", times=1))

    def register_and_break() -> None:
        with database.writing() as connection:
            register_slice(
                connection,
                job_id=job.id,
                submission=job.submission,
                start=0,
                examined=[Examined()] * 2,
                config=job.config,
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        register_and_break()
    assert (job.items(), job.row()["position"], job.state()["unitErrors"]) == (0, 0, [])

    job.register(0, 2)
    assert [error["objectUrls"] for error in job.state()["unitErrors"]] == [["s3://b/0"]]


def test_a_deleted_job_registers_nothing(job: Job) -> None:
    with job.database.writing() as connection:
        connection.execute("DELETE FROM jobs")

    job.register(0, 4)

    assert job.items() == 0


def test_the_submission_is_dropped_when_the_job_ends(job: Job) -> None:
    assert job.row()["submission"] is not None

    job.register(0, 4)

    assert job.row()["submission"] is None
