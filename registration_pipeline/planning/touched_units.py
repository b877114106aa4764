"""How many units have objects that changed or are gone: the census has a row for each object, and a unit counts once.

What does not belong here: which objects those are (``ledger.py``). In chunks of single objects a row is a unit. In those of
groups the plan of the chunk says which unit an object is in: chunk by chunk, so that memory holds the keys of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import KINDS
from registration_pipeline.planning.history import load_chunks_of
from registration_pipeline.planning.schema import KNOWN_SCHEMA
from registration_pipeline.planning.wave import read_unit_indexes, wave_of
from registration_pipeline.tables.external_sort import ExternalSort

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.state.store import StateStore

_OF_GROUPS: Final = "|".join(f"-{kind}-" for kind, spec in KINDS.items() if spec.is_group)
_SORT_BYTES: Final = 32 << 20


class TouchedUnits:
    """Counts the units of census rows.

    Args:
        folder: for what is sorted; it is made when it is needed.
        store: the state.
        history: what was planned so far.
    """

    def __init__(self, folder: Path, store: StateStore, history: PlanHistory) -> None:
        self._folder, self._store, self._history = folder, store, history
        self._singles = 0
        self._members: ExternalSort | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows with the columns of ``KNOWN_SCHEMA``.

        Raises:
            OSError: the folder can't hold them.
        """
        if not self._history.group_runs:
            self._singles += rows.num_rows
            return
        is_member = pc.match_substring_regex(rows.column("chunk_id"), _OF_GROUPS)
        members = rows.select(KNOWN_SCHEMA.names).filter(is_member)
        self._singles += rows.num_rows - members.num_rows
        if not members.num_rows:
            return
        if self._members is None:
            self._folder.mkdir(parents=True)
            self._members = ExternalSort(self._folder, KNOWN_SCHEMA, by=("chunk_id",), run_bytes=_SORT_BYTES)
        self._members.add(members)

    def count(self) -> int:
        """Return how many units there are. Call once.

        Raises:
            OSError: the folder can't hold what is sorted.
            StateCorruptError: a file of an earlier wave is missing or unreadable.
        """
        if self._members is None:
            return self._singles
        chunks = load_chunks_of(self._store, self._history)
        groups, wave = 0, None
        for chunk_id, keys in _by_chunk(self._members.tables()):
            chunk = chunks[chunk_id]
            if wave is None or wave.wave_id != chunk.wave_id:  # the chunks of a wave come one after the other
                wave = wave_of(self._store, self._history.source, chunk)
            rows = read_unit_indexes(self._store, wave, chunk)
            touched = rows.filter(pc.is_in(rows.column("key"), value_set=keys))
            groups += pc.count_distinct(touched.column("unit_index")).as_py()
        return self._singles + groups


def _by_chunk(tables: Iterator[pa.Table]) -> Iterator[tuple[str, pa.Array]]:
    """Yield chunk by chunk the keys of its rows; a table may end within a chunk."""
    open_id, keys = "", list[pa.Array]()
    for table in tables:
        ids = table.column("chunk_id").combine_chunks()
        for chunk_id in pc.unique(ids).to_pylist():
            if chunk_id != open_id and keys:
                yield open_id, pa.concat_arrays(keys)
                keys = []
            open_id = chunk_id
            mine = table.column("key").filter(pc.equal(table.column("chunk_id"), pa.scalar(chunk_id, pa.string())))
            keys.append(mine.combine_chunks())
    if keys:
        yield open_id, pa.concat_arrays(keys)
