"""Commits waves one after the other, so that no two planners can add the same object, and clears what crashes left.

What does not belong here: what a wave holds (``plan.py``) and reading one (``wave.py``).

Two planners with different inventories write different folders, so the commit marker alone would let both in with the
same new objects. Every wave therefore takes the next number of the source's lineage first, create-only: the number says
"built on all waves before". The entry holds the whole commit marker; if its writer dies before the marker is there, or the
marker is lost later, the next planner writes it. Nothing that the lineage names is ever removed.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError
from registration_pipeline.planning.wave import Wave, is_wave_id, load_wave, wave_files, wave_order
from registration_pipeline.state.ahead import each
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, census_folder, lineage_name, plan_folder
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import sealed_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.state.store import StateStore


def restore_markers(store: StateStore, history: PlanHistory) -> None:
    """Write the commit markers that are missing: a planner died in the middle of its commit, or they were removed.

    Args:
        store: the state.
        history: what was planned so far.

    Raises:
        StateCorruptError: a wave's files are not all there, so the marker could not be believed.
    """
    for wave_id in history.without_marker:
        wave = load_wave(store, history.source, wave_id)
        if wave is None:
            name = plan_folder(history.source, wave_id) + COMMIT_MARKER
            raise damaged(store, name, "is missing, and the lineage does not have its wave either")
        missing = next((part.name for part in wave_files(wave) if not store.exists(part.name)), None)
        if missing is not None:
            raise damaged(store, missing, f"is missing, though the lineage has its wave, {wave_id}")
        _publish_marker(store, wave)


def commit_wave(store: StateStore, wave: Wave, number: int) -> bool:
    """Make a wave count whose files are all written.

    Args:
        store: the state.
        wave: what its commit marker will say.
        number: the next one after the history that this wave was built on.

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

    def leftovers(folder_of: Callable[..., str]) -> list[str]:
        wave_ids = store.folders(folder_of(wave.source))
        searched = [one for one in wave_ids if one not in done and is_wave_id(one) and wave_order(one) <= newest]
        names = each(store, lambda wave_id: list(own_names(store, folder_of(wave.source, wave_id))), searched)
        return [name for name in chain(*names) if name not in kept and name.endswith(".parquet")]

    found = [*chain(*each(store, leftovers, (plan_folder, census_folder)))]
    each(store, store.delete, found)
    return len(found)


def _publish_marker(store: StateStore, wave: Wave) -> None:
    try:
        store.create(plan_folder(wave.source, wave.wave_id) + COMMIT_MARKER, sealed_json(wave.to_json()))
    except StateConflictError:
        # The next planner found the lineage entry and finished for us, with the same content.
        return
