"""Topping up the reports of Google Cloud Storage and Azure: on the emulators, and where folders are listed page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registration_pipeline.inventory.azure.folder_probe import AzureFolderProbe
from registration_pipeline.inventory.azure.requests import AzureRequests
from registration_pipeline.inventory.gcs.folder_probe import GCSFolderProbe
from registration_pipeline.inventory.gcs.requests import GCSRequests
from registration_pipeline.project.clients.azure import open_container
from registration_pipeline.project.clients.gcs import open_gcs
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline_tests.answers import server
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.report_deliveries.delivery import AzureDelivery, Entry, GoogleDelivery
from registration_pipeline_tests.stores.azure_imitation import flat, hierarchical
from registration_pipeline_tests.stores.gcs_imitation import bucket_of
from registration_pipeline_tests.stores.processes import AZURITE_ACCOUNT, AZURITE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.inventory.reports.top_up import FolderProbe
    from registration_pipeline_tests.stores.hostile_stores import Store

pytestmark = pytest.mark.slow

SNAPSHOT = datetime.now(UTC) - timedelta(days=1)
QUIET, BUSY = SNAPSHOT - timedelta(days=30), SNAPSHOT - timedelta(days=1)
REPORTED = ["raw/old/1.jpg", "raw/old/2.jpg", "raw/busy/1.jpg", "raw/busy/2.jpg", "raw/readme"]
# Since the report: an object gone from a quiet folder, which can't be seen, and from a live one; new objects and folders.
NOW = [
    *("raw/old/1.jpg", "raw/busy/1.jpg", "raw/busy/\U0001f600.jpg", "raw/busy/\uff21.jpg", "raw/busy-too.jpg"),
    *("raw/new/1.jpg", "raw/new/deep/2.jpg", "raw/readme", "raw/top.jpg", "raw/\U0001f600/1.jpg", "raw/\ue000.jpg"),
]
EXPECTED = sorted({*NOW, "raw/old/2.jpg"})


def source_of(uri: str, endpoint: str, reports: Path) -> SourceSettings:
    storage = StorageSettings(endpoint_url=endpoint, inventory_report=str(reports), top_up=True)
    return SourceSettings(name="fleet", uri=uri, storage=storage)


def deliver(reports: GoogleDelivery | AzureDelivery) -> None:
    reports.deliver([Entry(key=key, modified=BUSY if "busy" in key else QUIET) for key in REPORTED], at=SNAPSHOT)


def topped_up(source: SourceSettings) -> list[str]:
    lister = make_lister(source)
    found = [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]
    assert lister.description.endswith(", and 2 live folders and 2 new ones listed since")
    return found


@pytest.mark.parametrize("answer", [flat(NOW), hierarchical(set(NOW), says_kinds=True)], ids=["flat", "hierarchical"])
def test_what_changed_since_azures_report_is_listed(
    answer: object, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    del clean_environment
    deliver(AzureDelivery(root=tmp_path))
    with server(answer) as endpoint:  # type: ignore[arg-type]
        assert topped_up(source_of("az://fleet-bucket@fleet/raw/", endpoint, tmp_path)) == EXPECTED


def test_what_changed_since_googles_report_is_listed(tmp_path: Path, clean_environment: pytest.MonkeyPatch) -> None:
    del clean_environment
    deliver(GoogleDelivery(root=tmp_path))
    with server(bucket_of(NOW)) as endpoint:
        assert topped_up(source_of("gs://fleet-bucket/raw/", endpoint, tmp_path)) == EXPECTED


def test_both_emulators_are_topped_up(
    azurite_store: Store, gcs_emulator_store: Store, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("AZURE_STORAGE_KEY", AZURITE_KEY)
    for store in (azurite_store, gcs_emulator_store):
        name, bucket = store.bucket()
        for key in NOW:
            bucket.put(key)
        reports: GoogleDelivery | AzureDelivery
        if store is azurite_store:
            endpoint = f"https://{AZURITE_ACCOUNT}.blob.core.windows.net"
            reports = AzureDelivery(root=tmp_path / name, bucket=name, changes={"endpoint": endpoint})
        else:
            reports = GoogleDelivery(root=tmp_path / name, bucket=name)
        deliver(reports)

        uri = store.uri.format(bucket=name) + "raw/"
        assert topped_up(source_of(uri, str(store.endpoint_url), tmp_path / name)) == EXPECTED


def entries_of(probe: FolderProbe, folder: str) -> Iterator[tuple[str, str]]:
    for page in probe.pages(folder):
        objects = ((key, "object") for key in page.objects.column("key").to_pylist())
        yield from sorted([*objects, *((below, "folder") for below in page.folders)])


def expected_of(keys: set[str], folder: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for key in keys:
        rest = key.removeprefix(folder)
        if rest != key or not folder:
            found[folder + rest[: rest.find("/") + 1] if "/" in rest else key] = "folder" if "/" in rest else "object"
    return sorted(found.items())


SEGMENTS = st.text(st.sampled_from("!-0a\ue000\U00010000"), min_size=1, max_size=2)
FILES = st.sets(st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join), min_size=1)


@settings(max_examples=examples(6, thorough=60))
@given(names=FILES, page_size=st.integers(1, 3))
@example(names={"a-b", "a/x", "a0", "a\U00010000/x", "a\ue000"}, page_size=1)
def test_a_folder_is_listed_in_the_order_of_keys_page_by_page(names: set[str], page_size: int) -> None:
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    for answer in (flat(files), hierarchical(files, says_kinds=True)):
        with server(answer) as endpoint:
            client = open_container("account1", "box", endpoint, {}, retries=0)
            probe = AzureFolderProbe(AzureRequests(client, "account1", page_size=page_size))
            for folder in ("", "a/"):
                assert list(entries_of(probe, folder)) == expected_of(files, folder)
    with server(bucket_of(files)) as endpoint:
        google = GCSFolderProbe(GCSRequests(open_gcs(endpoint_url=endpoint), "bucket", page_size=page_size))
        for folder in ("", "a/"):
            assert list(entries_of(google, folder)) == expected_of(files, folder)
