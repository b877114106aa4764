"""Stores many events in one go: Dagster does so for some events on Postgres only, and one event costs it 4 ms of CPU.

What belongs here is how each kind of storage takes a batch. What does not: which events there are (``planned_events.py``,
``chunk_events.py``), and the names of Dagster's (``private_dagster.py``).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterEventType

from registration_pipeline.orchestration.private_dagster import (
    has_event_tags,
    ids_of_stored_events,
    postgres_event_log,
    sqlite_event_log,
)
from registration_pipeline.orchestration.runs.storage_trouble import is_cut_connection

if TYPE_CHECKING:
    from registration_pipeline.orchestration.private_dagster import SqlEventLogStorage, SqliteEventLogStorage

BATCH = 100
"""Events. A batch in SQLite takes seven variables an event, of which old builds allow 999; a larger one is hardly faster."""

PATIENCE = (0.1, 0.5, 1, 2, 4, 8, 15, 30)
"""Seconds of waiting after each time that the connection to the database was cut, a minute together: a restart takes less.

Dagster itself waits 6 s for a connection, and never stores again what was cut while it was stored.
"""

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
    _update_assets(storage, events, range(newest - len(events) + 1, newest + 1))


def _store_in_postgres(storage: "SqlEventLogStorage", events: Sequence[dg.EventLogEntry]) -> None:
    """Store the events with a statement for each asset and kind of event: so Dagster has it, except for planned events."""
    groups: dict[tuple[str, DagsterEventType], list[dg.EventLogEntry]] = defaultdict(list)
    for event in events:
        groups[_asset_and_kind(event)].append(event)
    for group in groups.values():
        _store_through_cuts(storage, group)


def _store_through_cuts(storage: "SqlEventLogStorage", group: Sequence[dg.EventLogEntry]) -> None:
    """Store events of one asset and kind once, although connections are cut: also after the database has stored them."""
    may_be_stored = False
    for wait in (*PATIENCE, None):
        try:
            if not (may_be_stored and _is_completed(storage, group)):
                _store_group(storage, group)
        except Exception as error:
            if wait is None or not is_cut_connection(error):
                raise
            may_be_stored = True
            time.sleep(wait)
        else:
            return


def _store_group(storage: "SqlEventLogStorage", group: Sequence[dg.EventLogEntry]) -> None:
    if not _is_planned(group):
        storage.store_event_batch(group)
        return
    with storage.run_connection(group[0].run_id) as connection:
        connection.execute(storage.prepare_insert_event_batch(group))
    storage.store_asset_event(group[-1], event_id=0)  # of planned events the asset keeps the run alone


def _is_completed(storage: "SqlEventLogStorage", group: Sequence[dg.EventLogEntry]) -> bool:
    """Return whether the events are stored, which one statement does; what follows it is done then, if it was not.

    Tags and the asset's row are one transaction: where one tag is, the others are.
    """
    ids = ids_of_stored_events(storage, group)
    if not ids:
        return False
    if _is_planned(group):
        storage.store_asset_event(group[-1], event_id=0)
    elif has_event_tags(storage, ids):
        storage.store_asset_event(group[-1], event_id=ids[-1])
    else:
        _update_assets(storage, group, ids)
    return True


def _is_planned(group: Sequence[dg.EventLogEntry]) -> bool:
    _, kind = _asset_and_kind(group[0])
    return kind is DagsterEventType.ASSET_MATERIALIZATION_PLANNED


def _update_assets(storage: "SqlEventLogStorage", events: Sequence[dg.EventLogEntry], ids: Sequence[int]) -> None:
    """Let the row of each asset name its newest event of each kind, and index the tags by which events are found."""
    numbered = list(zip(events, ids, strict=True))
    newest = {_asset_and_kind(event): (event, number) for event, number in numbered}
    for event, number in newest.values():
        storage.store_asset_event(event, event_id=number)
    tagged = [(event, number) for event, number in numbered if _has_tags(event)]
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
