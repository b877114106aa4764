"""Stores many events in one go: Dagster does so for some events on Postgres only, and one event costs it 4 ms of CPU.

What belongs here is how each kind of storage takes a batch. What does not: which events there are (``planned_events.py``,
``chunk_events.py``), and the names of Dagster's (``private_dagster.py``).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterEventType

from registration_pipeline.orchestration.private_dagster import postgres_event_log, sqlite_event_log

if TYPE_CHECKING:
    from registration_pipeline.orchestration.private_dagster import SqlEventLogStorage, SqliteEventLogStorage

BATCH = 100
"""Events. A batch in SQLite takes seven variables an event, of which old builds allow 999; a larger one is hardly faster."""

StoreBatch = Callable[[Sequence[dg.EventLogEntry]], None]


def batch_store(instance: dg.DagsterInstance) -> StoreBatch | None:
    """Return what stores up to ``BATCH`` events of partitions of one run; None where the storage knows no faster way.

    What it stores shows in the UI as events do that Dagster stores one by one. It may be called in any thread.
    """
    storage = instance.event_log_storage
    if (sqlite := sqlite_event_log(storage)) is not None:
        return partial(_store_in_sqlite, sqlite)
    if (postgres := postgres_event_log(storage)) is not None:
        return partial(_store_in_postgres, postgres)
    return None


def _store_in_sqlite(storage: "SqliteEventLogStorage", events: Sequence[dg.EventLogEntry]) -> None:
    """Store the events in the run's file and in the index, a transaction each, as Dagster does for each single event."""
    insert = storage.prepare_insert_event_batch(events)
    with storage.run_connection(events[0].run_id) as connection:
        connection.execute(insert)
    with storage.index_transaction() as connection:
        connection.execute(insert)
        # No other process writes within the transaction, so the numbers of the batch are the last ones.
        (newest,) = connection.exec_driver_sql("SELECT max(id) FROM event_logs").one()
    first = newest - len(events) + 1
    _update_assets(storage, events, first)


def _store_in_postgres(storage: "SqlEventLogStorage", events: Sequence[dg.EventLogEntry]) -> None:
    """Store the events with a statement for each asset and kind of event: so Dagster has it, except for planned events."""
    groups: dict[tuple[str, DagsterEventType], list[dg.EventLogEntry]] = defaultdict(list)
    for event in events:
        groups[_asset_and_kind(event)].append(event)
    for (_, kind), group in groups.items():
        if kind is not DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            storage.store_event_batch(group)
            continue
        with storage.run_connection(group[0].run_id) as connection:
            connection.execute(storage.prepare_insert_event_batch(group))
        storage.store_asset_event(group[-1], event_id=0)  # of planned events the asset keeps the run alone


def _update_assets(storage: "SqlEventLogStorage", events: Sequence[dg.EventLogEntry], first_id: int) -> None:
    """Let the row of each asset name its newest event of each kind, and index the tags by which events are found."""
    newest = {_asset_and_kind(event): (event, number) for number, event in enumerate(events, start=first_id)}
    for event, number in newest.values():
        storage.store_asset_event(event, event_id=number)
    tagged = [(event, number) for number, event in enumerate(events, start=first_id) if _has_tags(event)]
    if tagged:
        storage.store_asset_event_tags(*map(list, zip(*tagged, strict=True)))


def _has_tags(event: dg.EventLogEntry) -> bool:
    found = event.dagster_event
    return (
        found is not None
        and found.is_step_materialization
        and bool(found.step_materialization_data.materialization.tags)
    )


def _asset_and_kind(event: dg.EventLogEntry) -> tuple[str, DagsterEventType]:
    found = event.dagster_event
    assert found is not None
    assert found.asset_key is not None
    return found.asset_key.to_string(), found.event_type
