"""CPU per chunk: manifest, submission and verdict of 1,000 images, beside the SDK calls that send the same manifests."""

from __future__ import annotations

import os
import shutil
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, STATE, environment, load_project, prepare, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.table import Table, megabytes, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Measured, Stopwatch

ROUNDS = 3
AIM_SECONDS = 0.050
"""Of CPU per chunk, everything together."""


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``; every round from the start, both ways in turn."""
    table = Table(
        f"chunk_cpu: {objects:,} objects in chunks of 1,000, jobs of 0 s, median of {ROUNDS} rounds",
        ("", "chunks", "CPU per chunk", "of which system", "time per chunk", "against baseline", "peak memory"),
    )
    rounds = [_round(objects, folder / str(number)) for number in range(ROUNDS)]
    baseline = _median([one[0] for one in rounds])
    names = (
        "baseline: SDK calls in turn, the same manifests",
        "pipeline: manifest made, validated, written; submitted, judged",
        "of which manifests, made on their own",
    )
    for name, measured in zip(names, zip(*rounds, strict=True), strict=True):
        _add(table, name, measured, baseline)
    together = [sent.cpu_seconds / sent.facts["chunks"] for _, sent, _ in rounds]
    cost = statistics.median(together)
    verdict = "within" if cost < AIM_SECONDS else "above"
    table.notes.append(
        f"The pipeline: {milliseconds(cost)} a chunk ({', '.join(map(milliseconds, together))}), {verdict} the aim "
        f"of {milliseconds(AIM_SECONDS)}; {cost / baseline:.1f} times the baseline's CPU."
    )
    return table


def _round(objects: int, folder: Path) -> tuple[Measured, Measured, Measured]:
    with sandbox_server(folder / "sandbox", job_seconds=0) as sandbox:
        environ = environment(write_configuration(folder), sandbox)
        run_stage(prepare, environ, objects=objects, plan=True)
        sent = run_stage(submit_and_judge, environ)
        shutil.rmtree(folder / STATE / SOURCE / "manifests")
        made = run_stage(make_manifests, environ)
    assert (sandbox.farewell["registered"], sandbox.farewell["duplicates"]) == (objects, 0), sandbox.farewell
    with sandbox_server(folder / "sandbox-baseline", job_seconds=0) as sandbox:
        manifests = str(folder / STATE / SOURCE / "manifests")
        baseline = run_stage(submit_in_turn, manifests=manifests, **sandbox.facts)
    assert sandbox.farewell["registered"] == objects, sandbox.farewell
    return baseline, sent, made


def _add(table: Table, name: str, measured: Sequence[Measured], baseline_seconds: float) -> None:
    cost = _median(measured)
    chunks = measured[0].facts["chunks"]
    table.add(
        name,
        f"{chunks:,}",
        milliseconds(cost),
        milliseconds(statistics.median(one.facts["system_seconds"] / chunks for one in measured)),
        milliseconds(statistics.median(one.seconds / chunks for one in measured)),
        f"{cost / baseline_seconds:.1f} x CPU",
        megabytes(max(one.peak_bytes for one in measured)),
    )


def _median(measured: Sequence[Measured]) -> float:
    return statistics.median(one.cpu_seconds / int(one.facts["chunks"]) for one in measured)


def make_manifests(watch: Stopwatch) -> None:
    """Stage: every manifest of the plan, and nothing is sent."""
    from registration_pipeline.manifest.files import ensure_manifest
    from registration_pipeline.planning.wave import load_chunks

    project, _ = load_project()
    before = os.times()
    first, *others = load_chunks(project.store, SOURCE).values()
    ensure_manifest(project.store, SOURCE, first)  # Arrow loads a third of a second of libraries for its first value
    with watch:
        made = [ensure_manifest(project.store, SOURCE, chunk) for chunk in others]
    watch.facts.update(chunks=len(made), system_seconds=os.times().system - before.system)
    assert not any(manifest.violations for manifest in made)


def submit_and_judge(watch: Stopwatch) -> None:
    """Stage: from the plan to the last verdict, as the registration of a sync goes on."""
    import registration_pipeline.submission.chunk
    import registration_pipeline.submission.encord.gateway  # both before the clock starts
    from registration_pipeline.manifest.files import ensure_manifest
    from registration_pipeline.project.submitting import register
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import due_tasks
    from registration_pipeline.tracking.status import chunk_statuses

    project, source = load_project()
    tasks = due_tasks(chunk_statuses(project.store, SOURCE), max_attempts=1)
    ensure_manifest(project.store, SOURCE, tasks[0].chunk)  # Arrow loads its libraries for its first value
    before = os.times()
    with watch:
        stream = register(project, source, tasks, notify=print, with_manifests=True)
        results = [found for found in stream if isinstance(found, ChunkResult)]
    watch.facts.update(chunks=len(results), system_seconds=os.times().system - before.system)
    assert not any(result.failed_objects for result in results)
    del registration_pipeline


def submit_in_turn(watch: Stopwatch, *, manifests: str, url: str, key_file: str, integration: str) -> None:
    """Stage: the baseline."""
    import encord

    from benchmarks.baseline import submit

    del encord  # imported before the clock starts, as the pipeline's libraries are
    paths = sorted(Path(manifests).glob("*.json"))
    before = os.times()
    with watch:
        submit(paths, domain=url, key_file=Path(key_file), integration=integration)
    watch.facts.update(chunks=len(paths), system_seconds=os.times().system - before.system)
