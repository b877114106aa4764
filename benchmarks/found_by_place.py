"""Reading a chunk of a rare kind: by its place in the unit files of its wave, and between its keys in the plan."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.synthetic import SyntheticLister
from benchmarks.table import Table, megabytes, milliseconds, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch

RARE = 1_000
"""One object in this many is a PDF."""
ROUNDS = 5
"""Each in a process of its own, because a process keeps the row groups that it decoded last."""


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    size = objects * 10
    environ = environment(write_configuration(folder))
    planned = run_stage(plan_rare, environ, objects=size).facts
    table = Table(
        f"found_by_place: {size:,} objects, one PDF in {RARE:,}; one chunk read from the plan",
        ("", "units", "time", "CPU", "peak memory", "against baseline"),
    )
    rows = [("baseline: PDFs between their keys", "pdfs", False), ("PDFs by their place", "pdfs", True)]
    baseline: Measured | None = None
    for name, kind, by_place in [*rows, ("images between their keys", "images", False)]:
        rounds = [run_stage(read_chunk, environ, kind=kind, by_place=by_place, turn=turn) for turn in range(ROUNDS)]
        measured = sorted(rounds, key=lambda one: one.seconds)[ROUNDS // 2]
        baseline = baseline or measured
        table.add(
            name,
            f"{measured.facts['units']:,}",
            milliseconds(measured.seconds),
            milliseconds(median(one.cpu_seconds for one in rounds)),
            megabytes(measured.peak_bytes),
            ratio(baseline.seconds, measured.seconds) if kind == "pdfs" else "",
        )
    table.notes.append(
        f"Median of {ROUNDS} rounds, each in a new process that has read one chunk of images elsewhere before. "
        f"{planned['placed']} of {planned['chunks']:,} chunks are found by place; their rows take "
        f"{planned['unit_bytes'] / 1000:,.0f} kB beside a plan of {megabytes(planned['plan_bytes'])}."
    )
    return table


def plan_rare(watch: Stopwatch, *, objects: int) -> None:
    """Stage: list and plan a bucket in which one kind is rare."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, source = load_project()
    lister = SyntheticLister(objects, pdf_every=RARE)
    with watch:
        take_inventory(lister=lister, store=project.store, source=SOURCE, clock=utc_now)
        plan = project.plan(source)
    watch.facts.update(
        chunks=len(plan.chunks),
        placed=sum(chunk.first_row is not None for chunk in plan.chunks),
        unit_bytes=sum(part.bytes for part in plan.wave.unit_files),
        plan_bytes=sum(part.bytes for part in plan.wave.parts),
    )


def read_chunk(watch: Stopwatch, *, kind: str, by_place: bool, turn: int) -> None:
    """Stage: read one chunk of the kind, after one of images elsewhere; the turns are spread over the plan."""
    from dataclasses import replace

    from registration_pipeline.planning.wave import load_chunks, read_chunk_units

    project, _ = load_project()
    store = project.store
    planned: list[Any] = list(load_chunks(store, SOURCE).values())
    chunks = [chunk for chunk in planned if chunk.kind == kind]
    chunk = chunks[turn * len(chunks) // ROUNDS]
    images = [other for other in planned if other.kind == "images" and other is not chunk]
    read_chunk_units(store, SOURCE, images[(turn * len(images) // ROUNDS + len(images) // 2) % len(images)])
    assert kind != "pdfs" or chunk.first_row is not None
    chosen = chunk if by_place else replace(chunk, first_row=None)
    with watch:
        units = read_chunk_units(store, SOURCE, chosen)
    assert len(units) == chunk.units
    watch.facts["units"] = len(units)
