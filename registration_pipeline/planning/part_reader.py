"""Reads sorted Parquet parts of a plan by row group, so that memory stays flat and a chunk is found quickly.

What does not belong here: what the rows mean (``wave.py``, ``ledger.py``) and writing parts (``state/commit.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.state.commit import Part, open_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.parquet as pq

    from registration_pipeline.state.store import StateStore

_KEY_COLUMN = 0


def read_groups(
    store: StateStore, part: Part, *, first_key: str, last_key: str, columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield the row groups of a part that can hold keys from ``first_key`` to ``last_key``, both included.

    Raises:
        StateCorruptError: the part is missing or unreadable.
    """
    with open_part(store, part) as file:
        for group in range(file.num_row_groups):
            if _overlaps(file, group, first_key, last_key):
                with _readable(store, part):
                    table = file.read_row_group(group, columns=list(columns), use_threads=False)
                yield table


def read_sorted(store: StateStore, part: Part, *, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a part, holding the raw bytes of no more than one row group.

    The file is closed before its last batch is given out: a source with years of small waves keeps none of them open.

    Raises:
        StateCorruptError: the part is missing or unreadable.
    """
    ahead: pa.RecordBatch | None = None
    with open_part(store, part) as file:
        for group in range(file.num_row_groups):
            batches = file.iter_batches(
                batch_size=batch_rows, row_groups=[group], columns=list(columns), use_threads=False
            )
            while True:
                with _readable(store, part):
                    batch = next(batches, None)
                if batch is None:
                    break
                if ahead is not None:
                    yield ahead
                ahead = batch.select(list(columns))
    if ahead is not None:
        yield ahead


def _overlaps(file: pq.ParquetFile, group: int, first_key: str, last_key: str) -> bool:
    statistics = file.metadata.row_group(group).column(_KEY_COLUMN).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= last_key and statistics.max >= first_key)


@contextmanager
def _readable(store: StateStore, part: Part) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        message = f"{store.location(part.name)} can't be read: {error}. Restore it from a backup"
        raise StateCorruptError(message) from error
