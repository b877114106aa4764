"""Planning: objects per second and peak memory at two sizes, first plan and one where nothing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import environment, load_project, prepare, write_configuration
from benchmarks.table import Table, figures

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Stopwatch


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"plan: {objects:,} and {objects * 10:,} objects",
        ("", "objects/s", "time", "CPU", "peak memory", "of which libraries", "memory of 10 times the objects"),
    )
    peaks: dict[str, int] = {}
    for size in (objects, objects * 10):
        environ = environment(write_configuration(folder / str(size)))
        for name in ("all new", "nothing changed"):
            run_stage(prepare, environ, objects=size, plan=False)
            measured = run_stage(plan_latest, environ)
            expected = {"new": size, "known": 0} if name == "all new" else {"new": 0, "known": size}
            assert {key: measured.facts[key] for key in expected} == expected, measured.facts
            smaller = peaks.setdefault(name, measured.peak_bytes)
            table.add(
                f"{name}, {size:,}",
                *figures(size, measured),
                f"{measured.peak_bytes / smaller:.2f} x" if size > objects else "",
            )
    table.notes.append(
        "No baseline: Encord's documented way has no plan. Its nearest thing, a set of the keys of the last run, holds every "
        "key in memory."
    )
    return table


def plan_latest(watch: Stopwatch) -> None:
    """Stage: plan the latest inventory."""
    import registration_pipeline.planning.plan  # before the clock starts

    project, source = load_project()
    with watch:
        plan = project.plan(source)
    counts = plan.wave.counts
    watch.facts.update(new=counts.new, known=counts.known, chunks=len(plan.chunks))
    del registration_pipeline
