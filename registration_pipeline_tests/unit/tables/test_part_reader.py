"""Row groups of sorted parts: found by key, kept for a while, and decoded by one thread for all that ask at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.planning.wave import load_waves
from registration_pipeline.tables.part_reader import GroupReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.state.parquet import Part
    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.unit.conftest import Fleet

THREADS = 8


class SlowStore:
    """A store that takes its time to open a file, so that other threads ask for it meanwhile; the first may fail."""

    def __init__(self, inner: StateStore, *, fails: int = 0) -> None:
        self.inner, self.opened, self.fails = inner, 0, fails
        self.lock = threading.Lock()

    def open(self, name: str) -> IO[bytes]:
        with self.lock:
            self.opened += 1
            is_broken = self.opened <= self.fails
        time.sleep(0.1)
        if is_broken:
            raise StateCorruptError("unreadable for a moment")
        return self.inner.open(name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.inner, attribute)


@pytest.fixture
def planned(fleet_of: Callable[..., Fleet]) -> tuple[StateStore, Part]:
    """A part of three objects."""
    fleet = fleet_of()
    return fleet.store, load_waves(fleet.store, fleet.source.name)[0].parts[0]


def keys(reader: GroupReader, store: Any, part: Part) -> list[str]:
    tables = reader.groups(store, part, first_key="", last_key="\U0010ffff")
    return [key for table in tables for key in table.column("key").to_pylist()]


def test_threads_that_ask_at_once_share_one_reading(planned: tuple[StateStore, Part]):
    store, part = planned
    slow, reader = SlowStore(store), GroupReader(("key",))

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: keys(reader, slow, part), range(THREADS)))

    assert found == [["raw/a.jpg", "raw/b.jpg", "raw/c.jpg"]] * THREADS
    assert slow.opened <= 2, "once for the bounds of its groups, and once for the group if another thread was first"


def test_a_reading_that_fails_is_made_again_by_the_next_that_asks(planned: tuple[StateStore, Part]):
    store, part = planned
    broken, reader = SlowStore(store, fails=1), GroupReader(("key",))

    with pytest.raises(StateCorruptError, match="for a moment"):
        keys(reader, broken, part)

    assert len(keys(reader, broken, part)) == 3


def test_keys_outside_of_a_group_open_nothing_once_its_bounds_are_known(planned: tuple[StateStore, Part]):
    store, part = planned
    counted, reader = SlowStore(store), GroupReader(("key",))

    assert list(reader.groups(counted, part, first_key="x", last_key="z")) == []
    assert list(reader.groups(counted, part, first_key="y", last_key="z")) == []

    assert counted.opened == 1
