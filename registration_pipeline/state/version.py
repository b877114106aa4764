"""The version of the layout that a source's state has, in ``<source>/state.json``. Only that belongs here.

Layout 1 is described in ``docs/architecture.md``. Whatever changes it gets the next number, an upgrade, and a test on a state
that an earlier version wrote.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from registration_pipeline import __version__
from registration_pipeline.errors import StateConflictError, StateCorruptError, StateLayoutError, StateNotFoundError
from registration_pipeline.state.identity import identity_problem
from registration_pipeline.state.layout import state_version_name
from registration_pipeline.state.owned import KINDS
from registration_pipeline.state.sealed import open_sealed, sealed_json

if TYPE_CHECKING:
    from datetime import datetime

    from registration_pipeline.state.store import StateStore

LAYOUT: Final = 1
"""What this version reads and writes."""

_REBUILD: Final = (
    "move the folder away and run `registration-pipeline inventory {source}`, `plan {source}` and `audit {source} --adopt`, "
    "which make a new state from the bucket and from Encord without sending anything."
)
_ADVICE: Final = f"Nothing was changed. Use the version of registration-pipeline that wrote it; or {_REBUILD}"


def require_layout(store: StateStore, source: str) -> bool:
    """Check that a source's state has the layout that this version knows; return whether there is a state at all.

    It costs one small read, and where there is no state yet one listing.

    Args:
        store: the state.
        source: its name.

    Raises:
        StateLayoutError: the state has another layout, or does not say which.
        StateCorruptError: what says the layout is damaged.
        StateError: the state can't be read.
    """
    where = store.location(state_version_name(source))
    data = _read(store, source)
    if data is None and KINDS.isdisjoint(store.folders(f"{source}/")):
        return False
    # Read again: another process may have begun the state between reading and listing.
    data = data or _read(store, source)
    if data is None:
        problem = f"The state of source {source} at {store.location(f'{source}/')} has no state.json"
        raise StateLayoutError(f"{problem}, so its layout is not known. {_ADVICE.format(source=source)}")
    try:
        document = open_sealed(data)
    except ValueError as error:
        # What was edited, or written by another version without a digest, says so; anything else is damage.
        kind = StateCorruptError if _claimed_layout(data) in {LAYOUT, None} else StateLayoutError
        raise kind(
            f"{where} is damaged: {error}. Nothing was changed. Restore it from a backup; or {_REBUILD.format(source=source)}"
        ) from error
    if other := identity_problem(state_version_name(source), document):
        raise StateCorruptError(
            f"{where} {other}. Nothing was changed. A state belongs to the source whose name it has: give the folder or the "
            "source its old name, or restore the file from a backup."
        )
    layout = document.get("layout")
    if layout != LAYOUT:
        writer = document.get("created_by", "another version")
        raise StateLayoutError(
            f"{where} says layout {layout!r}, written by registration-pipeline {writer}; this version, {__version__}, knows "
            f"layout {LAYOUT}. {_ADVICE.format(source=source)}"
        )
    return True


def ensure_layout(store: StateStore, source: str, at: datetime) -> None:
    """Check as ``require_layout`` does, and note the layout where there is no state yet: before anything else is written.

    Args:
        store: the state.
        source: its name.
        at: the time, UTC.

    Raises:
        StateLayoutError: the state has another layout, or does not say which.
        ConfigurationError: the store lets several processes create the same file.
        StateError: the state can't be read or written.
    """
    if require_layout(store, source):
        return
    document = {
        "layout": LAYOUT,
        "source": source,
        "created_at": at.isoformat(),
        "created_by": __version__,
    }
    store.require_exclusive_create()
    try:
        store.create(state_version_name(source), sealed_json(document))
    except StateConflictError:
        require_layout(store, source)  # another process was first


def _claimed_layout(data: bytes) -> int | None:
    """Return the layout that a document says, right or wrong; None: it can't be understood."""
    try:
        layout = json.loads(data)["layout"]
    except (ValueError, KeyError, TypeError):
        return None
    return layout if isinstance(layout, int) else None


def _read(store: StateStore, source: str) -> bytes | None:
    try:
        return store.read(state_version_name(source))
    except StateNotFoundError:
        return None
