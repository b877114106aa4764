"""A table changes, and the next sync sends what changed: through the command line, the SDK and the sandbox, also killed."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from encord import EncordUserClient

from registration_pipeline.cli.session import DONE, DONE_WITH_FAILURES
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OBJECTS = 12
KILLS = 3


def options(root: Path) -> dict[str, Any]:
    return {
        "chunk_size": {"images": 5},
        "metadata": [
            {"table": str(root / "labels.csv"), "key": "path", "matches": "path"},
            {"pattern": "^(?P<site>[a-z]+)/"},
        ],
        "upsert_metadata": True,
        "settle_seconds": 1,
        "max_attempts": 50,
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandProject]:
    configure(tmp_path, **options(tmp_path))
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.2, workers=4) as sandbox:
        project = CommandProject(tmp_path, sandbox)
        project.put(*(f"oslo/{number:02d}.jpg" for number in range(OBJECTS)))
        yield project


def write_table(project: CommandProject, weather: Mapping[int, str]) -> None:
    rows = [f"oslo/{number:02d}.jpg,{text}" for number, text in weather.items()]
    (project.root / "labels.csv").write_text("\n".join(["path,weather", *rows]) + "\n")


def shown(project: CommandProject) -> dict[str, dict[str, Any]]:
    """Return the client metadata of every item without what the pipeline adds, by the end of its title."""
    return {
        item.name.rsplit("/", 1)[-1]: {
            name: value
            for name, value in json.loads(item.client_metadata or "{}").items()
            if not name.startswith("registration.")
        }
        for item in project.items()
    }


def expected(weather: Mapping[int, str]) -> dict[str, dict[str, Any]]:
    return {
        f"{number:02d}.jpg": {"site": "oslo"} | ({"weather": weather[number]} if number in weather else {})
        for number in range(OBJECTS)
    }


def upsert_jobs(project: CommandProject) -> int:
    return len([job for job in project.sandbox.jobs() if "-upsert-" in (job.file_name or "")])


def test_a_changed_table_is_sent_by_the_next_sync(project: CommandProject) -> None:
    weather = dict.fromkeys(range(10), "sun")
    write_table(project, weather)
    first = project.sync()
    assert first.status == DONE, first.said
    assert first.numbers["upserts"] == {"pending": 0, "done": 0, "failed": 0}
    assert (shown(project), upsert_jobs(project)) == (expected(weather), 0)

    weather |= {0: "rain", 11: "fog"}
    write_table(project, weather)
    assert project.sync().numbers["upserts"] == {"pending": 0, "done": 2, "failed": 0}
    assert (shown(project), upsert_jobs(project)) == (expected(weather), 1)
    quiet = project.sync()
    assert (quiet.status, upsert_jobs(project)) == (DONE, 1)
    project.assert_proven(OBJECTS)

    write_table(project, weather | {1: "snow"})
    assert project.run("plan", SOURCE, "--json").status == DONE
    planned = json.loads(project.run("plan", SOURCE, "--dry-run", "--json").out)
    assert planned["upserts"]["units"] == 1
    (sample,) = planned["upserts"]["samples"]
    assert (sample["field"], sample["before"], sample["after"]) == ("weather", "sun", "snow")

    report = verify_state(project.store, SOURCE)
    assert (report.damaged, report.foreign) == ({}, ())
    configure(project.root, **{**options(project.root), "upsert_metadata": False})
    status = project.run("status", "--json")
    assert (status.status, "upserts" in status.numbers) == (DONE, False)


def test_an_item_that_was_deleted_is_reported_and_not_made_again(project: CommandProject) -> None:
    write_table(project, {})
    project.sync()
    (gone,) = [item for item in project.items() if item.name.endswith("03.jpg")]
    (folder,) = {job.folder_uuid for job in project.sandbox.jobs()}
    client = EncordUserClient.create_with_ssh_private_key(
        project.sandbox.private_key_path.read_text(), domain=project.sandbox.url
    )
    client.get_storage_folder(folder).delete_storage_items([UUID(gone.uuid)])

    weather = dict.fromkeys(range(OBJECTS), "sun")
    write_table(project, weather)
    found = project.sync()

    assert found.status == DONE_WITH_FAILURES
    assert found.numbers["upserts"] == {"pending": 0, "done": OBJECTS - 1, "failed": 1}
    assert "New metadata of 1 registered unit did not get to Encord" in found.said
    assert shown(project) == {name: values for name, values in expected(weather).items() if name != "03.jpg"}
    (row,) = json.loads(project.run("failures", "--json").out)
    assert (row["stage"], row["reason"], row["key"]) == ("upsert", "not_in_encord", "oslo/03.jpg")

    forced = project.run("submit", SOURCE, "--chunk", row["chunk_id"], "--force", "--json")
    assert forced.status == DONE_WITH_FAILURES, forced.said
    healed = project.run("submit", SOURCE, "--failed", "--json")
    assert healed.status == DONE, healed.said
    assert healed.numbers["upserts"] == {"pending": 0, "done": OBJECTS, "failed": 0}
    assert shown(project) == expected(weather)
    assert json.loads(project.run("failures", "--json").out) == []


def test_a_value_that_becomes_invalid_fails_each_night_until_it_is_right_again(project: CommandProject) -> None:
    schema = {"weather": {"enum": ["sun", "rain"]}}
    configure(project.root, **options(project.root), metadata_schema=schema)
    weather = dict.fromkeys(range(OBJECTS), "sun")
    write_table(project, weather)
    assert project.sync().status == DONE

    write_table(project, weather | {4: "fog"})
    for _ in range(2):
        found = project.sync()
        assert found.status == DONE_WITH_FAILURES, found.said
        assert found.numbers["upserts"] == {"pending": 0, "done": 0, "failed": 1}
        (row,) = json.loads(project.run("failures", "--json").out)
        assert (row["stage"], row["reason"], row["key"]) == ("upsert", "invalid_metadata", "oslo/04.jpg")
        assert "fog" in row["message"]
    logged = max((project.root / "state" / SOURCE / "failure_log").glob("*.csv")).read_text()
    assert "upsert,invalid_metadata" in logged
    preview = project.run("plan", SOURCE, "--dry-run")
    assert "1 unit has metadata that is invalid" in preview.out
    assert "oslo/04.jpg: invalid_metadata" in preview.out
    assert (shown(project), upsert_jobs(project)) == (expected(weather), 0)

    write_table(project, weather)
    assert project.sync().status == DONE
    assert json.loads(project.run("failures", "--json").out) == []
    assert upsert_jobs(project) == 0


def test_killed_while_it_sends_and_run_again(project: CommandProject) -> None:
    draw = random.Random(12)
    write_table(project, {})
    project.sync()
    items = sorted(item.uuid for item in project.items())
    weather: dict[int, str] = {}
    stages = ("upserts/lineage/*", "upserts/journal/*/*-intent.json", "upserts/journal/*/*-job.json")
    for number in range(KILLS):
        weather |= dict.fromkeys(draw.sample(range(OBJECTS), 8), f"w{number}")
        write_table(project, weather)
        state, stage = project.root / "state" / SOURCE, stages[number % len(stages)]
        before, process = len(list(state.glob(stage))), project.start("sync", "--json")
        while process.poll() is None and len(list(state.glob(stage))) == before:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.2)
        project.kill(process)

    last = project.sync()

    assert last.status == DONE, last.said
    assert shown(project) == expected(weather)
    assert sorted(item.uuid for item in project.items()) == items
    jobs = upsert_jobs(project)
    assert project.sync().numbers["upserts"]["failed"] == 0
    assert upsert_jobs(project) == jobs
    assert verify_state(project.store, SOURCE).damaged == {}
