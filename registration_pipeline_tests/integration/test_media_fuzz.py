"""Hostile files: nothing hangs, nothing ends but the file's own process, and memory stays what it was."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.facts.media.kind import MediaProbing
from registration_pipeline.facts.media.schema import NO_MEDIA
from registration_pipeline.facts.media.worker import MEMORY_BYTES
from registration_pipeline.facts.reader import ObjectDescription, StoredObject
from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.dicom_files import image, written
from registration_pipeline_tests.doses import DOSES, IS_SOAK
from registration_pipeline_tests.media_samples import documents, images, sounds, videos
from registration_pipeline_tests.media_samples.mutation import mutated

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 20261127
PARTS = 2 if IS_SOAK else 1
"""Of the campaign, which run beside each other."""

LONGEST_SAMPLE = 400_000
"""Larger ones only make the files that are made from them slow to make."""

SECONDS = 60.0
"""Of one object, with its process started again; the processor time of one ends after a third of it."""


class Memory:
    """An ``ObjectReader`` of one object that is nowhere."""

    permission = description_permission = "none"
    description = "memory"

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.requests = 0

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        assert 0 <= start < item.size
        assert length > 0
        self.requests += 1
        return self._content[start : start + length]

    def describe(self, item: StoredObject) -> ObjectDescription:
        raise AssertionError(item)


def samples(folder: Path) -> list[tuple[MediaKind, bytes]]:
    """Return good files, small enough to be changed quickly."""
    found = [(MediaKind.DICOM_SERIES, written(image())), (MediaKind.DICOM_SERIES, written(image(), "deflated"))]
    for sample in (*images.SAMPLES, *videos.SAMPLES, *sounds.SAMPLES, *documents.SAMPLES):
        if sample.name.startswith(("large", "behind-a-hole", "many", "ntsc", "six")):
            continue
        path = folder / f"{sample.kind.value}-{sample.name}"
        sample.write(path)
        if path.stat().st_size < LONGEST_SAMPLE:
            found.append((sample.kind, path.read_bytes()))
    return found


def resident() -> int:
    """Return the memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_of(processes: Sequence[int]) -> int:
    pages = [int(Path(f"/proc/{number}/statm").read_text().split()[1]) for number in processes]
    return max(pages, default=0) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(PARTS))
def test_hostile_files_neither_hang_nor_crash_nor_fill_memory(part: int, tmp_path: Path) -> None:
    good = samples(tmp_path)
    others = [content for _, content in good]
    random = Random(SEED + part)
    kinds: dict[str, MediaKind] = {}
    probing = MediaProbing(kinds.__getitem__, 1)
    item = StoredObject(key="", size=0, last_modified=datetime(2026, 1, 1, tzinfo=UTC))
    outcomes: Counter[str] = Counter()
    slowest = largest = 0.0
    before = 0
    with probing.session():
        for number in range(DOSES.hostile_files // PARTS):
            kind, content = good[number % len(good)]
            content = mutated(content, others, random)
            kinds["a"] = kind
            began = time.monotonic()

            found = probing.read(Memory(content), replace(item, key="a", size=len(content)))

            slowest = max(slowest, time.monotonic() - began)
            assert slowest < SECONDS, (number, kind, found)
            assert found.problem in (None, NO_MEDIA), (number, kind, found)
            assert (found.block is None) == (found.problem is not None)
            outcomes[kind.value + (": block" if found.block else ": none")] += 1
            outcomes["processes that ended"] += "the process that read it ended" in str(found.message)
            outcomes["processor time"] += "processor time" in str(found.message)
            outcomes["too much memory"] += "of memory" in str(found.message)
            if number % 500 == 0:
                largest = max(largest, memory_of(probing.pool.processes))
            if number == DOSES.hostile_files // PARTS // 4:
                before = resident()

        grown = resident() - before
    counts = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
    print(
        f"{DOSES.hostile_files // PARTS} hostile files: {counts}; slowest {slowest:.2f} s, worker {largest / 2**20:.0f} MiB, "
        f"grown by {grown / 2**20:.1f} MiB, {probing.pool.started} processes started"
    )
    assert grown < 32 << 20
    assert largest < MEMORY_BYTES
    assert sum(count for name, count in outcomes.items() if name.endswith("block")) > 0
