"""Rows of one key in the sorted files of the state: inventory, plan, census, outcomes.

What does not belong here: what the rows come to (``find.py``).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning.schema import CHANGED_SCHEMA, REJECTED_SCHEMA
from registration_pipeline.planning.wave import wave_of
from registration_pipeline.tables.part_reader import GroupReader
from registration_pipeline.tracking.outcomes import read_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.parquet import Part
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import JournalEvent
    from registration_pipeline.tracking.snapshot import SourceSnapshot

_CHUNK_COLUMNS = ("key", "chunk_id")
_UNIT_COLUMNS = ("key", "chunk_id", "unit_index", "position", "unit_id", "title", "object_url", "group_key")

_FIRST_SHOWN = 3
"""Keys that are named of those below a prefix."""


class KeyedRows:
    """The rows of single keys; what was read for one key is kept for the next, as far as it is near.

    Args:
        store: the state.
        snapshot: of the source.
    """

    def __init__(self, store: StateStore, snapshot: SourceSnapshot) -> None:
        self._store, self._snapshot = store, snapshot
        self._listed = GroupReader(INVENTORY_SCHEMA.names)
        self._chunks = GroupReader(_CHUNK_COLUMNS)
        self._units = GroupReader(_UNIT_COLUMNS)
        self._rejected = GroupReader(REJECTED_SCHEMA.names)
        self._changed = GroupReader(CHANGED_SCHEMA.names)

    @cached_property
    def inventory(self) -> Inventory | None:
        """The latest inventory; None: there is none."""
        return latest_inventory(self._store, self._snapshot.source)

    def listed(self, key: str) -> dict[str, Any] | None:
        """Return the key's row of the latest inventory."""
        return self._row(self._listed, self.inventory.parts if self.inventory else (), key)

    def neighbours(self, key: str, count: int) -> list[str]:
        """Return the keys of the latest inventory around the place where a key would be, at most ``count`` on each side."""
        found: list[str] = []
        for table in self._listed.find(self._store, self.inventory.parts if self.inventory else (), key):
            found += _around(table.column("key"), key, count)
        if not found and self.inventory is not None and self.inventory.parts:
            # Before the first key, or between two row groups: what begins at or after it is near enough.
            for table in self._near(self.inventory.parts, key):
                found += _around(table.column("key"), key, count)
        return found

    def below(self, prefix: str, most: int) -> tuple[list[str], int]:
        """Return the first few keys of the latest inventory that begin with a prefix, and how many there are.

        Args:
            prefix: of keys.
            most: from here on they are not counted any more, so the count may be larger.
        """
        first: list[str] = []
        count = 0
        parts = self.inventory.parts if self.inventory else ()
        if not any(key.startswith(prefix) for key in self.neighbours(prefix, 1)):
            return first, count
        for part in parts:
            for table in self._listed.groups(self._store, part, first_key=prefix, last_key=prefix + "\U0010ffff"):
                keys = table.column("key")
                mine = keys.filter(pc.starts_with(keys, pattern=prefix))
                first += mine.slice(0, _FIRST_SHOWN - len(first)).to_pylist()
                count += len(mine)
                if count >= most:
                    return first, count
        return first, count

    def chunk_of(self, key: str) -> str | None:
        """Return the chunk that any wave has planned the key in."""
        for run in self._snapshot.history.runs:
            row = self._row(self._chunks, run, key)
            if row is not None:
                return str(row["chunk_id"])
        return None

    def unit_of(self, chunk: PlannedChunk, key: str) -> dict[str, Any] | None:
        """Return the key's row of the plan of its chunk."""
        wave = wave_of(self._store, self._snapshot.source, chunk)
        return self._row(self._units, wave.parts, key)

    def rejected(self, key: str) -> dict[str, Any] | None:
        """Return the key's row among the rejected objects of the latest plan."""
        latest = self._snapshot.history.latest
        return self._row(self._rejected, latest.rejected_files if latest else (), key)

    def is_changed(self, key: str) -> bool:
        """Return whether the latest plan found another object under the key than the one that was planned."""
        latest = self._snapshot.history.latest
        return self._row(self._changed, latest.changed_files if latest else (), key) is not None

    def outcome(self, verdict: JournalEvent, key: str) -> dict[str, Any] | None:
        """Return what a verdict says of the object."""
        table = read_outcomes(self._store, self._snapshot.source, verdict).table
        return _first(table, "key", key)

    def keys_of_item(self, item_uuid: str) -> list[str]:
        """Return the keys of a storage item, by reading the outcomes of all chunks until one has it, the newest first."""
        for chunk_id in reversed([*self._snapshot.chunks]):
            verdict = self._snapshot.progress_of(chunk_id).verdict
            if verdict is None or not verdict.registered:
                continue
            table = read_outcomes(self._store, self._snapshot.source, verdict).table
            mine = table.filter(pc.equal(table.column("item_uuid"), pa.scalar(item_uuid)))
            if mine.num_rows:
                return [str(key) for key in mine.column("key").to_pylist()]
        return []

    def _row(self, reader: GroupReader, parts: Sequence[Part], key: str) -> dict[str, Any] | None:
        for table in reader.find(self._store, parts, key):
            if (row := _first(table, "key", key)) is not None:
                return row
        return None

    def _near(self, parts: Sequence[Part], key: str) -> Iterator[pa.Table]:
        for part in parts:
            for table in self._listed.groups(self._store, part, first_key=key, last_key="\U0010ffff"):
                yield table
                return


def _first(table: pa.Table, column: str, value: str) -> dict[str, Any] | None:
    place = pc.index(table.column(column), pa.scalar(value, pa.string())).as_py()
    if place < 0:
        return None
    row: dict[str, Any] = table.slice(place, 1).to_pylist()[0]
    return row


def _around(keys: pa.ChunkedArray, key: str, count: int) -> list[str]:
    """Return the keys of a sorted column around the place of one that is not in it."""
    place = int(pc.sum(pc.less(keys, pa.scalar(key, pa.string()))).as_py() or 0)
    found: list[str] = keys.slice(max(place - count, 0), 2 * count).to_pylist()
    return found
