"""Topping up a report: what a live folder holds is what the store says now, and all else is what the report says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.reports.top_up import FolderPage, TopUp
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

SNAPSHOT = datetime(2026, 11, 20, tzinfo=UTC)
QUIET, BUSY = SNAPSHOT - timedelta(days=30), SNAPSHOT - timedelta(days=1)
Objects = dict[str, datetime]


def batches(objects: Mapping[str, datetime], rows: int = 3) -> Iterator[pa.RecordBatch]:
    ordered = sorted(objects)
    for start in range(0, len(ordered), rows):
        part = ordered[start : start + rows]
        yield inventory_batch(keys=part, sizes=[1] * len(part), last_modified=[objects[key] for key in part])


class Bucket:
    """A bucket in memory: its listing, folder by folder and below a prefix. Remembers what it was asked."""

    def __init__(self, objects: Objects, page_size: int = 2) -> None:
        self._objects, self._page_size = objects, page_size
        self.requests = 0
        self.probed: list[str] = []
        self.listed: list[str] = []

    def pages(self, folder: str) -> Iterator[FolderPage]:
        self.probed.append(folder)
        items = sorted(
            {
                folder + rest[: rest.find("/") + 1] if "/" in rest else key
                for key in self._objects
                if key.startswith(folder)
                for rest in [key[len(folder) :]]
            }
        )
        for start in range(0, max(len(items), 1), self._page_size):
            self.requests += 1
            part = items[start : start + self._page_size]
            own = [item for item in part if item in self._objects and (item == folder or not item.endswith("/"))]
            modified = [self._objects[key] for key in own]
            objects = inventory_batch(keys=own, sizes=[1] * len(own), last_modified=modified)
            yield FolderPage(objects, tuple(item for item in part if item not in own))

    def lister_of(self, prefix: str) -> Below:
        self.listed.append(prefix)
        return Below({key: time for key, time in self._objects.items() if key.startswith(prefix)})


class Below:
    """An ``ObjectLister`` of a part of the bucket."""

    description = "a part of the bucket"
    requests = 1

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        yield from batches(self._objects)


def topped_up(report: Objects, bucket: Bucket, prefix: str = "") -> tuple[list[str], TopUp]:
    top_up = TopUp(bucket, bucket.lister_of, prefix)
    top_up.begin(SNAPSHOT)
    for batch in batches(report, rows=2):
        top_up.see(batch)
    return [key for batch in top_up.merged(batches(report)) for key in batch.column("key").to_pylist()], top_up


REPORT: Objects = {
    "raw/readme": QUIET,
    "raw/a/1": QUIET,
    "raw/a/2": QUIET,
    "raw/b/old/1": QUIET,
    "raw/b/today/1": BUSY,
    "raw/b/today/2": BUSY,
    "raw/c/1": QUIET,
}


def test_new_folders_live_folders_and_the_top_level_are_as_they_are_now() -> None:
    now = {
        **{key: time for key, time in REPORT.items() if key != "raw/b/today/1"},
        "raw/new-at-the-top": SNAPSHOT,
        "raw/b/today/3": SNAPSHOT,
        "raw/b/tomorrow/1": SNAPSHOT,
        "raw/b/tomorrow/deep/2": SNAPSHOT,
        "raw/d/1": SNAPSHOT,
    }
    bucket = Bucket(now)

    found, top_up = topped_up(REPORT, bucket, "raw/")

    assert found == sorted(now)
    assert bucket.probed == ["raw/", "raw/b/", "raw/b/today/"]
    assert bucket.listed == ["raw/b/tomorrow/", "raw/d/"]
    assert top_up.description == "3 live folders and 2 new ones listed since"
    assert top_up.requests == bucket.requests + 2


def test_a_change_in_a_folder_long_quiet_waits_for_the_next_report() -> None:
    now = {key: time for key, time in REPORT.items() if key != "raw/a/1"} | {"raw/a/3": SNAPSHOT}

    found, _ = topped_up(REPORT, Bucket(now), "raw/")

    assert found == sorted(REPORT)


def test_a_folder_that_is_gone_takes_its_objects_along() -> None:
    now = {key: time for key, time in REPORT.items() if not key.startswith(("raw/a/", "raw/b/today/"))}

    found, _ = topped_up(REPORT, Bucket(now), "raw/")

    assert found == sorted(now)


@pytest.mark.parametrize("prefix", ["raw/b", "raw/b/", "ra", ""])
def test_the_prefix_need_not_end_at_a_folder(prefix: str) -> None:
    report = {key: time for key, time in REPORT.items() if key.startswith(prefix)}
    now = report | {f"{prefix}!new": SNAPSHOT, f"{prefix}z/new": SNAPSHOT}

    assert topped_up(report, Bucket(now), prefix)[0] == sorted(now)


SEGMENT = st.sampled_from(["", "a", "b", "a-", "é", "."])
KEY = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join).filter(bool)


@given(
    report=st.dictionaries(KEY, st.sampled_from([QUIET, BUSY]), max_size=20),
    now=st.dictionaries(KEY, st.just(SNAPSHOT), max_size=20),
)
def test_live_folders_are_the_store_and_quiet_ones_the_report(report: Objects, now: Objects) -> None:
    found, _ = topped_up(report, Bucket(now))

    def folders(key: str) -> list[str]:
        return [key[: at + 1] for at, sign in enumerate(key) if sign == "/"]

    live = {"", *(folder for key, time in report.items() if time == BUSY for folder in folders(key))}

    def is_trusted(key: str) -> bool:
        """Return whether the key lies below a quiet folder that both sides have, the first of the key's that is not live."""
        outer = next((folder for folder in folders(key) if folder not in live), None)
        return outer is not None and all(any(one.startswith(outer) for one in side) for side in (report, now))

    expected = {key for key in now if not is_trusted(key)} | {key for key in report if is_trusted(key)}
    assert found == sorted(expected)
