"""Listing S3 to Parquet: boto3's paginator, obstore and the inventory, without latency and with that of a real bucket.

What does not belong here: directories (``inventory.py``). Rates are compared, not times: the baseline lists fewer objects,
because it would take most of an hour for as many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.inventory import list_with_pipeline
from benchmarks.listing_command import list_with_command
from benchmarks.measure import run_stage
from benchmarks.project import environment, write_configuration
from benchmarks.servers import listing_server
from benchmarks.table import Table, figures, ratio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch
    from benchmarks.servers import Server

LATENCY = 0.08
"""Seconds a page: in the range of 50 to 150 ms that Amazon S3 takes."""

_REGION = "eu-west-2"
_LATE_SHARE = 2  # the baseline with latency lists half of the objects
_RUNS = 3  # of the baseline and of the whole command; the best counts


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    objects: int
    measured: Measured
    baseline: _Row | None = None


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"listing: {objects:,} to {100 * objects:,} objects, pages of 1,000",
        (
            "",
            "objects",
            "objects/s",
            "time",
            "CPU of the process",
            "peak memory",
            "of which libraries",
            "against baseline",
        ),
    )
    for row in [*_without_latency(objects, folder), *_with_latency(objects, folder)]:
        _add(table, row)
    table.notes.append(
        "Rates are compared, not times. The server shares the machine's cores (see benchmarks/listing_server.py). CPU and "
        "memory are those of the process that lists, but for the whole command, whose row has those of all its processes."
    )
    return table


def _without_latency(objects: int, folder: Path) -> list[_Row]:
    rows: list[_Row] = []
    with listing_server("flat", objects) as server:
        runs = [_run(paginate_to_parquet, server, folder) for _ in range(_RUNS)]
        best = min(runs, key=lambda run: run.seconds)
        baseline = _Row(f"baseline: boto3 paginator → Parquet, best of {_RUNS}", objects, best)
        rows.append(baseline)
    with listing_server("flat", 30 * objects) as server:
        runs = [_command(server, folder, number) for number in range(_RUNS)]
        best = min(runs, key=lambda run: run.seconds)
        name = f"`registration-pipeline inventory`, its start included, {best.facts['processes']} processes, best of {_RUNS}"
        rows.append(_Row(name, 30 * objects, best, baseline))
    with listing_server("flat", 10 * objects) as server:
        counted = _run(count_with_obstore, server, folder)
        rows.append(
            _Row("obstore to Arrow (other columns, keys not exact), not written", 10 * objects, counted, baseline)
        )
        rows += [
            _Row(f"inventory → Parquet, {number} at once", 10 * objects, _inventory(server, folder, number), baseline)
            for number in (1, 16)
        ]
    for layout in ("deep", "flat"):
        with listing_server(layout, 100 * objects) as server:
            measured = _inventory(server, folder, 16)
            rows.append(_Row(f"inventory → Parquet, 16 at once, {layout}", 100 * objects, measured, baseline))
    return rows


def _with_latency(objects: int, folder: Path) -> list[_Row]:
    rows: list[_Row] = []
    late = f"{LATENCY * 1000:.0f} ms a page"
    for layout in ("flat", "deep"):
        few = objects // _LATE_SHARE
        with listing_server(layout, few, latency=LATENCY) as server:
            measured = _run(paginate_to_parquet, server, folder)
            baseline = _Row(f"{late}, {layout}, baseline: boto3 paginator → Parquet", few, measured)
            alone = _Row(f"{late}, {layout}, inventory, 1 at once", few, _inventory(server, folder, 1), baseline)
        with listing_server(layout, 10 * objects, latency=LATENCY) as server:
            measured = _inventory(server, folder, 16)
            rows += [
                baseline,
                alone,
                _Row(f"{late}, {layout}, inventory, 16 at once", 10 * objects, measured, baseline),
            ]
    return rows


def _run(stage: Callable[..., None], server: Server, folder: Path) -> Measured:
    out = folder / "listed.parquet"
    environ = environment(folder / "no.yaml")
    return run_stage(
        stage, environ, endpoint_url=server.facts["endpoint_url"], bucket=server.facts["bucket"], out=str(out)
    )


def _inventory(server: Server, folder: Path, concurrency: int) -> Measured:
    name = f"{server.facts['endpoint_url'].rpartition(':')[2]}-{concurrency}"
    config = write_configuration(folder / name, endpoint_url=server.facts["endpoint_url"], concurrency=concurrency)
    return run_stage(list_with_pipeline, environment(config))


def _command(server: Server, folder: Path, number: int) -> Measured:
    """Return what the whole command took, with all its processes."""
    config = write_configuration(folder / f"command-{number}", endpoint_url=server.facts["endpoint_url"])
    measured = run_stage(list_with_command, environment(config))
    facts = measured.facts
    return replace(measured, cpu_seconds=facts["cpu_seconds"], peak_bytes=facts["peak_bytes"])


def _add(table: Table, row: _Row) -> None:
    measured, against = row.measured, row.baseline or row
    assert measured.facts["objects"] == row.objects, (row.name, measured.facts)
    table.add(
        row.name,
        f"{row.objects:,}",
        *figures(row.objects, measured),
        ratio(against.measured.seconds / against.objects, measured.seconds / row.objects),
    )


def paginate_to_parquet(watch: Stopwatch, *, endpoint_url: str, bucket: str, out: str) -> None:
    """Stage: the baseline, with the columns that an inventory has of S3."""
    import boto3
    import pyarrow as pa
    import pyarrow.parquet as pq

    client = boto3.client("s3", endpoint_url=endpoint_url, region_name=_REGION)
    names = ("Key", "Size", "LastModified", "ETag", "StorageClass")
    kinds = (pa.string(), pa.int64(), pa.timestamp("us", tz="UTC"), pa.string(), pa.string())
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    objects = 0
    with watch, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        rows: list[Any] = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            rows += page.get("Contents", ())
            if len(rows) >= 64_000 or not page["IsTruncated"]:
                objects += len(rows)
                columns = {name: [row[name] for row in rows] for name in names}
                writer.write_table(pa.table(columns, schema=schema))
                rows = []
    watch.facts["objects"] = objects


def count_with_obstore(watch: Stopwatch, *, endpoint_url: str, bucket: str, out: str) -> None:
    """Stage: what obstore's listing alone takes."""
    import obstore
    from obstore.store import S3Store

    del out  # nothing is written
    store = S3Store(
        bucket,
        endpoint=endpoint_url,
        region=_REGION,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    with watch:
        batches = obstore.list(store, return_arrow=True, chunk_size=10_000)
        watch.facts["objects"] = sum(batch.num_rows for batch in batches)
