"""Reports that were delivered to a folder, and what is listed from them: for the tests of all providers.

What does not belong here: the deliveries (``report_deliveries``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from registration_pipeline.inventory.reports.amazon import AmazonReports
from registration_pipeline.inventory.reports.azure import AzureReports
from registration_pipeline.inventory.reports.google import GoogleReports
from registration_pipeline.inventory.reports.lister import ReportLister
from registration_pipeline.inventory.reports.place import LocalPlace
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline_tests.report_deliveries.delivery import (
    ALL_FORMS,
    DELIVERIES,
    SNAPSHOT,
)

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.errors import HaltError

BUCKET = "fleet-bucket"
TONIGHT = SNAPSHOT + timedelta(hours=25)

HOSTILE = [
    *("a b", "a+b", "a%2Fb", "a%", "%41", "é composed", "e\u0301", "\U0001f600.png", "dbl//x", "/lead", "marker/"),
    *("tab\t", "new\nline", "cr\r", 'quote"d', "comma,", "semi;", "\x7f", "a/./b", "a/../b", "A", "k" * 1024, "NULL"),
    *("\uffff", "\U0010ffff", "\ue000", "nan", " lead", "trail ", "a-b", "a.b", "a/b", "1", "true"),
]

every_form = pytest.mark.parametrize(("provider", "form"), ALL_FORMS, ids=[f"{one}-{form}" for one, form in ALL_FORMS])


every_provider = pytest.mark.parametrize("provider", list(DELIVERIES))


class Filters:
    """The prefixes of configurations as S3 would tell them."""

    def __init__(self, **prefixes: str) -> None:
        self._prefixes = prefixes

    def prefix_of(self, configuration: str) -> str | None:
        return self._prefixes.get(configuration)


def lister(root: Path, provider: str, prefix: str = "", **options: Any) -> ReportLister:
    filters = options.pop("filters", None)
    service: AmazonReports | GoogleReports | AzureReports
    if provider == "amazon":
        service = AmazonReports(BUCKET, prefix, source="fleet", filters=filters)
    elif provider == "google":
        service = GoogleReports(BUCKET, source="fleet")
    else:
        service = AzureReports(BUCKET, prefix, account="fleet", source="fleet")
    settled: dict[str, Any] = {"max_age": timedelta(days=8), "source": "fleet", "clock": lambda: TONIGHT} | options
    return ReportLister(LocalPlace(root, source="fleet"), service, prefix, **settled)


def listed(root: Path, provider: str, prefix: str = "", **options: Any) -> list[dict[str, Any]]:
    batches = list(lister(root, provider, prefix, **options).list_objects())
    assert all(batch.schema.equals(INVENTORY_SCHEMA) for batch in batches)
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, INVENTORY_SCHEMA).to_pylist()
    return rows


def keys(root: Path, provider: str, prefix: str = "", **options: Any) -> list[str]:
    return [row["key"] for row in listed(root, provider, prefix, **options)]


def refusal(kind: type[HaltError], root: Path, provider: str, prefix: str = "", **options: Any) -> str:
    """Return the error text; nothing may come before it."""
    batches = lister(root, provider, prefix, **options).list_objects()
    with pytest.raises(kind) as caught:
        next(batches)
    return str(caught.value)
