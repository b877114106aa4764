"""However a rehearsal ends, its folder is removed or named, and no other folder is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline.rehearsal.observations import Step
from registration_pipeline.rehearsal.rehearse import INTERRUPTED
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault, When
from registration_pipeline_tests.integration.rehearsals import QUICK, SOURCE, by_name, open_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.integration.rehearsals import Scene

HALTED: Final = 4


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    opened = open_scene(tmp_path)
    yield opened
    opened.sandbox.stop()


class Interrupting:
    """The gateway, with Ctrl-C at one call: before it reaches Encord, or after it took effect and before its reply is seen.

    Args:
        gateway: the real one.
        method: whose call is interrupted.
        nth: which of its calls, from 1.
        is_late: after the effect.
    """

    def __init__(self, gateway: Any, method: str, nth: int, *, is_late: bool) -> None:
        self._gateway, self._method, self._left, self._is_late = gateway, method, nth, is_late

    def __getattr__(self, name: str) -> Any:
        real: Callable[..., Any] = getattr(self._gateway, name)
        if name != self._method:
            return real

        def call(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._is_late:
                raise KeyboardInterrupt
            result = real(*arguments, **named)
            if self._left == 0:
                raise KeyboardInterrupt
            return result

        return call


def rehearse_interrupted(scene: Scene, method: str, nth: int, *, is_late: bool) -> Any:
    rehearser = scene.rehearser()
    rehearser.gateway = Interrupting(rehearser.gateway, method, nth, is_late=is_late)
    return rehearser.rehearse()


@pytest.mark.parametrize("is_late", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize(
    ("method", "nth"),
    [
        pytest.param("create_described_folder", 1, id="making the folder"),
        pytest.param("find_folder", 1, id="finding it"),
        pytest.param("start_trial_job", 1, id="starting the first job"),
        pytest.param("start_trial_job", 8, id="starting the second of two jobs"),
        pytest.param("poll_job", 2, id="polling"),
        pytest.param("items_page", 3, id="reading the folder"),
        pytest.param("merge_metadata", 1, id="patching"),
        pytest.param("delete_items", 1, id="deleting items"),
    ],
)
def test_ctrl_c_at_any_step_removes_the_folder(scene: Scene, method: str, nth: int, is_late: bool) -> None:  # noqa: FBT001
    result = rehearse_interrupted(scene, method, nth, is_late=is_late)

    assert (result.stopped, result.exit_status) == ("it was interrupted", INTERRUPTED)
    assert result.leftovers is None
    assert scene.folders() == {}


def test_a_job_that_is_pending_at_ctrl_c_is_cancelled(tmp_path: Path) -> None:
    scene = open_scene(tmp_path, job_seconds=60.0)
    try:
        result = rehearse_interrupted(scene, "poll_job", 1, is_late=False)

        assert result.leftovers is None
        assert scene.folders() == {}
    finally:
        scene.sandbox.stop()


class Clocked:
    """The gateway, with the time of each call by name."""

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway
        self.calls: list[tuple[str, float]] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append((name, time.monotonic()))
        return getattr(self._gateway, name)


def test_a_start_without_an_answer_is_waited_for_before_the_folder_goes(scene: Scene) -> None:
    rehearser = scene.rehearser()
    rehearser.patience = replace(QUICK, watch=0.6)
    clocked = Clocked(Interrupting(rehearser.gateway, "start_trial_job", 1, is_late=True))
    rehearser.gateway = clocked

    rehearser.rehearse()

    times = dict(clocked.calls)
    assert times["delete_folder"] - times["start_trial_job"] >= 0.6


def test_what_was_seen_before_ctrl_c_is_in_the_result(scene: Scene) -> None:
    result = rehearse_interrupted(scene, "delete_items", 1, is_late=False)

    found = by_name(result)
    assert found["duplicates_skipped"].verdict == "holds"
    assert found["jobs_side_by_side"].found == "the rehearsal did not come to it"
    assert json.loads(json.dumps(result.document()))["stopped"] == "'it was interrupted'"


def test_a_second_ctrl_c_ends_the_clean_up_and_names_what_is_left(scene: Scene) -> None:
    rehearser = scene.rehearser()
    first = Interrupting(rehearser.gateway, "start_trial_job", 2, is_late=True)
    rehearser.gateway = Interrupting(first, "delete_items", 1, is_late=False)

    result = rehearser.rehearse()

    assert result.leftovers is not None
    assert scene.folders() == {result.folder_uuid: result.folder}
    items = {item.uuid for item in scene.sandbox.folder_items(result.folder_uuid)}
    assert len(items) == 5
    assert set(result.leftovers.item_uuids) == items
    assert all(text in str(result.leftovers) for text in (*items, str(result.folder_uuid), result.folder))


def test_after_ctrl_c_a_clean_up_that_is_refused_is_given_up_soon(scene: Scene) -> None:
    scene.sandbox.script(fault(Endpoint.DELETE_FOLDER, status=400, times=None))
    rehearser = scene.rehearser()
    rehearser.patience = replace(QUICK, clean=300.0, hurry=0.2)
    rehearser.gateway = Interrupting(rehearser.gateway, "start_trial_job", 1, is_late=True)

    result = rehearser.rehearse()

    assert result.exit_status == INTERRUPTED
    assert result.leftovers is not None
    assert scene.folders() == {result.leftovers.folder_uuid: result.folder}


def fault(endpoint: Endpoint, effect: Effect = Effect.STATUS, **more: Any) -> Fault:
    settings: dict[str, Any] = {"effect": effect, "endpoint": endpoint, "times": 1}
    return Fault(**settings | more)


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(fault(Endpoint.CREATE_FOLDER, Effect.CUT, when=When.AFTER), id="the folder's making has no reply"),
        pytest.param(fault(Endpoint.DELETE_FOLDER, Effect.CUT, when=When.AFTER), id="its removal has no reply"),
        pytest.param(fault(Endpoint.DELETE_FOLDER, status=500, times=2), id="its removal fails twice"),
        pytest.param(fault(Endpoint.DELETE_FOLDER, status=400), id="its removal is refused once"),
        pytest.param(fault(Endpoint.DELETE_ITEMS, Effect.CUT, when=When.BEFORE), id="a deletion of items is lost"),
        pytest.param(fault(Endpoint.START_JOB, status=429, retry_after=0), id="a start is throttled"),
        pytest.param(fault(Endpoint.POLL_JOB, status=503, times=3), id="polls fail"),
    ],
)
def test_trouble_that_passes_does_not_end_a_rehearsal(scene: Scene, planted: Fault) -> None:
    scene.sandbox.script(planted)

    result = scene.rehearser().rehearse()

    assert (result.stopped, result.leftovers) == (None, None)
    assert set(result.seen.jobs) == set(Step) - {Step.UNKNOWN_KEY, Step.KIND}
    assert scene.folders() == {}
    assert scene.sandbox.fault_counts() != {}


def test_a_start_without_a_reply_ends_the_rehearsal_and_its_items_are_removed_all_the_same(scene: Scene) -> None:
    scene.sandbox.script(fault(Endpoint.START_JOB, Effect.CUT, when=When.AFTER, skip=1))

    result = scene.rehearser().rehearse()

    assert result.exit_status == HALTED
    assert "Nothing says whether Encord started the upload job of step 'again'" in str(result.stopped)
    assert set(result.seen.jobs) == {Step.FIRST}
    assert scene.folders() == {}


def test_a_folder_that_can_not_be_removed_is_named_with_its_uuid(scene: Scene) -> None:
    scene.sandbox.script(fault(Endpoint.DELETE_FOLDER, status=400, message="not now", times=None))

    result = scene.rehearser().rehearse()

    assert result.stopped is None
    assert result.leftovers is not None
    assert "not now" in str(result.leftovers)
    assert scene.folders() == {result.leftovers.folder_uuid: result.folder}
    assert result.document()["folder"]["is_removed"] is False


def test_nothing_is_left_behind_after_a_rehearsal_and_something_before_its_clean_up(scene: Scene) -> None:
    rehearser = scene.rehearser()
    said: list[str] = []

    def watch(line: str) -> None:
        left = rehearser.left_behind("it was ended by force")
        said.append(f"{line}: {left.folder_uuid if left else None}")

    rehearser.notify = watch
    result = rehearser.rehearse()

    assert said[0].endswith(": None")
    assert said[-1] == f"remove the folder and what is in it: {result.folder_uuid}"
    assert rehearser.left_behind("it was ended by force") is None


def test_a_key_that_is_refused_later_ends_it_and_names_the_folder_at_once(scene: Scene) -> None:
    scene.sandbox.script(fault(Endpoint.LIST_ITEMS, status=401, skip=4, times=None))

    rehearser = scene.rehearser()
    rehearser.patience = replace(QUICK, clean=900.0)

    began = time.monotonic()
    result = rehearser.rehearse()

    assert result.exit_status == HALTED
    assert result.leftovers is not None
    assert time.monotonic() - began < 250, "it may clean up for 900 s"


def test_other_folders_and_their_items_are_left_as_they_are(scene: Scene) -> None:
    gateway = scene.project.gateway
    folder_uuid = gateway.create_folder(SOURCE)
    manifest = scene.root / "other.json"
    url = (scene.root / "files" / "day" / "é+ 0.jpg").as_uri()
    manifest.write_text(json.dumps({"images": [{"objectUrl": url, "title": "kept"}], "skip_duplicate_urls": True}))
    integration = scene.sandbox.integration_uuid()
    job_id = gateway.start_job(folder_uuid=folder_uuid, integration_uuid=integration, manifest=manifest)
    gateway.poll_job(folder_uuid=folder_uuid, job_id=job_id, wait_seconds=5)
    before = scene.sandbox.folder_items(folder_uuid)

    result = scene.rehearser().rehearse()

    assert result.stopped is None
    assert len(before) == 1
    assert scene.sandbox.folder_items(folder_uuid) == before
    assert gateway.find_folder(SOURCE) == folder_uuid


def start_command(scene: Scene) -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "ENCORD_DOMAIN": scene.sandbox.url,
        "ENCORD_SSH_KEY_FILE": str(scene.sandbox.private_key_path),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "registration_pipeline", "rehearse", SOURCE, "--yes", "--out", "result.json"],
        cwd=scene.root,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_command_with_its_folder_removed(scene: Scene, number: signal.Signals) -> None:
    process = start_command(scene)
    deadline = time.monotonic() + 300
    while not scene.sandbox.jobs():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)

    process.send_signal(number)
    out, err = process.communicate(timeout=300)

    assert "Traceback" not in err
    if process.returncode != INTERRUPTED:  # ended by force, because the machine was too busy to clean up in time
        assert all(folder_uuid in err and name in err for folder_uuid, name in scene.folders().items())
        return
    assert scene.folders() == {}
    assert "the folder was removed" in out
    assert "interrupted" in err
    assert json.loads((scene.root / "result.json").read_text())["folder"]["is_removed"] is True
