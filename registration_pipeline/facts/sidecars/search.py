"""Finds the sidecars of an inventory: objects whose key is that of another object and a suffix.

What does not belong here: reading them (``reading.py``).

The keys of sidecars and of their objects do not come in the same order (``a.png-2`` is between ``a.png`` and ``a.png.json``),
so sidecars are sorted by the keys of their objects, on disk if they are many, and merged with the inventory, which is read
twice for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.state.store import StateStore

SIDECAR_SCHEMA: Final[pa.Schema] = pa.schema(
    [INVENTORY_SCHEMA.field(name) for name in ("key", "e_tag", "size", "last_modified", "version")]
)
"""``key`` is that of the object; the rest is the sidecar's. Rows are sorted by ``key``, each key once."""

_SORT_BYTES: Final = 64 << 20
_BATCH_ROWS: Final = 65_536


def is_sidecar(keys: pa.Array, suffix: str) -> pa.BooleanArray:
    """Return for each key whether it is that of some object and the suffix; whether that object exists is another matter."""
    return pc.and_(pc.ends_with(keys, suffix), pc.greater(pc.binary_length(keys), len(suffix.encode())))


def find_sidecars(store: StateStore, inventory: Inventory, suffix: str) -> Iterator[pa.RecordBatch]:
    """Yield the sidecars whose object exists in the inventory, too, as ``SIDECAR_SCHEMA``.

    Args:
        store: the state.
        inventory: of the source.
        suffix: of the key of a sidecar; not empty.

    Raises:
        StateCorruptError: the inventory is damaged.
        StateError: the state can't be read, or the temporary folder has no room.
    """
    with tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        sort = ExternalSort(folder, SIDECAR_SCHEMA, run_bytes=_SORT_BYTES)
        is_any = False
        with temporary_space("The sidecars", folder):
            for rows in _named_alike(store, inventory, suffix):
                sort.add(rows)
                is_any = True
            if not is_any:
                return
            batches = (batch for table in sort.tables() for batch in table.to_batches(_BATCH_ROWS))
            sidecars = SortedLookup(SortedMerge([batches], SIDECAR_SCHEMA))
            for listed in read_inventory(store, inventory, columns=["key"]):
                if listed.num_rows and (found := sidecars.rows_of(listed.column("key"))).num_rows:
                    yield found


def _named_alike(store: StateStore, inventory: Inventory, suffix: str) -> Iterator[pa.RecordBatch]:
    for batch in read_inventory(store, inventory, columns=SIDECAR_SCHEMA.names):
        rows = batch.filter(is_sidecar(batch.column("key"), suffix))
        if rows.num_rows:
            keys = pc.utf8_slice_codeunits(rows.column("key"), 0, -len(suffix))
            yield pa.RecordBatch.from_arrays(
                [keys, *rows.select(SIDECAR_SCHEMA.names[1:]).columns], schema=SIDECAR_SCHEMA
            )
