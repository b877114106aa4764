from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.tables.key_order import KeyOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("size", pa.int64())])


def batch(keys: Sequence[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"key": list(keys), "size": list(range(len(keys)))}, schema=SCHEMA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


@given(
    keys=st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=40),
    late=st.randoms(use_true_random=False),
    first_late=st.integers(0, 40),
)
def test_rows_come_out_by_key_whichever_of_them_come_late(
    folder: Path, keys: set[str], late: st.DataObject, first_late: int
) -> None:
    ordered, written = sorted(keys), list[str]()
    rows = KeyOrder(Path(tempfile.mkdtemp(dir=folder)) / "new", SCHEMA, lambda piece: written.extend(_keys(piece)))
    coming_late = {key for key in ordered[first_late:] if late.random() < 0.5}  # type: ignore[attr-defined]
    for number, key in enumerate(ordered):
        if number == first_late:
            rows.expect_late()
        if key not in coming_late:
            rows.add(batch([key]))
    assert written == ordered[:first_late]
    for key in sorted(coming_late, reverse=True):
        rows.add_late(batch([key]))
    rows.finish()

    assert written == ordered


def test_without_late_rows_nothing_is_written_to_the_folder(tmp_path: Path) -> None:
    written: list[str] = []
    rows = KeyOrder(tmp_path / "new", SCHEMA, lambda piece: written.extend(_keys(piece)))
    rows.add(batch(["a", "b"]))
    rows.add(batch(["c"]))
    rows.finish()

    assert written == ["a", "b", "c"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_begun_is_closed_though_nothing_is_finished(tmp_path: Path) -> None:
    rows = KeyOrder(tmp_path / "new", SCHEMA, lambda _: None)
    rows.expect_late()
    rows.add(batch(["a"]))
    rows.close()
    rows.close()

    assert (tmp_path / "new").is_dir()


def _keys(rows: pa.RecordBatch) -> list[str]:
    keys: list[str] = rows.column("key").to_pylist()
    return keys
