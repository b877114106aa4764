"""Removes inventories that nothing needs any more. What an inventory is, is in ``inventory``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.ids import parse_inventory_id
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.planning.history import load_history
from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder, inventory_writer_name

if TYPE_CHECKING:
    from datetime import datetime

    from registration_pipeline.state.store import StateStore


def prune_inventories(store: StateStore, source: str, *, before: datetime) -> list[str]:
    """Remove the inventories that began before a time, but for the newest one and the one that was planned last.

    Status, audits and the next plan read only these two. The marker goes first: without it the rest is never read, and a
    process that dies here leaves what the next call removes.

    Args:
        store: the state.
        source: its name.
        before: aware.

    Returns:
        the ids that were removed, the oldest first.

    Raises:
        StateError: the state can't be read or written.
    """
    removed = prunable_inventories(store, source, before=before)
    for inventory_id in removed:
        folder = inventory_folder(source, inventory_id)
        store.delete(folder + COMMIT_MARKER)
        for name in list(store.names(folder)):
            store.delete(name)
    return removed


def prunable_inventories(store: StateStore, source: str, *, before: datetime) -> list[str]:
    """Return the ids of the inventories that ``prune_inventories`` would remove, the oldest first.

    Raises:
        StateError: the state can't be read.
    """
    newest, latest = latest_inventory(store, source), load_history(store, source).latest
    needed = {newest.inventory_id if newest else None, latest.inventory_id if latest else None}
    return [
        inventory_id
        for inventory_id in store.folders(inventory_folder(source))
        if inventory_id not in needed
        and not store.exists(inventory_writer_name(source, inventory_id))
        and _began_before(inventory_id, before)
    ]


def _began_before(inventory_id: str, before: datetime) -> bool:
    try:
        return parse_inventory_id(inventory_id) < before
    except ValueError:
        return False  # not ours
