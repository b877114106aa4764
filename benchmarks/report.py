"""Reading an inventory report: rows per second and peak memory at two sizes, beside Arrow with everything in memory."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.synthetic import key_of
from benchmarks.table import Table, megabytes, rate, ratio, seconds_text

if TYPE_CHECKING:
    from benchmarks.measure import Measured, Stopwatch

_FILE_ROWS = 500_000
_COLUMNS = ("bucket", "key", "size", "last_modified_date", "e_tag", "storage_class")
_SCHEMAS = {
    "Parquet": " ".join(f"optional binary {name} (UTF8);" for name in _COLUMNS),
    "CSV": "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass",
}


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"report: {objects:,} and {objects * 5:,} rows in no order",
        ("", "rows/s", "time", "seconds per million", "CPU", "peak memory", "of which libraries", "against baseline"),
    )
    for size in (objects, objects * 5):
        for form in _SCHEMAS:
            root = folder / f"{form}-{size}"
            run_stage(deliver, root=str(root), objects=size, form=form)
            own = run_stage(take_from_report, root=str(root))
            if form == "Parquet":
                baseline = run_stage(sort_in_memory, root=str(root))
                _add(table, f"baseline: Arrow in memory, {size:,} Parquet", size, baseline, baseline)
            _add(table, f"inventory from {form}, {size:,}", size, own, baseline)
    table.notes.append(
        "The report is an Amazon S3 Inventory in a local directory, in files of 500,000 rows. The baseline reads the Parquet "
        "files into one table, sorts it and writes one file; it verifies nothing."
    )
    return table


def _add(table: Table, name: str, objects: int, measured: Measured, baseline: Measured) -> None:
    assert measured.facts["objects"] == objects, (name, measured.facts)
    table.add(
        name,
        rate(objects, measured.seconds),
        seconds_text(measured.seconds),
        f"{measured.seconds * 1e6 / objects:.2f}",
        seconds_text(measured.cpu_seconds),
        megabytes(measured.peak_bytes),
        megabytes(measured.libraries_bytes),
        ratio(baseline.seconds, measured.seconds),
    )


def deliver(watch: Stopwatch, *, root: str, objects: int, form: str) -> None:
    """Stage: write the report, its rows shuffled; the rows of one file are in memory at a time."""
    numbers = list(range(objects))
    random.Random(7).shuffle(numbers)
    at, folder = datetime.now(UTC) - timedelta(days=1), Path(root) / "bucket/nightly"
    (folder / "data").mkdir(parents=True)
    files = []
    with watch:
        for start in range(0, objects, _FILE_ROWS):
            path = folder / f"data/{start}"
            _write_file(path, numbers[start : start + _FILE_ROWS], at - timedelta(days=30), form)
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            files.append({"key": f"bucket/nightly/data/{start}", "size": path.stat().st_size, "MD5checksum": digest})
    manifest = {
        "sourceBucket": "bucket",
        "creationTimestamp": str(int(at.timestamp() * 1000)),
        "fileFormat": form,
        "fileSchema": _SCHEMAS[form],
        "files": files,
    }
    dated = folder / f"{at:%Y-%m-%dT%H-%MZ}"
    dated.mkdir()
    data = json.dumps(manifest).encode()
    (dated / "manifest.json").write_bytes(data)
    (dated / "manifest.checksum").write_text(hashlib.md5(data).hexdigest(), encoding="ascii")


def _write_file(path: Path, numbers: list[int], modified: datetime, form: str) -> None:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet as pq

    count = len(numbers)
    table = pa.table(
        {
            "bucket": pa.array(["bucket"] * count),
            "key": pa.array([key_of(number) for number in numbers]),
            "size": pa.array(numbers, pa.int64()),
            "last_modified_date": pa.array([modified] * count, pa.timestamp("ms", tz="UTC")),
            "e_tag": pa.array([f"{number:032x}" for number in numbers]),
            "storage_class": pa.array(["STANDARD"] * count),
        }
    )
    if form == "Parquet":
        pq.write_table(table, path)
        return
    with pa.CompressedOutputStream(str(path), "gzip") as stream:
        arrow_csv.write_csv(table, stream, arrow_csv.WriteOptions(include_header=False))


def take_from_report(watch: Stopwatch, *, root: str) -> None:
    """Stage: the pipeline's inventory, committed to a state on disk."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.inventory.reports.amazon import AmazonReports
    from registration_pipeline.inventory.reports.lister import ReportLister
    from registration_pipeline.inventory.reports.place import LocalPlace
    from registration_pipeline.state.local import LocalStateStore

    lister = ReportLister(LocalPlace(Path(root)), AmazonReports("bucket"), max_age=timedelta(days=8))
    store = LocalStateStore(Path(root) / "state")
    with watch:
        inventory = take_inventory(lister=lister, store=store, source="fleet", clock=lambda: datetime.now(UTC))
    watch.facts["objects"] = inventory.objects


def sort_in_memory(watch: Stopwatch, *, root: str) -> None:
    """Stage: the baseline."""
    import pyarrow.parquet as pq

    with watch:
        table = pq.read_table(Path(root) / "bucket/nightly/data").sort_by("key")
        pq.write_table(table, Path(root) / "sorted.parquet", compression="zstd")
    watch.facts["objects"] = table.num_rows
