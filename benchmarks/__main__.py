"""``python -m benchmarks [name…] [--objects N]``: runs benchmarks one after the other and prints their tables."""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from pathlib import Path

from benchmarks.table import machine

NAMES = (
    *(
        "inventory",
        "listing",
        "listing_model",
        "many_keys",
        "listing_clouds",
        "key_ranges",
        "plan",
        "manifests",
        "rendering",
        "submission",
        "chunk_cpu",
        "in_flight",
        "orchestration",
    ),
    *(
        "end_to_end",
        "found_by_place",
        "find",
        "groups",
        "metadata_plan",
        "metadata_tables",
        "upserts",
        "changes",
        "quiet_night",
        "nights",
        "waves",
        "first_job",
        "partitions",
        "report",
        "report_page",
        "probing",
        "state_in_bucket",
    ),
    "audit",  # the longest: ten and twenty times the objects
)


def main() -> None:
    """Run the chosen benchmarks; what they write is removed at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The figures of docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(NAMES)}; default: all")
    parser.add_argument("--objects", type=int, default=100_000, help="objects of the bucket (default: 100000)")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    if chosen.objects < 100:
        parser.error("--objects must be 100 or more: the orchestration uses a tenth of them, in chunks of 10")
    print(machine() + "\n", flush=True)
    for name in chosen.names or NAMES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
            table = importlib.import_module(f"benchmarks.{name}").run(chosen.objects, Path(folder))
        table.notes.append(f"the whole benchmark took {time.monotonic() - began:.0f} s")
        print(table.text(), flush=True)


if __name__ == "__main__":
    main()
