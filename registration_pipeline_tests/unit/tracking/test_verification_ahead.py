"""A state in a bucket is verified with several requests under way, one for each file, and finds what it finds on a disk."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from benchmarks.counting_store import CountingStore
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.submission.testing import StartScript
from registration_pipeline.verification.state import verify_state

if TYPE_CHECKING:
    from pathlib import Path

CHUNKS = 16


@pytest.fixture(scope="module")
def fleet(fleet_of: Any) -> Any:
    """Sixteen chunks, two of which have failures, one of them in parts."""
    fleet = fleet_of(*(f"{number:02d}.jpg" for number in range(2 * CHUNKS)))
    fleet.encord.starts = [StartScript.REFUSE]
    fleet.encord.fails = lambda url: "corrupt" if url.endswith(("00.jpg", "09.jpg")) else None
    fleet.register()
    return fleet


class Bucket(CountingStore):
    """The state of a fleet in a bucket.

    Args:
        fleet: whose.
        meets: part of the names of files.
        number: the first requests for such files are answered when so many are under way; one by one, none ever would be.
    """

    def __init__(self, fleet: Any, meets: str = "nothing", number: int = 1) -> None:
        super().__init__()
        self.files = self._store = fleet.store._store
        self._meets, self._left, self._met = meets, number, threading.Event()
        self.asked, self._counting = Counter[str](), threading.Lock()

    def read(self, name: str) -> bytes:
        self._meet(name)
        return super().read(name)

    def open(self, name: str) -> Any:
        self._meet(name)
        return super().open(name)

    def _meet(self, name: str) -> None:
        self.asked[name] += 1
        if self._meets in name and not self._met.is_set():
            with self._counting:
                self._left -= 1
                if not self._left:
                    self._met.set()
            assert self._met.wait(20), "requests were made one after the other"


@pytest.mark.parametrize(
    ("meets", "number"),
    [("/manifests/", 16), ("/outcomes/", 4), ("/journal/", 12), ("-00000.parquet", 2), ("_SUCCESS", 3)],
)
def test_files_are_read_side_by_side(fleet: Any, meets: str, number: int) -> None:
    assert verify_state(Bucket(fleet, meets, number), "fleet").damaged == {}


def test_each_file_of_a_chunk_is_read_once(fleet: Any) -> None:
    bucket = Bucket(fleet)
    own = ("/manifests/", "/journal/", "/outcomes/")
    names = {name for name in fleet.store.names("fleet/") if any(kind in name for kind in own)}

    verify_state(bucket, "fleet")

    # The numbers are compared at the end, for which what failed is read once more.
    again = {name for name in names if bucket.asked[name] > 1}
    assert {name for name in names if not bucket.asked[name]} == set()
    assert all("/journal/" in name or "/outcomes/" in name for name in again)
    assert sum(bucket.asked[name] for name in names) <= len(names) + sum("/journal/" in one for one in names) + 2


def test_it_says_the_same_of_a_state_on_a_disk(fleet: Any, tmp_path: Path) -> None:
    """Also of a damaged one: a flipped bit in every third file, and every tenth file is gone."""
    disk, bucket = LocalStateStore(tmp_path), Bucket(fleet)
    bucket.files = bucket._store = MemoryStore()
    bucket._uri = "memory://damaged"  # else parts of its undamaged twin would be in memory
    for number, name in enumerate(sorted(fleet.store.names("fleet/"))):
        data = bytearray(fleet.store.read(name))
        is_layout = name.endswith("state.json")
        if number % 10 == 9 and not is_layout:
            continue
        if number % 3 == 1 and not is_layout:
            data[len(data) // 2] ^= 1
        for store in (disk, bucket):
            store.create(name, bytes(data))

    on_disk, in_bucket = (verify_state(store, "fleet") for store in (disk, bucket))

    assert len(on_disk.damaged) > CHUNKS
    assert [*in_bucket.damaged.values()] == [*on_disk.damaged.values()]
    assert (in_bucket.files, in_bucket.bytes) == (on_disk.files, on_disk.bytes)
