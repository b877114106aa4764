"""Which objects of an inventory have their header read before they are planned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.inventory.schema import NAME_NOT_UTF8, inventory_batch
from registration_pipeline.planning.header_needs import (
    holds_dicom,
    needs_digest,
    objects_to_read,
    objects_without_header,
)
from registration_pipeline.planning.history import PlanHistory, load_history
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from registration_pipeline.inventory.inventory import Inventory

NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
BY_HEADERS = {"match": "**", "as": "dicom_series", "by": "headers"}
BY_DIRECTORY = {"match": "**", "as": "dicom_series", "by": "directory"}


def source_of(**values: Any) -> SourceSettings:
    return SourceSettings.model_validate({"name": "clinic", "uri": "s3://bucket/raw/", "url_style": "s3", **values})


def rows_of(*keys: str, **columns: Any) -> pa.RecordBatch:
    number = len(keys)
    return inventory_batch(**{"keys": keys, "sizes": [9] * number, "last_modified": [NOW] * number, **columns})


def wanted(source: SourceSettings, rows: pa.RecordBatch) -> list[str]:
    return list(objects_to_read(source, rows).column("key").to_pylist())


class Listing:
    """``ObjectLister`` of some rows."""

    requests = 1
    description = "rows"

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        yield self._rows


def listed(store: LocalStateStore, rows: pa.RecordBatch, days: int = 0) -> Inventory:
    return take_inventory(lister=Listing(rows), store=store, source="clinic", clock=lambda: NOW + timedelta(days=days))


def test_without_rules_it_is_dicom_by_name_or_content_type() -> None:
    rows = rows_of(
        *("raw/a.dcm", "raw/b.DICOM", "raw/c", "raw/d.jpg", "raw/e"),
        content_types=[None, None, "application/dicom; transfer-syntax=*", "image/jpeg", "text/plain"],
    )

    assert wanted(source_of(), rows) == ["raw/a.dcm", "raw/b.DICOM", "raw/c"]


def test_by_headers_takes_what_nothing_else_says_what_it_is() -> None:
    keys = ("raw/a.dcm", "raw/b", "raw/c.jpg", "raw/d.unknown", "raw/e.mp4")

    assert wanted(source_of(groups=[BY_HEADERS]), rows_of(*keys)) == ["raw/a.dcm", "raw/b", "raw/d.unknown"]


def test_what_another_rule_groups_needs_no_header() -> None:
    assert wanted(source_of(groups=[BY_DIRECTORY]), rows_of("raw/a.dcm", "raw/b")) == []


def test_what_a_pattern_says_is_dicom_needs_its_header() -> None:
    source = source_of(kinds=[{"match": "scans/*", "kind": "dicom"}])

    assert wanted(source, rows_of("raw/a.jpg", "raw/scans/a.jpg")) == ["raw/scans/a.jpg"]


def test_what_is_excluded_or_rejected_anyway_is_not_read() -> None:
    rows = rows_of(
        *("raw/archived.dcm", "raw/empty.dcm", "raw/marker.dcm/", "raw/name.dcm", "raw/no/a.dcm", "raw/yes.dcm"),
        sizes=[9, 0, 9, 9, 9, 9],
        storage_classes=["GLACIER", None, None, NAME_NOT_UTF8, None, "STANDARD"],
    )

    assert wanted(source_of(exclude=["no/**"]), rows) == ["raw/yes.dcm"]


@pytest.mark.parametrize(
    ("key", "rules", "expected"),
    [
        ("raw/a.jpg", {}, False),
        ("raw/a.dcm", {}, True),
        ("raw/a.Dcm", {}, True),
        ("raw/a.dcm.jpg", {}, False),
        ("raw/a.jpg", {"groups": [BY_HEADERS]}, True),
        ("raw/a.jpg", {"kinds": [{"match": "x", "kind": "dicom"}]}, True),
    ],
    ids=["images", "dicom", "any case", "not at the end", "a rule of headers", "a pattern of dicom"],
)
def test_a_bucket_is_said_to_hold_dicom(tmp_path: Path, key: str, rules: dict[str, Any], *, expected: bool) -> None:
    store = LocalStateStore(tmp_path)

    assert holds_dicom(store, source_of(**rules), listed(store, rows_of(key))) is expected


def test_what_is_planned_is_not_read_again(tmp_path: Path) -> None:
    store = LocalStateStore(tmp_path)
    by_directory, by_headers = source_of(groups=[BY_DIRECTORY]), source_of(groups=[BY_HEADERS])
    listed(store, rows_of("raw/a/1.dcm", "raw/a/2.dcm"))
    plan_source(store=store, source=by_directory, clock=lambda: NOW)
    inventory = listed(store, rows_of("raw/a/1.dcm", "raw/a/2.dcm", "raw/b.dcm"), days=1)

    def found(history: PlanHistory) -> list[str]:
        batches = objects_without_header(store, by_headers, inventory, history)
        return [key for batch in batches for key in batch.column("key").to_pylist()]

    assert found(load_history(store, "clinic")) == ["raw/b.dcm"]
    assert found(PlanHistory(source="clinic")) == ["raw/a/1.dcm", "raw/a/2.dcm", "raw/b.dcm"]


def test_the_digest_follows_the_rules() -> None:
    sources = [
        source_of(),
        source_of(groups=[BY_HEADERS]),
        source_of(groups=[BY_DIRECTORY]),
        source_of(exclude=["a"]),
        source_of(kinds=[{"match": "x", "kind": "dicom"}]),
    ]

    assert len({needs_digest(source) for source in sources}) == len(sources)
    assert needs_digest(source_of()) == needs_digest(source_of(min_age_seconds=5))
