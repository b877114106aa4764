"""Commands that are forks of a process with the libraries loaded behave as those that an interpreter starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.forked_commands import ForkedCommand

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SECONDS = 900
SAY = """
import os, sys, time
print(os.environ["WORD"], os.getcwd(), sys.argv[1:], flush=True)
print("on standard error", file=sys.stderr, flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "arguments", [("--version",), ("status", "--json"), ("nonsense",)], ids=["answered", "no configuration", "misused"]
)
def test_a_fork_says_and_returns_the_same_as_a_command_of_the_interpreter(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    line = [sys.executable, "-m", "registration_pipeline", *arguments]
    started = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS)

    forked = ForkedCommand(*arguments, cwd=tmp_path, env=os.environ)

    assert forked.communicate(timeout=SECONDS) == (started.stdout, started.stderr)
    assert forked.returncode == started.returncode


def test_a_fork_has_its_own_folder_environment_arguments_and_session(tmp_path: Path) -> None:
    process = ForkedCommand("0", "b", cwd=tmp_path, env=os.environ | {"WORD": "mine"}, code=SAY)
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid

    said = process.communicate(timeout=SECONDS)

    assert said == (f"mine {tmp_path} ['0', 'b']\n", "on standard error\n")
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_fork_that_gets_a_signal_ends_with_it_and_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    process = ForkedCommand("600", cwd=tmp_path, env=os.environ | {"WORD": "mine"}, code=SAY)
    assert process.stdout is not None
    assert process.stdout.readline()
    assert process.poll() is None

    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=SECONDS)

    assert process.returncode == -number
    assert ("KeyboardInterrupt" in said) == (number == signal.SIGINT)
    deadline = time.monotonic() + SECONDS
    while is_there(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
