"""Small files read several at once come in the order of their names, and what was written is not downloaded again."""

from __future__ import annotations

import obstore
import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateNotFoundError
from registration_pipeline.state.ahead import read_all
from registration_pipeline.state.bucket import BucketStateStore


@pytest.fixture
def store() -> BucketStateStore:
    made = BucketStateStore(MemoryStore(), "memory://state")
    for number in range(50):
        made.create(f"fleet/{number:02d}", f"{number}".encode())
    return made


@pytest.mark.parametrize("number", [0, 1, 3, 4, 17, 50])
def test_files_come_in_the_order_that_was_asked_for(store: BucketStateStore, number: int) -> None:
    wanted = [place * 7 % 50 for place in range(number)]

    assert list(read_all(store, (f"fleet/{one:02d}" for one in wanted))) == [f"{one}".encode() for one in wanted]


def test_a_missing_file_is_an_error_after_those_before_it(store: BucketStateStore) -> None:
    store.delete("fleet/20")
    read = read_all(store, (f"fleet/{number:02d}" for number in range(50)))

    assert [next(read) for _ in range(20)] == [f"{number}".encode() for number in range(20)]
    with pytest.raises(StateNotFoundError, match="fleet/20"):
        next(read)


def test_a_local_copy_of_what_was_written_is_made_of_its_own_bytes() -> None:
    store, data = BucketStateStore(MemoryStore(), "memory://state"), b"x" * 5_000
    store.create("fleet/manifests/a.json", data)
    obstore.delete(store._store, "fleet/manifests/a.json")

    with store.local_file("fleet/manifests/a.json") as path:
        assert path.read_bytes() == data
    store.delete("fleet/manifests/a.json")
    with pytest.raises(StateNotFoundError), store.local_file("fleet/manifests/a.json"):
        pass
