"""Datasets end to end: the commands against the sandbox, killed, refused, and with datasets that change.

Commands that are killed or that run at once are processes; all others run in this one, which loads the libraries once.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dagster as dg
import pytest
from encord import EncordUserClient

from registration_pipeline.cli.app import run as run_command
from registration_pipeline.orchestration.runs.instance import prepare_home
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault, When
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, Finished, configure, open_sandbox
from registration_pipeline_tests.unit.cli.conftest import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LINK = Endpoint.LINK_ITEMS
OPTIONS: dict[str, Any] = {"chunk_size": {"images": 5}, "max_in_flight": 2, "settle_seconds": 1}


class CommandsHere(CommandProject):
    """A project whose commands run in this process; ``start`` still starts one."""

    def configure(self, **changes: Any) -> None:
        """Write the configuration and go to a folder of its own: Dagster keeps what it loaded from a folder."""
        configure(self.root, **OPTIONS, **changes)
        folder = self.root / f"from-{len(list(self.root.glob('from-*')))}"
        folder.mkdir()
        os.chdir(folder)

    def with_dataset(self, title: str = "fleet", max_items: int = 100) -> None:
        self.configure(dataset={"title": title, "max_items": max_items})

    def run(self, *arguments: str) -> Finished:
        out, said = Stream(terminal=False), Stream(terminal=False)
        with redirect_stdout(out), redirect_stderr(said):
            status = run_command(list(arguments))
        assert "Traceback" not in said.text, said.text
        return Finished(status, out.text, said.text)

    def sync(self) -> Finished:
        return self.run("sync", "--json")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Dagster with its databases."""
    made = tmp_path_factory.mktemp("home")
    prepare_home(made)
    with dg.DagsterInstance.from_config(str(made)) as instance:
        instance.get_runs(limit=1)
        instance.get_dynamic_partitions("none")
    return made


@pytest.fixture
def project(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandsHere]:
    """A source of twelve images in chunks of five, without a dataset."""
    monkeypatch.chdir(tmp_path)
    for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG"):
        monkeypatch.setenv(name, "")  # so that what a command sets is undone
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.0) as sandbox:
        monkeypatch.setenv("REGISTRATION_CONFIG", str(tmp_path / "registration.yaml"))
        made = CommandsHere(tmp_path, sandbox)
        made.configure()
        shutil.copytree(home, tmp_path / ".dagster")
        made.put(*(f"{number:02d}.jpg" for number in range(12)))
        yield made


def sizes(project: CommandProject) -> dict[str, int]:
    return {one.title: one.links for one in project.sandbox.datasets()}


def assert_each_item_linked_once(project: CommandProject) -> None:
    links = Counter(item for one in project.sandbox.datasets() for item in project.sandbox.links(one.uuid))
    assert links == dict.fromkeys((item.uuid for item in project.items()), 1)


def delete_item(project: CommandProject, name: str) -> str:
    """Delete the item of a file in Encord, as a person would; returns its UUID."""
    client = EncordUserClient.create_with_ssh_private_key(
        ssh_private_key=project.sandbox.private_key_path.read_text(), domain=project.sandbox.url
    )
    (folder_uuid,) = {job.folder_uuid for job in project.sandbox.jobs()}
    (item,) = (one.uuid for one in project.items() if one.urls[0].endswith(f"/{name}"))
    client.get_storage_folder(folder_uuid).delete_storage_items([UUID(item)])
    return item


def test_what_was_registered_before_is_linked_too_and_a_quiet_night_asks_nothing_of_datasets(project: CommandsHere):
    before = project.sync()
    assert (before.status, "dataset" in before.numbers) == (0, False)
    project.with_dataset(max_items=8)
    pending = project.run("status", "--json").numbers["dataset"]
    checked = project.run("check", "--json")

    synced = project.sync()

    assert pending == {"linked": 0, "pending": 12, "failed": 0}
    assert "dataset 'fleet' does not exist; the first sync creates it" in checked.out
    assert synced.status == 0, synced.said
    assert synced.numbers["dataset"] == {"linked": 12, "pending": 0, "failed": 0}
    assert sizes(project) == {"fleet": 8, "fleet 2": 4}
    assert_each_item_linked_once(project)
    requests = {
        name: one.requests for name, one in project.sandbox.requests().items() if "data" in name or name == LINK
    }
    assert project.sync().status == 0
    assert {name: one.requests for name, one in project.sandbox.requests().items() if name in requests} == requests
    assert "dataset 'fleet 2' is" in project.run("check", "--json").out


def test_an_item_that_was_deleted_fails_with_its_reason_until_it_is_registered_again(project: CommandsHere):
    project.sync()
    item = delete_item(project, "03.jpg")
    project.with_dataset()

    synced = project.sync()

    assert synced.status == 3
    assert synced.numbers["dataset"] == {"linked": 11, "pending": 0, "failed": 1}
    assert "1 unit is registered and could not be linked to the dataset" in synced.said
    (row,) = json.loads(project.run("failures", "--json").out)
    assert (row["stage"], row["reason"], row["key"]) == ("dataset", "item_missing", "03.jpg")
    assert item in row["message"]
    shown = project.run("failures")
    assert "1 unit is registered and could not be linked" in " ".join(shown.out.split())
    assert project.sync().status == 3
    again = project.run("submit", SOURCE, "--chunk", row["chunk_id"], "--force", "--json")
    assert again.status == 0, again.said
    assert again.numbers["dataset"] == {"linked": 12, "pending": 0, "failed": 0}
    assert_each_item_linked_once(project)
    assert project.run("state", SOURCE, "--verify").status == 0


def test_a_renamed_dataset_is_used_and_a_deleted_one_ends_the_sync_after_its_failure_log(project: CommandsHere):
    project.with_dataset()
    assert project.sync().status == 0
    (dataset,) = project.sandbox.datasets()
    project.sandbox.rename_dataset(dataset.uuid, "ours")
    project.put("later.jpg")

    renamed = project.sync()

    assert renamed.status == 0, renamed.said
    assert sizes(project) == {"ours": 13}
    assert "is used as before" in project.run("check", "--json").out
    project.sandbox.delete_dataset(dataset.uuid)
    assert (project.sync().status, project.run("check").status) == (0, 4)
    project.put("last.jpg")
    halted = project.sync()
    assert halted.status == 4
    assert f"({dataset.uuid})" in halted.said
    assert halted.numbers["registered"] == 14
    assert halted.numbers["dataset"] == {"linked": 13, "pending": 1, "failed": 0}
    assert project.sandbox.datasets() == []
    project.with_dataset("night shift")
    assert project.sync().status == 0
    assert sizes(project) == {"night shift": 1}


def test_calls_that_fail_in_every_way_link_everything_once(project: CommandsHere):
    project.with_dataset(max_items=7)
    project.sandbox.script(
        Fault(effect=Effect.CUT, when=When.AFTER, endpoint=Endpoint.CREATE_DATASET),
        Fault(effect=Effect.CUT, when=When.BEFORE, endpoint=Endpoint.LIST_DATASETS),
        Fault(effect=Effect.HALF_LINKED, when=When.AFTER, status=502, endpoint=LINK),
        Fault(effect=Effect.CUT, when=When.AFTER, endpoint=LINK),
        Fault(effect=Effect.QUERY_REFUSED, message="RATE_LIMIT_ERROR", endpoint=LINK),
        Fault(effect=Effect.STATUS, status=429, retry_after=1, endpoint=LINK),
        Fault(effect=Effect.QUERY_REFUSED, message="INVALID_ARGUMENTS_ERROR", endpoint=LINK),
    )

    synced = project.sync()

    assert synced.status == 0, synced.said
    assert sum(project.sandbox.fault_counts().values()) == 7
    assert sizes(project) == {"fleet": 7, "fleet 2": 5}
    assert_each_item_linked_once(project)


def test_two_submits_at_once_link_everything_once(project: CommandsHere):
    project.sync()
    project.with_dataset(max_items=5)
    project.sandbox.script(Fault(effect=Effect.DELAY, when=When.AFTER, seconds=1.0, endpoint=LINK, times=3))
    homes = [project.root / name for name in ("home-a", "home-b")]
    for home in homes:
        home.mkdir()

    both = [project.start("submit", SOURCE, "--json", DAGSTER_HOME=str(home)) for home in homes]
    finished = [project.finish(process) for process in both]

    assert [one.status for one in finished] == [0, 0], [one.said for one in finished]
    assert sizes(project) == {"fleet": 5, "fleet 2": 5, "fleet 3": 2}
    assert_each_item_linked_once(project)


@pytest.mark.soak
def test_kills_at_any_moment_of_linking_link_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every call is slow, so that most kills come between an intent and its end."""
    objects, random = 24, Random(43)
    configure(tmp_path, **OPTIONS)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.0) as sandbox:
        project = CommandProject(tmp_path, sandbox)
        project.put(*(f"{number:03d}.jpg" for number in range(objects)))
        assert project.sync().status == 0
        slow = [
            Fault(effect=Effect.DELAY, when=when, seconds=0.4, endpoint=endpoint, times=None)
            for endpoint, when in ((LINK, When.AFTER), (Endpoint.CREATE_DATASET, When.AFTER))
        ]
        configure(tmp_path, dataset={"title": "fleet", "max_items": 4}, **OPTIONS)
        sandbox.script(*slow)
        killed = 0
        for number in range(max(3, DOSES.kills // 10)):
            watched = LINK if number else Endpoint.CREATE_DATASET
            process = project.start("submit", SOURCE, "--json")
            seen = sandbox.requests().get(watched)
            before = seen.requests if seen else 0
            deadline = time.monotonic() + 300
            while process.poll() is None and time.monotonic() < deadline:
                found = sandbox.requests().get(watched)
                if found is not None and found.requests > before:
                    break
                time.sleep(0.02)
            time.sleep(random.uniform(0, 0.5))
            killed += project.kill(process)
        sandbox.clear_faults()

        ended = project.finish(project.start("submit", SOURCE, "--json"))

        assert killed >= 2
        assert ended.status == 0, ended.said
        assert ended.numbers["dataset"] == {"linked": objects, "pending": 0, "failed": 0}
        assert_each_item_linked_once(project)
        assert set(sizes(project).values()) == {4}
        titles = [one.title for one in sandbox.datasets()]
        assert len(titles) == len(set(titles)) == objects // 4
