"""Commits waves one after the other, so that no two planners can add the same object, and clears what crashes left.

What does not belong here: what a wave holds (``plan.py``) and reading one (``wave.py``).

Two planners with different inventories write different folders, so the commit marker alone would let both in with the
same new objects. Every wave therefore takes the next number of the source's lineage first, create-only: the number says
"built on all waves before". The entry holds the whole commit marker; if its writer dies before the marker is there, the
next planner writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.wave import Wave, is_wave_id, wave_order
from registration_pipeline.state.layout import (
    COMMIT_MARKER,
    census_folder,
    lineage_folder,
    lineage_name,
    plan_folder,
)
from registration_pipeline.state.sealed import read_sealed, sealed_json

if TYPE_CHECKING:
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.state.parquet import Part
    from registration_pipeline.state.store import StateStore


def settle_lineage(store: StateStore, history: PlanHistory, *, is_trusted: bool = True) -> tuple[PlanHistory, int]:
    """Finish the commit of a planner that died in the middle of it.

    Args:
        store: the state.
        history: what was planned so far.
        is_trusted: as ``history.load_history`` was asked.

    Returns:
        the history, with that wave if there is one, and the number that the next wave has to take.

    Raises:
        StateCorruptError: the last entry of the lineage can't be read.
    """
    entries = list(store.names(lineage_folder(history.source)))
    if not entries:
        return history, 1
    wave = _read_entry(store, entries[-1])
    if wave.wave_id not in history.wave_ids and _has_its_files(store, wave):
        _publish_marker(store, wave)
        history = load_history(store, history.source, is_trusted=is_trusted)
    return history, int(entries[-1].rsplit("/", 1)[-1].removesuffix(".json")) + 1


def commit_wave(store: StateStore, wave: Wave, number: int) -> bool:
    """Make a wave count whose files are all written.

    Args:
        store: the state.
        wave: what its commit marker will say.
        number: what ``settle_lineage`` gave together with what this wave was built on.

    Returns:
        False if another planner took the number first: the wave was built on an outdated ledger and must be planned
        again.
    """
    try:
        store.create(lineage_name(wave.source, number), sealed_json(wave.to_json()))
    except StateConflictError:
        return False
    _publish_marker(store, wave)
    return True


def discard_uncommitted(store: StateStore, history: PlanHistory, wave: Wave) -> int:
    """Remove what planners left behind that died or lost the race, up to a wave that was just committed.

    Safe while others plan: a process that still works on one of these folders built on fewer waves and can't commit any more;
    who builds on all waves writes a later folder. A committed folder is searched twice, after its own commit and the next.

    Args:
        store: the state.
        history: what the wave was built on.
        wave: the latest of all.

    Returns:
        how many files were removed.
    """
    newest = wave_order(wave.wave_id)
    finished = [one for one in (history.latest, wave) if one is not None]
    kept = {part.name for one in finished for part in wave_files(one)}
    done = {*history.wave_ids} - {one.wave_id for one in finished}
    removed = 0
    for folder_of in (plan_folder, census_folder):
        for wave_id in store.folders(folder_of(wave.source)):
            if wave_id in done or not is_wave_id(wave_id) or wave_order(wave_id) > newest:
                continue
            for name in list(store.names(folder_of(wave.source, wave_id))):
                if name not in kept and name.endswith(".parquet"):
                    store.delete(name)
                    removed += 1
    return removed


def wave_files(wave: Wave) -> list[Part]:
    """Return every file that the commit marker of a wave names."""
    return [
        *wave.parts,
        *wave.unit_files,
        *wave.group_files,
        *wave.chunk_files,
        *wave.rejected_files,
        *wave.changed_files,
        *wave.deleted_files,
    ]


def _publish_marker(store: StateStore, wave: Wave) -> None:
    try:
        store.create(plan_folder(wave.source, wave.wave_id) + COMMIT_MARKER, sealed_json(wave.to_json()))
    except StateConflictError:
        # The next planner found the lineage entry and finished for us, with the same content.
        return


def _read_entry(store: StateStore, name: str) -> Wave:
    try:
        return Wave.from_json(read_sealed(store, name, "Restore it from a backup."))
    except (KeyError, TypeError, ValueError) as error:
        raise StateCorruptError(
            f"{store.location(name)} is not an entry of a plan's lineage ({error!r}). Restore it from a backup"
        ) from error


def _has_its_files(store: StateStore, wave: Wave) -> bool:
    """Return whether a marker could be believed; it can't if the wave's folder was removed to have it made again."""
    return all(store.exists(part.name) for part in wave_files(wave))
