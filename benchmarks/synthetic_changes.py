"""A plan and a later listing of a bucket that does not exist, made column by column: a hundred million rows in minutes.

What does not belong here: measuring (``changes.py``) and objects made one by one (``synthetic.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from registration_pipeline.state.store import StateStore

BATCH = 65_536
CHUNK = 1_000
PLANNED_AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
WAVE = "20260314T092653Z"
_URL = "https://benchmark.s3.eu-west-2.amazonaws.com/"


def _numbers(start: int, stop: int) -> pa.Array:
    import pyarrow as pa

    return pa.array(range(start, stop), pa.uint64())


def _padded(numbers: pa.Array, width: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.utf8_lpad(pc.cast(numbers, pa.string()), width, "0")


def _keys(numbers: pa.Array, suffix: str = "") -> pa.Array:
    """Ascending numbers below 100 million give ascending keys; a suffix comes right after its number."""
    import pyarrow.compute as pc

    thousand = pc.divide(numbers, 10_000)
    frame = pc.subtract(numbers, pc.multiply(thousand, 10_000))
    return pc.binary_join_element_wise(
        "raw/camera-", _padded(thousand, 4), "/2026-03-14/frame-", _padded(frame, 6), f"{suffix}.jpg", ""
    )


def _e_tags(numbers: pa.Array, generation: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    # Wraps around at 64 bits, so that neighbours are unlike each other, as digests do.
    mixed = pc.multiply(pc.add(numbers, generation), pa.scalar(2_177_342_782_468_422_677, pa.uint64()))
    return _padded(mixed, 20)


def planned_rows(store: StateStore, source: str, objects: int) -> None:
    """Commit a wave that holds every object in chunks of 1,000 images, none of them submitted."""
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.counts import PlanCounts
    from registration_pipeline.planning.lineage import commit_wave
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.planning.wave_writer import StateWaveWriter
    from registration_pipeline.state.version import ensure_layout

    chunks = tuple(
        PlannedChunk(
            chunk_id=f"{WAVE}-images-{start // CHUNK + 1:06d}",
            kind=MediaKind.IMAGE,
            wave_id=WAVE,
            units=min(CHUNK, objects - start),
            objects=min(CHUNK, objects - start),
            bytes=0,
            first_key=_keys(_numbers(start, start + 1))[0].as_py(),
            last_key=_keys(_numbers(min(start + CHUNK, objects) - 1, min(start + CHUNK, objects)))[0].as_py(),
        )
        for start in range(0, objects, CHUNK)
    )
    ensure_layout(store, source, PLANNED_AT)
    with StateWaveWriter(store, source, WAVE) as writer:
        for start in range(0, objects, BATCH):
            writer.write_new(_plan_batch(_numbers(start, min(start + BATCH, objects))))
        files = writer.finish(chunks)
    counts = PlanCounts(objects=objects, new=objects)
    wave = Wave(
        wave_id=WAVE,
        source=source,
        inventory_id=WAVE,
        rules_digest="",
        listing_digest="",
        counts=counts,
        parts=files.parts,
        part_first_keys=files.part_first_keys,
        unit_files=files.unit_files,
        chunk_files=files.chunk_files,
        planned_at=PLANNED_AT,
    )
    assert commit_wave(store, wave, 1)


def _plan_batch(numbers: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    from registration_pipeline.planning.schema import PLAN_SCHEMA

    chunk = pc.add(pc.divide(numbers, CHUNK), 1)
    keys, rows = _keys(numbers), len(numbers)
    columns = {
        "key": keys,
        "chunk_id": pc.binary_join_element_wise(f"{WAVE}-images-", _padded(chunk, 6), ""),
        "kind": pa.repeat(pa.scalar("images"), rows),
        "unit_index": pc.cast(pc.subtract(numbers, pc.multiply(pc.divide(numbers, CHUNK), CHUNK)), pa.int32()),
        "position": pa.repeat(pa.scalar(0, pa.int32()), rows),
        "unit_id": pc.utf8_slice_codeunits(_e_tags(numbers, 7), 0, 16),
        "title": keys,
        "object_url": pc.binary_join_element_wise(_URL, keys, ""),
        "size": pc.cast(pc.add(numbers, 400_000), pa.int64()),
        "last_modified": pa.repeat(pa.scalar(PLANNED_AT, pa.timestamp("us", tz="UTC")), rows),
        "e_tag": _e_tags(numbers, 1),
        "version": pa.nulls(rows, pa.string()),
    }
    arrays = [columns[name] if name in columns else pa.nulls(rows, pa.string()) for name in PLAN_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=PLAN_SCHEMA)


class SecondListing:
    """``ObjectLister``: of each thousand objects eight are written again, one is gone, and one has come to them."""

    requests = 0
    description = "synthetic objects, 1 % of them not as planned"

    def __init__(self, objects: int) -> None:
        self._objects = objects

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``."""
        for start in range(0, self._objects, BATCH):
            yield _listing_batch(_numbers(start, min(start + BATCH, self._objects)))


def _listing_batch(numbers: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    from registration_pipeline.inventory.schema import INVENTORY_SCHEMA

    rest = pc.subtract(numbers, pc.multiply(pc.divide(numbers, 1_000), 1_000))
    e_tags = pc.if_else(pc.less(rest, 8), _e_tags(numbers, 2), _e_tags(numbers, 1))
    there = pc.not_equal(rest, 500)
    added = numbers.filter(pc.equal(rest, 700))
    keys = pa.concat_arrays([_keys(numbers).filter(there), _keys(added, "b")])
    tags = pa.concat_arrays([e_tags.filter(there), _e_tags(added, 3)])
    sizes = pc.cast(pc.add(pa.concat_arrays([numbers.filter(there), added]), 400_000), pa.int64())
    rows = len(keys)
    columns = {
        "key": keys,
        "size": sizes,
        "last_modified": pa.repeat(pa.scalar(PLANNED_AT, pa.timestamp("us", tz="UTC")), rows),
        "e_tag": tags,
        "storage_class": pa.repeat(pa.scalar("STANDARD"), rows),
        "content_type": pa.nulls(rows, pa.string()),
        "version": pa.nulls(rows, pa.string()),
    }
    batch = pa.RecordBatch.from_arrays([columns[name] for name in INVENTORY_SCHEMA.names], schema=INVENTORY_SCHEMA)
    return batch.sort_by("key")
