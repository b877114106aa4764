"""Child processes of the demo, and how they and the demo end: at a signal, with nobody left behind.

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

from registration_pipeline.errors import RegistrationPipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

_OWN_END_SECONDS = 2.0
"""Ctrl-C in a terminal reaches the children too; so long they may take to end by themselves."""
_INTERRUPTED_SECONDS = 15.0
"""Dagster ends its code server, its daemon and its web server one after the other."""
_KILLED_SECONDS = 5.0


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt, and ignore the rest, until the block ends.

    Ending takes a bounded time, so a second Ctrl-C must not cut it short and leave processes behind.
    """
    seen: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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
        [sys.executable, "-m", "registration_pipeline", *arguments], cwd=folder, stdin=subprocess.DEVNULL
    )
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


def end(process: subprocess.Popen[bytes], *, grace_seconds: float = _OWN_END_SECONDS) -> None:
    """End a process: by itself, else by SIGINT, else by force. Nothing happens to one that has ended."""
    steps = (
        (None, grace_seconds),
        (signal.SIGINT, _INTERRUPTED_SECONDS),
        (signal.SIGKILL, _KILLED_SECONDS),
    )
    for number, seconds in steps:
        if process.poll() is not None:
            return
        if number is not None:
            process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, and then whatever is left in its group."""
    end(process, grace_seconds=0)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
