"""Manifests: rendered, validated and written, beside ``json.dumps`` of one document with every object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, prepare, write_configuration
from benchmarks.synthetic import key_of
from benchmarks.table import Table, megabytes, milliseconds, rate, ratio, seconds_text

if TYPE_CHECKING:
    from benchmarks.measure import Stopwatch

URL_PREFIX = "https://benchmark.s3.eu-west-2.amazonaws.com/"


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    environ = environment(write_configuration(folder))
    run_stage(prepare, environ, objects=objects, plan=True)
    keys = folder / "keys.json"
    keys.write_text(json.dumps([key_of(number) for number in range(objects)]), encoding="utf-8")
    baseline = run_stage(dump_one_document, keys=str(keys), out=str(folder / "upload.json"))
    made = run_stage(make_manifests, environ)
    verified = run_stage(make_manifests, environ)
    table = Table(
        f"manifests: {objects:,} objects in chunks of 1,000",
        ("", "objects/s", "time", "CPU", "CPU per chunk", "peak memory", "of which libraries", "against baseline"),
    )
    rows = (
        ("baseline: keys to one JSON document of every object", baseline),
        ("read from the plan, rendered, validated, written", made),
        ("the same again: verified, not written", verified),
    )
    for name, measured in rows:
        chunks = measured.facts["chunks"]
        table.add(
            name,
            rate(objects, measured.seconds),
            seconds_text(measured.seconds),
            seconds_text(measured.cpu_seconds),
            milliseconds(measured.cpu_seconds / chunks) if measured is not baseline else "",
            megabytes(measured.peak_bytes),
            megabytes(measured.libraries_bytes),
            ratio(baseline.seconds, measured.seconds),
        )
    table.notes.append(
        "The baseline's document is over Encord's limit of 10,000 entries, is not checked, and its items carry no metadata "
        "that a registration could be recognised by."
    )
    return table


def dump_one_document(watch: Stopwatch, *, keys: str, out: str) -> None:
    """Stage: the baseline."""
    from benchmarks.baseline import document_of

    with watch:
        document = document_of(json.loads(Path(keys).read_text(encoding="utf-8")), URL_PREFIX)
        Path(out).write_text(json.dumps(document), encoding="utf-8")
    watch.facts["chunks"] = 1


def make_manifests(watch: Stopwatch) -> None:
    """Stage: every manifest of the plan."""
    from registration_pipeline.manifest.files import ensure_manifest
    from registration_pipeline.planning.wave import load_chunks

    project, _ = load_project()
    store = project.store
    with watch:
        chunks = load_chunks(store, SOURCE)
        violations = sum(len(ensure_manifest(store, SOURCE, chunk).violations) for chunk in chunks.values())
    assert not violations
    watch.facts["chunks"] = len(chunks)
