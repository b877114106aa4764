"""Making the set ``metadata`` dies at any write: the set before counts or the whole new one, and the next try makes it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.facts.sets import latest_facts
from registration_pipeline_tests.metadata_model.world import MetadataBucket, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.state.store import StateStore

TABLE = {"table": "labels.csv", "key": "image"}


class KilledError(BaseException):
    """The process dies here: nothing catches it."""


class DyingStore:
    """Passes everything on, and dies at one change of the state and at all after it, as a process that is gone does."""

    def __init__(self, store: StateStore, number: int, *, after: bool) -> None:
        self._store, self._number, self._after = store, number, after
        self.changes = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._dying(found) if name in {"create", "create_from_file", "delete"} else found

    def _dying(self, change: Callable[..., None]) -> Callable[..., None]:
        def changed(*arguments: Any) -> None:
            self.changes += 1
            if self.changes > self._number or (self.changes == self._number and not self._after):
                raise KilledError
            change(*arguments)
            if self.changes == self._number:
                raise KilledError

        return changed


class Night:
    """A bucket with a set of yesterday, and a table that changed since."""

    def __init__(self, root: Path) -> None:
        self.bucket = MetadataBucket(root, metadata=[TABLE])
        self.bucket.put("raw/a.png", "raw/b.png")
        self.listed: Inventory = self.bucket.listed()
        self.sets = [self.bucket.make(self.listed, self.table(number)) for number in range(3)]
        self.changed = self.table(3)

    def table(self, number: int) -> FactSet:
        return self.bucket.write_values(0, {"raw/a.png": {"n": number}})

    def make(self, store: StateStore | None = None) -> FactSet:
        return self.bucket.make(self.listed, self.changed, store=store)

    def folders(self) -> list[str]:
        return self.bucket.store.folders("cams/facts/metadata/")


@pytest.mark.parametrize(
    "after", [pytest.param(False, id="before-the-write"), pytest.param(True, id="after-the-write")]
)
def test_a_kill_at_any_write_leaves_a_whole_set_and_the_next_try_makes_the_new_one(
    tmp_path: Path, *, after: bool
) -> None:
    whole = Night(tmp_path / "whole")
    expected = rows_of(whole.bucket.store, whole.make())
    for number in count(1):
        night = Night(tmp_path / f"{number}-{after}")
        dying: Any = DyingStore(night.bucket.store, number, after=after)
        try:
            night.make(dying)
        except KilledError:
            pass
        else:
            break
        left = latest_facts(night.bucket.store, "cams", "metadata")
        assert left is not None
        assert rows_of(night.bucket.store, left) in (rows_of(night.bucket.store, night.sets[-1]), expected)
        made = night.make()
        assert rows_of(night.bucket.store, made) == expected
        assert latest_facts(night.bucket.store, "cams", "metadata") == made
    assert number > 5, "a claim, a part, the marker, and what is cleared away"
