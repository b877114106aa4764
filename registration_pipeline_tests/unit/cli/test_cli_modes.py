"""``--json`` when a command fails, and ``--log-format json``: what programs read, and nothing else beside it."""

from __future__ import annotations

import json
import logging
import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.cli.log_listener import LogListener
from registration_pipeline.cli.modes import FIELDS, MODES, with_log_format_first
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.project.listener import listening, notice_and_log
from registration_pipeline.submission.result import ChunkResult
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.unit.cli.conftest import Said, Workplace

KEYS = ["type", "message", "exit_status", "setting", "source", "file", "line"]


def error_of(said: Said) -> dict[str, Any]:
    assert list(said.document) == ["error"]
    error: dict[str, Any] = said.document["error"]
    assert list(error) == KEYS
    assert error["exit_status"] == said.status
    return error


def lines_of(said: Said) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in said.err.splitlines()]
    for line in lines:
        assert set(line) == {"time", "level", "message", *FIELDS}
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
    return lines


USAGE = {
    "an option that is not known": (["sync", "--jsn", "--json"], "NoSuchOption", "No such option: --jsn"),
    "an argument that is missing": (["plan", "--json"], "MissingParameter", "Missing argument 'SOURCE'"),
    "a command that is not known": (["snyc", "--json"], "UsageError", "No such command 'snyc'"),
    "a source that is not known": (["status", "fleet-camera", "--json"], "UsageError", "Did you mean 'fleet-cameras'?"),
    "options that exclude each other": (
        ["submit", "fleet-cameras", "--chunk", "x", "--failed", "--json"],
        "UsageError",
        "not both",
    ),
    "json before the other options": (["submit", "--json", "fleet-cameras"], "UsageError", "has no plan to submit"),
}


@pytest.mark.parametrize(("arguments", "kind", "says"), USAGE.values(), ids=USAGE)
def test_wrong_usage_is_one_document(workplace: Workplace, arguments: list[str], kind: str, says: str) -> None:
    said = workplace.run(*arguments)

    error = error_of(said)
    assert (error["type"], error["exit_status"]) == (kind, 2)
    assert says in error["message"]
    assert not error["message"].startswith(("Error", "Usage"))
    assert says in said.err, "people read it where they always did"


def test_a_wrong_setting_is_named_with_its_place(workplace: Workplace) -> None:
    workplace.configure(max_in_flight=0)

    error = error_of(workplace.run("status", "--json"))

    assert error["setting"] == "sources.fleet-cameras.max_in_flight"
    assert error["source"] == "fleet-cameras"
    assert error["file"] == str(workplace.config.name)
    assert workplace.config.read_text().splitlines()[error["line"] - 1].strip() == "max_in_flight: 0"


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        pytest.param(KeyboardInterrupt(), 130, "Interrupted. Nothing is lost", id="interrupted"),
        pytest.param(ZeroDivisionError("by zero"), 1, "by zero\nThis is a bug.", id="a bug"),
    ],
)
def test_whatever_ends_a_command_is_one_document(
    workplace: Workplace, raising: Callable[[str, BaseException], None], error: BaseException, status: int, says: str
) -> None:
    raising("registration_pipeline.cli.commands.show_status", error)
    said = workplace.run("status", "--json")
    assert said.status == status
    assert says in error_of(said)["message"]
    assert "Traceback" not in said.out


def test_a_run_that_halts_is_the_document_of_its_command(workplace: Workplace) -> None:
    workplace.configure(uri="file:///no/such/directory")

    listing = workplace.run("inventory", "fleet-cameras", "--json")
    error = error_of(listing)
    assert (error["type"], error["source"], listing.status) == ("NotFoundError", "fleet-cameras", 4)
    assert "/no/such/directory is not a directory" in error["message"]

    synced = workplace.run("sync", "--json")
    assert synced.status == 4
    assert list(synced.document) == ["sources", "errors"]
    assert [list(one) for one in synced.document["errors"]] == [KEYS]


def test_without_the_option_nothing_of_it_is_on_standard_output(workplace: Workplace) -> None:
    said = workplace.run("status", "fleet")
    assert said.out == ""
    assert said.err.startswith("Error: There is no source 'fleet'")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param(["--log-format", "json", "sync"], ["--log-format=json", "sync"], id="before"),
        pytest.param(["sync", "a", "--log-format", "json"], ["--log-format=json", "sync", "a"], id="after"),
        pytest.param(["sync", "--log-format=json"], ["--log-format=json", "sync"], id="in one word"),
        pytest.param(["sync", "--log-format"], ["sync", "--log-format"], id="without a value"),
        pytest.param(["sync", "--", "--log-format=json"], ["sync", "--", "--log-format=json"], id="a name"),
    ],
)
def test_the_format_is_found_wherever_it_is_given(given: list[str], read: list[str]) -> None:
    assert with_log_format_first(given) == read


def test_another_format_is_refused(workplace: Workplace) -> None:
    said = workplace.run("status", "--log-format", "xml")
    assert said.status == 2
    assert "'xml' is not one of 'text', 'json'" in said.words


def test_a_sync_is_lines_of_json(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg", "c.jpg")
    workplace.refuse("c[.]jpg")

    said = workplace.run("sync", "--json", "--log-format", "json")

    assert said.status == 3
    assert said.document["sources"]["fleet-cameras"]["registered"] == 2
    lines = lines_of(said)
    stages = [line["stage"] for line in lines if line["message"].split(",")[0].endswith(" started")]
    assert stages == ["inventory", "plan", "registration", "failure log"]
    chunks = [line for line in lines if line["chunk"]]
    assert [line["level"] for line in sorted(chunks, key=lambda line: line["chunk"])] == ["info", "warning"]
    jobs = {job.uuid for job in workplace.sandbox.jobs()}
    assert {line["job_id"] for line in chunks} == jobs
    assert {(line["source"], line["attempt"]) for line in chunks} == {("fleet-cameras", 1)}
    assert lines[-1]["level"] == "warning"
    assert "1 object is not registered" in lines[-1]["message"]


def test_errors_and_what_libraries_log_are_lines_too(
    workplace: Workplace, raising: Callable[[str, BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warned(*_: object, **__: object) -> int:
        logging.getLogger("some.library").warning("careful: %s", 5)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("registration_pipeline.cli.commands.show_status", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        said = workplace.run("status", "--log-format", "json")

    first, *_, last = lines_of(said)
    assert (first["level"], first["message"]) == ("warning", "careful: 5")
    assert last["level"] == "error"
    assert "This is a bug" in last["message"]
    assert said.out == ""
    assert not MODES.is_json


def test_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], workplace: Workplace) -> None:
    times = iter([0.0, 0.0, 3.0, 10.0, 10.0, 12.0, 25.0, 25.0])
    with LogListener(lambda: next(times)) as listener:
        listener.stage_started("fleet", "registration", 500)
        for done in (1, 100, 150, 400):
            listener.advanced(done)

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["message"], line["done"], line["total"]) for line in lines] == [
        ("registration started, 500 chunks", 0, 500),
        ("registration: 100 chunks", 100, 500),
        ("registration: 400 chunks", 400, 500),
    ]


def test_a_chunk_that_was_concluded_before_is_not_said_again(
    capsys: pytest.CaptureFixture[str], workplace: Workplace
) -> None:
    workplace.put("a.jpg")
    workplace.plan()
    (chunk,) = load_chunks(workplace.project.store, "fleet-cameras").values()
    result = ChunkResult(
        chunk=chunk,
        state=ChunkState.SUCCEEDED,
        attempt=1,
        registered_objects=1,
        failed_objects=0,
        failed_units=0,
        job_id="j",
        message=None,
        is_new=False,
    )
    with LogListener() as listener:
        listener.chunk_concluded("fleet-cameras", result)
    assert capsys.readouterr().err == ""


def test_what_could_not_be_sent_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with LogListener() as listener, listening(listener):
        listener.notice("fleet: 3 chunks left Dagster's view.")
        notice_and_log(lambda _: None, "warning")("fleet: the message could not be sent to slack: status 404.")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning"]
