"""Reads sorted Parquet parts of a plan by row group, so that memory stays flat and a chunk is found quickly.

What does not belong here: what the rows mean (``wave.py``, ``ledger.py``) and writing parts (``state/markers.py``).
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias

from registration_pipeline.state.parquet import Part, open_part, read_groups, vouched_for
from registration_pipeline.tables.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq

    from registration_pipeline.state.store import StateStore

_Bounds: TypeAlias = tuple[str, str] | None
"""The first and last key of a row group; None where its statistics don't say."""

_KEY_COLUMN: Final = 0
_PARTS_IN_HAND: Final = 64
_GROUPS_IN_HAND: Final = 4
"""Neighbouring chunks share row groups, and several chunks are under way at once. A group of a plan has some thousand rows."""


class GroupReader:
    """Finds row groups by key and keeps the last few that it decoded: parts never change. Safe to share between threads.

    Args:
        columns: what is read of each group.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._bounds: Recent[tuple[str, str], list[_Bounds]] = Recent(_PARTS_IN_HAND)
        self._sizes: Recent[tuple[str, str], list[int]] = Recent(_PARTS_IN_HAND)
        self._tables: Recent[tuple[str, str, int], pa.Table] = Recent(_GROUPS_IN_HAND)

    def groups(self, store: StateStore, part: Part, *, first_key: str, last_key: str) -> Iterator[pa.Table]:
        """Yield the row groups of a part that can hold keys from ``first_key`` to ``last_key``, both included.

        Raises:
            StateCorruptError: the part is missing or unreadable.
        """
        where = (store.uri, part.name)
        with ExitStack() as stack:
            opened = cache(lambda: stack.enter_context(open_part(store, part)))
            bounds = self._bounds.get(where, lambda: _bounds_of_groups(opened()))
            for group, within in enumerate(bounds):
                if within is None or (within[0] <= last_key and within[1] >= first_key):
                    yield self._tables.get((*where, group), partial(self._decode, store, part, opened, group))

    def find(self, store: StateStore, parts: Sequence[Part], key: str) -> Iterator[pa.Table]:
        """Yield the row groups that can hold a key; of many parts, the tails of a few are read.

        Args:
            store: the state.
            parts: sorted, one behind the other, each not empty.
            key: value of the first column.

        Raises:
            StateCorruptError: a part is missing or unreadable.
        """
        low, high = 0, len(parts)
        while high - low > 1:
            middle = (low + high) // 2
            first = self._first_key(store, parts[middle])
            if first is None:  # its statistics don't say, so neither half can be left out
                break
            low, high = (middle, high) if first <= key else (low, middle)
        for part in parts[low:high]:
            yield from self.groups(store, part, first_key=key, last_key=key)

    def _first_key(self, store: StateStore, part: Part) -> str | None:
        def read() -> list[_Bounds]:
            with open_part(store, part) as file:
                return _bounds_of_groups(file)

        bounds = self._bounds.get((store.uri, part.name), read)
        return bounds[0][0] if bounds and bounds[0] is not None else None

    def rows(self, store: StateStore, parts: Sequence[Part], *, first_row: int, rows: int) -> Iterator[pa.Table]:
        """Yield rows by their place, in tables.

        Args:
            store: the state.
            parts: files whose rows are counted one after the other.
            first_row: where the rows begin, from 0.
            rows: how many they are.

        Raises:
            StateCorruptError: a part is missing or unreadable.
        """
        part_begins = 0
        for part in parts:
            begin, end = max(first_row, part_begins), min(first_row + rows, part_begins + part.rows)
            if begin < end:
                yield from self._rows_of(store, part, begin - part_begins, end - part_begins)
            part_begins += part.rows

    def _rows_of(self, store: StateStore, part: Part, begin: int, end: int) -> Iterator[pa.Table]:
        where = (store.uri, part.name)
        with ExitStack() as stack:
            opened = cache(lambda: stack.enter_context(open_part(store, part)))
            group_begins = 0
            for group, size in enumerate(self._sizes.get(where, lambda: _sizes_of_groups(opened()))):
                first, last = max(begin, group_begins), min(end, group_begins + size)
                if first < last:
                    table = self._tables.get((*where, group), partial(self._decode, store, part, opened, group))
                    yield table.slice(first - group_begins, last - first)
                group_begins += size

    def _decode(self, store: StateStore, part: Part, opened: Callable[[], pq.ParquetFile], group: int) -> pa.Table:
        file = opened()
        with vouched_for(store, part):
            return file.read_row_group(group, columns=self._columns, use_threads=False)


def read_sorted(store: StateStore, part: Part, *, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a part, holding the raw bytes of no more than one row group.

    The file is closed before its last batch is given out: a source with years of small waves keeps none of them open.

    Raises:
        StateCorruptError: the part is missing or unreadable.
    """
    ahead: pa.RecordBatch | None = None
    with open_part(store, part) as file:
        for batch in read_groups(store, part, file, columns, batch_rows):
            if ahead is not None:
                yield ahead
            ahead = batch
    if ahead is not None:
        yield ahead


def _sizes_of_groups(file: pq.ParquetFile) -> list[int]:
    return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


def _bounds_of_groups(file: pq.ParquetFile) -> list[_Bounds]:
    return [_bounds(file, group) for group in range(file.num_row_groups)]


def _bounds(file: pq.ParquetFile, group: int) -> _Bounds:
    statistics = file.metadata.row_group(group).column(_KEY_COLUMN).statistics
    return None if statistics is None or not statistics.has_min_max else (statistics.min, statistics.max)
