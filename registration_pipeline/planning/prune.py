"""Removes inventories, failure logs and audits that nothing needs. What they are is in the packages of these names."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import parse_inventory_id
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.planning.history import load_history
from registration_pipeline.state.layout import (
    COMMIT_MARKER,
    audit_folder,
    failure_log_folder,
    inventory_folder,
    inventory_writer_name,
)
from registration_pipeline.state.owned import own_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registration_pipeline.state.store import StateStore

_TIME_CHARACTERS: Final = len("20261121T020000")


def prune_inventories(store: StateStore, source: str, *, before: datetime) -> list[str]:
    """Remove the inventories that began before a time, but for the newest one and the one that was planned last.

    Status, audits and the next plan read only these two. The marker goes first: without it the rest is never read, and a
    process that dies here leaves what the next call removes. What others have put into a folder stays (``left_in``).

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
        for name in list(own_names(store, folder)):
            store.delete(name)
    return removed


def left_in(store: StateStore, folders: Iterable[str]) -> list[str]:
    """Return the names below some folders that were pruned: of files that the pipeline did not write.

    Raises:
        StateError: the state can't be listed.
    """
    return [name for folder in folders for name in store.names(folder)]


def prunable_inventories(store: StateStore, source: str, *, before: datetime) -> list[str]:
    """Return the ids of the inventories that ``prune_inventories`` would remove, the oldest first.

    Raises:
        StateError: the state can't be read.
    """
    present = store.folders(inventory_folder(source))
    newest, latest = latest_inventory(store, source), load_history(store, source).latest
    if newest is None:
        return []  # none is committed; or a listing left them out, and the newest must not be removed because of it
    needed = {newest.inventory_id, latest.inventory_id if latest else None}
    return [
        inventory_id
        for inventory_id in present
        if inventory_id not in needed
        and not store.exists(inventory_writer_name(source, inventory_id))
        and _began_before(inventory_id, before)
        and _has_own(store, inventory_folder(source, inventory_id))
    ]


def prunable_reports(store: StateStore, source: str, *, before: datetime) -> list[str]:
    """Return the failure logs and audits of before a time, as names of files and of folders, which end in a slash.

    The newest of each stays, of audits the newest that came to its end: the report page, messages and people read these.

    Raises:
        StateError: the state can't be read.
    """
    logs: dict[str, list[str]] = {}
    for name in own_names(store, failure_log_folder(source)):
        logs.setdefault(PurePosixPath(name).stem, []).append(name)
    audits = store.folders(audit_folder(source))
    whole = (audit_id for audit_id in reversed(audits) if store.exists(audit_folder(source, audit_id) + COMMIT_MARKER))
    old_logs = _before(sorted(logs)[:-1], before)
    old_audits = _before([one for one in audits if one < next(whole, "")], before) if audits else []
    folders = (audit_folder(source, audit_id) for audit_id in old_audits)
    return [
        *(name for log_id in old_logs for name in logs[log_id]),
        *(folder for folder in folders if _has_own(store, folder)),
    ]


def prune_reports(store: StateStore, source: str, *, before: datetime) -> list[str]:
    """Remove what ``prunable_reports`` names, and return it. Nothing is counted from any of it.

    Raises:
        StateError: the state can't be read or written.
    """
    removed = prunable_reports(store, source, before=before)
    for name in removed:
        is_audit = name.endswith("/")
        if is_audit:
            store.delete(name + COMMIT_MARKER)
        for file in list(own_names(store, name)) if is_audit else [name]:
            store.delete(file)
    return removed


def _has_own(store: StateStore, folder: str) -> bool:
    return next(own_names(store, folder), None) is not None


def _before(ids: Iterable[str], before: datetime) -> list[str]:
    """Return the ids, which begin with a time to the second as those of inventories do, of before a time."""
    return [one for one in ids if _began_before(f"{one[:_TIME_CHARACTERS]}Z", before)]


def _began_before(inventory_id: str, before: datetime) -> bool:
    try:
        return parse_inventory_id(inventory_id) < before
    except ValueError:
        return False  # not ours
