"""Columns as JSON, beside a model that writes one value after the other with Python's json."""

from __future__ import annotations

import json
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.facts.metadata.values import canonical, value_problems
from registration_pipeline.facts.tables.texts import column_texts, short_float
from registration_pipeline.settings.metadata import FieldKind


def texts_of(column: pl.Series, kind: FieldKind | None = None) -> list[str | None]:
    """Return what each row becomes: canonical JSON, ``!`` for a value that is refused, or None."""
    made = column_texts(column, kind)
    assert len(made.json) == len(made.odd) == len(column)
    found: list[str | None] = []
    for row in range(len(column)):
        if not made.odd[row]:
            found.append(made.json[row])
            # What is not odd has the same text however it is written.
            assert made.json[row] == in_python(made.value(row))
            continue
        found.append(in_python(made.value(row)))
    return found


def in_python(value: Any) -> str | None:
    if value is None:
        return None
    if value_problems({"x": value}):
        return "!"
    text = canonical({"x": value})
    assert text is not None
    return text[5:-1]


def series(values: list[Any], kind: pa.DataType) -> pl.Series:
    found = pl.from_arrow(pa.array(values, kind))
    assert isinstance(found, pl.Series)
    return found


floats32 = st.floats(width=32)
optional = st.none()


@given(st.lists(optional | floats32, max_size=20))
@example([1e-5, 9.999e-5, 1e-4, 2e-4, 1e7, 16777216.0, 1e15, 1e16, 1e17, -0.0, 0.1])
def test_numbers_of_32_bits_have_the_shortest_text_that_gives_them_back(values: list[float | None]) -> None:
    for value, text in zip(values, texts_of(series(values, pa.float32())), strict=True):
        if value is None:
            assert text is None
        elif value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124
            assert text == "!"
        else:
            assert text is not None
            assert struct.pack("f", float(text)) == struct.pack("f", value)
            assert text == json.dumps(short_float(struct.unpack("f", struct.pack("f", value))[0]))


def test_a_tenth_in_32_bits_is_a_tenth() -> None:
    assert texts_of(series([0.1, 0.25, 3.0], pa.float32())) == ["0.1", "0.25", "3.0"]
    assert texts_of(series([[0.1, -1e-7]], pa.list_(pa.float32()))) == ["[0.1,-1e-07]"]
    assert texts_of(series([[[0.1], [0.7]]], pa.list_(pa.list_(pa.float32())))) == ["[[0.1],[0.7]]"]


@given(st.lists(optional | st.floats(), max_size=20))
def test_numbers_of_64_bits_are_written_as_python_writes_them(values: list[float | None]) -> None:
    assert texts_of(series(values, pa.float64())) == [in_python(value) for value in values]


@given(st.lists(optional | st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_whole_numbers_of_64_bits_are_exact(values: list[int | None]) -> None:
    assert texts_of(series(values, pa.int64())) == [None if value is None else str(value) for value in values]


@given(st.lists(optional | st.text(), max_size=20))
@example(['"', "\\", "\x7f", "ü", "\n", "😀", "", "a\0b", "plain text, [1]"])
def test_texts_are_escaped_as_python_escapes_them(values: list[str | None]) -> None:
    expected = [in_python(value) for value in values]

    assert texts_of(series(values, pa.string())) == expected
    assert texts_of(series(values, pa.dictionary(pa.int32(), pa.string()))) == expected


@given(st.lists(optional | st.lists(optional | st.floats(), max_size=4), max_size=8))
def test_lists_of_numbers_keep_their_places_and_nulls(values: list[list[float | None] | None]) -> None:
    assert texts_of(series(values, pa.list_(pa.float64()))) == [in_python(value) for value in values]


@given(st.lists(optional | st.lists(st.integers(0, 2**64 - 1), max_size=3), max_size=8))
def test_lists_of_whole_numbers_beyond_64_bits_are_refused(values: list[list[int] | None]) -> None:
    assert texts_of(series(values, pa.large_list(pa.uint64()))) == [in_python(value) for value in values]


@given(st.lists(optional | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9))])), max_size=8))
@example([datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_times_are_iso_8601_in_utc(values: list[datetime | None]) -> None:
    values = [value for value in values if value is None or (2 < value.year < 9998 or value.tzinfo is UTC)]
    for value, text in zip(values, texts_of(series(values, pa.timestamp("us", "UTC"))), strict=True):
        if value is None:
            assert text is None
            continue
        assert text is not None
        written = json.loads(text)
        assert written.endswith("Z")
        assert datetime.fromisoformat(written) == value


EXACT: dict[str, tuple[pa.DataType, list[Any], list[str | None]]] = {
    "booleans": (pa.bool_(), [True, False, None], ["true", "false", None]),
    "nulls": (pa.null(), [None, None], [None, None]),
    "small numbers": (pa.int8(), [-128, None], ["-128", None]),
    "beyond 64 bits": (pa.uint64(), [2**63 - 1, 2**63], ["9223372036854775807", "!"]),
    "half floats": (pa.float16(), [0.5, 0.1], ["0.5", "0.099975586"]),
    "dates": (pa.date32(), [date(2026, 1, 2), date(9999, 12, 31)], ['"2026-01-02"', '"9999-12-31"']),
    "times of day": (pa.time64("us"), [time(1, 2, 3), time(1, 2, 3, 500000)], ['"01:02:03"', '"01:02:03.500"']),
    "naive times": (pa.timestamp("ms"), [datetime(2026, 1, 2, 3)], ['"2026-01-02T03:00:00Z"']),  # noqa: DTZ001
    "seconds": (pa.timestamp("s"), [0], ['"1970-01-01T00:00:00Z"']),
    "nanoseconds": (
        pa.timestamp("ns"),
        [1, 1_000_000],
        ['"1970-01-01T00:00:00.000000001Z"', '"1970-01-01T00:00:00.001Z"'],
    ),
    "other zones": (pa.timestamp("ms", "Asia/Tokyo"), [0], ['"1970-01-01T00:00:00Z"']),
    "offsets": (pa.timestamp("ms", "+02:00"), [0], ['"1970-01-01T00:00:00Z"']),
    "decimals": (pa.decimal128(10, 2), [Decimal("1.50"), Decimal("-0.01")], ["1.5", "-0.01"]),
    "whole decimals": (pa.decimal128(38, 0), [Decimal(7), Decimal(10**20)], ["7", "!"]),
    "arrays": (pa.list_(pa.float32(), 2), [[0.1, 2], None], ["[0.1,2.0]", None]),
    "empty lists": (pa.list_(pa.int32()), [[], [1], [], None], ["[]", "[1]", "[]", None]),
    "lists of texts": (pa.list_(pa.string()), [["a", None, '"'], []], ['["a",null,"\\""]', "[]"]),
    "structs": (
        pa.struct({"a": pa.float32(), "b": pa.list_(pa.date32()), "c": pa.struct({"d": pa.int64()})}),
        [{"a": 0.1, "b": [date(2026, 1, 2)], "c": None}, {"a": None, "b": None, "c": {"d": None}}, None],
        ['{"a":0.1,"b":["2026-01-02"]}', '{"c":{}}', None],
    ),
    "times in structs": (
        pa.struct({"t": pa.timestamp("us", "Asia/Tokyo"), "n": pa.timestamp("ms")}),
        [{"t": 1_500_000, "n": 0}, {"t": 1, "n": None}],
        ['{"n":"1970-01-01T00:00:00Z","t":"1970-01-01T00:00:01.500Z"}', '{"t":"1970-01-01T00:00:00.000001Z"}'],
    ),
    "not finite inside": (pa.struct({"a": pa.float64()}), [{"a": float("inf")}], ["!"]),
    "maps": (pa.map_(pa.string(), pa.float32()), [[("a", 0.1)], None], ['{"a":0.1}', None]),
}


@pytest.mark.parametrize(("kind", "values", "expected"), EXACT.values(), ids=EXACT.keys())
def test_each_type_has_one_form_in_json(kind: pa.DataType, values: list[Any], expected: list[str | None]) -> None:
    assert texts_of(series(values, kind)) == expected


CONVERTED: dict[str, tuple[FieldKind, dict[str | None, str | None]]] = {
    "numbers": (
        FieldKind.NUMBER,
        {
            "1": "1",
            "-007": "-7",
            " 2.50 ": "2.5",
            "1e3": "1000.0",
            ".5": "0.5",
            "9223372036854775807": "9223372036854775807",
            "9223372036854775808": '"9223372036854775808"',
            "1e999": '"1e999"',
            "NaN": '"NaN"',
            "inf": '"inf"',
            "1,5": '"1,5"',
            "0x10": '"0x10"',
            "1_000": '"1_000"',
            "\u0661": '"\\u0661"',
            "0." + "1" * 50: f'"0.{"1" * 50}"',
            None: None,
        },
    ),
    "booleans": (FieldKind.BOOLEAN, {"true": "true", "FALSE": "false", "True": "true", "yes": '"yes"', "1": '"1"'}),
    "embeddings": (FieldKind.EMBEDDING, {"[0.1, 2]": "[0.1,2]", "[NaN]": "!", "[1": '"[1"', "0.1": '"0.1"'}),
    "places": (FieldKind.GEOSPATIAL, {'{"b":1,"a":2}': '{"a":2,"b":1}', "x": '"x"'}),
    "texts": (FieldKind.TEXT, {"1": '"1"', "true": '"true"'}),
    "uuids": (FieldKind.UUID, {"1": '"1"'}),
}


@pytest.mark.parametrize(("kind", "cases"), CONVERTED.values(), ids=CONVERTED.keys())
def test_texts_of_csv_get_the_type_of_the_schema_or_stay_texts(
    kind: FieldKind, cases: dict[str | None, str | None]
) -> None:
    assert texts_of(series(list(cases), pa.string()), kind) == list(cases.values())


def model_of_number(text: str) -> Any:
    written = text.strip(" \t")
    for make in (int, float):
        try:
            found: Any = make(written)
        except ValueError:
            continue
        in_range = isinstance(found, float) or -(2**63) <= found < 2**63
        return found if in_range and found - found == 0 else text
    return text


@given(st.lists(st.from_regex(r"-?[0-9]{0,25}(\.[0-9]{0,20})?(e-?[0-9]{1,3})?", fullmatch=True), max_size=20))
def test_numbers_in_csv_are_those_that_python_reads(values: list[str]) -> None:
    values = [value for value in values if len(value) <= 40]

    assert texts_of(series(values, pa.string()), FieldKind.NUMBER) == [
        in_python(model_of_number(one)) for one in values
    ]


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.String, pl.Float64], ids=str)
def test_no_rows_are_no_texts(kind: pl.DataType) -> None:
    assert texts_of(pl.Series("x", [], dtype=kind)) == []
