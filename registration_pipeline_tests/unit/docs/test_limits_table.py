"""The table of limits in the operations guide has the numbers of the code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from registration_pipeline.audit import sides
from registration_pipeline.bounds import paging, texts
from registration_pipeline.cli import interrupt
from registration_pipeline.inventory import bounds
from registration_pipeline.orchestration import preflight as dagster_preflight
from registration_pipeline.project import preflight
from registration_pipeline.state import bucket
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.encord import gateway, transport

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("\n## Limits\n")[2].partition("\n## ")[0]
MB = 1 << 20


def seconds(value: object) -> int:
    assert isinstance(value, timedelta)
    return int(value.total_seconds())


NUMBERS = {
    "tries of a read": f"up to {RetryPolicy().attempts} times within {RetryPolicy().longest_seconds} s",
    "size of a reply of Encord": f"after decompression | {transport.REPLY_BYTES // MB} MB |",
    "size of an error": f"| {transport._ERROR_BYTES // MB} MB are read |",
    "page of a listing": f"| {bounds.PAGE_SECONDS:.0f} s; {bounds.PAGE_BYTES // MB} MB, also after decompression |",
    "small request to the state": f"| {seconds(bucket._CLIENT['timeout'])} s a try, no further try after "
    f"{seconds(bucket._RETRIES['retry_timeout'])} s: 180 s |",
    "whole file of the state": f"| {seconds(bucket._BULK_CLIENT['timeout'])} s a try,",
    "file in memory": f"| {bucket._MOST_READ_BYTES >> 30} GB |",
    "empty pages": f"| {paging.MOST_EMPTY_PAGES:,} |",
    "items of a folder": f"and {sides._FIRST_COUNT_AT:,} |",
    "folders": f"| {gateway._MOST_FOLDER_PAGES} pages of {gateway._PAGE_SIZE:,} |",
    "checks": f"| {preflight._CHECK_SECONDS['state']:.0f} s, {dagster_preflight._DAGSTER_SECONDS:.0f} s, "
    f"{preflight._CHECK_SECONDS['bucket']:.0f} s |",
    "check of Encord": f"and {preflight._ENCORD_SECONDS:.0f} s |",
    "full texts": f"| {texts.FULL_TEXT:,} characters,",
    "short texts": f"| {texts.SHORT_TEXT:,} characters |",
    "Ctrl-C": f"| {interrupt.END_SECONDS:.0f} s |",
    "requests after Ctrl-C": f"for {interrupt.ABORT_SECONDS:.0f} s, then the requests are ended",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_table_has_the_number_of_the_code(name: str) -> None:
    assert NUMBERS[name] in TABLE


def test_a_source_whose_services_are_all_silent_is_checked_within_90_seconds() -> None:
    assert sum(preflight._CHECK_SECONDS.values()) + dagster_preflight._DAGSTER_SECONDS + 5 + preflight._ENCORD_SECONDS < 90
