"""The events of chunks on their way to Dagster's event log: in batches, by a thread of their own, soon after they came.

Dagster stores what a step yields one by one, which costs 4 ms of CPU an event and, on a disk, the time of four flushes. What
does not belong here: which events there are (``stages.py``), and how a batch is stored (``event_batches.py``).
"""

import logging
import os
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import dagster as dg
from dagster import DagsterEventType

from registration_pipeline.orchestration.private_dagster import AssetObservationData, StepMaterializationData
from registration_pipeline.orchestration.runs.event_batches import BATCH, StoreBatch, batch_store

ChunkEvent = dg.AssetMaterialization | dg.AssetObservation
Result = TypeVar("Result")

_WAIT_SECONDS = 0.25
"""How long an event waits for others. A process that is killed loses no more than what came in so long; its chunks show as
failed then, and the next run shows what they are (``shown_partitions.py``)."""
_MOST_WAITING = 5 * BATCH
"""Events that may wait for a database that is slow; then the step waits for it."""


def stored_in_batches(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, events: Generator[ChunkEvent, None, Result]
) -> Generator[ChunkEvent, None, Result]:
    """Store the events of a step, and return what their generator returns; all are stored when it ends, however it ends.

    Where the storage has no batches, they are yielded for Dagster to store.
    """
    store = batch_store(context.instance)
    if store is None:
        return (yield from events)
    step = Step.of(context)
    # The writer is left last: what the generator yields while it is closed is lost, and nothing that it yielded before.
    with ChunkEventWriter(store) as writer, closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                result: Result = end.value
                return result
            writer.add(step.entry(event))


@dataclass(frozen=True, slots=True)
class Step:
    """The step of a run whose events are stored."""

    run_id: str
    job_name: str
    handle: object

    @classmethod
    def of(cls, context: dg.OpExecutionContext | dg.AssetExecutionContext) -> "Step":
        """Return the step that is executed."""
        of_op = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
        return cls(of_op.run_id, of_op.job_name, of_op.op_handle)

    def entry(self, said: ChunkEvent) -> dg.EventLogEntry:
        """Return the entry that Dagster makes of what a step yields; a test compares them.

        Without the tags of its logger, which repeat the names of job, run and step.
        """
        if isinstance(said, dg.AssetMaterialization):
            kind = DagsterEventType.ASSET_MATERIALIZATION
            data: StepMaterializationData | AssetObservationData = StepMaterializationData(said)
            message = said.description or f"Materialized value {said.label}."
        else:
            kind, data, message = DagsterEventType.ASSET_OBSERVATION, AssetObservationData(said), None
        event = dg.DagsterEvent(
            event_type_value=kind.value,
            job_name=self.job_name,
            node_handle=self.handle,  # type: ignore[arg-type]
            step_kind_value="COMPUTE",
            event_specific_data=data,
            message=message,
            pid=os.getpid(),
        )
        return dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=logging.DEBUG,
            user_message=message or f"{kind} for step {event.step_key}",
            run_id=self.run_id,
            timestamp=time.time(),
            step_key=event.step_key,
            job_name=self.job_name,
            dagster_event=event,
        )


class ChunkEventWriter:
    """Stores entries in batches while it is entered; leaving it stores the rest.

    A thread does all storing, because an interruption may come at any moment to the one that makes the entries, and must not
    come between two transactions of a batch.

    Args:
        store: stores up to ``BATCH`` entries.
    """

    def __init__(self, store: StoreBatch) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._waiting: list[dg.EventLogEntry] = []
        self._is_ending = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="chunk-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        self._thread.join()
        if error is None:
            self._raise_error()

    def add(self, entry: dg.EventLogEntry) -> None:
        """Take an entry; waits while too many wait.

        Raises:
            Exception: whatever the storage raised since the last call.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING or self._error is not None)
            self._raise_error()
            self._waiting.append(entry)
            if len(self._waiting) in (1, BATCH):
                self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        try:
            while batch := self._next_batch():
                self._store(batch)
        except BaseException as error:  # noqa: BLE001 - the step must get it, in its own thread
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _next_batch(self) -> list[dg.EventLogEntry]:
        """Wait for entries and return up to a batch of them; none when there are no more to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_ending)
            self._changed.wait_for(lambda: len(self._waiting) >= BATCH or self._is_ending, timeout=_WAIT_SECONDS)
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            self._changed.notify_all()
            return batch
