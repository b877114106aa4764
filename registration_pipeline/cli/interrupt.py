"""Ctrl-C ends a command within ten seconds, whatever its threads wait for; a second one at once.

Python raises KeyboardInterrupt in the main thread, and Dagster an exception of its own; both then wait for the threads, which
may hang in a request. So a thread here learns of the signal from the interpreter itself, ends the requests that are under
way after some seconds, and the process after some more. Nothing is lost by that: it is the same as a kill, which every file
of the state is made for.

What does not belong here: what a command does when it is interrupted in time.
"""

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from registration_pipeline.cli.errors import INTERRUPTED, WAS_SAID, say_interrupted
from registration_pipeline.cli.modes import spoken

NOTICE_SECONDS = 1.5
ABORT_SECONDS = 4.0
"""Until here a request that is under way may still be answered, so that nothing is in doubt afterwards."""
END_SECONDS = 8.0

_SIGNALS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: 128 + signal.SIGTERM}
_SHOW_CURSOR = "\x1b[?25h"
_AT_FORCED_END: list[Callable[[], object]] = []
_AT_INTERRUPT: list[Callable[[], object]] = []


_FIRST: list[int] = []
_SEEN = threading.Event()
_SEEN_SECONDS = 1.0


def status_of_interruption() -> int:
    """Return the exit status of a process that was interrupted: that of the signal that came first."""
    # The number is written before Python acts on the signal, but it is another thread that reads it.
    _SEEN.wait(_SEEN_SECONDS)
    return _SIGNALS[signal.Signals(_FIRST[0])] if _FIRST else INTERRUPTED


@contextmanager
def at_forced_end(function: Callable[[], object]) -> Iterator[None]:
    """Have something called if the process is ended by force inside the block; it must return at once.

    Args:
        function: for example kills a child process.
    """
    _AT_FORCED_END.append(function)
    try:
        yield
    finally:
        _AT_FORCED_END.remove(function)


@contextmanager
def at_interrupt(function: Callable[[], object]) -> Iterator[None]:
    """Have something called when the first signal arrives inside the block, in a thread that no one waits for.

    SIGTERM interrupts the block as Ctrl-C does.

    Args:
        function: for example records what was interrupted, in case the process is ended by force.
    """
    is_main = threading.current_thread() is threading.main_thread()  # others can't handle signals
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    _AT_INTERRUPT.append(function)
    try:
        yield
    finally:
        _AT_INTERRUPT.remove(function)
        if is_main:
            signal.signal(signal.SIGTERM, before)


def watch_interrupts() -> None:
    """Begin to watch; only in the main thread of a command, and once."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # the interpreter must never wait in a signal handler
    # Whatever handles the signals in Python, now or later, the numbers of those that arrive are written here.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="interrupts", daemon=True).start()
    atexit.register(_ignore_signals)  # the first to be registered is the last to be called


def _ignore_signals() -> None:
    # The command is over. While the interpreter clears its modules, which takes a tenth of a second, the signals would have
    # their default effect again: a second Ctrl-C would kill the process and replace the status that it ends with.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _watch(reader: int) -> None:
    number = _next_signal(reader, None)
    _FIRST.append(number)
    _SEEN.set()
    began = time.monotonic()
    for function in _AT_INTERRUPT.copy():
        threading.Thread(target=_suppressed, args=(function,), name="interrupted", daemon=True).start()
    steps: tuple[tuple[float, Callable[[], object]], ...] = (
        (NOTICE_SECONDS, _say_that_it_ends),
        (ABORT_SECONDS, _end_requests),
    )
    for seconds, act in steps:
        if _next_signal(reader, began + seconds - time.monotonic()):
            _end()
        act()
    _next_signal(reader, began + END_SECONDS - time.monotonic())
    _end()


def _next_signal(reader: int, seconds: float | None) -> int:
    """Return the next of our signals, or 0 when the seconds are over."""
    ends = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if ends is None else max(0.0, ends - time.monotonic())
        ready, _, _ = select.select([reader], [], [], left)
        if not ready:
            return 0
        number = os.read(reader, 1)[0]
        if number in _SIGNALS:
            return number


def _suppressed(function: Callable[[], object]) -> None:
    with suppress(Exception):  # a database that is in use must not end in a traceback: the main thread does it, too
        function()


def _say_that_it_ends() -> None:
    _write(spoken("Ending what is under way, which takes some seconds; Ctrl-C again ends at once."))


def _end_requests() -> None:
    # Not imported here: where it was not, there are none, and another thread may be importing for ever.
    replies = sys.modules.get("registration_pipeline.bounds.reply")
    if replies is not None:
        replies.end_all()


def _end() -> None:
    """End the process, without waiting for anything: threads, buffers, children."""
    for function in _AT_FORCED_END.copy():
        with suppress(Exception):
            function()
    if sys.stderr.isatty():
        _write(_SHOW_CURSOR)  # a progress bar hides it
    if not WAS_SAID.is_set():
        say_interrupted(_write)
    os._exit(status_of_interruption())


def _write(text: str) -> None:
    # Not through the stream, whose lock the main thread may hold.
    with suppress(OSError):
        os.write(sys.stderr.fileno(), text.encode())
