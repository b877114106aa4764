"""What a reading has so far, kept in the state while it goes on: a process that dies loses one part of it at the most.

What does not belong here: reading (``reading.py``), and the set that counts in the end (``facts/sets.py``).

A part of progress is a Parquet file and, written after it, a document that names it with its digest: without that it is never
read. It is worth something only to the next reading, which takes from it what is still true, key by key. A reading begins with
a file that says who reads, so that others clear its folder away only when that process is dead.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.errors import StateConflictError, StateCorruptError, StateError, StateNotFoundError
from registration_pipeline.ids import inventory_id as id_of_time
from registration_pipeline.ids import is_inventory_id, parse_inventory_id
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.layout import COMMIT_MARKER, facts_folder, facts_writer_name
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.parquet import ParquetPartWriter, Part, read_parts
from registration_pipeline.state.sealed import canonical_json, open_sealed, sealed_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from registration_pipeline.facts.reading.spec import FactKind
    from registration_pipeline.state.store import StateStore

PART_ROWS: Final = 2_000
"""Objects in one part of progress: what a process that dies has to read again at the most; 20 seconds at 100 a second."""

PART_SECONDS: Final = 30.0
"""After which a part is written although it has fewer."""

_PART_BYTES: Final = 64 << 20
"""Arrow bytes in one part at the most, or those of one addition."""

ABANDONED_AFTER: Final = timedelta(days=7)
"""Older readings are over even where that can't be seen from here, as on another machine."""

_SETS_KEPT: Final = 2
"""Committed ones: the newest, and the one before it, which a plan that has begun may still read."""

_STEM: Final = "progress"
_FIRST, _LAST = "first_key", "last_key"
"""What the document of a part also says of it; those of earlier versions lack it."""


def claim_reading(store: StateStore, source: str, name: str, now: datetime) -> str:
    """Return the id of a new reading, later than all there are, with this process as its writer.

    Args:
        store: the state.
        source: its name.
        name: of the kind.
        now: aware.
    """
    now = now.astimezone(UTC)
    present = filter(is_inventory_id, store.folders(facts_folder(source, name)))  # the form is the same
    later = [_time_of(facts_id) + timedelta(seconds=1) for facts_id in present]
    moment = max([now, *later])
    while True:
        facts_id = id_of_time(moment)
        try:
            holder = canonical_json(Holder.current(now).to_json())
            store.create(facts_writer_name(source, name, facts_id), holder)
        except StateConflictError:
            moment += timedelta(seconds=1)  # another process began in the same second
        else:
            return facts_id


def _time_of(facts_id: str) -> datetime:
    try:
        return parse_inventory_id(facts_id)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def give_up_claim(store: StateStore, source: str, name: str, facts_id: str) -> None:
    """Say that nothing more comes of a reading that failed: the next one uses its progress and removes it."""
    with suppress(StateError):  # what went wrong first matters more
        store.delete(facts_writer_name(source, name, facts_id))


class ProgressLog:
    """Takes the rows of a reading as they are read, in the order of their keys.

    Args:
        store: the state.
        source: its name.
        kind: what is read.
        facts_id: which reading.
        part_rows: rows of a part.
        part_seconds: after which a part is written although it has fewer.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        store: StateStore,
        source: str,
        kind: FactKind[Any],
        facts_id: str,
        *,
        part_rows: int = PART_ROWS,
        part_seconds: float = PART_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = FileSet(store, facts_folder(source, kind.name, facts_id))
        self._schema = kind.schema
        self._part_rows, self._part_seconds, self._monotonic = part_rows, part_seconds, monotonic
        self._pending: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._written_at = monotonic()

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows of the kind's schema; write those that are a part."""
        if rows.num_rows:
            self._pending.append(rows)
        self._rows, self._bytes = self._rows + rows.num_rows, self._bytes + rows.nbytes
        is_full = self._rows >= self._part_rows or self._bytes >= _PART_BYTES
        if is_full or self._monotonic() - self._written_at >= self._part_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        if self._rows:
            with ParquetPartWriter(self._files, self._schema, stem=_STEM) as writer:
                for rows in self._pending:
                    writer.write(rows)
                (part,) = writer.finish()
            keys = {
                _FIRST: self._pending[0].column("key")[0].as_py(),
                _LAST: self._pending[-1].column("key")[-1].as_py(),
            }
            self._files.store.create(_document_of(part.name), sealed_json({**part.to_json(), **keys}))
        self._pending, self._written_at = [], self._monotonic()
        self._rows = self._bytes = 0


def unfinished_readings(
    store: StateStore, source: str, kind: FactKind[Any], *, but: str
) -> list[Iterator[pa.RecordBatch]]:
    """Return the rows of readings that were never committed, as the kind's schema and sorted by key; the newest first.

    Readings whose keys don't overlap, such as those of the key ranges of a source, come as one.

    Args:
        store: the state.
        source: its name.
        kind: what is read.
        but: the reading that begins now.

    Raises:
        StateCorruptError: while they are read: a part is damaged, or has other columns.
    """
    folders = _folders(store, source, kind.name)
    unfinished = [
        facts_id
        for facts_id in sorted(folders, reverse=True)
        if facts_id != but and not _is_committed(folders[facts_id])
    ]
    chains: list[list[_Progress]] = []
    for progress in filter(None, (_progress(store, folders[facts_id]) for facts_id in unfinished)):
        chain = next((one for one in chains if not any(progress.overlaps(other) for other in one)), None)
        if chain is None:
            chains.append([progress])
        else:
            chain.append(progress)
    return [
        _rows(store, [part for one in sorted(chain, key=lambda one: one.first_key) for part in one.parts], kind.schema)
        for chain in chains
    ]


class _Progress(NamedTuple):
    """The progress of one reading; without keys it overlaps with every other.

    Args:
        parts: in the order of their keys.
        first_key: of them.
        last_key: likewise.
    """

    parts: Sequence[Part]
    first_key: str
    last_key: str

    def overlaps(self, other: _Progress) -> bool:
        has_keys = self.last_key and other.last_key
        return not has_keys or (self.first_key <= other.last_key and other.first_key <= self.last_key)


def _rows(store: StateStore, parts: Sequence[Part], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in read_parts(store, parts):
        if batch.schema.names != schema.names:  # another version of the program began it
            raise StateCorruptError(f"{parts[0].name} has other columns than this version reads")
        yield batch


def _progress(store: StateStore, names: Sequence[str]) -> _Progress | None:
    """Return the progress of one reading, without the parts that can't be relied on; None: there is none."""
    found: list[Part] = []
    keys: list[tuple[str, str]] = []
    present = {*names}
    for name in sorted(name for name in names if name.rsplit("/", 1)[-1].startswith(_STEM) and name.endswith(".json")):
        try:
            document = open_sealed(store.read(name))
            part = Part.from_json(document)
        except (StateNotFoundError, ValueError, KeyError, TypeError):
            continue
        if part.name in present:
            found.append(part)
            keys.append((str(document.get(_FIRST, "")), str(document.get(_LAST, ""))))
    if not found:
        return None
    has_keys = all(last for _, last in keys)
    return _Progress(found, keys[0][0] if has_keys else "", keys[-1][1] if has_keys else "")


def clear_away(store: StateStore, source: str, name: str, facts_id: str, now: datetime) -> None:
    """Remove what nothing needs after a reading was committed: its progress, older sets, and readings of dead processes.

    Args:
        store: the state.
        source: its name.
        name: of the kind.
        facts_id: the reading.
        now: aware.
    """
    folders = _folders(store, source, name)
    committed = sorted((one for one, names in folders.items() if _is_committed(names)), reverse=True)
    for one, names in folders.items():
        if one == facts_id:
            _remove(store, [file for file in names if not _is_of_the_set(file)])
        elif one in committed[_SETS_KEPT:] or (one not in committed and _is_abandoned(store, source, name, one, now)):
            _remove(store, names)


def _folders(store: StateStore, source: str, name: str) -> dict[str, list[str]]:
    """Return the names of the files of every reading by its id, from one listing."""
    folder = facts_folder(source, name)
    found: dict[str, list[str]] = {}
    for file in own_names(store, folder):
        found.setdefault(file.removeprefix(folder).partition("/")[0], []).append(file)
    return found


def _is_committed(names: Sequence[str]) -> bool:
    return any(name.endswith(f"/{COMMIT_MARKER}") for name in names)


def _is_of_the_set(name: str) -> bool:
    base = name.rsplit("/", 1)[-1]
    return base == COMMIT_MARKER or base.startswith("part-")


def _remove(store: StateStore, names: Sequence[str]) -> None:
    # The marker first: without it the rest is never read. A document before its part, for the same reason.
    for name in sorted(names, key=lambda name: (not name.endswith(COMMIT_MARKER), not name.endswith(".json"), name)):
        store.delete(name)


def _is_abandoned(store: StateStore, source: str, name: str, facts_id: str, now: datetime) -> bool:
    if now - _time_of(facts_id) > ABANDONED_AFTER:
        return True
    try:
        writer = Holder.from_json(json.loads(store.read(facts_writer_name(source, name, facts_id))))
    except StateNotFoundError:
        return True  # it was given up, or began to be removed
    except (ValueError, TypeError, KeyError):
        return True
    return writer.is_dead_for_certain()


def _document_of(part_name: str) -> str:
    return part_name.removesuffix(".parquet") + ".json"
