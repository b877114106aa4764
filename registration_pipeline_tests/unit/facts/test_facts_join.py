"""Facts beside an inventory, however both are cut into batches: as a dictionary would give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.facts.join import FactsJoin
from registration_pipeline.facts.sets import facts_schema
from registration_pipeline.inventory.schema import inventory_batch
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = facts_schema(
    pa.field("size", pa.int64()),
    pa.field("last_modified", pa.timestamp("us", tz="UTC")),
    pa.field("series", pa.string()),
)
START = datetime(2026, 11, 21, 2, tzinfo=UTC)
VERSIONS = st.tuples(st.sampled_from([None, "", "x", "y"]), st.integers(1, 2), st.integers(0, 1))
KEYS = st.text("ab/\u00e9\U0001f600", min_size=1, max_size=3)
OBJECTS = st.dictionaries(KEYS, VERSIONS, max_size=12)


def cut(data: st.DataObject, rows: list[Any]) -> Iterator[list[Any]]:
    while rows:
        size = data.draw(st.integers(1, len(rows)))
        yield rows[:size]
        rows = rows[size:]


def facts_of(rows: list[tuple[str, tuple[Any, int, int]]]) -> pa.RecordBatch:
    values = [
        {"key": key, "e_tag": tag, "size": size, "last_modified": START + timedelta(days=day), "series": f"of {key}"}
        for key, (tag, size, day) in rows
    ]
    return pa.RecordBatch.from_pylist(values, schema=SCHEMA)


def listed_of(rows: list[tuple[str, tuple[Any, int, int]]]) -> pa.RecordBatch:
    return inventory_batch(
        keys=[key for key, _ in rows],
        sizes=[size for _, (_, size, _) in rows],
        last_modified=[START + timedelta(days=day) for _, (_, _, day) in rows],
        e_tags=[tag for _, (tag, _, _) in rows],
    )


def is_same(one: tuple[Any, int, int], other: tuple[Any, int, int], *, is_timed: bool) -> bool:
    is_other_time = is_timed and one[2] != other[2]
    return not is_other_time and (one[0] == other[0] if one[0] and other[0] else one[1:] == other[1:])


@settings(max_examples=examples(40, thorough=2_000), deadline=None)
@given(data=st.data(), listed=OBJECTS, read=OBJECTS)
def test_each_object_has_the_facts_of_its_own_version_or_none(
    data: st.DataObject, listed: dict[str, Any], read: dict[str, Any]
) -> None:
    is_timed = data.draw(st.booleans())
    facts = (facts_of(rows) for rows in cut(data, sorted(read.items())))
    join = FactsJoin(facts, SCHEMA, is_timed=is_timed)
    found: list[tuple[str, str | None]] = []
    for rows in cut(data, sorted(listed.items())):
        for piece, beside in join.match(listed_of(rows)):
            assert piece.num_rows == beside.num_rows > 0
            found += zip(piece.column("key").to_pylist(), beside.column("series").to_pylist(), strict=True)

    assert found == [
        (key, f"of {key}" if key in read and is_same(version, read[key], is_timed=is_timed) else None)
        for key, version in sorted(listed.items())
    ]
