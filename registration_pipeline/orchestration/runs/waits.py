"""How long a run waits for its turn: one that Dagster launched a minute, that of a command as it was asked to.

What does not belong here: the wait (``state/turn.py``), and what becomes of a run that gave up (``handed_on.py``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

LAUNCHED_SECONDS = 60.0
"""A launched run occupies a worker and a slot of its pool, which others need. As long as a lease: one whose holder has died is
free by then."""


@dataclass(frozen=True)
class _Command:
    longest: float | None


_COMMAND: ContextVar[_Command | None] = ContextVar("command", default=None)


@contextmanager
def run_of_a_command(longest: float | None) -> Iterator[None]:
    """Let runs of the block wait as long as a command was asked to.

    Args:
        longest: seconds; None: until it is their turn.
    """
    token = _COMMAND.set(_Command(longest))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def is_launched() -> bool:
    """Return whether Dagster launched the run that this process works on, and no command waits for it."""
    return _COMMAND.get() is None


def longest_wait() -> float | None:
    """Return how many seconds a run waits for its turn; None: until it comes."""
    command = _COMMAND.get()
    return LAUNCHED_SECONDS if command is None else command.longest
