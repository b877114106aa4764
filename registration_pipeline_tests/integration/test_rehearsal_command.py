"""The ``rehearse`` command from the question to its exit status, in this process, on a folder of files and a sandbox."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, NamedTuple

import pytest

from registration_pipeline.cli.app import run
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import Integration
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline_tests.integration.rehearsals import QUICK, SOURCE, open_scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline_tests.integration.rehearsals import Scene


class Keyboard(io.StringIO):
    """Standard input of a terminal."""

    def isatty(self) -> bool:
        return True


class Said(NamedTuple):
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


def scene_of(root: Path, patch: pytest.MonkeyPatch, **switches: object) -> Scene:
    scene = open_scene(root, **switches)
    patch.chdir(root)
    patch.setattr("registration_pipeline.cli.rehearse.PATIENCE", QUICK)
    for name, value in {
        "ENCORD_DOMAIN": scene.sandbox.url,
        "ENCORD_SSH_KEY_FILE": str(scene.sandbox.private_key_path),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "REGISTRATION_CONFIG": "",
    }.items():
        patch.setenv(name, value)
    patch.delenv("REGISTRATION_CONFIG")
    return scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    opened = scene_of(tmp_path, monkeypatch)
    yield opened
    opened.sandbox.stop()


@pytest.fixture
def unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A sandbox like that of the command, which opens no objects."""
    opened = scene_of(tmp_path, monkeypatch, integrations=(Integration("sandbox"),))
    yield opened
    opened.sandbox.stop()


def say(*arguments: str) -> Said:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = run(["rehearse", SOURCE, *arguments])
    return Said(status, out.getvalue(), err.getvalue())


def test_it_asks_does_its_steps_and_shows_what_it_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("y\n"))

    said = say()

    assert said.status == 0, said.err
    assert "register 8 of the first 10 objects of source fleet" in said.err
    assert [title for title in ("Differs", "Settled", "Holds", "Could not be seen") if f"\n{title}" in said.out] == [
        "Settled",
        "Holds",
        "Could not be seen",
    ]
    assert "sources.fleet.settle_seconds" in said.out
    assert "the folder was removed." in said.out
    assert scene.folders() == {}
    assert not (scene.root / "state").exists()


def test_the_result_is_one_document_on_standard_output_and_the_same_in_the_file(unread: Scene) -> None:
    said = say("--yes", "--json", "--out", "result.json")

    document = json.loads(said.out)
    assert said.status == 3, said.err
    assert json.loads((unread.root / "result.json").read_text()) == document
    assert document["counts"]["differs"] == 1
    assert [one["name"] for one in document["findings"] if one["verdict"] == "differs"] == ["unreadable_is_an_error"]
    assert document["folder"]["is_removed"] is True
    assert list(unread.root.glob(".*.json")) == []


def test_no_key_of_an_object_and_no_credential_is_in_the_result(unread: Scene) -> None:
    say("--yes", "--out", "result.json")

    text = (unread.root / "result.json").read_text()
    secret = unread.sandbox.private_key_path.read_text().splitlines()[2]
    assert secret not in text
    assert not [path.name for path in (unread.root / "files").rglob("*.*") if json.dumps(path.name)[1:-1] in text]
    assert "file:" not in text


def test_a_folder_that_stays_is_named_and_gives_status_4(scene: Scene) -> None:
    fault = Fault(effect=Effect.STATUS, endpoint=Endpoint.DELETE_FOLDER, status=400, message="not now", times=None)
    scene.sandbox.script(fault)

    said = say("--yes", "--out", "result.json")

    assert said.status == 4
    ((folder_uuid, name),) = scene.folders().items()
    assert folder_uuid in said.err
    assert name in said.err
    assert "Delete it in Encord; nothing else uses it." in said.err
    assert "the folder was not removed." in said.out
    assert json.loads((scene.root / "result.json").read_text())["folder"]["is_removed"] is False
