"""An older backup of the state, and Dagster's home lost: the next sync adopts what was registered since, once."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance

from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.runs.shown_partitions import shown_as_done
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
OBJECTS, LATER = 9, 4


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandProject]:
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.5) as sandbox:
        configure(tmp_path, chunk_size={"images": 3}, settle_seconds=1, max_in_flight=2)
        yield CommandProject(tmp_path, sandbox)


def copy_of(folder: Path, to: Path) -> None:
    """Copy as backup tools do: file by file, in no order, past files that are removed meanwhile."""
    for name in sorted(folder.rglob("*"), reverse=True):
        if name.is_file():
            beside = to / name.relative_to(folder)
            beside.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(name, beside)
            except FileNotFoundError:
                continue  # a lease's beat


def backup_during(project: CommandProject, to: Path) -> None:
    """Start a sync and copy the state while upload jobs run."""
    process = project.start("sync")
    deadline = time.monotonic() + 600
    while not list((project.root / "state" / SOURCE).glob("journal/*/*-job.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    copy_of(project.root / "state", to)
    assert project.finish(process).status == 0


def test_a_sync_after_a_restore_of_what_was_copied_during_a_sync_registers_nothing_twice_and_loses_nothing(
    project: CommandProject,
) -> None:
    state, backup = project.root / "state", project.root / "backup"
    project.put(*(f"{number}.jpg" for number in range(OBJECTS)))
    backup_during(project, backup)
    assert len(list((backup / SOURCE).glob("journal/*/*-closed.json"))) < OBJECTS // 3
    project.put(*(f"later/{number}.jpg" for number in range(LATER)))
    assert project.sync().numbers["registered"] == OBJECTS + LATER
    items = {item.uuid for item in project.items()}

    shutil.rmtree(state)
    backup.rename(state)
    shutil.rmtree(project.root / ".dagster")
    assert project.run("state", SOURCE, "--verify").status == 0
    restored = project.sync()

    assert restored.status == 0
    assert {item.uuid for item in project.items()} == items
    project.assert_proven(OBJECTS + LATER)
    assert shown_chunks(project) == {"materialized": len(load_chunks(project.store, SOURCE)), "other": 0}


def shown_chunks(project: CommandProject) -> dict[str, int]:
    own = SourceNames(SOURCE)
    with DagsterInstance.from_config(str(project.root / ".dagster")) as instance:
        live = set(instance.get_dynamic_partitions(own.partitions))
        done = shown_as_done(instance, own)
        return {"materialized": len(live & done), "other": len(live - done)}
