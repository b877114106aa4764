"""Commits waves one after the other, so that no two planners can add the same object, and clears what crashes left.

What does not belong here: what a wave holds (``plan.py``) and reading one (``wave.py``).

Two planners with different inventories write different folders, so the commit marker alone would let both in with the
same new objects. Every wave therefore takes the next number of the source's lineage first, create-only: the number says
"built on all waves before". The entry holds the whole commit marker; if its writer dies before the marker is there, the
next planner writes it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.planning.wave import Wave, is_wave_id, load_waves, wave_order
from registration_pipeline.state.layout import (
    COMMIT_MARKER,
    census_folder,
    lineage_folder,
    lineage_name,
    plan_folder,
)
from registration_pipeline.state.markers import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.state.parquet import Part
    from registration_pipeline.state.store import StateStore


def settle_lineage(store: StateStore, source: str) -> tuple[list[Wave], int]:
    """Finish the commit of a planner that died in the middle of it.

    Returns:
        the committed waves in order, and the number that the next wave has to take.

    Raises:
        StateCorruptError: the last entry of the lineage can't be read.
    """
    entries = list(store.names(lineage_folder(source)))
    waves = load_waves(store, source)
    if not entries:
        return waves, 1
    wave = _read_entry(store, entries[-1])
    if all(wave.wave_id != committed.wave_id for committed in waves) and _has_its_files(store, wave):
        _publish_marker(store, wave)
        waves = load_waves(store, source)
    return waves, int(entries[-1].rsplit("/", 1)[-1].removesuffix(".json")) + 1


def commit_wave(store: StateStore, wave: Wave, number: int) -> bool:
    """Make a wave count whose files are all written.

    Args:
        store: the state.
        wave: what its commit marker will say.
        number: what ``settle_lineage`` gave together with the waves that this one was built on.

    Returns:
        False if another planner took the number first: the wave was built on an outdated ledger and must be planned
        again.
    """
    try:
        store.create(lineage_name(wave.source, number), canonical_json(wave.to_json()))
    except StateConflictError:
        return False
    _publish_marker(store, wave)
    return True


def discard_uncommitted(store: StateStore, waves: Sequence[Wave]) -> int:
    """Remove what planners left behind that died or lost the race, up to the last of ``waves``.

    Safe while others plan: whoever still works on one of these folders built on fewer waves and can't commit any more;
    who builds on all of ``waves`` writes a later folder.

    Args:
        store: the state.
        waves: all committed waves of one source in order, at least one.

    Returns:
        how many files were removed.
    """
    source, newest = waves[-1].source, wave_order(waves[-1].wave_id)
    kept = {part.name for wave in waves for part in wave_files(wave)}
    removed = 0
    for root in (plan_folder(source), census_folder(source)):
        for name in list(store.names(root)):
            wave_id, _, file = name.removeprefix(root).partition("/")
            if name not in kept and file.endswith(".parquet") and is_wave_id(wave_id) and wave_order(wave_id) <= newest:
                store.delete(name)
                removed += 1
    return removed


def wave_files(wave: Wave) -> list[Part]:
    """Return every file that the commit marker of a wave names."""
    return [*wave.parts, *wave.chunk_files, *wave.rejected_files, *wave.changed_files, *wave.deleted_files]


def _publish_marker(store: StateStore, wave: Wave) -> None:
    try:
        store.create(plan_folder(wave.source, wave.wave_id) + COMMIT_MARKER, canonical_json(wave.to_json()))
    except StateConflictError:
        # The next planner found the lineage entry and finished for us, with the same content.
        return


def _read_entry(store: StateStore, name: str) -> Wave:
    try:
        return Wave.from_json(json.loads(store.read(name)))
    except (KeyError, TypeError, ValueError) as error:
        raise StateCorruptError(
            f"{store.location(name)} is no entry of a plan's lineage ({error!r}). Restore it from a backup"
        ) from error


def _has_its_files(store: StateStore, wave: Wave) -> bool:
    """Tell whether a marker could be believed; it can't if somebody removed the wave's folder to have it made again."""
    return all(store.exists(part.name) for part in wave_files(wave))
