"""What is wrong with a table is refused by name: the entry, the file, the column or row, and what to do."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from registration_pipeline.errors import ConfigurationError, PermissionDeniedError
from registration_pipeline.facts.tables.address import table_address
from registration_pipeline.facts.tables.files import TableFiles
from registration_pipeline.facts.tables.heading import check_heading
from registration_pipeline.planning.exclusion import Exclusion
from registration_pipeline.settings import SourceSettings, load_settings
from registration_pipeline_tests.unit.facts.tables.conftest import NoPlaces

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.unit.facts.tables.conftest import Tables

PARQUET = pa.table({"key": ["a"], "x": [1]})


def in_frames(**columns: Any) -> pa.Table:
    return pa.table({"key": ["a"], "frame": [1], **columns})


CASES: dict[str, tuple[str, Any, dict[str, Any], str]] = {
    "a key column that is not there": ("t.csv", "path,x\na,1\n", {}, "has no column 'key'; it has 'path', 'x'"),
    "a value column that is not there": ("t.csv", "key,x\na,1\n", {"columns": ["y"]}, "has no column 'y'"),
    "a key column that no line has": ("t.jsonl", [{"x": 1}], {}, "has no column 'key'; it has 'x'"),
    "semicolons": ("t.csv", "key;x\na;1\n", {}, "seem to be separated by ';': write commas"),
    "tabs": ("t.csv", "key\tx\na\t1\n", {}, "separated by '\\t': write commas"),
    "a column twice": ("t.csv", "key,x,x\na,1,2\n", {}, "has the column 'x' more than once"),
    "the key column twice": ("t.csv", "key,key\na,1\n", {}, "has the column 'key' more than once"),
    "a field too few": ("t.csv", "key,x\na,1\nb\n", {}, "has 1 field in row 2 and 2 in its heading"),
    "a field too many": ("t.csv", "key,x\na,1,2\n", {}, "has 3 fields in row 1 and 2 in its heading"),
    "a field too many behind blank lines": ("t.csv", "key,x\n\n\na,1\nb,1,2\n", {}, "has 3 fields in row"),
    "a quote that does not end": ("t.csv", 'key,x\na,"1\nb,2\n', {}, "has an odd number of double quotes"),
    "text that is not UTF-8": ("t.csv", b"key,x\na,\xff\n", {}, "not UTF-8"),
    "UTF-16": ("t.csv", "key,x\na,1\n".encode("utf-16"), {}, "UTF-16"),
    "an empty CSV": ("t.csv", b"", {}, "is empty"),
    "a compressed CSV": ("t.csv", gzip.compress(b"key,x\na,1\n"), {}, "is compressed"),
    "compressed lines": ("t.jsonl", gzip.compress(b"{}\n"), {}, "is compressed"),
    "Parquet with the suffix of CSV": ("t.csv", PARQUET, {}, "is Parquet, other than its suffix says"),
    "CSV with the suffix of Parquet": ("t.parquet", "key,x\na,1\n" * 9, {}, "can't be read as Parquet"),
    "an empty Parquet": ("t.parquet", b"", {}, "can't be read as Parquet"),
    "a line that is not JSON": ("t.jsonl", b'{"key":"a"}\n\n{"key":\n', {}, "has a row 2 that is not JSON"),
    "a line that is not an object": ("t.jsonl", b'{"key":"a"}\n[1]\n', {}, "has a row 2 that is not a JSON object"),
    "a line that is not UTF-8": ("t.jsonl", b'{"key":"\xff"}\n', {}, "has a row 1 that is not UTF-8"),
    "a name twice": ("t.jsonl", b'{"key":"a","x":{"y":1,"y":2}}\n', {}, 'has the name "y" twice in row 1'),
    "lines within lines": ("t.jsonl", b"[" * 100_000, {}, "has a row 1 with too many objects and lists within"),
    "a number of too many digits": ("t.jsonl", b'{"key":"a","x":' + b"1" * 5000 + b"}", {}, "is not JSON"),
    "keys that are numbers": ("t.parquet", pa.table({"key": [1]}), {}, "has int64 in the column 'key'"),
    "bytes": ("t.parquet", pa.table({"key": ["a"], "x": [b"1"]}), {}, "has binary in the column 'x'"),
    "bytes inside": (
        "t.parquet",
        pa.table({"key": ["a"], "x": [{"y": [b"1"]}]}),
        {},
        "has binary in the column 'x', which JSON has no form for. Leave it out with `columns`",
    ),
    "spans of time": (
        "t.parquet",
        pa.table({"key": ["a"], "x": [timedelta(1)]}),
        {},
        "has duration[us] in the column 'x'",
    ),
    "decimals of 256 bits": (
        "t.parquet",
        pa.table({"key": ["a"], "x": pa.array([1], pa.decimal256(50, 0))}),
        {},
        "has decimal256(50, 0) in the column 'x'",
    ),
    "maps of numbers": (
        "t.parquet",
        pa.table({"key": ["a"], "x": pa.array([[(1, 2)]], pa.map_(pa.int32(), pa.int32()))}),
        {},
        "has map<int32, int32",
    ),
    "frames of texts": ("t.parquet", in_frames(x=["rain"]), {}, "'x' is not a list of numbers but string"),
    "frames of lists of texts": ("t.parquet", in_frames(x=[["rain"]]), {}, "'x' is not a list of numbers but list"),
    "frames without numbers": (
        "t.parquet",
        pa.table({"key": ["a"], "frame": ["1"]}),
        {},
        "has string in the column 'frame'",
    ),
    "frames in CSV": ("t.csv", "key,frame,x\na,1,2\n", {}, "CSV has no lists"),
    "a config without frames": (
        "t.csv",
        "key,x\na,1\n",
        {"config": {}},
        "has no column 'frame', and its entry has a config",
    ),
}


@pytest.mark.parametrize(("name", "content", "entry", "said"), CASES.values(), ids=CASES.keys())
def test_the_error_names_the_entry_the_file_and_what_to_do(
    tables: Tables, name: str, content: Any, entry: dict[str, Any], said: str
) -> None:
    tables.write(name, content)

    with pytest.raises(ConfigurationError) as raised:
        tables.read(name, **entry)

    assert raised.value.key == "sources.fleet.metadata[0].table"
    assert raised.value.exit_status == 2
    assert f"table {name} " in str(raised.value)
    assert said in str(raised.value)


LATER = {
    *("a field too few", "a field too many", "a field too many behind blank lines", "a quote that does not end"),
    *("text that is not UTF-8", "a config without frames"),
}
"""Cases that only the rows show, or that a heading shows only in part."""


@pytest.mark.parametrize(
    ("name", "content", "entry"),
    [pytest.param(*case[:3], id=what) for what, case in CASES.items() if what not in LATER],
)
def test_the_heading_alone_gives_the_error_of_the_sync(
    tables: Tables, name: str, content: Any, entry: dict[str, Any]
) -> None:
    tables.write(name, content)
    with pytest.raises(ConfigurationError) as read:
        tables.read(name, **entry)
    with pytest.raises(ConfigurationError) as checked:
        check(tables, name, **entry)

    assert checked.value.key == read.value.key
    assert str(checked.value).partition(" (")[0] == str(read.value).partition(" (")[0]


@pytest.mark.parametrize(
    ("name", "content", "entry"),
    [
        pytest.param("t.csv", 'x,"a\nb",key\n1,2,c\n', {"columns": ["a\nb"]}, id="a-name-with-a-line-break"),
        pytest.param("t.csv", b"\xef\xbb\xbf\nkey,x\na,1\n", {}, id="byte-order-mark"),
        pytest.param("t.csv", "key,x\n" + "é,1\n" * 300_000, {}, id="longer-than-what-is-read"),
        pytest.param("t.csv", "key," + "x" * 2_000_000 + "\na,1\n", {}, id="a-heading-longer-than-what-is-read"),
        pytest.param("t.jsonl", b"", {}, id="no-lines"),
        pytest.param("t.jsonl", b'{"key":"a"}\n' * 100_000 + b'{"x":1}\n', {"columns": ["x"]}, id="a-column-late"),
        pytest.param("t.parquet", PARQUET, {}, id="parquet"),
        pytest.param("t.parquet", in_frames(x=[[1.0]]), {"config": {}}, id="frames"),
    ],
)
def test_what_a_sync_reads_passes_the_check_of_its_heading(
    tables: Tables, name: str, content: Any, entry: dict[str, Any]
) -> None:
    tables.write(name, content)

    check(tables, name, **entry)


def test_a_key_that_none_of_many_lines_has_is_refused_without_reading_all(tables: Tables) -> None:
    tables.write("t.jsonl", b'{"path":"a"}\n' * 100_000)

    with pytest.raises(ConfigurationError, match="has no column 'key'; it has 'path'"):
        check(tables, "t.jsonl")


def check(tables: Tables, name: str, **entry: Any) -> None:
    source = tables.source(table=name, **entry)
    address = table_address(source, 0, source.metadata[0], tables.folder)
    files = TableFiles(address, source, NoPlaces())
    check_heading(files, files.find()[0], source.metadata[0], source.metadata_schema)


def test_a_damaged_parquet_is_refused(tables: Tables) -> None:
    path = tables.write("t.parquet", pa.table({"key": [str(number) for number in range(50_000)]}))
    data = bytearray(path.read_bytes())
    data[1000:3000] = bytes(2000)
    path.write_bytes(data)

    with pytest.raises(ConfigurationError, match=r"t\.parquet can't be read as Parquet"):
        tables.read("t.parquet")


def test_files_of_one_table_must_have_one_form(tables: Tables) -> None:
    tables.write("t-1.parquet", in_frames(x=[[1.0]]))
    tables.write("t-2.parquet", pa.table({"key": ["a"], "x": [[1.0]]}))

    with pytest.raises(
        ConfigurationError, match=r"table t-2\.parquet has not a column 'frame', other than rows or files before"
    ):
        tables.read("t-*.parquet")


def test_files_may_have_other_columns_beside_the_key(tables: Tables) -> None:
    tables.write("t-1.csv", "key,x\na,1\n")
    tables.write("t-2.csv", "y,key\n2,b\n")

    assert tables.values("t-*.csv") == {"a": {"x": "1"}, "b": {"y": "2"}}


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_table_without_rows_says_nothing_of_any_object(tables: Tables, name: str) -> None:
    content: dict[str, Any] = {"csv": "key,x\n", "jsonl": b"", "parquet": PARQUET.slice(0, 0)}
    tables.write(name, content[name.partition(".")[2]])

    facts = tables.read(name)

    assert (facts.rows, facts.notes["rows"], tables.rows(facts)) == (0, 0, {})


# Which files.


@pytest.mark.parametrize("table", ["t.csv", "*.csv", "x/*/t.csv", "t-*/"[:-1] + ".csv"])
def test_no_file_is_a_wrong_configuration(tables: Tables, table: str) -> None:
    tables.write("other/t.csv", "key\na\n")

    with pytest.raises(
        ConfigurationError, match=r"metadata\[0\]\.table: table .* (no file matches|there is no such file)"
    ):
        tables.read(table)


def test_a_folder_is_not_a_file(tables: Tables) -> None:
    (tables.folder / "t.csv").mkdir(parents=True)

    with pytest.raises(ConfigurationError, match="is not a file"):
        tables.read("t.csv")


def test_a_star_is_any_text_without_a_slash_and_files_are_read_by_name(tables: Tables) -> None:
    for name in ("x-1/t.csv", "x-2/t.csv", "x-2/u/t.csv", "x-10/.t.csv", "x-3/t.csv/t.csv"):
        tables.write(name, "key\na\n")
    facts = tables.read("x-*/*t.csv")

    assert [file["name"] for file in facts.notes["files"]] == ["x-1/t.csv", "x-10/.t.csv", "x-2/t.csv"]


def test_other_characters_of_a_pattern_are_themselves(tables: Tables) -> None:
    tables.write("t[1]?.csv", "key,x\na,1\n")
    tables.write("t1a.csv", "key,x\nb,1\n")

    assert list(tables.values("t[1]?.csv")) == ["a"]
    assert list(tables.values("t[1]*.csv")) == ["a"]


@pytest.mark.parametrize("form", ["{path}", "file://{path}"])
def test_absolute_paths_and_file_addresses_are_read(tables: Tables, form: str, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.csv"
    path.write_text("key,x\na,1\n", encoding="utf-8")

    facts = tables.read(form.format(path=path))

    assert [file["name"] for file in facts.notes["files"]] == [str(path)]


def test_a_path_may_lead_out_of_the_folder(tables: Tables) -> None:
    tables.write("../beside.csv", "key,x\na,1\n")

    assert list(tables.values("../beside.csv")) == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_halts(tables: Tables) -> None:
    tables.write("t.csv", "key\na\n").chmod(0)

    with pytest.raises(PermissionDeniedError, match="Give this user read permission"):
        tables.read("t.csv")


def test_a_table_in_obs_needs_a_source_there(tables: Tables) -> None:
    with pytest.raises(ConfigurationError, match=r"metadata\[0\]\.table: a table in obs:// needs a source in obs://"):
        tables.read("obs://tables/t.csv")


# Which objects of a source are tables.


def rules_of(uri: str, *tables: str) -> Exclusion:
    metadata = [{"pattern": "(?P<x>a)"}, *({"table": table, "key": "key"} for table in tables)]
    return Exclusion(SourceSettings.model_validate({"name": "fleet", "uri": uri, "metadata": metadata}))


def test_tables_in_the_bucket_of_the_source_are_excluded_by_name() -> None:
    rules = rules_of("s3://bucket/raw/", "s3://bucket/raw/*/t-*.csv", "s3://other/raw/b.csv", "raw/c.csv")

    assert rules.rule_of("raw/x/t-1.csv") == 'metadata[1].table "s3://bucket/raw/*/t-*.csv"'
    assert rules.rule_of("raw/\n/t-.csv") is not None
    for key in ("raw/x/y/t-1.csv", "raw/t-1.csv", "raw/x/t-1.csv.bak", "raw/b.csv", "raw/c.csv", ""):
        assert rules.rule_of(key) is None


def test_tables_in_the_directory_of_the_source_are_excluded_by_name(tmp_path: Path) -> None:
    config = tmp_path / "registration.yaml"
    config.write_text(
        f"sources: {{fleet: {{uri: 'file://{tmp_path}/my%20media/', metadata: [{{table: 'my media/*/t.csv', key: k}}, "
        f"{{table: 'file://{tmp_path}/my%20media/u.csv', key: k}}, {{table: t.csv, key: k}}]}}}}\n",
        encoding="utf-8",
    )
    source = load_settings(config, {}).sources["fleet"]
    rules = Exclusion(source)

    assert [key for key in ("a/t.csv", "u.csv", "t.csv", "a/b/t.csv") if rules.rule_of(key)] == ["a/t.csv", "u.csv"]
    assert rules.rule_of("a/t.csv") == f'metadata[0].table "{tmp_path}/my media/*/t.csv"'


def test_tables_elsewhere_exclude_nothing() -> None:
    assert rules_of("az://fleet@account1/raw/", "az://fleet@account2/raw/t.csv", "t.csv", "obs://b-1/t.csv").is_empty


def test_knowing_the_tables_of_a_source_loads_no_polars() -> None:
    code = "import sys, registration_pipeline.facts.tables.address; print('polars' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert run.stdout == "False\n"
