"""Inventory reports that are damaged, incomplete, of another bucket or too old: nothing is listed, and it is said why."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import ListingError, NotFoundError
from registration_pipeline_tests.report_deliveries.delivery import (
    DELIVERIES,
    AmazonDelivery,
    Entry,
    GoogleDelivery,
    entries,
)
from registration_pipeline_tests.unit.inventory.reports.listed_reports import (
    HOSTILE,
    TONIGHT,
    every_provider,
    keys,
    refusal,
)

if TYPE_CHECKING:
    from pathlib import Path


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
