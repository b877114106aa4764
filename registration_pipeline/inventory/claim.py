"""The id of a new inventory, claimed so that listings of one source at the same moment don't get in each other's way.

What does not belong here: what is listed (``lister.py``) and when an inventory counts (``inventory.py``).

A writer creates a file with its name before anything else, and removes it last. That file is create-only, so no two share an
inventory's folder; and the next writer removes what dead ones left behind, but nothing of a listing that is still under way.
These files have a folder of their own: it holds a few, where the inventories of years have many.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateConflictError, StateError, StateNotFoundError
from registration_pipeline.ids import inventory_id as inventory_id_at
from registration_pipeline.ids import parse_inventory_id
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.layout import (
    COMMIT_MARKER,
    inventory_folder,
    inventory_writer_name,
    inventory_writers_folder,
)
from registration_pipeline.state.markers import discard_leftovers
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registration_pipeline.state.store import StateStore

ABANDONED_AFTER: Final = timedelta(days=7)
"""Older listings are over even where that can't be seen from here, as on another machine. No listing takes so long."""


@contextmanager
def claimed_inventory_id(store: StateStore, source: str, now: datetime) -> Iterator[str]:
    """Give the id of a new inventory, later than all there are, and clear away what dead listings left behind.

    If the block fails, what it wrote under that id is cleared away at once.

    Args:
        store: the state.
        source: the source's name.
        now: aware UTC time.

    Raises:
        StateError: the state can't be read or written.
    """
    inventory_id = _claim(store, source, max([now, *_later_than_all(_clear_the_way(store, source, now))]))
    folder, claim = inventory_folder(source, inventory_id), inventory_writer_name(source, inventory_id)
    try:
        yield inventory_id
    except BaseException:
        with suppress(StateError):  # what went wrong first matters more, and the next inventory clears it away
            discard_leftovers(store, folder)
            store.delete(claim)
        raise
    with suppress(StateError):  # it is not read any more
        store.delete(claim)


def _claim(store: StateStore, source: str, time: datetime) -> str:
    while True:
        inventory_id = inventory_id_at(time)
        try:
            store.create(inventory_writer_name(source, inventory_id), canonical_json(Holder.current(time).to_json()))
        except StateConflictError:
            time += timedelta(seconds=1)  # another process began in the same second
        else:
            return inventory_id


def _clear_the_way(store: StateStore, source: str, now: datetime) -> list[str]:
    """Return the ids that are in use, after removing what dead processes left behind."""
    prefix = inventory_writers_folder(source)
    claimed = [name.removeprefix(prefix).removesuffix(".json") for name in own_names(store, prefix)]
    for inventory_id in claimed:
        folder = inventory_folder(source, inventory_id)
        if store.exists(folder + COMMIT_MARKER) or _is_abandoned(store, source, inventory_id, now):
            discard_leftovers(store, folder)
            store.delete(inventory_writer_name(source, inventory_id))
    return [*store.folders(inventory_folder(source)), *claimed]


def _is_abandoned(store: StateStore, source: str, inventory_id: str, now: datetime) -> bool:
    started = _time_of(inventory_id)
    if started is None or now - started > ABANDONED_AFTER:
        return True
    try:
        writer = Holder.from_json(json.loads(store.read(inventory_writer_name(source, inventory_id))))
    except StateNotFoundError:
        return False  # committed, or given up, at this moment
    except (ValueError, TypeError, KeyError):
        return True
    return writer.is_dead_for_certain()


def _later_than_all(inventory_ids: list[str]) -> list[datetime]:
    """Return a second after each: a clock that jumped back must not make a new inventory seem older than the last."""
    return [time + timedelta(seconds=1) for time in map(_time_of, inventory_ids) if time is not None]


def _time_of(inventory_id: str) -> datetime | None:
    try:
        return parse_inventory_id(inventory_id)
    except ValueError:
        return None
