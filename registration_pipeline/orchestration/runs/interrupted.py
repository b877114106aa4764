"""The end of a command's run that a person interrupted: canceled, so that Dagster does not repeat it.

Dagster cancels a run only if it was marked as canceling before the interruption reaches it; every other one it marks as failed
by an unexpected termination, which an instance with ``run_retries`` repeats seconds later. What does not belong here: noticing
signals (``cli/interrupt.py``), and runs whose process died (``stale_runs.py``): those are repeated.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg
from dagster import DagsterRunStatus

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration.private_dagster import WILL_RETRY_TAG, InstanceRef
from registration_pipeline.orchestration.runs.worker_lock import WorkerLock

_LAST_SECONDS = 1.5
_WHY = "Interrupted by Ctrl-C or SIGTERM. It is not repeated; run the command again to go on."


class InterruptibleRun:
    """A run that this process executes and that a person may interrupt at any moment.

    Args:
        ref: of the instance: another thread needs an instance of its own, because SQLite connections are bound to threads.
        run_id: the run.
    """

    def __init__(self, ref: InstanceRef, run_id: str) -> None:
        self._ref, self._run_id = ref, run_id
        self._lock = threading.Lock()
        self._has_ended = False

    def mark(self, instance: dg.DagsterInstance, why: str = _WHY) -> None:
        """Mark the run as canceling, if that was not done and it still runs: then Dagster ends it as canceled."""
        with self._lock:
            run = instance.get_run_by_id(self._run_id)
            if self._has_ended or run is None or run.is_finished or run.status is DagsterRunStatus.CANCELING:
                return
            instance.report_run_canceling(run, message=why)

    def instance_of_this_thread(self) -> dg.DagsterInstance:
        """Open the instance for a thread that is not the run's."""
        return dg.DagsterInstance.from_ref(self._ref)

    def end(self, instance: dg.DagsterInstance, why: str = _WHY) -> None:
        """Make sure that the interrupted run is canceled, whatever Dagster made of the interruption."""
        with self._lock:
            self._has_ended = True
            WorkerLock(instance, self._run_id).forget()
            run = instance.get_run_by_id(self._run_id)
            if run is None or run.status in (DagsterRunStatus.CANCELED, DagsterRunStatus.SUCCESS):
                return
            # First, because Dagster's daemon asks only this tag.
            instance.add_run_tags(self._run_id, {WILL_RETRY_TAG: "false"})
            instance.report_run_canceled(run, message=why)


_RUNNING: list[InterruptibleRun] = []
_IS_FORCED, _IS_RECORDED = threading.Event(), threading.Event()


@contextmanager
def interruptible(instance: dg.DagsterInstance, run_id: str) -> Iterator[InterruptibleRun]:
    """Give the run that is executed inside the block, and let it end as canceled if the block is interrupted."""
    run = InterruptibleRun(instance.get_ref(), run_id)
    _RUNNING.append(run)
    try:
        yield run
    except (KeyboardInterrupt, LeaseBusyError) as error:
        run.end(instance, _WHY if isinstance(error, KeyboardInterrupt) else str(error))
        raise
    finally:
        _RUNNING.remove(run)


def record_interruption() -> None:
    """Mark the run that this process executes as canceling, and cancel it if the process is to be ended by force.

    In a thread that is started when the signal arrives, and never returns while the run goes on.
    """
    # A database that is in use must not print a traceback: a run that is only marked is canceled by the next command.
    with suppress(Exception):
        for run in _RUNNING.copy():
            with run.instance_of_this_thread() as instance:
                run.mark(instance)
                _IS_FORCED.wait()
                run.end(instance)
    _IS_RECORDED.set()


def end_by_force() -> None:
    """Let ``record_interruption`` cancel the run, because the process is ended by force; returns soon in any case."""
    _IS_FORCED.set()
    _IS_RECORDED.wait(_LAST_SECONDS)
