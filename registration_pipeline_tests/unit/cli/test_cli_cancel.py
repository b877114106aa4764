"""``cancel``: stops the upload jobs of chunks, and says what it did."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault
from registration_pipeline.submission.encord.gateway import EncordGateway

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace


class ProcessEndedError(Exception):
    pass


@pytest.fixture
def pending_chunk(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> tuple[Workplace, str]:
    """A source whose sync died while an upload job that never ends was under way."""
    workplace.put("a.jpg", "b.jpg")
    workplace.sandbox.script(Fault(effect=Effect.JOB, fate=Fate.STUCK))

    def die(*_: object, **__: object) -> None:
        raise ProcessEndedError

    with monkeypatch.context() as patch, suppress(ProcessEndedError):
        patch.setattr(EncordGateway, "poll_job", die)
        workplace.register()
    (job,) = workplace.sandbox.jobs()
    assert job.file_name is not None
    return workplace, job.file_name.removesuffix(".json")


def test_it_stops_the_job_of_a_chunk(pending_chunk: tuple[Workplace, str]):
    place, chunk_id = pending_chunk

    said = place.run("cancel", "fleet-cameras", "--chunk", chunk_id)

    assert said.status == 0
    assert f"{chunk_id}: upload job" in said.out
    assert "1 unit was not registered" in said.out
    assert [job.status for job in place.sandbox.jobs() if job.file_name == f"{chunk_id}.json"] == ["CANCELLED"]


def test_its_json_names_the_jobs(pending_chunk: tuple[Workplace, str]):
    place, chunk_id = pending_chunk

    (one,) = place.run("cancel", "fleet-cameras", "--chunk", chunk_id, "--json").document

    assert sorted(one) == ["chunk_id", "job_id", "units"]
    assert one["chunk_id"] == chunk_id


def test_a_second_time_there_is_nothing_left_and_after_a_sync_nothing_open(pending_chunk: tuple[Workplace, str]):
    place, chunk_id = pending_chunk
    place.run("cancel", "fleet-cameras", "--chunk", chunk_id)

    again = place.run("cancel", "fleet-cameras", "--chunk", chunk_id)
    place.register()
    concluded = place.run("cancel", "fleet-cameras", "--chunk", chunk_id)

    assert (again.status, concluded.status) == (0, 0)
    assert "had nothing left to cancel" in again.out
    assert f"{chunk_id}: nothing to cancel: the chunk is partially failed" in " ".join(concluded.err.split())


def test_an_unknown_chunk_is_wrong_usage(pending_chunk: tuple[Workplace, str]):
    place, chunk_id = pending_chunk

    said = place.run("cancel", "fleet-cameras", "--chunk", chunk_id[:-1] + "9")

    assert said.status == 2
    assert "has no chunk" in said.err
