"""Child processes of the demo, and how they and the demo end: at a signal, with none left running.

What does not belong here: which commands are run (``story``, ``ui``).
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from registration_pipeline.cli.interrupt import at_forced_end
from registration_pipeline.errors import RegistrationPipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

_OWN_END_SECONDS = 5.0
"""Ctrl-C in a terminal reaches the children too; this is how long they may take to end by themselves."""
_INTERRUPTED_SECONDS = 10.0
"""Dagster ends its code server, its daemon and its web server one after the other."""
_GROUP_SECONDS = 3.0
"""Twice, and then its group is killed: a command ends within ten seconds of Ctrl-C."""
_KILLED_SECONDS = 5.0


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt until the block ends, however the process was started."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
        numbers.append(signal.SIGHUP)
    with _handling(numbers, signal.default_int_handler):
        yield


@contextmanager
def _handling(numbers: Iterable[int], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def run_command(
    folder: Path, arguments: Sequence[str], *, say: Callable[[str], None], expected: Collection[int]
) -> int:
    """Run one command of the pipeline as a user would, showing what to type, and return its exit status.

    Args:
        folder: the working directory.
        arguments: after ``registration-pipeline``.
        say: prints a line.
        expected: the exit statuses that the story allows for.

    Raises:
        RegistrationPipelineError: it ended with another status.
    """
    line = shlex.join(["registration-pipeline", *arguments])
    say(f"$ {line}")
    sys.stdout.flush()
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and fixed arguments
        [sys.executable, "-m", "registration_pipeline", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if sys.stdout is sys.stderr else None,  # with --json, standard output is for that
    )
    with at_forced_end(process.kill):
        try:
            status = process.wait()
        finally:
            end(process)
    if status not in expected:
        wanted = " or ".join(map(str, sorted(expected)))
        raise RegistrationPipelineError(
            f"`{line}` ended with exit status {status}; the demo expects {wanted}. What it said is above."
        )
    return status


def end(
    process: subprocess.Popen[bytes],
    *,
    grace_seconds: float = _OWN_END_SECONDS,
    interrupted_seconds: float = _INTERRUPTED_SECONDS,
) -> None:
    """End a process: by itself, else by SIGINT, else by force. Nothing happens to one that has ended.

    SIGINT is sent twice: Python turns it into an exception, which is lost when it strikes in the clean-up of an object. A
    Ctrl-C meanwhile is ignored: this takes a bounded time and must not leave a process running.
    """
    steps = (
        (None, grace_seconds),
        (signal.SIGINT, interrupted_seconds),
        (signal.SIGINT, interrupted_seconds),
        (signal.SIGKILL, _KILLED_SECONDS),
    )
    if process.poll() is not None:
        return
    with _handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), _ignore):
        for number, seconds in steps:
            if number is not None:
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, and then whatever is left in its group."""
    try:
        end(process, grace_seconds=0, interrupted_seconds=_GROUP_SECONDS)
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left in the group of a process that leads one."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN: children would inherit that."""
