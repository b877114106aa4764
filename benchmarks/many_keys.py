"""An inventory of very many keys: time, memory that stays flat, and the size of its parts and of its marker.

The rows come out of memory, a thousand at a time as pages of S3 do, with ETags and sizes that do not compress; so what is
measured is everything behind the pages: order, digest, Parquet, the state on disk. What does not belong here: asking a store
(``listing.py``).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from benchmarks.measure import run_stage, tree_size
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.table import Table, figures, megabytes, rate, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.measure import Stopwatch

BILLION = 1_000_000_000
PAGE = 1000
_DIGITS = 10
_HEAD, _TAIL = "raw/img_", ".jpg"
_BASES = 64
_TENTH = 10


def run(objects: int, folder: Path) -> Table:
    """Measure a tenth of ``1,000 * objects`` and all of it."""
    table = Table(
        f"many_keys: {100 * objects:,} and {1000 * objects:,} keys, and what a billion would be",
        (
            "keys",
            *("keys/s", "time", "CPU of the process", "peak memory", "of which libraries"),
            *("parts", "of each, at most", "all parts", "marker"),
        ),
    )
    seconds: float = 0.0
    for count in (100 * objects, 1000 * objects):
        config = write_configuration(folder / str(count))
        measured = run_stage(take, environment(config), objects=count)
        facts = measured.facts
        sizes = map(megabytes, (facts["largest_part"], facts["part_bytes"]))
        marker = f"{facts['marker_bytes'] / 1000:.1f} kB"
        table.add(f"{count:,}", *figures(count, measured), str(facts["parts"]), *sizes, marker)
        seconds = measured.seconds * BILLION / count
        _, written = tree_size(folder / str(count))
        table.notes.append(f"{count:,} keys: {written / count:.1f} bytes a key on disk.")
    table.notes.append(
        f"A billion at the rate of the last row: {seconds_text(seconds)}, {rate(BILLION, seconds)} keys/s."
    )
    return table


class ManyKeys:
    """``ObjectLister`` of objects that are only numbers.

    Args:
        objects: how many.
    """

    description = "numbers"

    def __init__(self, objects: int) -> None:
        self._objects = objects
        self.requests = 0

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``."""
        import pyarrow as pa

        from registration_pipeline.inventory.schema import INVENTORY_SCHEMA

        bases = list(self._bases())
        width = len(_HEAD) + _DIGITS + len(_TAIL)
        offsets = pa.array(range(0, width * (PAGE + 1), width), pa.int32()).buffers()[1]
        template = bytearray("".join(f"{_HEAD}{number:0{_DIGITS}d}{_TAIL}" for number in range(PAGE)).encode("ascii"))
        for page in range(self._objects // PAGE):
            keys = bytearray(template)
            for place, digit in enumerate(f"{page:0{_DIGITS - 3}d}", len(_HEAD)):
                keys[place::width] = digit.encode("ascii") * PAGE
            column = pa.Array.from_buffers(pa.string(), PAGE, [None, offsets, pa.py_buffer(keys)])
            self.requests += 1
            yield pa.RecordBatch.from_arrays([column, *bases[page % _BASES]], schema=INVENTORY_SCHEMA)

    def _bases(self) -> Iterator[list[pa.Array]]:
        """Yield the other columns of pages."""
        import pyarrow as pa

        from registration_pipeline.inventory.schema import INVENTORY_SCHEMA

        chance = random.Random(2026)
        kinds = [field.type for field in INVENTORY_SCHEMA][1:]
        for _ in range(_BASES):
            sizes = [chance.randrange(100_000, 1_000_000) for _ in range(PAGE)]
            times = [1_770_000_000_000_000 + chance.randrange(10**12) for _ in range(PAGE)]
            e_tags = [f"{chance.getrandbits(128):032x}" for _ in range(PAGE)]
            nothing = [None] * PAGE
            columns = (sizes, times, e_tags, ["STANDARD"] * PAGE, nothing, nothing)
            yield [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]


def take(watch: Stopwatch, *, objects: int) -> None:
    """Stage: the inventory of so many keys, committed to a state on disk."""
    import registration_pipeline.inventory.inventory as inventories
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder

    project, _ = load_project()
    with watch:
        taken = inventories.take_inventory(lister=ManyKeys(objects), store=project.store, source=SOURCE, clock=utc_now)
    marker = project.store.read(inventory_folder(SOURCE, taken.inventory_id) + COMMIT_MARKER)
    sizes = [part.bytes for part in taken.parts]
    watch.facts |= {
        "parts": len(sizes),
        "largest_part": max(sizes),
        "part_bytes": sum(sizes),
        "marker_bytes": len(marker),
    }
