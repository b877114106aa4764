"""The failure log: what is in it, and that every key survives Parquet, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import resource
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.audit.report import audit_findings, write_findings, write_report
from registration_pipeline.audit.rows import FindingRow
from registration_pipeline.errors import StateError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.layout import failures_name
from registration_pipeline.tables.csv_cells import read_rows
from registration_pipeline.tracking.failures.files import COLUMNS, FailureRow, write_failures
from registration_pipeline.tracking.failures.log import (
    source_failures,
    write_chunk_failure_log,
    write_source_failure_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = datetime(2026, 11, 21, 2, 4, 11, tzinfo=UTC)
# The order is the one of the outer interface.
INTERFACE = [
    "source",
    "key",
    "object_url",
    "unit_id",
    "objects",
    "chunk_id",
    "attempt",
    "stage",
    "reason",
    "message",
    "subtask_uuid",
    "at",
    "trace_id",
]
HOSTILE = [
    "raw/a\nb.jpg",
    "raw/a\rb.jpg",
    "raw/a\r\nb.jpg",
    'raw/"a",b.jpg',
    "raw/é😀.jpg",
    "raw/a;b\tc.jpg",
    "=1+1.jpg",
    "'=1+1.jpg",
    "\t+1",
    "\r@SUM(A1)",
    "raw/a;-1",
]


def row(key: str, **facts: Any) -> FailureRow:
    values: dict[str, Any] = {
        "source": "fleet",
        "key": key,
        "object_url": "https://bucket/x",
        "unit_id": "0123456789abcdef",
        "objects": 1,
        "chunk_id": "c1",
        "attempt": 1,
        "stage": "registration",
        "reason": "other",
        "message": f"could not read {key}",
        "subtask_uuid": None,
        "at": AT,
    }
    return FailureRow(**values | facts)


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(read_rows(io.StringIO(data.decode(), newline="")))


def written(rows: list[FailureRow], suffix: str) -> Any:
    """The rows as a file of that suffix has them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        write_failures(rows, [path])
        if suffix == ".parquet":
            return pq.read_table(path)
        return read_csv(path.read_bytes()) if suffix == ".csv" else json.loads(path.read_bytes())


def test_the_columns_are_those_of_the_interface_in_its_order():
    rows = [row("raw/a.jpg")]

    assert list(COLUMNS) == INTERFACE
    assert written(rows, ".parquet").column_names == INTERFACE
    assert list(written(rows, ".csv")[0]) == INTERFACE
    assert list(written(rows, ".json")[0]) == INTERFACE


@pytest.mark.parametrize("key", HOSTILE, ids=ascii)
def test_a_hostile_key_survives_csv_and_json(key: str):
    rows = [row(key), row("raw/next.jpg")]

    assert [one["key"] for one in written(rows, ".csv")] == [key, "raw/next.jpg"]
    assert [one["key"] for one in written(rows, ".json")] == [key, "raw/next.jpg"]
    assert written(rows, ".parquet").column("key").to_pylist() == [key, "raw/next.jpg"]


@pytest.mark.parametrize("key", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"], ids=ascii)
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, key: str):
    rows = [row(key, object_url=None, message=key, subtask_uuid=key)]
    findings = [FindingRow("unknown", key, None, None, None, 1, key, None, key)]
    write_failures(rows, [tmp_path / "failures.csv"])
    store = BucketStateStore(MemoryStore(), "memory://state")
    counts = dict.fromkeys(("units", "objects", "registered_units", "registered_objects", "items"), 1)
    facts: dict[str, Any] = {"inventory_id": "20261121T020000Z", "folders": [], "finished_at": AT}
    report = write_report(store, "fleet", tmp_path, findings, started_at=AT, **counts, **facts)
    write_findings(store, report, tmp_path / "out.csv")

    assert list(audit_findings(store, report)) == findings
    for file in ("failures.csv", "findings.csv", "out.csv"):
        with (tmp_path / file).open(encoding="utf-8", newline="") as opened:
            cells = [cell for cells in csv.reader(opened) for cell in cells]
        assert cells.count(f"'{key}") >= 2 or key[0] in "\t\r"
        assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in cells)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=5))
def test_any_key_survives_csv_json_and_parquet(keys: list[str]):
    rows = [row(key) for key in keys]

    assert [one["key"] for one in written(rows, ".csv")] == keys
    assert [one["key"] for one in written(rows, ".json")] == keys
    assert written(rows, ".parquet").column("key").to_pylist() == keys


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_json_is_what_python_would_write_at_once(tmp_path: Path, count: int, *, is_ascii: bool):
    rows = [row(f"é\u2028{number}\n") for number in range(count)]
    write_failures(rows, [tmp_path / "rows.json"], is_ascii=is_ascii)

    text = (tmp_path / "rows.json").read_text(encoding="utf-8")

    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=is_ascii) + "\n"
    assert text.isascii() is (is_ascii or not count)


def test_times_are_iso_8601_in_utc():
    assert written([row("a")], ".csv")[0]["at"] == "2026-11-21T02:04:11+00:00"
    assert written([row("a")], ".json")[0]["at"] == "2026-11-21T02:04:11Z"


@pytest.fixture
def store() -> BucketStateStore:
    return BucketStateStore(MemoryStore(), "memory://state")


@pytest.mark.slow
def test_the_log_of_a_source_streams_and_is_there_even_when_it_is_empty(store: BucketStateStore):
    rows = [row(f"raw/{number}\r.jpg") for number in range(25_000)]
    names = write_source_failure_log(store, "fleet", "w1", iter(rows))
    empty = write_source_failure_log(store, "fleet", "w2", [])

    with store.open(names[0]) as file:
        assert pq.read_table(file).column("key").to_pylist() == [one.key for one in rows]
    assert [one["key"] for one in read_csv(store.read(names[1]))] == [one.key for one in rows]
    assert read_csv(store.read(empty[1])) == []
    with store.open(empty[0]) as file:
        assert pq.read_table(file).num_rows == 0


def test_the_log_of_a_chunk_replaces_what_a_crash_left_behind(store: BucketStateStore):
    write_chunk_failure_log(store, "fleet", "c1", 1, [row("raw/a.jpg"), row("raw/b.jpg")])
    write_chunk_failure_log(store, "fleet", "c1", 1, [row("raw/b.jpg")])

    assert [one["key"] for one in read_csv(store.read(failures_name("fleet", "c1", 1, "csv")))] == ["raw/b.jpg"]

    write_chunk_failure_log(store, "fleet", "c1", 1, [])

    assert list(store.names("fleet/")) == []


def test_rejected_and_failed_objects_are_in_it_and_no_others(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", "c.jpg", exclude=["d.*"])
    fleet.put("raw/d.jpg").put("raw/e.jpg", size=0).put("raw/f.exe").sync()
    fleet.encord.fails = lambda url: "404 no such key" if url.endswith(("b.jpg", "c.jpg")) else None
    fleet.register()
    fleet.put("raw/late.jpg").sync()

    rows = list(source_failures(fleet.store, "fleet"))

    assert [(one.key, one.stage, one.reason, one.attempt) for one in rows] == [
        ("raw/e.jpg", "plan", "empty", 0),
        ("raw/f.exe", "plan", "unsupported_type", 0),
        ("raw/b.jpg", "registration", "not_found", 1),
        ("raw/c.jpg", "registration", "not_found", 1),
    ]
    assert [one.chunk_id for one in rows[:2]] == [None, None]
    assert all(one.object_url and one.message for one in rows)


def test_deleted_objects_are_not_in_it(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", encord={"fails": lambda _: "corrupt"})
    fleet.put("raw/e.jpg", size=0).sync()
    fleet.register()
    del fleet.objects["raw/b.jpg"], fleet.objects["raw/e.jpg"]
    fleet.sync()

    assert [one.key for one in source_failures(fleet.store, "fleet")] == ["raw/a.jpg"]
    assert fleet.status().failed == 1


def test_an_object_that_registers_in_a_retry_leaves_it(fleet_of: Any):
    fleet = fleet_of("a.jpg", encord={"fails": lambda _: "corrupt"})
    fleet.register()
    fleet.encord.fails = lambda _: None
    fleet.register(retry_failed=True)

    assert list(source_failures(fleet.store, "fleet")) == []


def test_a_source_without_a_plan_has_no_failures(new_fleet: Any):
    fleet = new_fleet()

    assert list(source_failures(fleet.store, "fleet")) == []
    assert fleet.status().adds_up


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow further, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_log_without_room_in_the_temporary_folder_says_so(store: BucketStateStore):
    rows = [row(f"raw/{number}.jpg") for number in range(1000)]

    with files_up_to(20_000), pytest.raises(StateError, match=r"The failure log can't be prepared.*set TMPDIR"):
        write_source_failure_log(store, "fleet", "w1", rows)

    assert list(store.names("fleet/")) == []


def test_a_report_of_an_audit_without_room_in_the_temporary_folder_says_so(store: BucketStateStore, tmp_path: Path):
    rows = [FindingRow("missing", f"raw/{n}.jpg", None, None, None, 1, None, None, "x" * 50) for n in range(1000)]

    with files_up_to(20_000), pytest.raises(StateError, match=r"The report of the audit can't be prepared.*set TMPDIR"):
        write_report(store, "fleet", tmp_path, rows, started_at=AT)

    assert list(store.names("fleet/")) == []
