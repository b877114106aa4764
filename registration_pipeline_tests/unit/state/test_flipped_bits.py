"""A flipped bit of a part is found by whoever reads it, whichever way; what does not belong to what is read costs nothing."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import ParquetPartWriter, Part, read_parts
from registration_pipeline.tables.part_reader import GroupReader, read_sorted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = 40_000
GROUP_ROWS = 4_096
SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("e_tag", pa.string()), ("size", pa.int64())])
READERS: dict[str, Callable[[LocalStateStore, Part], Iterator[pa.Table]]] = {
    "all columns": lambda store, part: read_parts(store, [part]),
    "one column": lambda store, part: read_parts(store, [part], ["size"]),
    "side by side": lambda store, part: read_sorted(store, part, columns=["key", "size"], batch_rows=1_000),
    "groups by key": lambda store, part: GroupReader(("key", "size")).groups(store, part, first_key="", last_key="~"),
    "rows by place": lambda store, part: GroupReader(("e_tag",)).rows(store, [part], first_row=0, rows=ROWS),
}


def write(folder: Path, *, is_large: bool) -> tuple[LocalStateStore, Part]:
    store = LocalStateStore(folder)
    rows = ROWS if is_large else 200
    tags = random.Random(7)
    columns = [
        [f"raw/{number:08d}.jpg" for number in range(rows)],
        [f"{tags.getrandbits(256):064x}" for _ in range(rows)],
        [tags.getrandbits(30) for _ in range(rows)],
    ]
    with ParquetPartWriter(FileSet(store, "fleet/plan/w/"), SCHEMA, rows_per_group=GROUP_ROWS) as writer:
        writer.write(pa.record_batch(columns, schema=SCHEMA))
        (part,) = writer.finish()
    assert (part.tail is not None) is is_large
    return store, part


@pytest.fixture(scope="module", params=[True, False], ids=["large", "small"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStateStore, Part]:
    return write(tmp_path_factory.mktemp("parts"), is_large=request.param)


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


@pytest.mark.parametrize("reader", READERS)
def test_a_flipped_bit_is_found_whichever_way_the_part_is_read(
    written: tuple[LocalStateStore, Part], reader: str
) -> None:
    store, part = written
    path = store._root / part.name
    draw = random.Random(reader)
    tail = part.tail.begin if part.tail else 0
    places = [0, part.bytes - 1, *(draw.randrange(part.bytes) for _ in range(20)), draw.randrange(tail, part.bytes)]
    for bit in (place * 8 + draw.randrange(8) for place in places):
        flip(path, bit)
        with pytest.raises(StateCorruptError, match=re.escape(path.name)):
            list(READERS[reader](store, part))
        flip(path, bit)
    assert sum(table.num_rows for table in READERS[reader](store, part)) == part.rows


def test_what_is_not_read_may_be_damaged(tmp_path: Path) -> None:
    store, part = write(tmp_path, is_large=True)
    assert part.tail is not None
    flip(store._root / part.name, (part.tail.begin - 5) * 8)  # in the last row group
    read = GroupReader(("key",))

    (first,) = read.groups(store, part, first_key="raw/00000000.jpg", last_key="raw/00000009.jpg")

    assert first.num_rows == GROUP_ROWS
    with pytest.raises(StateCorruptError, match="do not match their digest"):
        list(read.rows(store, [part], first_row=ROWS - 1, rows=1))


def test_a_part_without_regions_is_verified_as_a_whole(tmp_path: Path) -> None:
    store, part = write(tmp_path, is_large=True)
    whole = Part(part.name, part.rows, part.bytes, part.digest)

    assert sum(batch.num_rows for batch in read_parts(store, [whole])) == ROWS

    flip(store._root / part.name, 8_000)
    with pytest.raises(StateCorruptError, match=f"bytes 0 to {part.bytes} do not match"):
        list(GroupReader(("key",)).rows(store, [whole], first_row=ROWS - 1, rows=1))


def test_another_part_of_the_same_size_and_rows_is_refused(tmp_path: Path) -> None:
    store, part = write(tmp_path, is_large=True)
    _, other = write(tmp_path, is_large=True)
    path = store._root / part.name
    data = bytearray((store._root / other.name).read_bytes())
    assert len(data) == part.bytes
    data[100] ^= 1
    path.write_bytes(data)

    with pytest.raises(StateCorruptError, match=re.escape(path.name)):
        list(read_parts(store, [part]))
