"""Finding what changed: a plan of an inventory that differs in one object of a hundred from what is planned already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.synthetic_changes import SecondListing, planned_rows
from benchmarks.table import Table, figures

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch

LARGEST_BASELINE = 10_000_000
"""More objects than that don't fit the baseline's memory."""


def run(objects: int, folder: Path) -> Table:
    """Measure at ten and a hundred times the objects, with everything that is written below ``folder``."""
    table = Table(
        f"changes: {objects * 10:,} and {objects * 100:,} planned objects, 1 % of them changed, deleted or new",
        ("", "objects/s", "time", "CPU", "peak memory", "of which libraries"),
    )
    for size in (objects * 10, objects * 100):
        environ = environment(write_configuration(folder / str(size)))
        run_stage(prepare_ledger, environ, objects=size)
        found = run_stage(plan_changes, environ)
        if size <= LARGEST_BASELINE:
            joined = run_stage(join_tables, environ)
            assert joined.facts == found.facts, (joined.facts, found.facts)
            _add(table, f"baseline: Arrow's hash join of whole tables, {size:,}", size, joined)
        _add(table, f"plan, {size:,}", size, found)
    return table


def _add(table: Table, name: str, objects: int, measured: Measured) -> None:
    table.add(
        name,
        *figures(objects, measured),
    )


def prepare_ledger(watch: Stopwatch, *, objects: int) -> None:
    """Stage: a wave that holds every object, and a later inventory that differs."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, _ = load_project()
    with watch:
        planned_rows(project.store, SOURCE, objects)
        take_inventory(lister=SecondListing(objects), store=project.store, source=SOURCE, clock=utc_now)


def plan_changes(watch: Stopwatch) -> None:
    """Stage: plan the latest inventory."""
    import registration_pipeline.planning.plan  # before the clock starts

    project, source = load_project()
    with watch:
        counts = project.plan(source).wave.counts
    watch.facts.update(new=counts.new, changed=counts.changed, deleted=counts.deleted)
    del registration_pipeline


def join_tables(watch: Stopwatch) -> None:
    """Stage: the baseline, which writes nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
    from registration_pipeline.planning.wave import load_waves
    from registration_pipeline.state.parquet import read_parts

    project, _ = load_project()
    columns = ["key", "size", "last_modified", "e_tag"]
    inventory = latest_inventory(project.store, SOURCE)
    assert inventory is not None
    with watch:
        now = pa.Table.from_batches(read_inventory(project.store, inventory, columns))
        # The plan under measurement has added a wave of its own; the baseline reads what was there before.
        wave = load_waves(project.store, SOURCE)[0]
        before = pa.Table.from_batches(read_parts(project.store, wave.parts, columns))
        both = before.join(now, "key", join_type="inner", left_suffix="_before")
        changed = pc.sum(pc.not_equal(both["e_tag_before"], both["e_tag"])).as_py()
        facts = {
            "new": now.num_rows - both.num_rows,
            "changed": changed,
            "deleted": before.num_rows - both.num_rows,
        }
    watch.facts.update(facts)
