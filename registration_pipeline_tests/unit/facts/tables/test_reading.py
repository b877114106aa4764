"""Tables on disk become sets of values by object, beside a model in dictionaries."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError, HaltError, UsageError
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.urls import object_url
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.unit.facts.tables.conftest import Tables

KEYS = ("a", "b", "raw/ü.jpg", "z", "Z", "é", "e\u0301", "")
RowsOfFiles = list[list[dict[str, Any]]]


scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
)
lines = st.fixed_dictionaries(
    {"key": st.sampled_from(KEYS)},
    optional={
        "n": scalars | st.just(float("inf")),
        "l": st.lists(st.floats(width=32, allow_nan=False), max_size=3),
        "t": scalars,
    },
)


def model_of(files: RowsOfFiles, prefix: str = "") -> dict[str, Any]:
    """Return the values of each object, or where its rows are wrong: the file and row numbers that must be named."""
    rows: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for number, file in enumerate(files):
        for place, row in enumerate(file, start=1):
            if row["key"]:
                rows.setdefault(row["key"], []).append((f"row {place} of t/{number}", row))
    found: dict[str, Any] = {}
    for key, places in rows.items():
        if len(places) > 1:
            found[key] = (places[0][0], places[1][0])
            continue
        values = {prefix + name: value for name, value in places[0][1].items() if name != "key" and value is not None}
        infinite = any(one in (float("inf"), float("-inf")) for value in values.values() for one in flat(value))
        broken = any("\0" in value for value in values.values() if isinstance(value, str))
        found[key] = (places[0][0],) if infinite or broken else values or None
    return found


def flat(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == sorted(expected, key=str.encode)
    for key, value in expected.items():
        if isinstance(value, tuple):
            assert all(place + "." in found[key] for place in value), (found[key], value)
        else:
            assert (found[key], repr(found[key])) == (value, repr(value if value is None else sort(value)))


def sort(values: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(values.items()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(20, thorough=600))
@given(
    st.lists(st.lists(lines, max_size=12), min_size=1, max_size=3),
    st.sampled_from(["", "fleet."]),
    st.sampled_from([1, 1 << 20]),
)
def test_lines_of_json_give_the_values_of_a_dictionary(
    new_tables: type[Tables], tmp_path_factory: pytest.TempPathFactory, files: RowsOfFiles, prefix: str, run_bytes: int
) -> None:
    tables = new_tables(tmp_path_factory.mktemp("lines"))
    keep = [{"key": "", "n": 0}]  # so that there is a key column
    for number, rows in enumerate(files):
        tables.write(f"t/{number}.jsonl", [*rows, *keep])

    check(tables.values("t/*.jsonl", prefix=prefix, run_bytes=run_bytes), model_of(files, prefix))


columns = st.fixed_dictionaries(
    {
        "key": st.sampled_from(KEYS),
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(allow_nan=False),
        "t": st.none() | st.text(max_size=4),
        "l": st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3),
    }
)
PARQUET = pa.schema(
    [("key", pa.string()), ("n", pa.int64()), ("f", pa.float64()), ("t", pa.string()), ("l", pa.list_(pa.int32()))]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(20, thorough=600))
@given(st.lists(st.lists(columns, max_size=12), min_size=1, max_size=3), st.sampled_from([1, 1 << 20]))
def test_parquet_gives_the_values_of_a_dictionary(
    new_tables: type[Tables], tmp_path_factory: pytest.TempPathFactory, files: RowsOfFiles, run_bytes: int
) -> None:
    tables = new_tables(tmp_path_factory.mktemp("parquet"))
    for number, rows in enumerate(files):
        tables.write(f"t/{number}.parquet", pa.Table.from_pylist(rows, PARQUET))

    check(tables.values("t/*.parquet", run_bytes=run_bytes), model_of(files))


cells = st.text(alphabet=st.sampled_from('ab"\n\r,;üé 1.'), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(20, thorough=600))
@given(
    st.lists(
        st.lists(st.fixed_dictionaries({"key": st.sampled_from(KEYS), "x": cells, "y": cells}), max_size=12),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_csv_gives_the_texts_of_a_dictionary(
    new_tables: type[Tables],
    tmp_path_factory: pytest.TempPathFactory,
    files: RowsOfFiles,
    end: str,
    has_mark: bool,  # noqa: FBT001
) -> None:
    tables = new_tables(tmp_path_factory.mktemp("csv"))
    for number, rows in enumerate(files):
        text = io.StringIO()
        # Python's writer leaves a CR without quotes unless lines end in one.
        quoting: Any = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
        writer = csv.DictWriter(text, ["key", "x", "y"], lineterminator=end, quoting=quoting)
        writer.writeheader()
        writer.writerows(rows)
        tables.write(f"t/{number}.csv", ("\ufeff" if has_mark else "") + text.getvalue())

    expected = model_of([[{name: cell or None for name, cell in row.items()} for row in rows] for rows in files])

    check(tables.values("t/*.csv"), expected)


def test_csv_gets_the_types_of_the_schema(tables: Tables) -> None:
    tables.source_options = {"metadata_schema": {"f.speed": "number", "f.wet": "boolean", "f.clip": {"embedding": 2}}}
    tables.write("t.csv", 'key,speed,wet,name,clip\na,1.50,TRUE,7,"[0.1, 2]"\nb,fast,no,,\n')

    assert tables.values("t.csv", prefix="f.") == {
        "a": {"f.speed": 1.5, "f.wet": True, "f.name": "7", "f.clip": [0.1, 2]},
        "b": {"f.speed": "fast", "f.wet": "no"},
    }


def test_another_type_in_the_schema_reads_a_csv_again(tables: Tables) -> None:
    tables.write("t.csv", "key,x\na,1\n")
    first = tables.read("t.csv")
    tables.source_options = {"metadata_schema": {"x": "number"}}

    assert tables.values("t.csv") == {"a": {"x": 1}}
    assert tables.read("t.csv").facts_id != first.facts_id


def test_a_set_has_the_schema_and_the_name_of_its_entry_and_notes_of_its_files(tables: Tables) -> None:
    path = tables.write("t.csv", "key,x\na,1\n,2\nb,3\nb,4\n")
    facts = tables.read("t.csv")

    assert facts.name == entry_set_name(tables.source(table="t.csv").metadata[0])
    assert all(batch.schema.equals(VALUES_SCHEMA) for batch in read_facts(tables.store, facts))
    (file,) = facts.notes["files"]
    status = path.stat()
    assert (file["name"], file["size"]) == ("t.csv", status.st_size)
    assert file["version"] == f"{status.st_mtime_ns} {status.st_ino}"
    counts = {name: facts.notes[name] for name in ("rows", "rows_without_object", "objects", "duplicates")}
    assert counts == {"rows": 4, "rows_without_object": 1, "objects": 2, "duplicates": 1}


def test_a_table_is_read_again_only_when_it_changed_and_the_last_two_sets_are_kept(tables: Tables) -> None:
    path = tables.write("t.csv", "key,x\na,1\n")
    first = tables.read("t.csv")
    assert tables.read("t.csv") == first

    for number in (2, 3):
        path.write_text(f"key,x\na,{number}\n", encoding="utf-8")
        os.utime(path, ns=(number, number))
        assert tables.values("t.csv") == {"a": {"x": str(number)}}
    kept = tables.store.folders(f"fleet/facts/{first.name}/")
    assert len(kept) == 2
    assert first.facts_id not in kept


def test_a_failed_reading_leaves_the_set_before_it_and_goes_away_with_the_next(tables: Tables) -> None:
    path = tables.write("t.csv", "key,x\na,1\n")
    first = tables.read("t.csv")
    path.write_text("key,x\na,1,2\n", encoding="utf-8")
    with pytest.raises(ConfigurationError):
        tables.read("t.csv")
    path.write_text("key,x\nb,1\n", encoding="utf-8")

    second = tables.read("t.csv")

    assert second.facts_id > first.facts_id
    assert tables.store.folders(f"fleet/facts/{first.name}/") == [first.facts_id, second.facts_id]


class ChangesMeanwhile:
    """Rewrites a file at the second time that the clock is asked: when reading has begun."""

    def __init__(self, tables: Tables, path: Path) -> None:
        self._clock, self._path = tables.clock, path

    def __call__(self) -> Any:
        self._path.write_text("key,x\na,22\n", encoding="utf-8")
        return self._clock()


def test_a_file_that_changes_while_it_is_read_halts(tables: Tables) -> None:
    path = tables.write("t.csv", "key,x\na,1\n")
    tables.clock = ChangesMeanwhile(tables, path)  # type: ignore[method-assign]

    with pytest.raises(HaltError, match=r"t\.csv, a table of `sources\.fleet\.metadata\[0\]\.table`, changed while"):
        tables.read("t.csv")


def test_only_the_columns_that_are_named_are_read(tables: Tables) -> None:
    data = pa.table({"key": ["a"], "x": [1], "bytes": [b"1"]})
    tables.write("t.parquet", data)

    assert tables.values("t.parquet", columns=["x"]) == {"a": {"x": 1}}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_name_that_encord_does_not_take_is_a_problem_where_it_has_a_value(tables: Tables, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"key": "a", "größe": "1", "registration.x": None},
        {"key": "b", "größe": None, "registration.x": "2"},
        {"key": "c"},
    ]
    content: dict[str, Any] = {
        "csv": "key,größe,registration.x\na,1,\nb,,2\nc,,\n",
        "jsonl": rows,
        "parquet": pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in rows[0]])),
    }
    tables.write(f"t.{kind}", content[kind])
    found = tables.values(f"t.{kind}")

    assert "is not a name that Encord accepts" in found["a"]
    assert "begins with registration." in found["b"]
    assert found["c"] is None


def test_many_rows_of_one_object_are_two_in_memory_and_named_by_their_first_places(tables: Tables) -> None:
    tables.write("t-1.csv", "key,x\n" + "a,1\n" * 3000 + "b,1\n")
    tables.write("t-2.csv", "key,x\nb,2\n" + "a,1\n" * 3000)
    facts = tables.read("t-*.csv", run_bytes=1)
    found = tables.rows(facts)

    assert "row 1 of t-1.csv and row 2 of t-1.csv" in found["a"]["message"]
    assert "row 3,001 of t-1.csv and row 1 of t-2.csv" in found["b"]["message"]
    assert (facts.notes["rows"], facts.notes["objects"], facts.notes["duplicates"]) == (6002, 2, 2)


def test_paths_are_below_the_folder_of_the_prefix(tables: Tables) -> None:
    tables.write("t.csv", "key,x\ncam-1/a.jpg,1\n")

    assert tables.values("t.csv", matches="path") == {"raw/cam-1/a.jpg": {"x": "1"}}


def test_urls_are_read_in_the_style_of_the_source_and_as_plain_addresses(tables: Tables) -> None:
    url = object_url(tables.source(table="t.csv"), "raw/cam/ü 1.jpg")
    other = "https://other-bucket.s3.eu-west-2.amazonaws.com/raw/cam/1.jpg"
    rows = [url, "s3://fleet-bucket/raw/cam/ü 2.jpg", other, "s3://fleet-bucket/%ff", "s3://fleet-bucket/%zz", "x"]
    tables.write("t.jsonl", [{"key": row, "x": number} for number, row in enumerate(rows)])
    facts = tables.read("t.jsonl", matches="url")

    assert {key: row["values"] for key, row in tables.rows(facts).items()} == {
        "raw/cam/ü 1.jpg": '{"x":0}',
        "raw/cam/ü 2.jpg": '{"x":1}',
    }
    assert facts.notes["rows_without_object"] == 4


def test_names_are_put_beside_the_inventory_and_shared_ones_count_for_all(tables: Tables) -> None:
    tables.listed("raw/a/1.jpg", "raw/b/1.jpg", "raw/b/2.jpg", "raw/3.jpg", "raw/b/e\u0301.jpg", "raw/\n/4.jpg")
    tables.write("t.csv", "key,x\n1.jpg,1\n2.jpg,2\n9.jpg,9\né.jpg,3\n3.jpg,1\n3.jpg,2\n4.jpg,4\n")
    facts = tables.read("t.csv", matches="name", run_bytes=1)
    found = tables.rows(facts)

    assert {key: row["values"] for key, row in found.items()} == {
        "raw/\n/4.jpg": '{"x":"4"}',
        "raw/3.jpg": None,
        "raw/a/1.jpg": '{"x":"1"}',
        "raw/b/1.jpg": '{"x":"1"}',
        "raw/b/2.jpg": '{"x":"2"}',
    }
    assert "'raw/3.jpg' has two rows: row 5 of t.csv and row 6 of t.csv" in found["raw/3.jpg"]["message"]
    assert (facts.notes["rows_without_object"], facts.notes["shared_names"]) == (2, 1)


names = st.sampled_from(["1", "2", "3", "é", "e\u0301"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(15, thorough=500))
@given(
    st.sets(st.tuples(st.sampled_from(["", "x/", "y/z/"]), names), max_size=12),
    st.lists(names, max_size=9),
    st.sampled_from([1, 1 << 20]),
)
def test_names_give_what_a_dictionary_of_names_gives(
    new_tables: type[Tables],
    tmp_path_factory: pytest.TempPathFactory,
    keys: set[tuple[str, str]],
    rows: list[str],
    run_bytes: int,
) -> None:
    tables = new_tables(tmp_path_factory.mktemp("names"))
    tables.listed(*("".join(key) for key in keys))
    tables.write("t.csv", "key,x\n" + "".join(f"{name},{number}\n" for number, name in enumerate(rows)))
    facts = tables.read("t.csv", matches="name", run_bytes=run_bytes)
    found = {key: row["values"] or "two" for key, row in tables.rows(facts).items()}

    known = {name for _, name in keys}
    assert found == {
        folder + name: "two" if rows.count(name) > 1 else f'{{"x":"{rows.index(name)}"}}'
        for folder, name in keys
        if name in rows
    }
    shared = {name for name in known & {*rows} if sum(name == other for _, other in keys) > 1}
    assert facts.notes["shared_names"] == len(shared)
    assert facts.notes["rows_without_object"] == sum(min(rows.count(name), 2) for name in {*rows} - known)


def test_names_without_an_inventory_say_which_command_makes_one(tables: Tables) -> None:
    tables.write("t.csv", "key,x\na,1\n")

    with pytest.raises(UsageError, match="registration-pipeline inventory fleet"):
        tables.read("t.csv", matches="name")


def test_another_inventory_reads_names_again(tables: Tables) -> None:
    tables.write("t.csv", "key,x\n1.jpg,1\n")
    tables.listed("raw/1.jpg")
    assert list(tables.values("t.csv", matches="name")) == ["raw/1.jpg"]
    tables.listed("raw/1.jpg", "raw/2/1.jpg")

    assert list(tables.values("t.csv", matches="name")) == ["raw/1.jpg", "raw/2/1.jpg"]
