"""Inventory reports of the three providers, in every format: what is listed from them.

What does not belong here: what is refused (``test_refused_reports.py``).
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError, NotFoundError
from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.report_deliveries.delivery import (
    DELIVERIES,
    SNAPSHOT,
    WRITTEN,
    AmazonDelivery,
    AzureDelivery,
    Entry,
    GoogleDelivery,
    entries,
)
from registration_pipeline_tests.unit.inventory.reports.listed_reports import (
    HOSTILE,
    Filters,
    every_form,
    every_provider,
    keys,
    listed,
    lister,
    refusal,
)

if TYPE_CHECKING:
    from pathlib import Path


@every_form
def test_hostile_keys_come_out_exactly_and_in_byte_order(tmp_path: Path, provider: str, form: str) -> None:
    DELIVERIES[provider](root=tmp_path, form=form).deliver(entries(*HOSTILE[::2]), entries(*reversed(HOSTILE[1::2])))

    assert keys(tmp_path, provider) == sorted(HOSTILE)


@every_form
def test_every_column_is_what_the_report_says(tmp_path: Path, provider: str, form: str) -> None:
    DELIVERIES[provider](root=tmp_path, form=form).deliver([Entry(key="raw/x.jpg", size=5_000_000_000, tier="COLD")])

    [row] = listed(tmp_path, provider, "raw/")

    assert (row["key"], row["size"], row["storage_class"]) == ("raw/x.jpg", 5_000_000_000, "COLD")
    assert row["last_modified"] == WRITTEN
    assert row["e_tag"] == "0123456789abcdef"
    assert row["content_type"] == (None if provider == "amazon" else "image/jpeg")
    assert row["version"] == ("1700000000000001" if provider == "google" else None)


@every_form
@given(
    names=st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=30)
)
@settings(max_examples=examples(6, thorough=120))
def test_any_set_of_keys_is_the_same_inventory_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, provider: str, form: str, names: set[str]
) -> None:
    root = tmp_path_factory.mktemp("reports")
    ordered = list(names)
    DELIVERIES[provider](root=root, form=form).deliver(entries(*ordered[:7]), entries(*ordered[7:]))

    assert keys(root, provider) == sorted(names)
    shutil.rmtree(root)


@every_provider
def test_the_newest_complete_report_is_taken(tmp_path: Path, provider: str) -> None:
    delivery = DELIVERIES[provider](root=tmp_path)
    for days in (9, 2, 1):
        delivery.deliver(entries(f"{days} days old"), at=SNAPSHOT - timedelta(days=days))
    delivery.deliver(entries("unfinished"), is_complete=False)

    reading = lister(tmp_path, provider)
    found = [key for batch in reading.list_objects() for key in batch.column("key").to_pylist()]

    assert found == ["1 days old"]
    assert "2026-11-19 01:30 UTC" in reading.description
    assert reading.requests > 2


@every_form
def test_only_keys_below_the_prefix_are_listed(tmp_path: Path, provider: str, form: str) -> None:
    delivery = DELIVERIES[provider](root=tmp_path, form=form)
    delivery.deliver(entries("raw/b", "rawer", "raw/é", "cooked/raw/x", "raw", "raw/a b"))

    assert keys(tmp_path, provider, "raw/") == ["raw/a b", "raw/b", "raw/é"]
    assert keys(tmp_path, provider, "raw") == ["raw", "raw/a b", "raw/b", "raw/é", "rawer"]


@every_form
def test_unknown_columns_do_no_harm_and_optional_ones_may_be_missing(tmp_path: Path, provider: str, form: str) -> None:
    optional = ("e_tag", "ETag", "storage_class", "StorageClass", "etag", "md5Hash", "storageClass", "contentType")
    drop = (*optional, "generation", "Etag", "AccessTier", "Content-Type")
    marks = {"ColumnOfTheFuture": "x", "another_one": 7}
    DELIVERIES[provider](root=tmp_path, form=form, drop=drop).deliver([Entry(key="a", marks=marks)])

    [row] = listed(tmp_path, provider)

    assert row == dict.fromkeys(INVENTORY_SCHEMA.names) | {"key": "a", "size": 1, "last_modified": WRITTEN}


@pytest.mark.parametrize("form", ["Parquet", "ORC", "CSV"])
def test_versions_of_amazon_resolve_to_current_objects(tmp_path: Path, form: str) -> None:
    def version(key: str, name: str, *, latest: bool, gone: bool = False, hours: int = 0) -> Entry:
        own = {"version_id": name, "is_latest": latest, "is_delete_marker": gone}
        pascal = {"VersionId": name, "IsLatest": latest, "IsDeleteMarker": gone}
        marks: dict[str, Any] = pascal if form == "CSV" else own
        if gone:
            marks |= {"Size": None, "ETag": None} if form == "CSV" else {"size": None, "e_tag": None}
        return Entry(key=key, modified=WRITTEN + timedelta(hours=hours), e_tag=name, marks=marks)

    AmazonDelivery(root=tmp_path, form=form).deliver(
        [version("kept", "k2", latest=True, hours=1), version("deleted", "d1", latest=False)],
        [version("deleted", "d2", latest=True, gone=True, hours=2), version("kept", "k1", latest=False)],
        [version("back", "b2", latest=False, gone=True), version("back", "b3", latest=True, hours=3)],
    )

    rows = listed(tmp_path, "amazon")

    assert [(row["key"], row["version"], row["e_tag"]) for row in rows] == [("back", "b3", "b3"), ("kept", "k2", "k2")]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_noncurrent_and_soft_deleted_objects_of_google_are_left_out(tmp_path: Path, form: str) -> None:
    GoogleDelivery(root=tmp_path, form=form).deliver(
        [
            Entry(key="kept", marks={"timeDeleted": None, "softDeleteTime": None}),
            Entry(key="old", marks={"timeDeleted": WRITTEN, "softDeleteTime": None}),
            Entry(key="soft", marks={"timeDeleted": None, "softDeleteTime": WRITTEN}),
        ]
    )

    assert keys(tmp_path, "google") == ["kept"]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_what_is_no_current_blob_of_the_container_is_left_out_of_azure(tmp_path: Path, form: str) -> None:
    nothing = {"VersionId": None, "IsCurrentVersion": None, "Snapshot": None, "Deleted": None}
    delivery = AzureDelivery(root=tmp_path, form=form)
    delivery.deliver(
        [
            Entry(key="current", marks=nothing | {"VersionId": "v2", "IsCurrentVersion": True}),
            Entry(key="current", marks=nothing | {"VersionId": "v1"}),
            Entry(key="former", marks=nothing | {"VersionId": "v1", "IsCurrentVersion": False}),
            Entry(key="unversioned", marks=nothing),
            Entry(key="unversioned", marks=nothing | {"Snapshot": "2026-11-01T00:00:00.0000000Z"}),
            Entry(key="deleted", marks=nothing | {"Deleted": True}),
            Entry(key="folder", marks=nothing | {"hdi_isfolder": True}),
            Entry(key="elsewhere", marks=nothing | {"Name": "fleet-bucket-2/elsewhere"}),
        ]
    )

    assert [(row["key"], row["version"]) for row in listed(tmp_path, "azure")] == [
        ("current", "v2"),
        ("unversioned", None),
    ]


@every_form
def test_repeated_rows_are_one_and_of_differing_ones_the_newest_stands(
    tmp_path: Path, provider: str, form: str
) -> None:
    older = [Entry(key="twice", size=1), Entry(key="thrice", size=2), Entry(key="once", size=3)]
    newer = [Entry(key="twice", size=4, modified=WRITTEN + timedelta(seconds=1)), Entry(key="thrice", size=2)]
    DELIVERIES[provider](root=tmp_path, form=form).deliver(newer, older, [Entry(key="thrice", size=2)])

    assert [(row["key"], row["size"]) for row in listed(tmp_path, provider)] == [
        ("once", 3),
        ("thrice", 2),
        ("twice", 4),
    ]


def test_of_several_configurations_the_newest_that_covers_the_prefix_is_taken(tmp_path: Path) -> None:
    for name, days in (("narrow", 0), ("wide", 1), ("former", 2)):
        delivery = AmazonDelivery(root=tmp_path, configuration=name)
        delivery.deliver(entries(f"raw/{name}"), at=SNAPSHOT - timedelta(days=days))
    known = Filters(narrow="raw/camera-1/", wide="raw/", former="")

    assert keys(tmp_path, "amazon", "raw/", filters=known) == ["raw/wide"]
    only_narrow = Filters(narrow="raw/camera-1/", wide="x", former="y")
    assert "only keys that start with" in refusal(NotFoundError, tmp_path, "amazon", "raw/", filters=only_narrow)
    with pytest.raises(
        ConfigurationError, match=r"sources\.fleet\.storage\.inventory_report: .*several configurations"
    ):
        keys(tmp_path, "amazon", "raw/")


@pytest.mark.parametrize("below", ["", "reports", "reports/fleet-bucket", "reports/fleet-bucket/nightly"])
def test_the_setting_may_name_any_folder_above_the_reports(tmp_path: Path, below: str) -> None:
    AmazonDelivery(root=tmp_path, bucket="another").deliver(entries("other"))
    AmazonDelivery(root=tmp_path).deliver(entries("a"))
    told: list[str] = []

    assert keys(tmp_path / below, "amazon", notify=told.append) == ["a"]
    assert any("s3:GetInventoryConfiguration" in notice for notice in told)


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        ({"prefixMatch": ["fleet-bucket/cooked/", "other"]}, "reports only fleet-bucket/cooked/, other"),
        ({"excludePrefix": ["fleet-bucket/raw/tmp/"]}, "leaves out fleet-bucket/raw/tmp/"),
        ({"blobTypes": ["appendBlob"]}, "does not report block blobs"),
        ({"includeBlobVersions": True}, "not the fields VersionId and IsCurrentVersion"),
        ({"includeSnapshots": True}, "not the field Snapshot"),
        ({"creationTime": {"lastNDays": 30}}, "created lately"),
    ],
)
def test_a_rule_of_azure_that_does_not_cover_the_source_is_passed_over(
    tmp_path: Path, filters: dict[str, Any], problem: str
) -> None:
    AzureDelivery(root=tmp_path, rule="narrow", filters=filters).deliver(entries("raw/new"))

    assert problem in refusal(NotFoundError, tmp_path, "azure", "raw/")
    AzureDelivery(root=tmp_path, filters={"prefixMatch": ["fleet-bucket/ra"]}).deliver(
        entries("raw/old"), at=SNAPSHOT - timedelta(days=1)
    )
    assert keys(tmp_path, "azure", "raw/") == ["raw/old"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"status": "Pending"}, "status Pending"), ({"endpoint": "https://other.blob.core.windows.net"}, "account other")],
)
def test_a_run_of_azure_that_is_not_the_sources_is_passed_over(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    AzureDelivery(root=tmp_path, changes=changes).deliver(entries("a"))

    assert problem in refusal(NotFoundError, tmp_path, "azure")


@pytest.mark.parametrize(
    "options",
    [{"delimiter": "|", "header_required": True}, {"delimiter": ",", "header_required": False}],
    ids=["other delimiter", "no header"],
)
def test_the_csv_options_of_google_are_obeyed(tmp_path: Path, options: dict[str, Any]) -> None:
    GoogleDelivery(root=tmp_path, form="csv", options=options).deliver(entries("b,c", "a|b"), entries("d"))

    assert keys(tmp_path, "google") == ["a|b", "b,c", "d"]


def test_a_report_becomes_a_committed_inventory_that_says_where_it_is_from(tmp_path: Path) -> None:
    manifest = AmazonDelivery(root=tmp_path / "reports").deliver(entries("b", "a"))
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "reports").rglob("*"))
    store = LocalStateStore(tmp_path / "state")

    inventory = take_inventory(
        lister=lister(tmp_path / "reports", "amazon"), store=store, source="fleet", clock=lambda: datetime.now(UTC)
    )

    assert inventory.listing == f"Amazon S3 Inventory (parquet) of 2026-11-20 01:30 UTC: {manifest}"
    assert [key for batch in read_inventory(store, inventory) for key in batch["key"].to_pylist()] == ["a", "b"]
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "reports").rglob("*"))


def test_the_report_is_found_without_reading_its_files(tmp_path: Path) -> None:
    AmazonDelivery(root=tmp_path).deliver(entries("a"), entries("b"))
    next(iter(tmp_path.rglob("*.parquet"))).write_bytes(b"damaged, but not read")

    assert lister(tmp_path, "amazon").check().endswith("manifest.json: 2 files, 25 hours old")
