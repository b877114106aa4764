"""What a run over chunks yields, in which order, and what follows when it can't link: the same for every way to start one."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.project.listener import SilentListener, listening
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.project.selection import due_chunks
from registration_pipeline.stages.submission import (
    ChunksConcluded,
    DatasetLinked,
    FailureLogBegins,
    FailureLogWritten,
    LinkingHalted,
    UpsertsSent,
    submit_chunks,
)
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.submission.result import ChunkResult, ReadyChunk
from registration_pipeline_tests.unit.pipeline.conftest import SOURCE

if TYPE_CHECKING:
    from collections.abc import Generator

    from registration_pipeline.stages.submission import Step
    from registration_pipeline_tests.unit.pipeline.conftest import Plant

ELSEWHERE = Holder(
    host="worker-b", boot="b", pid=4711, start="1", namespace="n", since=datetime(2026, 11, 27, tzinfo=UTC)
)


def submission(
    plant: Plant, *, hands_on: bool = False, is_named: bool = False
) -> tuple[Project, Generator[Step, None, None]]:
    """Plan three objects, and submit their chunks in a process that does not wait for others."""
    title = f"fleet {plant.numbers[-1]}"
    plant.configure(dataset={"title": title}, metadata=[{"pattern": "^(?P<name>[a-z])"}], upsert_metadata=True)
    plant.put("a.jpg", "b.jpg", "c.jpg")
    pipeline = plant.pipeline()
    pipeline.inventory(SOURCE)
    pipeline.plan(SOURCE)
    project = replace(Project.load(plant.config, plant.environ), longest_wait=0.0)
    source = project.source(SOURCE)
    tasks = due_chunks(project, source, failed=False)
    steps = submit_chunks(
        project,
        source,
        tasks,
        total=len(tasks),
        log=lambda _: None,
        is_named=is_named,
        with_manifests=True,
        hands_on=hands_on,
    )
    return project, steps


def kinds(steps: Generator[Step, None, None], *, is_busy_for: Project | None = None) -> list[type]:
    """Return the kinds of the steps; another host submits the source from when its upserts are sent."""
    kinds: list[type] = []
    for step in steps:
        kinds.append(type(step))
        if is_busy_for is not None and isinstance(step, UpsertsSent):
            with hold_lease(
                is_busy_for.store, SOURCE, clock=utc_now, notify=print, stop=threading.Event(), holder=ELSEWHERE
            ):
                return kinds + [type(step) for step in steps]
    return kinds


CHUNKS = [ReadyChunk, ReadyChunk, ChunkResult, ChunkResult]
LOG = [FailureLogBegins, FailureLogWritten]


@pytest.mark.parametrize(
    ("is_named", "upserts"),
    [
        pytest.param(False, [UpsertsSent], id="all that is due"),
        pytest.param(True, [], id="chunks of a person's choice"),
    ],
)
def test_registration_upserts_dataset_and_failure_log_follow_each_other(
    plant: Plant, *, is_named: bool, upserts: list[type]
):
    _, steps = submission(plant, is_named=is_named)

    found = kinds(steps)

    assert sorted(found[:4], key=CHUNKS.index) == CHUNKS
    assert found[4:] == [ChunksConcluded, *upserts, DatasetLinked, *LOG]


def test_linking_that_waits_for_another_process_halts_alone_and_the_failure_log_is_written(plant: Plant):
    project, steps = submission(plant)

    assert kinds(steps, is_busy_for=project)[4:] == [ChunksConcluded, UpsertsSent, LinkingHalted, *LOG]
    assert project.store.names(f"{SOURCE}/failures/")


def test_a_run_that_hands_its_work_on_ends_when_linking_waits_for_another_process(plant: Plant):
    project, steps = submission(plant, hands_on=True)

    with pytest.raises(LeaseBusyError, match="submitted by pid 4711 on worker-b"):
        kinds(steps, is_busy_for=project)
    assert next(steps, None) is None


def test_chunks_that_are_only_to_be_shown_are_not_counted_as_chunks_to_send(plant: Plant):
    """A view without its history, as a new DAGSTER_HOME is, catches up with what is registered."""
    _, steps = submission(plant)
    for _ in steps:
        pass
    again = Project.load(plant.config, plant.environ)
    said = Notices()
    with listening(said):
        behind = due_chunks(again, again.source(SOURCE), failed=False, shown=set())
        due_chunks(again, again.source(SOURCE), failed=False, shown={task.chunk.chunk_id for task in behind})

    assert len(behind) == 2
    (text,) = said.texts
    assert text.startswith(f"{SOURCE}: 0 chunks to send; 2 chunks that are registered already are only read again")


class Notices(SilentListener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str, level: str | None = None) -> None:
        """See ``RunListener``."""
        assert level is None
        self.texts.append(text)
