"""Commands whose standard streams are closed or full, and whose current directory is gone: real processes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace


pytestmark = pytest.mark.slow  # it waits for real connections or processes


def shell(workplace: Workplace, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which ``$RP`` is the command."""
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("$RP", f"'{sys.executable}' -m registration_pipeline")],
        cwd=workplace.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["status", "status --json", pytest.param("sync", marks=pytest.mark.slow)])
def test_a_closed_standard_output_is_as_one_to_nowhere(workplace: Workplace, command: str):
    workplace.put("a.jpg")

    ended = shell(workplace, f"exec $RP {command} >&-")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "Traceback" not in ended.stderr


def test_all_streams_may_be_closed(workplace: Workplace):
    assert shell(workplace, "exec $RP status <&- >&- 2>&-").returncode == 0


def test_a_rehearsal_without_standard_input_has_no_one_to_ask(workplace: Workplace):
    workplace.put("a.jpg")

    ended = shell(workplace, f"exec $RP rehearse {SOURCE} <&-")

    assert ended.returncode == 2
    assert "There is no terminal to ask at: give --yes" in " ".join(ended.stderr.split())


@pytest.mark.parametrize("command", ["status", "status --json", "failures --json", "--version", "--help"])
def test_a_full_standard_output_is_said_and_ends_with_4(workplace: Workplace, command: str):
    ended = shell(workplace, f"exec $RP {command} >/dev/full")

    assert ended.returncode == 4
    assert "standard output can't be written: No space left on device" in ended.stderr
    assert "Dagster" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reader_that_has_seen_enough_is_no_error(workplace: Workplace):
    ended = shell(workplace, "{ sleep 0.2; $RP status; echo $? >&2; } | true")

    assert ended.stderr == "0\n"


@pytest.mark.parametrize("command", ["status", "check", "demo"])
def test_a_current_directory_that_was_removed_is_named(workplace: Workplace, command: str):
    gone = workplace.root / "gone"
    gone.mkdir()

    ended = shell(workplace, f"cd gone && rmdir '{gone}' && exec $RP {command}")

    assert ended.returncode == 2
    assert f"The current directory {gone} does not exist any more" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("days", ["800000", "99999999999", "-1"])
def test_days_that_no_calendar_has_are_refused_with_the_range(workplace: Workplace, days: str):
    said = workplace.run("state", SOURCE, "--prune", days)

    assert said.status == 2
    assert "0<=x<=36500" in said.words


@pytest.mark.parametrize("place", ["state/findings.csv", "state/deep/../findings.json", "link/new.csv", "inner.csv"])
@pytest.mark.parametrize("command", ["failures", f"audit {SOURCE}", f"rehearse {SOURCE} --yes"])
def test_no_file_for_people_is_written_into_the_state(workplace: Workplace, command: str, place: str):
    workplace.put("a.jpg")
    workplace.plan()
    (workplace.root / "state" / "deep").mkdir()
    (workplace.root / "link").symlink_to(workplace.root / "state" / SOURCE)
    (workplace.root / "inner.csv").symlink_to(workplace.root / "state" / SOURCE / "state.json")
    before = workplace.files()
    out = place.replace(".csv", ".json") if command.startswith("rehearse") and place != "inner.csv" else place
    if place == "inner.csv" and command.startswith("rehearse"):
        (workplace.root / "inner.json").symlink_to(workplace.root / "state" / SOURCE / "state.json")
        out = "inner.json"

    said = workplace.run(*command.split(), "--out", out)

    assert said.status == 2
    assert f"--out {out} is in the state, {workplace.root / 'state'}" in said.words
    assert workplace.files() == before
