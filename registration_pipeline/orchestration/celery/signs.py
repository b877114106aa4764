"""Whether a Celery task can still end, as its workers say: what is stored says "started" for ever when a machine is gone.

What does not belong here: what follows for the run (``launcher.py``) or the step (``executor.py``).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from celery import states
from kombu.exceptions import OperationalError

LOST_SECONDS = 300
"""After how long without a sign of it a task is lost: long enough for a restart of the broker and of a worker's machine."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What is known of a task.

    Args:
        ended_as: Celery's word for how it has ended; None: it has not.
        missing: seconds since when no worker has it; None: one has it, or has been asked for too short a time.
        worker: the worker that has started it, if that is known.
    """

    ended_as: str | None = None
    missing: float | None = None
    worker: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it will not end any more."""
        return self.missing is not None

    def __str__(self) -> str:
        """Say it to people."""
        if self.ended_as:
            return f"its Celery task has ended as {self.ended_as}"
        if self.missing is None:
            return "its Celery task goes on"
        who = f"its Celery worker {self.worker}" if self.worker else "any Celery worker"
        return f"for {self.missing:.0f} s there was no sign of it from {who}"


class Signs:
    """Asks the workers for tasks, and remembers since when one is missed.

    Args:
        app: Celery's.
        lost_seconds: after how long without a sign of it a task is lost.
        waits_in_queue: a task that no worker has begun with may wait in the broker's queue for as long as it takes.
        answer_seconds: how long workers have for an answer.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        app: Any,
        *,
        lost_seconds: float = LOST_SECONDS,
        waits_in_queue: bool,
        answer_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._lost_seconds, self._waits_in_queue, self._clock = app, lost_seconds, waits_in_queue, clock
        self._answer_seconds = answer_seconds
        self._missed: dict[str, float] = {}

    def of(self, task_id: str) -> Sign:
        """Return what is known of a task now."""
        result = self._app.AsyncResult(task_id)
        state, info = result.state, result.info
        if state in states.READY_STATES:
            self._missed.pop(task_id, None)
            return Sign(ended_as=state)
        worker = info.get("hostname") if state == states.STARTED and isinstance(info, dict) else None
        if (worker is None and self._waits_in_queue) or self._is_active(task_id, worker):
            self._missed.pop(task_id, None)
            return Sign(worker=worker)
        missing = self._clock() - self._missed.setdefault(task_id, self._clock())
        return Sign(missing=missing if missing >= self._lost_seconds else None, worker=worker)

    def _is_active(self, task_id: str, worker: str | None) -> bool:
        """Return whether its worker says that it works on the task; if that is not known, whether any does."""
        workers = [worker] if worker else None
        try:
            asked = self._app.control.inspect(destination=workers, timeout=self._answer_seconds)
            answers: Mapping[str, list[dict[str, Any]]] = asked.active() or {}
        except (OSError, OperationalError, *self._app.connection_for_write().connection_errors):
            return False  # the broker does not answer: the time runs, and ends when it is back
        return any(task["id"] == task_id for tasks in answers.values() for task in tasks)
