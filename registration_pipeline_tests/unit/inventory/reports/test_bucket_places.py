"""Report files in a bucket that obstore reads; over HTTP see the integration tests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import NotFoundError, ServiceUnavailableError
from registration_pipeline.inventory.reports import bucket_places as report_bucket
from registration_pipeline.inventory.reports.azure import AzureReports
from registration_pipeline.inventory.reports.bucket_places import ObjectStorePlace
from registration_pipeline.inventory.reports.google import GoogleReports
from registration_pipeline.inventory.reports.lister import ReportLister
from registration_pipeline.inventory.reports.place import Level
from registration_pipeline_tests.report_deliveries.delivery import SNAPSHOT, AzureDelivery, GoogleDelivery, entries

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.inventory.reports.manifest import ReportService


def uploaded(folder: Path) -> MemoryStore:
    store = MemoryStore()
    for path in folder.rglob("*"):
        if path.is_file():
            obstore.put(store, path.relative_to(folder).as_posix(), path.read_bytes())
    return store


def keys(place: ObjectStorePlace, service: ReportService) -> list[str]:
    lister = ReportLister(place, service, max_age=timedelta(days=8), clock=lambda: SNAPSHOT)
    return [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]


def test_a_report_of_google_is_read_from_a_bucket(tmp_path: Path) -> None:
    GoogleDelivery(root=tmp_path).deliver(entries("b"), entries("a +", "/c"))
    place = ObjectStorePlace(uploaded(tmp_path), "gs://reports", "inventory_reports/")

    assert keys(place, GoogleReports("fleet-bucket")) == ["/c", "a +", "b"]
    # One level, size and content of the manifest, and for each of two files its size twice and its content.
    assert place.requests == 9


def test_a_report_of_azure_is_read_from_a_container(tmp_path: Path) -> None:
    AzureDelivery(root=tmp_path).deliver(entries("b"), entries("a"))

    assert keys(ObjectStorePlace(uploaded(tmp_path), "az://reports@fleet"), AzureReports("fleet-bucket")) == ["a", "b"]


def test_a_place_says_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"123")
    (tmp_path / "a" / "d").write_bytes(b"")
    place = ObjectStorePlace(uploaded(tmp_path), "gs://reports/", source="fleet")

    assert place.level("a/") == Level(("a/b/",), ("a/d",))
    assert place.level("") == Level(("a/",), ())
    assert place.level("none/") == Level((), ())
    assert (place.size("a/b/c"), place.size("a/b")) == (3, None)
    assert b"".join(place.chunks("a/b/c")) == b"123"
    with pytest.raises(NotFoundError, match=r"gs://reports/a/none.*sources\.fleet\.storage\.inventory_report"):
        list(place.chunks("a/none"))


@pytest.mark.parametrize("size", [0, 1, 4, 5, 9])
def test_a_file_is_fetched_in_pieces_none_of_which_takes_long(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(report_bucket, "CHUNK_BYTES", 4)
    store, content = MemoryStore(), b"123456789"[:size]
    obstore.put(store, "file", content)
    place = ObjectStorePlace(store, "gs://reports")

    pieces = list(place.chunks("file"))

    assert b"".join(pieces) == content
    assert [len(piece) for piece in pieces] == [4] * (size // 4) + [size % 4] * (size % 4 > 0)
    assert place.requests == 1 + len(pieces)


def test_a_file_that_is_replaced_while_it_is_fetched_is_not_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_bucket, "CHUNK_BYTES", 4)
    store = MemoryStore()
    obstore.put(store, "file", b"old content")
    pieces = ObjectStorePlace(store, "gs://reports", source="fleet").chunks("file")
    assert next(pieces) == b"old "

    obstore.put(store, "file", b"new content")

    with pytest.raises(ServiceUnavailableError, match=r"gs://reports/file.*run again"):
        next(pieces)
