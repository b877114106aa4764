"""Inventory reports of the three providers, in every format: what is listed from them, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError, HaltError, ListingError, NotFoundError
from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.reports.amazon import AmazonReports
from registration_pipeline.inventory.reports.azure import AzureReports
from registration_pipeline.inventory.reports.google import GoogleReports
from registration_pipeline.inventory.reports.lister import ReportLister
from registration_pipeline.inventory.reports.place import LocalPlace
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.report_deliveries.delivery import (
    ALL_FORMS,
    DELIVERIES,
    SNAPSHOT,
    WRITTEN,
    AmazonDelivery,
    AzureDelivery,
    Entry,
    GoogleDelivery,
    entries,
)

if TYPE_CHECKING:
    from pathlib import Path

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
@settings(max_examples=12)
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


@every_provider
def test_a_file_whose_content_differs_gives_nothing_and_is_named(tmp_path: Path, provider: str) -> None:
    DELIVERIES[provider](root=tmp_path).deliver(entries("a", "b"), entries("c"))
    damaged = max(tmp_path.rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes() + b"more")

    text = refusal(ListingError, tmp_path, provider)

    assert str(damaged) in text or provider == "google"
    assert "sources.fleet.storage.inventory_report" in text


def test_a_file_of_the_right_size_with_another_md5_gives_nothing(tmp_path: Path) -> None:
    AmazonDelivery(root=tmp_path).deliver(entries("a", "b"), entries("c"))
    damaged = next(path for path in tmp_path.rglob("*.parquet"))
    data = bytearray(damaged.read_bytes())
    data[20] ^= 1
    damaged.write_bytes(data)

    assert f"{damaged} can't be trusted: its MD5 is" in refusal(ListingError, tmp_path, "amazon")


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_file_that_is_not_of_its_format_is_named(tmp_path: Path, form: str) -> None:
    GoogleDelivery(root=tmp_path, form=form).deliver(entries("a", "b"), entries("c"))
    damaged = max(tmp_path.rglob(f"*.{form}"))
    damaged.write_bytes(damaged.read_bytes()[:-20] + b"\x1f\x8b" * 10)

    assert f"{damaged} can't be trusted: " in refusal(ListingError, tmp_path, "google")


@pytest.mark.parametrize("form", ["CSV", "Parquet", "ORC"])
def test_a_cut_file_whose_manifest_agrees_is_named(tmp_path: Path, form: str) -> None:
    manifest = AmazonDelivery(root=tmp_path, form=form).deliver(entries(*HOSTILE))
    damaged = next(path for path in tmp_path.rglob("data/*"))
    damaged.write_bytes(damaged.read_bytes()[:-30])
    written = json.loads(manifest.read_bytes())
    written["files"][0] |= {
        "size": damaged.stat().st_size,
        "MD5checksum": hashlib.md5(damaged.read_bytes()).hexdigest(),
    }
    manifest.write_text(json.dumps(written))
    manifest.with_name("manifest.checksum").write_text(hashlib.md5(manifest.read_bytes()).hexdigest())

    assert f"{damaged} can't be trusted: it can't be read as" in refusal(ListingError, tmp_path, "amazon")


@pytest.mark.parametrize("provider", ["amazon", "azure"])
def test_a_manifest_that_differs_from_its_checksum_gives_nothing(tmp_path: Path, provider: str) -> None:
    manifest = DELIVERIES[provider](root=tmp_path).deliver(entries("a"))
    manifest.write_bytes(manifest.read_bytes().replace(b"{", b"{ ", 1))

    text = refusal(ListingError, tmp_path, provider)

    assert str(manifest) in text
    assert "MD5" in text


@every_provider
def test_a_missing_file_is_named(tmp_path: Path, provider: str) -> None:
    DELIVERIES[provider](root=tmp_path).deliver(entries("a"), entries("c"))
    gone = max(tmp_path.rglob("*.parquet"))
    gone.unlink()

    assert gone.name in refusal(NotFoundError, tmp_path, provider)


@every_provider
def test_without_any_manifest_the_setting_and_the_wait_are_named(tmp_path: Path, provider: str) -> None:
    (tmp_path / "2026").mkdir()

    text = refusal(NotFoundError, tmp_path, provider)

    assert "sources.fleet.storage.inventory_report" in text
    assert "48 hours" in text


@pytest.mark.parametrize(
    ("provider", "changes"),
    [("google", {"records_processed": 3}), ("azure", {"summary": {"objectCount": 3}})],
    ids=["google", "azure"],
)
def test_a_report_with_fewer_rows_than_it_counts_is_refused(
    tmp_path: Path, provider: str, changes: dict[str, Any]
) -> None:
    DELIVERIES[provider](root=tmp_path, changes=changes).deliver(entries("a", "b"))

    assert "it counts 3 rows, and its files have 2" in refusal(ListingError, tmp_path, provider)


@every_provider
def test_a_report_of_another_bucket_is_refused(tmp_path: Path, provider: str) -> None:
    bucket = "other-bucket"
    DELIVERIES[provider](root=tmp_path, bucket=bucket).deliver(entries("raw/a"))

    text = refusal(NotFoundError, tmp_path, provider, "raw/")

    assert bucket in text or provider == "azure"
    assert "fleet" in text


@every_provider
def test_a_report_without_an_object_of_the_source_is_refused(tmp_path: Path, provider: str) -> None:
    DELIVERIES[provider](root=tmp_path).deliver(entries("cooked/a", "ra"))

    text = refusal(NotFoundError, tmp_path, provider, "raw/")

    assert "names no object below 'raw/' in its 2 rows" in text
    assert "sources.fleet.uri" in text


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


@pytest.mark.parametrize(
    ("provider", "form", "drop", "field"),
    [
        ("amazon", "Parquet", "size", "Size"),
        ("amazon", "CSV", "LastModifiedDate", "LastModifiedDate"),
        ("amazon", "ORC", "last_modified_date", "LastModifiedDate"),
        ("google", "csv", "size", "size"),
        ("google", "parquet", "bucket", "bucket"),
        ("azure", "parquet", "Content-Length", "Content-Length"),
        ("azure", "csv", "Last-Modified", "Last-Modified"),
    ],
)
def test_a_report_without_a_needed_field_names_the_one_to_switch_on(
    tmp_path: Path, provider: str, form: str, drop: str, field: str
) -> None:
    DELIVERIES[provider](root=tmp_path, form=form, drop=(drop,)).deliver(entries("a"))

    assert f"switch on {field} in the configuration" in refusal(ListingError, tmp_path, provider)


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


@pytest.mark.parametrize(("age", "is_refused"), [(timedelta(days=8), False), (timedelta(days=8, hours=1), True)])
def test_a_report_that_is_too_old_is_refused(tmp_path: Path, age: timedelta, is_refused: bool) -> None:  # noqa: FBT001
    AmazonDelivery(root=tmp_path).deliver(entries("a"), at=TONIGHT.replace(second=0) - age)
    told: list[str] = []

    if is_refused:
        text = refusal(ListingError, tmp_path, "amazon", notify=told.append)
        assert "8 days old" in text
        assert "sources.fleet.storage.report_max_age_days" in text
    else:
        assert keys(tmp_path, "amazon", notify=told.append) == ["a"]
        assert any("8 days old" in notice for notice in told)


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


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"[1]", "not a JSON object"), (b"{", "not JSON"), (b"{}", "lacks or garbles 'snapshot_time'")],
    ids=["list", "cut", "empty"],
)
def test_a_manifest_that_can_not_be_read_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    GoogleDelivery(root=tmp_path).deliver(entries("a")).write_bytes(data)

    assert problem in refusal(ListingError, tmp_path, "google")


@pytest.mark.parametrize(
    ("key", "problem"), [("50%", "should be URL-encoded"), ("caf%E9", "is not UTF-8")], ids=["plain", "latin-1"]
)
def test_keys_that_can_not_be_decoded_are_refused(tmp_path: Path, key: str, problem: str) -> None:
    AmazonDelivery(root=tmp_path, form="CSV").deliver([Entry(key="fine"), Entry(key="x", marks={"Key": key})])

    assert problem in refusal(ListingError, tmp_path, "amazon")


def test_a_row_without_a_size_is_refused(tmp_path: Path) -> None:
    AmazonDelivery(root=tmp_path).deliver([Entry(key="fine"), Entry(key="x", marks={"size": None})])

    assert "the row of key 'x' lacks" in refusal(ListingError, tmp_path, "amazon")


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
