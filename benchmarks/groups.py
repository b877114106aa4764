"""Planning with groups: half of the objects are members of groups, beside single objects and beside a plan in a dictionary.

Members lie either side by side (a directory is a group) or scattered over the whole listing (a regular expression finds them).
The last plan has five times as many objects, all of them scattered members.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.synthetic import MODIFIED_AT, e_tag_of
from benchmarks.table import Table, figures, megabytes
from benchmarks.temporary_peak import TemporaryPeak

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.measure import Stopwatch

MEMBERS_PER_GROUP: Final = 50
MOST_TIMES: Final = 3.0
MOST_MEMORY: Final = 1_500_000_000
_SCATTERED: Final = r"^rigs/(?P<frame>\d+)/(?P<rig>\d+)\.png$"
_RULES: Final = {
    "single": "",
    "side by side": "    groups: [{match: 'rigs/**', as: image_group, by: directory}]\n",
    "scattered": f"    groups: [{{match: 'rigs/**', as: image_group, by: '{_SCATTERED}'}}]\n",
}


def run(objects: int, folder: Path) -> Table:
    """Measure at ten and fifty times the objects, with everything that is written below ``folder``."""
    size = objects * 10
    table = Table(
        f"groups: first plans of {size:,} objects, half of them members of {size // 2 // MEMBERS_PER_GROUP:,} groups",
        (
            "",
            "objects/s",
            "time",
            "CPU",
            "peak memory",
            "of which libraries",
            "times the single ones",
            "temporary files",
        ),
    )
    cases = [
        ("single objects only", "single", size, 0, plan),
        ("members side by side", "side by side", size // 2, size // 2, plan),
        ("members scattered", "scattered", size // 2, size // 2, plan),
        ("baseline: the same in a dictionary", "scattered", size // 2, size // 2, plan_in_dictionary),
        ("scattered members only", "scattered", 0, size * 5, plan),
    ]
    single_seconds = 0.0
    for number, (what, rules, singles, members, stage) in enumerate(cases):
        path = write_configuration(folder / str(number))
        path.write_text(path.read_text(encoding="utf-8") + _RULES[rules], encoding="utf-8")
        environ = environment(path)
        is_scattered = rules == "scattered"
        run_stage(prepare, environ, singles=singles, members=members, is_scattered=is_scattered)
        temporary = folder / f"tmp-{number}"
        temporary.mkdir()
        measured = run_stage(stage, {**environ, "TMPDIR": str(temporary)})
        assert measured.facts["units"] == singles + members // MEMBERS_PER_GROUP, measured.facts
        single_seconds = single_seconds or measured.seconds
        times = measured.seconds / single_seconds * size / (singles + members)
        disk = megabytes(measured.facts["temporary_bytes"])
        table.add(what, *figures(singles + members, measured), f"{times:.2f}", disk)
        if stage is plan:
            verdict = "within" if times <= MOST_TIMES and measured.peak_bytes <= MOST_MEMORY else "above"
            table.notes.append(
                f"{what}: {verdict} {MOST_TIMES:.0f} times the time per object and {megabytes(MOST_MEMORY)} of memory."
            )
    return table


def prepare(watch: Stopwatch, *, singles: int, members: int, is_scattered: bool) -> None:
    """Stage: make the inventory."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, _ = load_project()
    with watch:
        lister = _Lister(singles, members, is_scattered=is_scattered)
        take_inventory(lister=lister, store=project.store, source=SOURCE, clock=utc_now)


def plan(watch: Stopwatch) -> None:
    """Stage: plan the latest inventory."""
    import registration_pipeline.planning.plan  # before the clock starts

    project, source = load_project()
    with TemporaryPeak() as peak, watch:
        made = project.plan(source)
    watch.facts.update(units=sum(chunk.units for chunk in made.chunks), temporary_bytes=peak.bytes)
    del registration_pipeline


def plan_in_dictionary(watch: Stopwatch) -> None:
    """Stage: group the members of the latest inventory in a dictionary, order them, and make every unit's rows."""
    import registration_pipeline.planning.plan  # before the clock starts
    from registration_pipeline.ids import unit_id
    from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.urls import url_writer

    project, source = load_project()
    write_url, expression = url_writer(source), re.compile(_SCATTERED)
    with watch:
        inventory = latest_inventory(project.store, SOURCE)
        assert inventory is not None
        rows: list[Any] = []
        groups: dict[str, list[tuple[int, Any]]] = {}
        for batch in read_inventory(project.store, inventory):
            for row in batch.select(["key", "size", "e_tag"]).to_pylist():
                found = expression.match(row["key"])
                if found is None:
                    rows.append((unit_id(SOURCE, MediaKind.IMAGE, row["key"]), 0, write_url(row["key"]), row))
                else:
                    groups.setdefault(found["rig"], []).append((int(found["frame"]), row))
        units = len(rows)
        for name in sorted(groups):
            unit = unit_id(SOURCE, MediaKind.IMAGE_GROUP, name)
            members = sorted(groups[name], key=lambda member: member[0])
            rows += ((unit, position, write_url(row["key"]), row) for position, (_, row) in enumerate(members))
        rows.sort(key=lambda row: row[3]["key"])
    watch.facts.update(units=units + len(groups), temporary_bytes=0)
    del registration_pipeline


class _Lister:
    """``ObjectLister`` of single images, and behind them in key order of members."""

    requests = 0
    description = "synthetic objects and members of groups"

    def __init__(self, singles: int, members: int, *, is_scattered: bool) -> None:
        self._singles, self._members, self._is_scattered = singles, members, is_scattered

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``."""
        from registration_pipeline.inventory.schema import BATCH_ROWS, inventory_batch

        modified = int(MODIFIED_AT.timestamp() * 1_000_000)
        objects = self._singles + self._members
        for start in range(0, objects, BATCH_ROWS):
            numbers = range(start, min(start + BATCH_ROWS, objects))
            yield inventory_batch(
                keys=[self._key(number) for number in numbers],
                sizes=[400_000 + number % 200_000 for number in numbers],
                last_modified=[modified] * len(numbers),
                e_tags=[e_tag_of(number) for number in numbers],
                storage_classes=["STANDARD"] * len(numbers),
            )

    def _key(self, number: int) -> str:
        if number < self._singles:
            return f"raw/camera-{number // 10_000:04d}/frame-{number % 10_000:06d}.jpg"
        member = number - self._singles
        if not self._is_scattered:
            return f"rigs/{member // MEMBERS_PER_GROUP:07d}/{member % MEMBERS_PER_GROUP:04d}.png"
        groups = self._members // MEMBERS_PER_GROUP
        return f"rigs/{member // groups:04d}/{member % groups:07d}.png"
