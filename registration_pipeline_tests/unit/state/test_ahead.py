"""Small files read several at once come in the order of their names, and what was written is not downloaded again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateNotFoundError
from registration_pipeline.state import bucket as bucket_module
from registration_pipeline.state.ahead import both, each, read_all
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from pathlib import Path


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


def test_no_thread_lives_while_the_caller_has_the_files(store: BucketStateStore) -> None:
    read = read_all(store, [f"fleet/{number:02d}" for number in range(50)])

    next(read)

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("read-state")] == []


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


class Together:
    """Calls that end only when as many as are expected are under way; alone each would wait for the others for ever."""

    def __init__(self, number: int) -> None:
        self._all = threading.Barrier(number, timeout=20)

    def __call__(self, value: int = 0) -> int:
        self._all.wait()
        return value * value


def test_two_calls_are_made_at_the_same_time(store: BucketStateStore) -> None:
    together = Together(2)

    assert both(store, lambda: together(3), lambda: together(4)) == (9, 16)


def test_calls_for_each_of_several_are_made_at_the_same_time_and_answered_in_order(store: BucketStateStore) -> None:
    assert each(store, Together(16), range(16)) == [number * number for number in range(16)]


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
def test_an_error_of_one_of_two_calls_comes_when_the_other_has_ended(
    store: BucketStateStore, *, is_first: bool
) -> None:
    ended: list[int] = []

    def fail() -> int:
        raise StateNotFoundError("gone")

    with pytest.raises(StateNotFoundError, match="gone"):
        both(store, *([fail, lambda: ended.append(1)] if is_first else [lambda: ended.append(1), fail]))
    assert ended == [1]


def test_the_first_error_of_many_calls_is_raised(store: BucketStateStore) -> None:
    def read(number: int) -> int:
        if number >= 20:
            raise StateNotFoundError(f"{number}")
        return number

    with pytest.raises(StateNotFoundError, match="20"):
        each(store, read, range(40))


def test_on_a_disk_calls_come_one_after_the_other(tmp_path: Path) -> None:
    disk, seen = LocalStateStore(tmp_path), list[str]()

    assert both(disk, lambda: seen.append(threading.current_thread().name), lambda: seen.append("second"))
    assert each(disk, seen.append, ["third", "fourth"])
    assert seen == [threading.current_thread().name, "second", "third", "fourth"]


def test_a_part_that_was_written_just_now_is_opened_without_a_request(tmp_path: Path) -> None:
    store, path = BucketStateStore(MemoryStore(), "memory://state"), tmp_path / "part"
    path.write_bytes(b"p" * 5_000)
    store.create_from_file("fleet/plan/part.parquet", path)
    obstore.delete(store._store, "fleet/plan/part.parquet")

    with store.open("fleet/plan/part.parquet") as file:
        assert file.read() == path.read_bytes()
    store.delete("fleet/plan/part.parquet")
    with pytest.raises(StateNotFoundError):
        store.open("fleet/plan/part.parquet")


def test_a_large_part_is_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "_KEPT_FILE_BYTES", 4_999)
    store, path = BucketStateStore(MemoryStore(), "memory://state"), tmp_path / "part"
    path.write_bytes(b"p" * 5_000)
    store.create_from_file("fleet/plan/part.parquet", path)
    obstore.delete(store._store, "fleet/plan/part.parquet")

    with pytest.raises(StateNotFoundError):
        store.open("fleet/plan/part.parquet")


def test_what_is_kept_in_memory_stays_below_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used last stays; the same name once more, after it was deleted, counts once."""
    monkeypatch.setattr(bucket_module, "_KEPT_BYTES", 15_000)
    store = BucketStateStore(MemoryStore(), "memory://state")
    for number in (1, 2, 3):
        store.create(f"fleet/{number}", b"x" * 5_000)
    with store.open("fleet/1") as file:
        file.read()
    store.create("fleet/4", b"x" * 5_000)

    for number in (1, 2, 3, 4):
        obstore.delete(store._store, f"fleet/{number}")
    kept = [number for number in (1, 2, 3, 4) if store._written.get(f"fleet/{number}") is not None]
    assert kept == [1, 3, 4]
