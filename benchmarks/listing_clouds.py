"""Listing Google Cloud Storage and Azure with 80 ms a page: the providers' own sequential pagers and the inventory.

What does not belong here: S3 (``listing.py``). Rates are compared, not times: the baseline lists fewer objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.inventory import list_with_pipeline
from benchmarks.measure import run_stage
from benchmarks.project import environment, write_configuration
from benchmarks.servers import listing_clouds_server
from benchmarks.table import Table, figures, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch

LATENCY = 0.08
"""Seconds a page, as in ``listing.py``."""

_TIMES = 10  # as many objects for the inventory as for the baseline


@dataclass(frozen=True, slots=True)
class _Case:
    """A store: what it is called, the server's word for it, its keys, its URI, and the provider's pager."""

    name: str
    cloud: str
    layout: str
    uri: str
    pager: str


_GOOGLE, _AZURE = "gs://benchmark/", "az://benchmark@account1/"
_CASES = (
    _Case("Google, flat", "google", "flat", _GOOGLE, "google-cloud-storage list_blobs"),
    _Case("Google, folders", "google", "deep", _GOOGLE, "google-cloud-storage list_blobs"),
    _Case("Azure, flat", "azure", "flat", _AZURE, "azure-storage-blob list_blobs"),
    _Case("Azure, folders", "azure", "deep", _AZURE, "azure-storage-blob list_blobs"),
    _Case("Azure, hierarchical namespace", "azure folders", "deep", _AZURE, "azure-storage-blob list_blobs"),
)


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"listing Google and Azure: {objects:,} and {_TIMES * objects:,} objects, {LATENCY * 1000:.0f} ms a page",
        (
            "",
            "objects",
            "objects/s",
            "time",
            "CPU of the process",
            "CPU per 1,000 objects",
            "peak memory",
            "of which libraries",
            "against baseline",
        ),
    )
    for number, case in enumerate(_CASES):
        _measure(table, case, objects, folder / str(number))
    table.notes.append(
        "Rates are compared, not times. Pages hold 1,000 objects (Google) and 5,000 (Azure). The baseline keeps names, sizes "
        "and times in memory; the inventory is committed as Parquet. The server shares the machine's cores (see "
        "benchmarks/listing_clouds_server.py)."
    )
    return table


def _measure(table: Table, case: _Case, objects: int, folder: Path) -> None:
    with listing_clouds_server(case.cloud, case.layout, objects, latency=LATENCY) as server:
        stage = google_pager if case.cloud == "google" else azure_pager
        baseline = run_stage(stage, endpoint_url=server.facts["endpoint_url"])
        alone = _inventory(case, server.facts["endpoint_url"], folder / "one", concurrency=1)
    with listing_clouds_server(case.cloud, case.layout, _TIMES * objects, latency=LATENCY) as server:
        many = _inventory(case, server.facts["endpoint_url"], folder / "many", concurrency=16)
    share = baseline.seconds / objects
    for name, number, measured in (
        (f"{case.name}, baseline: {case.pager}", objects, baseline),
        (f"{case.name}, inventory, 1 at once", objects, alone),
        (f"{case.name}, inventory, 16 at once", _TIMES * objects, many),
    ):
        # The directory of the hierarchical namespace is an entry for the provider's pager.
        assert measured.facts["objects"] - number in {0, int(case.cloud == "azure folders")}, (name, measured.facts)
        rate, time, cpu, *memory = figures(number, measured)
        each = f"{measured.cpu_seconds / number * 1e6:.1f} ms"
        table.add(name, f"{number:,}", rate, time, cpu, each, *memory, ratio(share, measured.seconds / number))


def _inventory(case: _Case, endpoint_url: str, folder: Path, *, concurrency: int) -> Measured:
    config = write_configuration(folder, uri=case.uri, endpoint_url=endpoint_url, concurrency=concurrency)
    return run_stage(list_with_pipeline, environment(config))


def google_pager(watch: Stopwatch, *, endpoint_url: str) -> None:
    """Stage: the baseline on Google Cloud Storage."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="p", credentials=anonymous, client_options={"api_endpoint": endpoint_url})
    with watch:
        rows = [(blob.name, blob.size, blob.updated, blob.md5_hash) for blob in client.list_blobs("benchmark")]
    watch.facts["objects"] = len(rows)


def azure_pager(watch: Stopwatch, *, endpoint_url: str) -> None:
    """Stage: the baseline on Azure."""
    from azure.storage.blob import ContainerClient

    client = ContainerClient(endpoint_url, "benchmark")
    with watch:
        rows = [(blob.name, blob.size, blob.last_modified, blob.etag) for blob in client.list_blobs()]
    watch.facts["objects"] = len(rows)
