"""All that was planned so far, as one value that is read in few requests however many waves there are.

What does not belong here: what a wave holds (``wave.py``), committing one (``lineage.py``) and matching (``ledger.py``).

``ledger/<number>/``, the compacted ledger, replaces every wave up to that number of the lineage: the newest wave whole, and
of all of them the ids, the keys, the chunks and the units of several objects, as runs of files. A run is either a wave's own
files or one file merged from several runs. It can always be made again from the waves: one that is missing, damaged or does
not fit the lineage costs time and nothing else.

What counts is the lineage: a wave whose commit marker is missing is read from there. Two listings show what is missing: that
of the lineage, and that of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.planning.ledger import Run, merged_runs
from registration_pipeline.planning.schema import CHUNK_SCHEMA, GROUP_SCHEMA, LEDGER_SCHEMA
from registration_pipeline.planning.wave import (
    Wave,
    is_wave_id,
    load_chunks,
    load_wave,
    marked_waves,
    read_chunks,
    read_lineage,
    wave_order,
)
from registration_pipeline.state.ahead import both, each
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, ledger_folder, lineage_folder, plan_folder
from registration_pipeline.state.markers import FileSet, read_marker
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.parquet import ROW_GROUP_ROWS, ParquetPartWriter, Part, read_parts
from registration_pipeline.tables.tiers import runs_to_merge

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore

_SMALL_RUN: Final = ROW_GROUP_ROWS
"""Rows that are merged again and again without a thought: it takes a tenth of a second."""

_GROUP_ROWS: Final = 16_384
"""Rows per row group: several runs are read side by side, and a group of each is in memory."""

_SORTED_BY: Final = {"keys": "key", "groups": "group_key"}
"""By what the rows of a run are sorted; those of chunks are in planning order."""

_KEPT: Final = 2
"""Compacted ledgers that are kept: a process may be reading the one before the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHistory:
    """Every committed wave of a source.

    Args:
        source: its name.
        wave_ids: the waves in the order they were planned.
        latest: the last of them; None: there is none.
        runs: the keys of all waves, in runs sorted by key.
        chunk_runs: the chunks of all waves, in planning order.
        group_runs: the units of several objects of all waves, in runs sorted by group key.
        number: of the lineage's last entry, 0 if there is none.
        without_marker: waves that count although their commit marker is not there.
        is_compacted: whether any of it was read from the compacted ledger.
    """

    source: str
    wave_ids: tuple[str, ...] = ()
    latest: Wave | None = None
    runs: tuple[Run, ...] = ()
    chunk_runs: tuple[Run, ...] = ()
    group_runs: tuple[Run, ...] = ()
    number: int = field(default=0, compare=False)
    without_marker: tuple[str, ...] = field(default=(), compare=False)
    is_compacted: bool = field(default=False, compare=False)

    def followed_by(self, wave: Wave) -> PlanHistory:
        """Return the history with one more wave."""
        return replace(
            self,
            wave_ids=(*self.wave_ids, wave.wave_id),
            latest=wave,
            number=self.number + 1,
            runs=(*self.runs, wave.parts) if wave.parts else self.runs,
            chunk_runs=(*self.chunk_runs, wave.chunk_files) if wave.chunk_files else self.chunk_runs,
            group_runs=(*self.group_runs, wave.group_files) if wave.group_files else self.group_runs,
        )

    def last_wave_of(self, store: StateStore, inventory_id: str) -> Wave | None:
        """Return the last wave that planned an inventory, or None."""
        wave_id = max(self.waves_of(inventory_id), key=wave_order, default=None)
        if self.latest is not None and wave_id == self.latest.wave_id:
            return self.latest
        return None if wave_id is None else load_wave(store, self.source, wave_id)

    def waves_of(self, inventory_id: str) -> list[str]:
        """Return the ids of the waves that planned an inventory."""
        return [wave_id for wave_id in self.wave_ids if wave_order(wave_id)[0] == inventory_id]


def load_history(store: StateStore, source: str, *, is_trusted: bool = True) -> PlanHistory:
    """Read what was planned so far: from the compacted ledger, and from the markers of the waves that are not in it.

    Args:
        store: the state.
        source: its name.
        is_trusted: False: without the compacted ledger, because it turned out to be damaged.

    Raises:
        StateCorruptError: an entry of the lineage or a commit marker is damaged, or a file that is named there is missing.
    """
    found = _Folders.at_once(store, source)
    history, missing = _history_of(store, source, found, is_trusted=is_trusted)
    if missing is not None or found.is_torn or history.without_marker:
        found = _Folders.in_order(store, source)
        history, missing = _history_of(store, source, found, is_trusted=is_trusted)
    if missing is not None and history.is_compacted:
        return load_history(store, source, is_trusted=False)
    if missing is not None:
        raise damaged(store, missing, "is missing, though the lineage has its wave")
    return history


class _Folders(NamedTuple):
    """What lies in the folders that a history is read from.

    A wave that is committed has its files before its entry in the lineage, and its entry before the ledger. So listed in this
    order nothing seems to be missing of a wave that is committed meanwhile; listed at the same moment, it may.

    Args:
        ledgers: names in the folder of compacted ledgers.
        newest: what the newest of them says; None: there is none, or it is damaged.
        entries: names in the lineage, by number.
        plan: names in the plan.
    """

    ledgers: list[str]
    newest: PlanHistory | None
    entries: dict[int, str]
    plan: set[str]

    @classmethod
    def in_order(cls, store: StateStore, source: str) -> Self:
        return cls(*_ledgers(store, source), _entries(store, source), {*own_names(store, plan_folder(source))})

    @classmethod
    def at_once(cls, store: StateStore, source: str) -> Self:
        ledgers, (entries, plan) = both(
            store,
            lambda: _ledgers(store, source),
            lambda: both(store, lambda: _entries(store, source), lambda: {*own_names(store, plan_folder(source))}),
        )
        return cls(*ledgers, entries, plan)

    @property
    def is_torn(self) -> bool:
        """Whether there is a ledger of a wave that the lineage does not have."""
        return self.newest is not None and self.newest.number > max(self.entries, default=0)


def _ledgers(store: StateStore, source: str) -> tuple[list[str], PlanHistory | None]:
    names = list(own_names(store, ledger_folder(source)))
    marker = next((name for name in reversed(names) if name.endswith(COMMIT_MARKER)), None)
    newest = None if marker is None else _read(store, marker)
    return names, newest and replace(newest, number=int(str(marker).rsplit("/", 2)[-2]))


def _entries(store: StateStore, source: str) -> dict[int, str]:
    return {_number_of(name): name for name in own_names(store, lineage_folder(source))}


def _history_of(store: StateStore, source: str, found: _Folders, *, is_trusted: bool) -> tuple[PlanHistory, str | None]:
    """Return the history that the folders hold, and a file that is missing, if one is."""
    history = (_compacted(source, found) if is_trusted else None) or PlanHistory(source=source)
    unread = [name for number, name in found.entries.items() if number > history.number]
    later = read_lineage(store, unread, after=history.wave_ids[-1] if history.wave_ids else None)
    marked = {wave_id for wave_id in _folders(found.plan) if plan_folder(source, wave_id) + COMMIT_MARKER in found.plan}
    # Also waves of which there is only the marker: the lineage was removed, or another process commits at this moment.
    later |= marked_waves(store, source, marked - {*history.wave_ids}, later)
    for wave_id in sorted(later, key=wave_order):
        history = history.followed_by(later[wave_id])
    missing = _missing(history, found.plan)
    history = replace(
        history,
        number=max(found.entries, default=0),
        without_marker=tuple(wave_id for wave_id in history.wave_ids if wave_id not in marked),
    )
    return history, missing


def _number_of(name: str) -> int:
    return int(name.rsplit("/", 1)[-1].split(".", maxsplit=1)[0])


def _folders(names: Iterable[str]) -> set[str]:
    """Return the ids of the waves that names in the plan belong to."""
    return {wave_id for wave_id in (name.rsplit("/", 2)[-2] for name in names) if is_wave_id(wave_id)}


def _missing(history: PlanHistory, present: Container[str]) -> str | None:
    """Return a file of planned rows that is not there, or None; the listing that shows it was made anyway."""
    folder = plan_folder(history.source)
    names = (part.name for run in (*history.runs, *history.group_runs) for part in run)
    return next((name for name in names if name.startswith(folder) and name not in present), None)


def load_chunks_of(store: StateStore, history: PlanHistory) -> dict[str, PlannedChunk]:
    """Return every chunk by its id, in planning order.

    Raises:
        StateCorruptError: a file of a wave is missing or unreadable.
    """
    try:
        return {chunk.chunk_id: chunk for run in history.chunk_runs for chunk in read_chunks(store, run)}
    except StateCorruptError:
        if not history.is_compacted:
            raise
    waves = (load_wave(store, history.source, wave_id) for wave_id in history.wave_ids)
    return load_chunks(store, history.source, [wave for wave in waves if wave is not None])


def compact(store: StateStore, history: PlanHistory, number: int) -> PlanHistory:
    """Write the compacted ledger of a history, and remove those that no process can be reading any more.

    Small runs are merged into one; a larger one only with at least half as many rows behind it, so each row is copied a few
    times in its life (decision 018). Of two writers one wins, and either's is right.

    Args:
        store: the state.
        history: with the wave that took ``number`` as its latest.
        number: its number in the lineage.

    Returns:
        the history in its new files.

    Raises:
        StateCorruptError: a file of a wave is missing or unreadable.
        StateError: the state can't be written.
    """
    files = FileSet(store, ledger_folder(history.source, number))
    history = replace(history, number=number)
    try:
        compacted = replace(
            history,
            runs=_with_last_merged(files, history.runs, LEDGER_SCHEMA, "keys"),
            chunk_runs=_with_last_merged(files, history.chunk_runs, CHUNK_SCHEMA, "chunks"),
            group_runs=_with_last_merged(files, history.group_runs, GROUP_SCHEMA, "groups"),
            is_compacted=True,
        )
    except StateCorruptError:
        if not history.is_compacted:
            raise
        return compact(store, load_history(store, history.source, is_trusted=False), number)
    try:
        files.commit(_to_json(compacted))
    except StateConflictError:  # another writer was here, or a later one has cleared this away
        return history
    _remove_outdated(store, history.source)
    return compacted


def _with_last_merged(files: FileSet, runs: tuple[Run, ...], schema: pa.Schema, stem: str) -> tuple[Run, ...]:
    count = runs_to_merge([sum(part.rows for part in run) for run in runs], small=_SMALL_RUN)
    if count <= 1:
        return runs
    kept, merged = runs[:-count], runs[-count:]
    by = _SORTED_BY.get(stem)
    rows = _sorted(files.store, merged, schema, by) if by else _one_after_the_other(files.store, merged)
    with ParquetPartWriter(files, schema, stem=stem, rows_per_group=_GROUP_ROWS) as writer:
        for batch in rows:
            writer.write(batch)
        return (*kept, writer.finish())


def _sorted(store: StateStore, runs: Sequence[Run], schema: pa.Schema, by: str) -> Iterator[pa.RecordBatch]:
    return (batch.sort_by(by) for batch in merged_runs(store, runs, schema=schema, by=by))


def _one_after_the_other(store: StateStore, runs: Sequence[Run]) -> Iterator[pa.RecordBatch]:
    return (batch for run in runs for batch in read_parts(store, run, CHUNK_SCHEMA.names))


def _compacted(source: str, found: _Folders) -> PlanHistory | None:
    """Return what the newest compacted ledger says; None unless its files and its waves are all there."""
    history, folder = found.newest, ledger_folder(source)
    if history is None or not {name for name in _files(history) if name.startswith(folder)} <= {*found.ledgers}:
        return None
    # Fewer: a wave was removed from the lineage, to have it planned again. More: it is a copy of an older ledger.
    counted = sum(one <= history.number for one in found.entries)
    return history if len(history.wave_ids) == counted and history.number in found.entries else None


def _read(store: StateStore, marker: str) -> PlanHistory | None:
    try:
        return _from_json(read_marker(store, marker.removesuffix(COMMIT_MARKER)) or {})
    except (KeyError, TypeError, ValueError, StateCorruptError):
        return None


def _files(history: PlanHistory | None) -> set[str]:
    runs = (*history.runs, *history.chunk_runs, *history.group_runs) if history else ()
    return {part.name for run in runs for part in run}


def _to_json(history: PlanHistory) -> dict[str, Any]:
    assert history.latest is not None
    return {
        "source": history.source,
        "wave_ids": list(history.wave_ids),
        "latest": history.latest.to_json(),
        "runs": [[part.to_json() for part in run] for run in history.runs],
        "chunk_runs": [[part.to_json() for part in run] for run in history.chunk_runs],
        "group_runs": [[part.to_json() for part in run] for run in history.group_runs],
    }


def _from_json(value: Mapping[str, Any]) -> PlanHistory:
    return PlanHistory(
        source=str(value["source"]),
        wave_ids=tuple(value["wave_ids"]),
        latest=Wave.from_json(value["latest"]),
        runs=_runs_from_json(value["runs"]),
        chunk_runs=_runs_from_json(value["chunk_runs"]),
        group_runs=_runs_from_json(value.get("group_runs", ())),  # earlier versions planned no units of several objects
        is_compacted=True,
    )


def _runs_from_json(value: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Run, ...]:
    return tuple(tuple(Part.from_json(part) for part in run) for run in value)


def _remove_outdated(store: StateStore, source: str) -> None:
    """Remove what the newest ledgers do not name; files behind the newest belong to a writer that is at work."""
    names = list(own_names(store, ledger_folder(source)))
    markers = [name for name in names if name.endswith(COMMIT_MARKER)][-_KEPT:]
    said = each(store, partial(_read, store), markers)
    kept = {*markers, *(name for history in said for name in _files(history))}
    each(store, store.delete, [name for name in names if name not in kept and name < markers[-1]])
