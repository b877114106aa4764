"""Tables of metadata: rows in no order read, sorted and kept as a set, then merged by key beside as many objects.

The table is one Parquet file with a text, two numbers and a time for each object; each object has one row. The baseline is
polars' own join of both in memory, which writes one Parquet file. Beside it the same with embeddings: how fast lists of 512
numbers of 32 bits become JSON, and what a table of them takes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import run_stage, tree_size
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.synthetic import SyntheticLister, key_of
from benchmarks.table import Table, figures, megabytes, rate
from benchmarks.temporary_peak import TemporaryPeak

if TYPE_CHECKING:
    import pyarrow as pa

    from benchmarks.measure import Stopwatch
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.settings import SourceSettings

MOST_MEMORY: Final = 2_000_000_000
EMBEDDING: Final = 512
_STRIDE: Final = 7_368_787
"""Has no divisor in common with powers of ten: going on by it visits each of so many objects once, in no order of keys."""

_ENTRY: Final = "    metadata: [{table: table.parquet, key: image_path}]\n"


def run(objects: int, folder: Path) -> Table:
    """Measure at ten times the objects, with everything that is written below ``folder``."""
    rows = objects * 10
    table = Table(
        f"metadata_tables: {rows:,} rows in no order beside {rows:,} objects",
        ("", "rows/s", "time", "CPU", "peak memory", "of which libraries", "temporary files", "written"),
    )
    path = write_configuration(folder / "project")
    path.write_text(path.read_text(encoding="utf-8") + _ENTRY, encoding="utf-8")
    environ = environment(path)
    run_stage(prepare, environ, objects=rows)
    run_stage(make_table, environ, rows=rows)
    for what, stage in (("read, sorted and kept", read), ("merged by key with the inventory", merge)):
        measured = _measured(stage, environ, folder)
        assert measured.facts["rows"] == rows, measured.facts
        table.add(what, *figures(rows, measured), *_sizes(measured.facts))
        verdict = "within" if measured.peak_bytes <= MOST_MEMORY else "above"
        table.notes.append(f"{what}: {verdict} {megabytes(MOST_MEMORY)}.")
    measured = _measured(join_in_memory, environ, folder)
    assert measured.facts["rows"] == rows, measured.facts
    table.add("baseline: polars' join in memory", *figures(rows, measured), *_sizes(measured.facts))
    _add_embeddings(table, environ, folder, rows // 100)
    return table


def _add_embeddings(table: Table, environ: dict[str, str], folder: Path, rows: int) -> None:
    run_stage(make_embeddings, environ, rows=rows)
    measured = _measured(read, environ, folder)
    assert measured.facts["rows"] == rows, measured.facts
    what = f"{rows:,} embeddings of {EMBEDDING}: read, sorted and kept"
    table.add(what, *figures(rows, measured), *_sizes(measured.facts))
    texts = run_stage(embedding_texts, environ)
    facts = texts.facts
    table.notes.append(
        f"Lists of {EMBEDDING} numbers of 32 bits as JSON: {rate(facts['rows'], facts['columns'])} rows/s; one by one with "
        f"Python's json, in the long form of 64 bits, {rate(facts['rows'], facts['python'])} rows/s. "
        f"{facts['short_bytes']:,} bytes a row, and {facts['long_bytes']:,} in the long form."
    )


def _measured(stage: Any, environ: dict[str, str], folder: Path) -> Any:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return run_stage(stage, {**environ, "TMPDIR": str(temporary)})


def _sizes(facts: Any) -> tuple[str, str]:
    return megabytes(facts["temporary_bytes"]), megabytes(facts["written_bytes"])


def prepare(watch: Stopwatch, *, objects: int) -> None:
    """Stage: make the inventory."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, _ = load_project()
    with watch:
        take_inventory(lister=SyntheticLister(objects), store=project.store, source=SOURCE, clock=utc_now)


def make_table(watch: Stopwatch, *, rows: int) -> None:
    """Stage: write the table, its rows in no order of keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("image_path", pa.string()),
            ("weather", pa.string()),
            ("speed", pa.float64()),
            ("lane", pa.int32()),
            ("at", pa.timestamp("ms")),
        ]
    )
    with watch, pq.ParquetWriter(_table_path(), schema) as writer:
        for start in range(0, rows, 100_000):
            numbers = [row * _STRIDE % rows for row in range(start, min(start + 100_000, rows))]
            columns = [
                [key_of(number) for number in numbers],
                [("sun", "rain", "snow", "fog")[number % 4] for number in numbers],
                [number % 13_000 / 100 for number in numbers],
                [number % 5 for number in numbers],
                [1_700_000_000_000 + number for number in numbers],
            ]
            writer.write_table(pa.table(columns, schema=schema))


def make_embeddings(watch: Stopwatch, *, rows: int) -> None:
    """Stage: write a table of embeddings, its rows in no order of keys."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image_path", pa.string()), ("clip", pa.list_(pa.float32()))])
    with watch, pq.ParquetWriter(_table_path(), schema) as writer:
        for start in range(0, rows, 10_000):
            numbers = [row * _STRIDE % rows for row in range(start, min(start + 10_000, rows))]
            columns = [pa.array([key_of(number) for number in numbers]), _embeddings(len(numbers), seed=start)]
            writer.write_table(pa.table(columns, schema=schema))


def read(watch: Stopwatch) -> None:
    """Stage: read the table into its set of facts."""
    import registration_pipeline.facts.tables.reading
    import registration_pipeline.project.clients.tables  # noqa: F401 - before the clock starts

    project, source = load_project()
    before = tree_size(Path(project.settings.state))[1]
    with TemporaryPeak() as disk, watch:
        facts = _facts(project, source)
    watch.facts["rows"] = facts.rows
    watch.facts["temporary_bytes"] = disk.bytes
    watch.facts["written_bytes"] = tree_size(Path(project.settings.state))[1] - before


def merge(watch: Stopwatch) -> None:
    """Stage: merge the set with the inventory into one set of metadata, as planning needs it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA
    from registration_pipeline.facts.sets import FactsWriter, read_facts
    from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.tables.sorted_lookup import SortedLookup
    from registration_pipeline.tables.sorted_merge import SortedMerge

    project, source = load_project()
    facts = _facts(project, source)  # unchanged: nothing is read
    inventory = latest_inventory(project.store, SOURCE)
    assert inventory is not None
    before, found = tree_size(Path(project.settings.state))[1], 0
    with (
        TemporaryPeak() as disk,
        watch,
        FactsWriter(project.store, SOURCE, "merged", "1", VALUES_SCHEMA) as writer,
    ):
        values = SortedLookup(SortedMerge([read_facts(project.store, facts)], VALUES_SCHEMA))
        for batch in read_inventory(project.store, inventory, ["key", "e_tag", "size", "last_modified"]):
            rows = values.rows_of(batch.column("key"))
            where = pc.index_in(batch.column("key"), value_set=rows.column("key"))
            beside = rows.select(["values", "problem", "message"]).take(where)
            found += rows.num_rows
            writer.write(pa.RecordBatch.from_arrays([*batch.columns, *beside.columns], schema=VALUES_SCHEMA))
        writer.commit(made_at=utc_now(), notes={})
    watch.facts["rows"] = found
    watch.facts["temporary_bytes"] = disk.bytes
    watch.facts["written_bytes"] = tree_size(Path(project.settings.state))[1] - before


def join_in_memory(watch: Stopwatch) -> None:
    """Stage: the baseline, both sides in memory."""
    import polars as pl

    from registration_pipeline.inventory.inventory import latest_inventory

    project, _ = load_project()
    inventory = latest_inventory(project.store, SOURCE)
    assert inventory is not None
    state, target = Path(project.settings.state), Path(project.settings.state).parent / "joined.parquet"
    with watch:
        rows = pl.read_parquet(_table_path())
        objects = pl.read_parquet([state / part.name for part in inventory.parts])
        joined = objects.join(rows, left_on="key", right_on="image_path", how="left").sort("key")
        values = pl.struct("weather", "speed", "lane", pl.col("at").dt.to_string("iso")).struct.json_encode()
        joined.select("key", "e_tag", "size", "last_modified", values.alias("values")).write_parquet(target)
    watch.facts["rows"] = joined["weather"].count()
    watch.facts["temporary_bytes"] = 0
    watch.facts["written_bytes"] = target.stat().st_size
    target.unlink()


def embedding_texts(watch: Stopwatch) -> None:
    """Stage: how fast lists become JSON, as columns and one by one."""
    import polars as pl

    from registration_pipeline.facts.tables.texts import column_texts

    rows, few = 20_000, 2_000
    column: Any = pl.from_arrow(_embeddings(rows, seed=1))
    with watch:
        began = time.perf_counter()
        texts = column_texts(column)
        columns = time.perf_counter() - began
        lists = column.head(few).to_list()
        began = time.perf_counter()
        long = [json.dumps(one, separators=(",", ":")) for one in lists]
        python = time.perf_counter() - began
    watch.facts["rows"], watch.facts["columns"], watch.facts["python"] = rows, columns, python * rows / few
    watch.facts["short_bytes"] = sum(map(len, texts.json.head(few))) // few
    watch.facts["long_bytes"] = sum(map(len, long)) // few


def _embeddings(rows: int, *, seed: int) -> pa.Array:
    """Return lists of numbers near 0, as embeddings are."""
    import random
    from array import array

    import pyarrow as pa

    draw = random.Random(seed)
    few = array("f", (draw.gauss(0, 0.05) for _ in range(min(rows, 500) * EMBEDDING)))
    # More of the same numbers, all of them turned a little: drawing them takes longer than everything else.
    numbers = array("f")
    while len(numbers) < rows * EMBEDDING:
        turn = 1 + draw.random()
        numbers.extend(array("f", (number * turn for number in few)))
    values = pa.Array.from_buffers(pa.float32(), rows * EMBEDDING, [None, pa.py_buffer(numbers)])
    offsets = pa.array(range(0, rows * EMBEDDING + 1, EMBEDDING), pa.int32())
    return pa.ListArray.from_arrays(offsets, values)


def _facts(project: Any, source: SourceSettings) -> FactSet:
    from registration_pipeline.facts.tables.reading import read_table
    from registration_pipeline.project.clients.tables import ClientPlaces
    from registration_pipeline.project.project import utc_now

    return read_table(
        store=project.store,
        source=source,
        index=0,
        entry=source.metadata[0],
        base_folder=project.settings.path.parent,
        places=ClientPlaces(),
        inventory=None,
        clock=utc_now,
    )


def _table_path() -> Path:
    project, _ = load_project()
    folder: Path = project.settings.path.parent
    return folder / "table.parquet"
