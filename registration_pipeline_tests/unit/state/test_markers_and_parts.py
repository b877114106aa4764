"""Sets of files under a commit marker, and their Parquet parts."""

from __future__ import annotations

import itertools
import random
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.state import parquet
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.markers import FileSet, discard_leftovers, read_marker
from registration_pipeline.state.parquet import ParquetPartWriter, Part, file_digest, open_part, read_parts
from registration_pipeline.state.sealed import canonical_json
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

FOLDER = "fleet/plan/20261121T020000Z/"
SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("size", pa.int64())])


@pytest.fixture
def store() -> StateStore:
    return BucketStateStore(MemoryStore(), "memory://state")


def batch_of(start: int, rows: int) -> pa.RecordBatch:
    numbers = range(start, start + rows)
    return pa.RecordBatch.from_arrays([[f"k{n:08d}" for n in numbers], list(numbers)], schema=SCHEMA)


def write(store: StateStore, batch_sizes: Sequence[int], rows_per_part: int = 1_000_000) -> tuple[Part, ...]:
    start = 0
    with ParquetPartWriter(FileSet(store, FOLDER), SCHEMA, rows_per_part=rows_per_part) as writer:
        for rows in batch_sizes:
            writer.write(batch_of(start, rows))
            start += rows
        return writer.finish()


def test_names_hold_a_nonce_and_count_up_per_stem(store: StateStore) -> None:
    files, other = FileSet(store, FOLDER), FileSet(store, FOLDER)
    names = [files.new_name(stem, "parquet") for stem in ("part", "part", "chunks")]

    assert re.fullmatch(r"fleet/plan/20261121T020000Z/part-[0-9a-f]{8}-00000\.parquet", names[0])
    assert names[1].endswith("-00001.parquet")
    assert re.fullmatch(r"fleet/plan/20261121T020000Z/chunks-[0-9a-f]{8}-00000\.parquet", names[2])
    assert other.new_name("part", "parquet") not in names


def test_a_commit_is_read_back_and_happens_once(store: StateStore) -> None:
    first, second = FileSet(store, FOLDER), FileSet(store, FOLDER)
    assert read_marker(store, FOLDER) is None

    first.commit({"b": "é", "a": 1})

    assert read_marker(store, FOLDER) == {"a": 1, "b": "é"}
    assert store.read(FOLDER + "_SUCCESS.json").startswith(b'{"a":1,"b":"\\u00e9","xxh3":"')
    with pytest.raises(StateConflictError):
        second.commit({"a": 2})


def test_canonical_json_does_not_depend_on_insertion_order_and_knows_no_nan() -> None:
    assert canonical_json({"b": 1, "a": [2]}) == canonical_json({"a": [2], "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"], ids=repr)
def test_a_garbled_marker_is_corrupt_not_absent(store: StateStore, data: bytes) -> None:
    store.create(FOLDER + "_SUCCESS.json", data)

    with pytest.raises(StateCorruptError, match=r"20261121T020000Z/_SUCCESS\.json is damaged"):
        read_marker(store, FOLDER)


def test_leftovers_go_only_where_nothing_is_committed(store: StateStore) -> None:
    write(store, [5])
    store.create("fleet/plan/w2/x", b"")
    assert discard_leftovers(store, FOLDER) == 1
    assert list(store.names("")) == ["fleet/plan/w2/x"]

    parts = write(store, [5])
    FileSet(store, FOLDER).commit({"parts": [part.to_json() for part in parts]})
    assert discard_leftovers(store, FOLDER) == 0
    assert len(list(store.names(FOLDER))) == 2


def test_a_writer_whose_files_were_cleared_away_cannot_commit(store: StateStore) -> None:
    files = FileSet(store, FOLDER)
    with ParquetPartWriter(files, SCHEMA) as writer:
        writer.write(batch_of(0, 10))
        writer.finish()
    discard_leftovers(store, FOLDER)

    with pytest.raises(StateConflictError, match="was removed before it was committed"):
        files.commit({})
    assert read_marker(store, FOLDER) is None


@settings(max_examples=examples(10, thorough=300), deadline=None)
@given(batch_sizes=st.lists(st.integers(0, 40), max_size=12), rows_per_part=st.integers(1, 50))
def test_rows_come_back_in_order_whatever_the_batches_and_parts(batch_sizes: list[int], rows_per_part: int) -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")

    parts = write(store, batch_sizes, rows_per_part)

    total = sum(batch_sizes)
    assert [part.rows for part in parts] == [rows_per_part] * (total // rows_per_part) + [
        rest for rest in [total % rows_per_part] if rest
    ]
    assert [key for batch in read_parts(store, parts) for key in batch["key"].to_pylist()] == [
        f"k{n:08d}" for n in range(total)
    ]


def test_small_batches_are_gathered_into_whole_row_groups_with_statistics(store: StateStore) -> None:
    [part] = write(store, [1000] * 140)

    with open_part(store, part) as file:
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [65_536, 65_536, 8_928]
    assert groups[1].column(0).statistics.min == "k00065536"
    assert groups[1].column(0).statistics.max == "k00131071"
    assert groups[0].column(0).compression == "ZSTD"


def test_columns_that_hardly_repeat_get_no_dictionary(store: StateStore) -> None:
    schema = pa.schema([("key", pa.string()), ("storage_class", pa.string())])
    rows = pa.record_batch([["a", "b", "c"], ["STANDARD"] * 3], schema=schema)
    with ParquetPartWriter(FileSet(store, FOLDER), schema, distinct=("key",)) as writer:
        writer.write(rows)
        [part] = writer.finish()

    with open_part(store, part) as file:
        columns = [file.metadata.row_group(0).column(index) for index in range(2)]
        assert file.read().to_batches() == [rows]
    assert [column.has_dictionary_page for column in columns] == [False, True]
    assert columns[0].statistics.max == "c"


def test_a_batch_larger_than_a_part_is_cut(store: StateStore) -> None:
    parts = write(store, [150_000], rows_per_part=70_000)

    assert [part.rows for part in parts] == [70_000, 70_000, 10_000]
    batches = list(read_parts(store, parts))
    assert max(batch.num_rows for batch in batches) <= 65_536
    assert sum(batch.num_rows for batch in batches) == 150_000
    assert batches[0].schema.equals(SCHEMA)


def test_parts_are_published_while_the_rest_is_still_being_written(store: StateStore) -> None:
    with ParquetPartWriter(FileSet(store, FOLDER), SCHEMA, rows_per_part=10) as writer:
        writer.write(batch_of(0, 25))
        assert len(list(store.names(FOLDER))) == 2


def test_what_is_not_finished_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    store = LocalStateStore(tmp_path / "state")
    with ParquetPartWriter(FileSet(store, FOLDER), SCHEMA) as writer:
        writer.write(batch_of(0, 100_000))
        assert any((tmp_path / "tmp").iterdir())

    assert list(store.names("")) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_rows_make_no_parts(store: StateStore) -> None:
    assert write(store, []) == write(store, [0]) == ()
    assert list(read_parts(store, ())) == []


def test_only_the_wanted_columns_are_read_in_the_wanted_order(store: StateStore) -> None:
    [batch] = read_parts(store, write(store, [3]), columns=["size", "key"])

    assert batch.schema.names == ["size", "key"]
    assert batch.to_pylist()[1] == {"size": 1, "key": "k00000001"}


def test_a_missing_part_is_corrupt_and_named(store: StateStore) -> None:
    parts = write(store, [30], rows_per_part=10)
    store.delete(parts[1].name)

    batches = read_parts(store, parts)
    assert next(batches).num_rows == 10
    with pytest.raises(StateCorruptError, match=re.escape(parts[1].name) + " is missing"):
        next(batches)


def test_a_part_that_is_cut_short_or_garbled_is_corrupt_and_named(tmp_path: Path) -> None:
    store = LocalStateStore(tmp_path)
    [part] = write(store, [100_000])
    path = tmp_path / part.name
    data = path.read_bytes()

    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StateCorruptError, match=re.escape(part.name) + " is damaged: it ends before byte"):
        list(read_parts(store, [part]))

    path.write_bytes(data[:100] + b"\xff" * 2_000 + data[2_100:])
    with pytest.raises(StateCorruptError, match=re.escape(part.name) + " is damaged: .* do not match their digest"):
        list(read_parts(store, [part]))


def test_a_part_with_another_number_of_rows_is_corrupt(store: StateStore, tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "t.parquet")
    store.create_from_file("fleet/t.parquet", tmp_path / "t.parquet")

    with pytest.raises(StateCorruptError, match="holds 1 rows, but 2 were committed"):
        list(read_parts(store, [Part("fleet/t.parquet", 2, *file_digest(tmp_path / "t.parquet"))]))


def test_a_part_survives_the_way_through_a_marker() -> None:
    part = Part("fleet/plan/20261121T020000Z/part-0-0.parquet", 3, 1_024, "0" * 32)

    assert Part.from_json(part.to_json()) == part


@settings(max_examples=examples(20, thorough=600), deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 3_000), max_size=8), max_size=8))
def test_row_groups_of_long_texts_end_before_they_are_too_large(batches: list[list[int]]) -> None:
    store, most = BucketStateStore(MemoryStore(), "memory://state"), 4_096
    texts = [["x" * size for size in batch] for batch in batches]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "_GROUP_BYTES", most)
        with ParquetPartWriter(FileSet(store, FOLDER), SCHEMA, distinct=("key",)) as writer:
            for batch in texts:
                writer.write(pa.RecordBatch.from_arrays([batch, range(len(batch))], schema=SCHEMA))
            parts = writer.finish()

    found = list(read_parts(store, parts))  # one batch for each row group
    assert [text for batch in found for text in batch["key"].to_pylist()] == [text for batch in texts for text in batch]
    sizes = [pc.sum(pc.binary_length(batch["key"])).as_py() for batch in found]
    assert all(size <= most or batch.num_rows == 1 for size, batch in zip(sizes, found, strict=True))
    assert all(size + after > most // 2 for size, after in itertools.pairwise(sizes))


def test_a_part_of_long_texts_ends_before_it_is_too_large(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 20_000)
    monkeypatch.setattr(parquet, "_PART_BYTES", 50_000)
    digits = random.Random(7)
    texts = [f"{digits.getrandbits(40_000):x}" for _ in range(40)]
    with ParquetPartWriter(FileSet(store, FOLDER), SCHEMA) as writer:
        writer.write(pa.RecordBatch.from_arrays([texts, range(40)], schema=SCHEMA))
        parts = writer.finish()

    assert len(parts) > 2
    assert max(part.bytes for part in parts) < 50_000 + 30_000
    assert [text for batch in read_parts(store, parts) for text in batch["key"].to_pylist()] == texts
