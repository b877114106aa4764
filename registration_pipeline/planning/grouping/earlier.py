"""Which units were planned by earlier waves, and which have objects that were planned in another form.

What does not belong here: what that means for a unit (``judge.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.grouping.members import CODES, UNIT_KEY, UNIT_KEY_SCHEMA
from registration_pipeline.planning.ledger import merged_runs
from registration_pipeline.planning.schema import GROUP_SCHEMA
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from registration_pipeline.planning.ledger import Run
    from registration_pipeline.state.store import StateStore

_PLANNED_SCHEMA: pa.Schema = UNIT_KEY_SCHEMA.append(GROUP_SCHEMA.field("chunk_id"))
_SORT_BYTES = 16 << 20


class EarlierUnits:
    """What earlier waves have of the units whose new members are judged; asked in the order of kind and group key.

    Args:
        folder: for what is sorted; it is made when it is needed.
        store: the state.
        group_runs: the units of several objects that were planned.
    """

    def __init__(self, folder: Path, store: StateStore, group_runs: Sequence[Run]) -> None:
        self._folder = folder
        self._planned = SortedLookup(
            SortedMerge([_by_kind(store, group_runs)] if group_runs else [], _PLANNED_SCHEMA, UNIT_KEY), UNIT_KEY
        )
        self._outside: ExternalSort | None = None
        self._outside_rows: SortedLookup | None = None

    def add_outside(self, units: pa.RecordBatch) -> None:
        """Take units, as ``UNIT_KEY_SCHEMA``, that planned objects would be members of by today's rules.

        Raises:
            OSError: the folder can't hold them.
        """
        if not units.num_rows:
            return
        if self._outside is None:
            self._folder.mkdir(parents=True)
            self._outside = ExternalSort(self._folder, UNIT_KEY_SCHEMA, by=UNIT_KEY, run_bytes=_SORT_BYTES)
        self._outside.add(units)

    def chunks(self, code: int, group_keys: pa.Array) -> dict[str, str]:
        """Return group key -> chunk, of the units that are planned.

        Args:
            code: of the kind.
            group_keys: of units, sorted and not empty; no unit is asked for twice.
        """
        found = self._planned.rows_of(group_keys, within=(code,))
        return dict(zip(found.column("group_key").to_pylist(), found.column("chunk_id").to_pylist(), strict=True))

    def outside(self, code: int, group_keys: pa.Array) -> set[str]:
        """Return the group keys of units of which planned objects would be members; arguments as for ``chunks``."""
        if self._outside is None:
            return set()
        if self._outside_rows is None:
            rows = (batch for table in self._outside.tables() for batch in table.to_batches())
            self._outside_rows = SortedLookup(SortedMerge([rows], UNIT_KEY_SCHEMA, UNIT_KEY), UNIT_KEY)
        return set(self._outside_rows.rows_of(group_keys, within=(code,)).column("group_key").to_pylist())


def _by_kind(store: StateStore, group_runs: Sequence[Run]) -> Iterator[pa.RecordBatch]:
    """Yield planned units by kind and group key: the files are read once for every kind, and are few."""
    names = ["group_key", "chunk_id"]
    schema = pa.schema([GROUP_SCHEMA.field(name) for name in names])
    for kind, code in CODES.items():
        for rows in merged_runs(store, group_runs, schema=schema, by="group_key"):
            mine = rows.filter(pc.match_substring(rows.column("chunk_id"), f"-{kind}-")).sort_by("group_key")
            kinds = pa.repeat(pa.scalar(code, pa.int8()), mine.num_rows)
            yield pa.RecordBatch.from_arrays([kinds, *mine.select(names).columns], schema=_PLANNED_SCHEMA)
