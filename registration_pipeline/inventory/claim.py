"""The id of a new inventory, claimed so that listings of one source at the same moment don't get in each other's way.

What does not belong here: what is listed (``lister.py``) and when an inventory counts (``inventory.py``).

A writer creates a file with its name before anything else, and removes it last. That file is create-only, so no two share an
inventory's folder; and the next writer removes what dead ones left behind, but nothing of a listing that is still under way.
These files have a folder of their own: it holds a few, where the inventories of years have many.

The writer is a process; or, where an inventory is listed in key ranges, a run, whose processes come and go on any machine.
Only what knows the runs can say that a run is over: those who can't wait ``ABANDONED_AFTER``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import StateConflictError, StateError, StateNotFoundError
from registration_pipeline.ids import inventory_id as inventory_id_at
from registration_pipeline.ids import parse_inventory_id
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.layout import (
    inventory_folder,
    inventory_writer_name,
    inventory_writers_folder,
)
from registration_pipeline.state.markers import discard_leftovers, discard_unnamed, read_marker
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registration_pipeline.state.store import StateStore

_RUN: Final = "run"

ABANDONED_AFTER: Final = timedelta(days=7)
"""Older listings are over even where that can't be seen from here, as on another machine. No listing takes so long."""


RunIsOver = Callable[[str], bool]
"""Says of a run's id whether nothing more comes of the run, beyond doubt."""


def _not_known(_run: str) -> bool:
    return False


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
    inventory_id = _claim(store, source, now, Holder.current(now).to_json(), _not_known)
    try:
        yield inventory_id
    except BaseException:
        with suppress(StateError):  # what went wrong first matters more, and the next inventory clears it away
            give_up_claim(store, source, inventory_id)
        raise
    with suppress(StateError):  # it is not read any more
        release_claim(store, source, inventory_id)


def claim_for_run(store: StateStore, source: str, now: datetime, run: str, *, is_over: RunIsOver = _not_known) -> str:
    """Return the id of a new inventory that the processes of a run list together; otherwise as ``claimed_inventory_id``.

    Args:
        store: the state.
        source: the source's name.
        now: aware UTC time.
        run: the run's id.
        is_over: clears the way of other runs.

    Raises:
        StateError: the state can't be read or written.
    """
    # In the form of a process that can't be seen from anywhere: earlier versions take it for one on another machine.
    unseen = Holder(host=f"run {run}", boot="", pid=0, start="", namespace="", since=now)
    return _claim(store, source, now, {**unseen.to_json(), _RUN: run}, is_over)


def claims_of_runs(store: StateStore, source: str) -> dict[str, str]:
    """Return the ids of the inventories that runs are listing in key ranges, by the run's id.

    Raises:
        StateError: the state can't be read.
    """
    found: dict[str, str] = {}
    for inventory_id in _claimed(store, source):
        claim = _read_claim(store, source, inventory_id) or {}
        if _RUN in claim:
            found[str(claim[_RUN])] = inventory_id
    return found


def give_up_claim(store: StateStore, source: str, inventory_id: str) -> None:
    """Remove what was written of an inventory that is not committed, and its claim."""
    discard_leftovers(store, inventory_folder(source, inventory_id))
    release_claim(store, source, inventory_id)


def release_claim(store: StateStore, source: str, inventory_id: str) -> None:
    """Say that an inventory is not being written any more."""
    store.delete(inventory_writer_name(source, inventory_id))


def _claim(store: StateStore, source: str, now: datetime, writer: dict[str, Any], is_over: RunIsOver) -> str:
    time = max([now, *_later_than_all(_clear_the_way(store, source, now, is_over))])
    while True:
        inventory_id = inventory_id_at(time)
        try:
            store.create(inventory_writer_name(source, inventory_id), canonical_json(writer))
        except StateConflictError:
            time += timedelta(seconds=1)  # another process began in the same second
        else:
            return inventory_id


def _clear_the_way(store: StateStore, source: str, now: datetime, is_over: RunIsOver) -> list[str]:
    """Return the ids that are in use, after removing what dead processes and runs that are over left behind."""
    claimed = _claimed(store, source)
    for inventory_id in claimed:
        folder = inventory_folder(source, inventory_id)
        if (marker := read_marker(store, folder)) is not None:
            discard_unnamed(store, folder, {str(part["name"]) for part in marker["parts"]})
            release_claim(store, source, inventory_id)
        elif _is_abandoned(store, source, inventory_id, now, is_over):
            give_up_claim(store, source, inventory_id)
    return [*store.folders(inventory_folder(source)), *claimed]


def _claimed(store: StateStore, source: str) -> list[str]:
    prefix = inventory_writers_folder(source)
    return [name.removeprefix(prefix).removesuffix(".json") for name in own_names(store, prefix)]


def _read_claim(store: StateStore, source: str, inventory_id: str) -> dict[str, Any] | None:
    """Return what a claim says; None: it is gone; empty: it can't be understood."""
    try:
        claim = json.loads(store.read(inventory_writer_name(source, inventory_id)))
    except StateNotFoundError:
        return None
    except ValueError:
        return {}
    return claim if isinstance(claim, dict) else {}


def _is_abandoned(store: StateStore, source: str, inventory_id: str, now: datetime, is_over: RunIsOver) -> bool:
    started = _time_of(inventory_id)
    if started is None or now - started > ABANDONED_AFTER:
        return True
    claim = _read_claim(store, source, inventory_id)
    if claim is None:
        return False  # committed, or given up, at this moment
    if _RUN in claim:
        return is_over(str(claim[_RUN]))
    try:
        writer = Holder.from_json(claim)
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
