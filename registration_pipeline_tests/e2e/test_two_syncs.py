"""Two syncs of one source at the same moment, from two machines as far as Dagster can tell: each object is sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.e2e.command_project import CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OBJECTS = 60


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[CommandProject]:
    """A source of sixty images in chunks of ``chunk_images``, whose jobs take ``job_seconds``."""
    chunk_images, job_seconds = request.param
    configure(tmp_path, chunk_size={"images": chunk_images}, max_in_flight=2, settle_seconds=1)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=job_seconds) as sandbox:
        made = CommandProject(tmp_path, sandbox)
        made.put(*(f"{number:03d}.jpg" for number in range(OBJECTS)))
        yield made


@pytest.mark.parametrize("project", [(5, 1.0)], indirect=True, ids=["twelve short jobs"])
def test_the_second_waits_says_for_whom_and_sends_nothing_twice(project: CommandProject):
    homes = [project.root / name for name in ("home-a", "home-b")]
    for home in homes:
        home.mkdir()
    both = [project.start("sync", DAGSTER_HOME=str(home)) for home in homes]

    finished = [project.finish(process) for process in both]

    assert [one.status for one in finished] == [0, 0], [one.said for one in finished]
    waiting = [one.said for one in finished if "is being submitted by pid" in " ".join(one.said.split())]
    assert len(waiting) == 1
    registered = project.registered()
    assert len(registered) == OBJECTS
    assert set(registered.values()) == {1}
    assert len(project.sandbox.jobs()) == OBJECTS // 5
    assert project.sandbox.duplicates() == {}


@pytest.mark.parametrize("project", [(30, 30.0)], indirect=True, ids=["two long jobs"])
def test_the_second_takes_over_at_once_when_the_first_is_killed(project: CommandProject):
    homes = [project.root / name for name in ("home-a", "home-b")]
    for home in homes:
        home.mkdir()
    first = project.start("sync", DAGSTER_HOME=str(homes[0]))
    while not project.sandbox.jobs():
        assert first.poll() is None
    second = project.start("sync", DAGSTER_HOME=str(homes[1]))
    assert second.stderr is not None
    said = ""
    while "is being submitted by" not in " ".join(said.split()):
        line = second.stderr.readline()
        assert line, said
        said += line

    assert project.kill(first)
    finished = project.finish(second, timeout=120)

    assert finished.status == 0, finished.said
    assert set(project.registered().values()) == {1}
    assert len(project.registered()) == OBJECTS
