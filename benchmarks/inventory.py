"""Listing: objects per second and peak memory, beside boto3's paginator into a list and one JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import environment, load_project, write_configuration
from benchmarks.servers import listing_server
from benchmarks.synthetic import key_of
from benchmarks.table import Table, figures, ratio

if TYPE_CHECKING:
    from benchmarks.measure import Measured, Stopwatch


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    with listing_server("deep", objects) as server:
        address = {"endpoint_url": server.facts["endpoint_url"], "bucket": server.facts["bucket"]}
        config = write_configuration(folder / "s3", endpoint_url=address["endpoint_url"])
        environ = environment(config)
        listed = run_stage(paginate_to_json, environ, **address, out=str(folder / "keys.json"))
        own = run_stage(list_with_pipeline, environ)
    files = folder / "files"
    write_files(files, objects)
    local_config = write_configuration(folder / "local", uri=files.as_uri())
    walked = run_stage(walk_to_json, root=str(files), out=str(folder / "paths.json"))
    own_local = run_stage(list_with_pipeline, environment(local_config))
    table = Table(
        f"inventory: {objects:,} objects",
        ("", "objects/s", "time", "CPU of the process", "peak memory", "of which libraries", "against baseline"),
    )
    rows = (
        ("S3, baseline: boto3 paginator, one JSON of keys", listed, listed),
        ("S3, inventory to Parquet", own, listed),
        ("directory, baseline: `Path.rglob` with `stat`, one JSON", walked, walked),
        ("directory, inventory to Parquet", own_local, walked),
    )
    for name, measured, baseline in rows:
        _add(table, name, objects, measured, baseline)
    table.notes.append(
        "S3 is a server on loopback that cuts its pages from rendered blocks (see benchmarks/listing_server.py): what is "
        "measured is the client. How it is with the latency of a real bucket: benchmark `listing`."
    )
    return table


def _add(table: Table, name: str, objects: int, measured: Measured, baseline: Measured) -> None:
    assert measured.facts["objects"] == objects, (name, measured.facts)
    table.add(
        name,
        *figures(objects, measured),
        ratio(baseline.seconds, measured.seconds),
    )


def write_files(root: Path, objects: int) -> None:
    """Make a tree of files of one byte."""
    made: set[Path] = set()
    for number in range(objects):
        path = root / key_of(number)
        if path.parent not in made:
            path.parent.mkdir(parents=True)
            made.add(path.parent)
        path.write_bytes(b".")


def paginate_to_json(watch: Stopwatch, *, endpoint_url: str, bucket: str, out: str) -> None:
    """Stage: the baseline on S3."""
    import boto3

    from benchmarks.baseline import list_keys

    del boto3  # imported before the clock starts, as the pipeline's libraries are
    with watch:
        keys = list_keys(endpoint_url, bucket)
        Path(out).write_text(json.dumps(keys), encoding="utf-8")
    watch.facts["objects"] = len(keys)


def walk_to_json(watch: Stopwatch, *, root: str, out: str) -> None:
    """Stage: the baseline on a directory; size and time are read, because an inventory has them too."""
    with watch:
        found = [(str(path), path.stat()) for path in Path(root).rglob("*") if path.is_file()]
        entries = [{"key": path, "size": status.st_size, "modified": status.st_mtime} for path, status in found]
        Path(out).write_text(json.dumps(entries), encoding="utf-8")
    watch.facts["objects"] = len(entries)


def list_with_pipeline(watch: Stopwatch) -> None:
    """Stage: the pipeline's inventory, committed to a state on disk."""
    import registration_pipeline.inventory.inventory  # before the clock starts

    project, source = load_project()
    project.lister(source)
    with watch:
        inventory = project.take_inventory(source)
    watch.facts["objects"] = inventory.objects
    del registration_pipeline
