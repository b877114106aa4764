"""Client metadata: making the set of facts from tables, sidecars and patterns, and plans with it beside a plan without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import run_stage
from benchmarks.project import environment, load_project, prepare, write_configuration
from benchmarks.synthetic import key_of
from benchmarks.table import Table, figures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.measure import Stopwatch

_BATCH: Final = 65_536
_TABLE: Final = "    metadata:\n      - {table: /nowhere/labels.parquet, key: image}\n"
_THREE: Final = f"""{_TABLE}\
      - {{pattern: 'camera-(?P<camera>[0-9]+)/(?P<day>[0-9-]+)/'}}
      - {{sidecar: .metadata.json}}
    metadata_schema: {{speed: number, weather: {{enum: [sun, rain, snow]}}, camera: number, day: datetime, note: varchar}}
"""
_VARIANTS: Final = (
    ("without metadata", ""),
    ("one table", _TABLE),
    ("a table, a pattern and sidecars, with types", _THREE),
)


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"metadata_plan: {objects:,} objects, a row of four values for each",
        ("", "objects/s", "time", "CPU", "peak memory", "of which libraries"),
    )
    for number, (name, settings) in enumerate(_VARIANTS):
        config = write_configuration(folder / str(number))
        config.write_text(config.read_text(encoding="utf-8") + settings, encoding="utf-8")
        environ = environment(config)
        run_stage(prepare, environ, objects=objects, plan=False)
        if settings:
            run_stage(write_sets, environ, objects=objects)
            made = run_stage(make_set, environ)
            assert made.facts["rows"] == objects, made.facts
            table.add(f"{name}: the set", *figures(objects, made))
        planned = run_stage(plan_latest, environ)
        assert planned.facts["new"] == objects, planned.facts
        table.add(f"{name}: the plan", *figures(objects, planned))
    return table


def write_sets(watch: Stopwatch, *, objects: int) -> None:
    """Stage: write the sets of facts that reading a table and sidecars would give."""
    from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
    from registration_pipeline.facts.sets import write_facts
    from registration_pipeline.project.project import utc_now

    project, source = load_project()
    for entry in source.metadata:
        name = entry_set_name(entry)
        if name is not None:
            batches = _rows(VALUES_SCHEMA, objects, is_table=entry.table is not None)
            now = utc_now()
            write_facts(
                project.store, source.name, name, "20261120T000000Z", batches, schema=VALUES_SCHEMA, made_at=now
            )
    with watch:
        pass


def _rows(schema: pa.Schema, objects: int, *, is_table: bool) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for start in range(0, objects, _BATCH):
        numbers = range(start, min(start + _BATCH, objects))
        nothing = pa.nulls(len(numbers), pa.string())
        texts = map(_of_table if is_table else _of_sidecar, numbers)
        columns: list[Any] = [
            pa.array([key_of(number) for number in numbers], pa.string()),
            nothing,
            nothing.cast(pa.int64()),
            nothing.cast(schema.field("last_modified").type),
            pa.array(texts, pa.string()),
            nothing,
            nothing,
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _of_table(number: int) -> str:
    weather = ("sun", "rain", "snow")[number % 3]
    return f'{{"checked":true,"note":"row {number}","speed":{number / 8},"weather":"{weather}"}}'


def _of_sidecar(number: int) -> str | None:
    return f'{{"note":"sidecar {number}"}}' if number % 2 else None


def make_set(watch: Stopwatch) -> None:
    """Stage: make the set ``metadata`` of the latest inventory."""
    from registration_pipeline.facts.metadata.making import make_metadata
    from registration_pipeline.facts.metadata.value_sets import entry_set_name
    from registration_pipeline.facts.sets import latest_facts
    from registration_pipeline.inventory.inventory import latest_inventory
    from registration_pipeline.planning.fact_needs import objects_with_metadata
    from registration_pipeline.planning.history import load_history
    from registration_pipeline.project.project import utc_now

    project, source = load_project()
    store = project.store
    with watch:
        inventory = latest_inventory(store, source.name)
        assert inventory is not None
        names = [entry_set_name(entry) for entry in source.metadata]
        history = load_history(store, source.name)
        facts = make_metadata(
            store=store,
            source=source,
            inventory=inventory,
            candidates=lambda: objects_with_metadata(store, source, inventory, history),
            inputs=[None if name is None else latest_facts(store, source.name, name) for name in names],
            clock=utc_now,
            planned=history.number,
        )
    watch.facts.update(rows=facts.rows)


def plan_latest(watch: Stopwatch) -> None:
    """Stage: plan the latest inventory."""
    import registration_pipeline.planning.plan  # before the clock starts

    project, source = load_project()
    with watch:
        plan = project.plan(source)
    watch.facts.update(new=plan.wave.counts.new)
    del registration_pipeline
