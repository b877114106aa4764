"""Whether a Celery task can still end, as broker and workers say.

What is stored says "started" for ever when a machine is gone, and nothing of a task that waits or is lost.

What does not belong here: what follows for the run (``launcher.py``) or the step (``executor.py``).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from celery import states
from kombu.exceptions import OperationalError

from registration_pipeline.orchestration.celery.waiting import BrokerAwayError, Waiting, waiting_in

LOST_SECONDS = 300
"""After how long without a sign of it a task is lost: long enough for a restart of the broker and of a worker's machine."""


_FRESH_SECONDS = 10.0
"""How long an answer about all tasks is used: the steps of a run are asked for one after the other."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What is known of a task.

    Args:
        ended_as: Celery's word for how it has ended; None: it has not.
        missing: seconds since when no worker has it; None: one has it, or has been asked for too short a time.
        worker: the worker that has started it, if that is known.
        queue: where it waited for a worker, if no worker is known to have started it and it may wait.
    """

    ended_as: str | None = None
    missing: float | None = None
    worker: str | None = None
    queue: str | None = None

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
        if self.queue:
            return (
                f"for {self.missing:.0f} s its Celery task was neither in the broker's queue {self.queue} nor at any worker "
                "that answers, so the broker has lost it (was it emptied, or restarted without what it held?)"
            )
        who = f"its Celery worker {self.worker}" if self.worker else "any Celery worker"
        return f"for {self.missing:.0f} s there was no sign of it from {who}"


class Signs:
    """Asks the broker and the workers for tasks, and remembers since when one is missed.

    Args:
        app: Celery's.
        lost_seconds: after how long without a sign of it a task is lost.
        queue: where a task that no worker has begun with may wait for as long as it takes; None: tasks don't wait.
        answer_seconds: how long workers have for an answer.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        app: Any,
        *,
        lost_seconds: float = LOST_SECONDS,
        queue: str | None,
        answer_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._lost_seconds, self._queue, self._clock = app, lost_seconds, queue, clock
        self._answer_seconds = answer_seconds
        self._missed: dict[str, tuple[float, object]] = {}
        self._not_begun: set[str] = set()
        self._waiting: tuple[float, Waiting] | None = None
        self._taken: tuple[float, frozenset[str], frozenset[str]] | None = None

    def expect(self, task_id: str) -> None:
        """Ask for this task whenever the workers are asked for others that they may have begun with."""
        self._not_begun.add(task_id)

    def of(self, task_id: str, written: Callable[[], object] = lambda: None) -> Sign:
        """Return what is known of a task now.

        Args:
            task_id: of the task.
            written: returns something that changes with whatever the task writes elsewhere; asked for when no worker has it.
        """
        result = self._app.AsyncResult(task_id)
        state, info = result.state, result.info
        if state in states.READY_STATES:
            self._forget(task_id)
            return Sign(ended_as=state)
        worker = info.get("hostname") if state == states.STARTED and isinstance(info, dict) else None
        queue = self._queue if worker is None else None
        try:
            is_known = self._is_active(task_id, worker) if queue is None else self._is_waiting_or_taken(task_id, queue)
        except BrokerAwayError:
            # No time runs: workers can't be asked, go on with what they have, and need some time to connect again afterwards.
            # A run in place of this one could not be sent either.
            self._missed.pop(task_id, None)
            return Sign(worker=worker, queue=queue)
        if not is_known:
            return Sign(missing=self._missing(task_id, written()), worker=worker, queue=queue)
        self._missed.pop(task_id, None)
        if queue is None:
            self._not_begun.discard(task_id)
        return Sign(worker=worker, queue=queue)

    def _is_waiting_or_taken(self, task_id: str, queue: str) -> bool:
        """Return whether a task of which nothing is stored waits, or has just begun; else it is lost.

        The broker is asked first: a task goes from there to a worker.
        """
        self.expect(task_id)
        return self._is_waiting(task_id, queue) or self._is_taken(task_id)

    def _missing(self, task_id: str, mark: object) -> float | None:
        now = self._clock()
        since, before = self._missed.get(task_id, (now, mark))
        if mark != before:
            since = now
        self._missed[task_id] = since, mark
        return now - since if now - since >= self._lost_seconds else None

    def _forget(self, task_id: str) -> None:
        self._missed.pop(task_id, None)
        self._not_begun.discard(task_id)

    def _is_waiting(self, task_id: str, queue: str) -> bool:
        now = self._clock()
        if self._waiting is None or now - self._waiting[0] >= _FRESH_SECONDS:
            self._waiting = now, waiting_in(self._app, queue)
        return self._waiting[1].may_hold(task_id)

    def _is_taken(self, task_id: str) -> bool:
        """Return whether a worker says that it has the task, whether it has begun with it or not.

        Workers have some seconds for their answer, and how many there are is not known, so all tasks are asked for at once.
        """
        now = self._clock()
        if self._taken is None or now - self._taken[0] >= _FRESH_SECONDS or task_id not in self._taken[1]:
            asked = frozenset(self._not_begun)
            try:
                answers: Mapping[str, Mapping[str, Any]] = self._workers().query_task(sorted(asked)) or {}
            except self._away as error:
                raise BrokerAwayError(str(error)) from error
            self._taken = now, asked, frozenset(found for tasks in answers.values() for found in tasks)
        return task_id in self._taken[2]

    def _is_active(self, task_id: str, worker: str | None) -> bool:
        """Return whether its worker says that it works on the task; if that is not known, whether any does."""
        try:
            answers: Mapping[str, list[dict[str, Any]]] = self._workers(worker).active() or {}
        except self._away as error:
            raise BrokerAwayError(str(error)) from error
        return any(task["id"] == task_id for tasks in answers.values() for task in tasks)

    def _workers(self, one: str | None = None) -> Any:
        return self._app.control.inspect(destination=[one] if one else None, timeout=self._answer_seconds)

    @property
    def _away(self) -> tuple[type[Exception], ...]:
        return (OSError, OperationalError, *self._app.connection_for_write().connection_errors)
