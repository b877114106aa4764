"""The census rows of members of rejected units.

What does not belong here: why a unit is rejected (``judge.py``) and objects that are rejected alone (``members.py``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.schema import REJECTED_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.planning.grouping.judge import UnitVerdict

_ROWS_AT_ONCE: Final = 16_384
"""A message has some 300 characters."""


def refused_rows(
    rows: pa.Table, unit_of_row: pa.Int64Array, verdicts: Mapping[int, UnitVerdict]
) -> Iterator[pa.RecordBatch]:
    """Yield, as ``REJECTED_SCHEMA`` in any order of keys, the members of rejected units: a bad one with its own reason.

    Args:
        rows: ``MEMBER_SCHEMA``, of all units that were judged together.
        unit_of_row: which unit a row belongs to.
        verdicts: number -> verdict, of the rejected units.
    """
    numbers = pa.array(list(verdicts), pa.int64())
    for begin in range(0, rows.num_rows, _ROWS_AT_ONCE):
        of_unit = unit_of_row.slice(begin, _ROWS_AT_ONCE)
        is_refused = pc.is_in(of_unit, value_set=numbers)
        piece = rows.slice(begin, _ROWS_AT_ONCE).filter(is_refused)
        if piece.num_rows:
            yield _refused(piece, [verdicts[number] for number in of_unit.filter(is_refused).to_pylist()])


def count_reasons(rows: pa.RecordBatch) -> Counter[str]:
    """Return reason -> objects of census rows."""
    counts = pc.value_counts(rows.column("reason"))
    return Counter({entry["values"]: entry["counts"] for entry in counts.to_pylist()})


def _refused(rows: pa.Table, verdicts: list[UnitVerdict]) -> pa.RecordBatch:
    keys, own_reasons, own_messages = (rows.column(name).to_pylist() for name in ("key", "reason", "message"))
    reasons = [
        own or (verdict.reason.value if verdict.reason else "")
        for own, verdict in zip(own_reasons, verdicts, strict=True)
    ]
    messages = [
        own or f"{key!r} {verdict.message}" for key, own, verdict in zip(keys, own_messages, verdicts, strict=True)
    ]
    columns = {name: rows.column(name) for name in REJECTED_SCHEMA.names if name in rows.schema.names}
    columns |= {"reason": pa.chunked_array([pa.array(reasons, pa.string())])}
    columns |= {"message": pa.chunked_array([pa.array(messages, pa.string())])}
    table = pa.Table.from_arrays([columns[name] for name in REJECTED_SCHEMA.names], schema=REJECTED_SCHEMA)
    (batch,) = table.combine_chunks().to_batches()
    return batch
