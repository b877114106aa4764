"""Where a chunk's CPU goes, function by function: ``python -m benchmarks.chunk_profile [--chunks N]``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cpu_sampler import profile
from benchmarks.measure import run_stage
from benchmarks.project import environment, prepare, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.table import Table, machine, milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

CHARGED_TO = {
    "nearest": "the nearest function of the pipeline, with the libraries that it calls",
    "inclusive": "every function of the pipeline that is on the stack",
    "own": "the function itself, whosever it is, with what it calls in C",
}


def main() -> None:
    """Print three tables for each stage."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chunk_profile", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--chunks", type=int, default=100, help="chunks of 1,000 images (default: 100)")
    chunks: int = parser.parse_args().chunks
    print(machine() + "\n", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="chunk-profile-") as folder,
        sandbox_server(Path(folder) / "sandbox", job_seconds=0) as sandbox,
    ):
        environ = environment(write_configuration(Path(folder)), sandbox)
        run_stage(prepare, environ, objects=chunks * 1_000, plan=True)
        for stage in ("make_manifests", "submit_and_judge"):
            measured = run_stage(profile, environ, stage=stage)
            for how in CHARGED_TO:
                print(_table(stage, how, measured.cpu_seconds, measured.facts).text(), flush=True)


def _table(stage: str, how: str, cpu_seconds: float, facts: Mapping[str, Any]) -> Table:
    chunks = facts["chunks"]
    table = Table(f"{stage}, charged to {CHARGED_TO[how]}", ("function", "CPU per chunk", "share"))
    for name, seconds in facts[how]:
        table.add(name, milliseconds(seconds / chunks), f"{seconds / cpu_seconds:.1%}")
    rest = cpu_seconds - facts["charged"] - facts["sampler"]
    table.notes.append(
        f"{milliseconds(cpu_seconds / chunks)} a chunk in all, of which in no Python function (Arrow's threads, threads that "
        f"ended meanwhile) {milliseconds(rest / chunks)}, and the sampling itself {milliseconds(facts['sampler'] / chunks)}"
    )
    return table


if __name__ == "__main__":
    main()
