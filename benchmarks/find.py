"""Finding single objects in a state, and listing its chunks: time and peak memory at two sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.audit import item_uuid_of
from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, prepare, write_configuration
from benchmarks.synthetic import key_of
from benchmarks.table import Table, figures

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Stopwatch

_ROUNDS = 20


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"find and chunks: {objects:,} and {objects * 10:,} registered objects",
        ("", "objects/s", "time", "CPU", "peak memory", "of which libraries"),
    )
    for size in (objects, objects * 10):
        environ = environment(write_configuration(folder / str(size)))
        run_stage(prepare, environ, objects=size, plan=True)
        run_stage(conclude_all, environ)
        scattered = [key_of(number) for number in range(7, size, size // _ROUNDS)]
        first, last = item_uuid_of(0), item_uuid_of(size - 1)
        for name, asked in (
            ("one key", scattered[:1]),
            (f"{len(scattered)} keys, all over the bucket", scattered),
            ("a key that is not there", ["no/such/key.jpg"]),
            ("an item, by its UUID: of the newest chunk", [last]),
            ("an item, by its UUID: of the oldest chunk", [first]),
        ):
            measured = run_stage(find, environ, asked=asked)
            expected = ["unknown"] if "not there" in name else ["registered"] * len(asked)
            assert measured.facts["places"] == expected, measured.facts
            table.add(f"{name}, {size:,}", *figures(len(asked), measured))
        measured = run_stage(chunks, environ)
        table.add(f"the list of {measured.facts['chunks']:,} chunks, {size:,}", *figures(size, measured))
    table.notes.append("With opening the state: what was planned, and the journals of all chunks.")
    return table


def conclude_all(watch: Stopwatch) -> None:
    """Stage: conclude every chunk, each object with an item of its own."""
    from registration_pipeline.planning.wave import load_chunks, read_chunk_units
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.submission.verdicts import FolderEvidence, judge_adopted
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.tracking.journal.states import ChunkState, JournalEvent, JournalEventKind
    from registration_pipeline.tracking.outcomes import write_outcomes

    project, _ = load_project()
    journal, number = Journal(project.store, SOURCE), 0
    with watch:
        for chunk in load_chunks(project.store, SOURCE).values():
            units = read_chunk_units(project.store, SOURCE, chunk)
            items = {unit.unit_id: item_uuid_of(number + place) for place, unit in enumerate(units)}
            number += len(units)
            evidence = FolderEvidence(by_unit_id=items)
            outcomes = judge_adopted(units, evidence, attempt=1, at=utc_now())
            facts: dict[str, Any] = {"chunk_id": chunk.chunk_id, "attempt": 1, "at": utc_now()}
            journal.append(
                JournalEvent(kind=JournalEventKind.INTENT, folder_uuid="f", manifest_sha256="0" * 64, **facts)
            )
            name = write_outcomes(project.store, SOURCE, chunk.chunk_id, 1, outcomes)
            registered: dict[str, Any] = {"state": ChunkState.SUCCEEDED, "registered": len(outcomes), "outcomes": name}
            journal.append(JournalEvent(kind=JournalEventKind.VERDICT, **registered, **facts))
        journal.summarise()


def find(watch: Stopwatch, *, asked: list[str]) -> None:
    """Stage: open the state and find objects."""
    from registration_pipeline.pipeline import Pipeline

    pipeline = Pipeline.load()
    with watch:
        found = pipeline.find(SOURCE, asked)
    watch.facts.update(places=[one.place.value for one in found])


def chunks(watch: Stopwatch) -> None:
    """Stage: open the state and list its chunks."""
    from registration_pipeline.pipeline import Pipeline

    pipeline = Pipeline.load()
    with watch:
        listed = pipeline.chunks(SOURCE)
    watch.facts.update(chunks=len(listed))
