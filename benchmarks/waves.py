"""A plan over 1,000 earlier waves whose keys lie between each other's: memory and time, beside one wave with the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.synthetic import SyntheticLister
from benchmarks.table import Table, megabytes, seconds_text

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.measure import Stopwatch
    from registration_pipeline.planning.wave import Wave

WAVES = 1_000
MOST_MEMORY = 150_000_000
MOST_TIME = 2.0


def run(objects: int, folder: Path) -> Table:
    """Measure at forty times the objects, with everything that is written below ``folder``."""
    size = objects * 40
    table = Table(
        f"waves: a plan of {size + 1:,} objects of which one is new",
        ("earlier waves", "time", "CPU", "memory of Arrow"),
    )
    seconds: dict[str, float] = {}
    for what, waves, compacted in (
        ("baseline: one", 1, True),
        (f"{WAVES:,} of {size // WAVES:,}, compacted as they came", WAVES, True),
        (f"{WAVES:,}, the compacted ledger lost", WAVES, False),
    ):
        environ = environment(write_configuration(folder / what.replace(" ", "-")))
        run_stage(prepare_waves, environ, objects=size, waves=waves, compacted=compacted)
        measured = run_stage(plan, environ, objects=size + 1)
        assert (measured.facts["new"], measured.facts["known"]) == (1, size), measured.facts
        seconds[what] = measured.seconds
        memory = measured.facts["arrow_bytes"]
        table.add(what, seconds_text(measured.seconds), seconds_text(measured.cpu_seconds), megabytes(memory))
        verdict = "within" if memory <= MOST_MEMORY else "above"
        table.notes.append(f"{what}: {verdict} {megabytes(MOST_MEMORY)} of Arrow memory.")
    one, compacted_seconds, lost = seconds.values()
    verdict = "within" if compacted_seconds <= MOST_TIME * one else "above"
    table.notes.append(
        f"Time beside that of one wave: {compacted_seconds / one:.1f} times, {verdict} {MOST_TIME:.0f}; once, after the "
        f"compacted ledger was lost, {lost / one:.1f} times."
    )
    return table


def prepare_waves(watch: Stopwatch, *, objects: int, waves: int, compacted: bool) -> None:
    """Stage: write that many waves, wave ``w`` with every object whose number is ``w`` more than a multiple of ``waves``."""
    import pyarrow as pa

    from registration_pipeline.planning.history import PlanHistory, compact
    from registration_pipeline.planning.lineage import commit_wave
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.state.version import ensure_layout

    project, _ = load_project()
    ensure_layout(project.store, SOURCE, utc_now())
    rows = pa.Table.from_batches(SyntheticLister(objects).list_objects())
    history = PlanHistory(source=SOURCE)
    with watch:
        for number in range(waves):
            wave = write_wave(
                project.store, number, rows.take(pa.array(range(number, objects, waves))).combine_chunks()
            )
            assert commit_wave(project.store, wave, number + 1)
            history = history.followed_by(wave)
            if compacted:
                history = compact(project.store, history, number + 1)


def write_wave(store: Any, number: int, rows: pa.Table) -> Wave:
    """Write one wave that is a single chunk."""
    import pyarrow as pa

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.counts import PlanCounts
    from registration_pipeline.planning.schema import PLAN_SCHEMA
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.planning.wave_writer import StateWaveWriter
    from registration_pipeline.project.project import utc_now

    count, keys = rows.num_rows, rows.column("key")
    wave_id = f"20200101T{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}Z"
    chunk_id = f"{wave_id}-images-000001"
    constants = {"chunk_id": chunk_id, "kind": "images", "position": 0, "unit_id": "0" * 16}
    columns = {
        **{name: rows.column(name) for name in rows.column_names},
        **{name: pa.repeat(pa.scalar(value), count) for name, value in constants.items()},
        **dict.fromkeys(("title", "object_url"), keys),
        "unit_index": pa.array(range(count)),
    }
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in PLAN_SCHEMA
    ]
    first, last = keys[0].as_py(), keys[-1].as_py()
    chunk = PlannedChunk(
        chunk_id=chunk_id,
        kind=MediaKind.IMAGE,
        wave_id=wave_id,
        units=count,
        objects=count,
        bytes=0,
        first_key=first,
        last_key=last,
    )
    with StateWaveWriter(store, SOURCE, wave_id) as writer:
        for batch in pa.Table.from_arrays(arrays, schema=PLAN_SCHEMA).to_batches():
            writer.write_new(batch)
        files = writer.finish([chunk])
    return Wave(
        wave_id=wave_id,
        source=SOURCE,
        inventory_id=wave_id,
        rules_digest="",
        listing_digest="",
        counts=PlanCounts(objects=count, new=count),
        parts=files.parts,
        part_first_keys=files.part_first_keys,
        chunk_files=files.chunk_files,
        planned_at=utc_now(),
    )


def plan(watch: Stopwatch, *, objects: int) -> None:
    """Stage: list one object more, and plan."""
    import pyarrow as pa

    import registration_pipeline.planning.plan  # before the clock starts
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, source = load_project()
    take_inventory(lister=SyntheticLister(objects), store=project.store, source=SOURCE, clock=utc_now)
    before = pa.total_allocated_bytes()
    samples = _Samples()
    with watch, samples:
        counts = project.plan(source).wave.counts
    watch.facts.update(new=counts.new, known=counts.known, arrow_bytes=samples.most - before)
    del registration_pipeline


class _Samples:
    """The most bytes that Arrow had allocated in a block, asked a hundred times a second: its own maximum is never reset."""

    def __init__(self) -> None:
        from threading import Event, Thread

        self.most = 0
        self._ended = Event()
        self._thread = Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        import pyarrow as pa

        while not self._ended.wait(0.01):
            self.most = max(self.most, pa.total_allocated_bytes())
