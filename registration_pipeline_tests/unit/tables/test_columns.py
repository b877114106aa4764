"""Columns made from buffers are those that Arrow would make, and reading a page brings no pandas into the process."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.tables.columns import binaries, byte_scalar, int32s

READ_A_PAGE = """
import importlib.util, sys
from registration_pipeline.inventory.s3 import page as s3_page
from registration_pipeline.inventory.digest import ListingDigest

entry = (
    "<Contents><Key>a%2Fb+c-{}</Key><LastModified>2026-11-21T02:00:00.000Z</LastModified>"
    "<ETag>&quot;0&quot;</ETag><Size>1</Size></Contents>"
)
page = "<ListBucketResult>" + entry.format(1) + entry.format(2) + "</ListBucketResult>"
contents, rest = s3_page.take_contents(page.encode())
batch = contents.to_batch(is_url_encoded=True)
ListingDigest().add(batch)
print(batch.column("key").to_pylist(), importlib.util.find_spec("pandas") is not None, "pandas" in sys.modules)
"""


@given(st.lists(st.none() | st.binary(max_size=6), max_size=20))
def test_bytes_and_nulls_are_as_arrow_has_them(values: list[bytes | None]) -> None:
    column = binaries(values)

    column.validate(full=True)
    assert column.equals(pa.array(values, pa.binary()))


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20))
def test_numbers_are_as_arrow_has_them(numbers: list[int]) -> None:
    assert int32s(numbers).equals(pa.array(numbers, pa.int32()))


def test_a_character_is_its_code() -> None:
    assert byte_scalar("<").equals(pa.scalar(0x3C, pa.uint8()))


def test_a_page_is_read_without_pandas_though_it_is_installed() -> None:
    done = subprocess.run([sys.executable, "-c", READ_A_PAGE], check=True, capture_output=True, text=True)

    assert done.stdout == "['a/b c-1', 'a/b c-2'] True False\n"
