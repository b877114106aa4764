"""Children of the demo end, whatever they do about it, and their exit status is checked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.demo.processes import end, end_group, interruptible, run_command
from registration_pipeline.errors import RegistrationPipelineError

if TYPE_CHECKING:
    from pathlib import Path

DEAF = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
HEARS_THE_SECOND = "seen = []; signal.signal(signal.SIGINT, lambda *_: seen.append(1) or len(seen) > 1 and sys.exit(7))"
WELL_BEHAVED = "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))"


def child(behaviour: str) -> subprocess.Popen[bytes]:
    script = f"import signal, sys, time\n{behaviour}\nprint('ready', flush=True)\nwhile True: time.sleep(0.02)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        pytest.param(WELL_BEHAVED, 7, id="well behaved"),
        pytest.param(HEARS_THE_SECOND, 7, id="loses the first signal"),
        pytest.param(DEAF, -signal.SIGKILL, id="deaf"),
    ],
)
def test_a_child_ends_whatever_it_does_about_signals(behaviour: str, status: int) -> None:
    process = child(behaviour)
    end(process, grace_seconds=0, interrupted_seconds=0.2)
    assert process.returncode == status


def test_a_second_interrupt_does_not_leave_the_child_behind() -> None:
    process = child(DEAF)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with interruptible():
        end(process, grace_seconds=0, interrupted_seconds=0.2)
    timer.join()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_every_polite_signal_interrupts_and_handlers_are_put_back(number: signal.Signals) -> None:
    # Under nohup, SIGHUP is ignored from the start, and rightly stays so.
    def own(number: int, frame: object) -> None:
        pytest.fail("the handler of the block should have been called")

    outside = signal.signal(number, own)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            signal.raise_signal(number)
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, outside)


def test_ending_a_group_ends_grandchildren_too() -> None:
    script = textwrap.dedent("""
        import subprocess, sys
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(grandchild.pid, flush=True)
        sys.exit(0)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    # The pipe ends with the last process that holds it, the grandchild: reading to its end shows that it is gone.
    assert process.stdout is not None
    process.stdout.readline()
    process.wait(20)
    end_group(process)
    assert process.stdout.read() == b""
    process.stdout.close()


def test_an_unexpected_exit_status_ends_the_story_and_names_the_command(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(RegistrationPipelineError, match="`registration-pipeline nonsense` ended with exit status 2"):
        run_command(tmp_path, ["nonsense"], say=lines.append, expected={0, 3})
    assert lines == ["$ registration-pipeline nonsense"]
    assert run_command(tmp_path, ["--version"], say=lines.append, expected={0}) == 0
