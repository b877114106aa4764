"""Status and failure log are folds: nothing but plan and journal decides them, and no index is kept beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.status import source_status

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore

PLAN = {"plan", "census"}
"""What a wave's commit marker names."""


@pytest.fixture
def worn_fleet(new_fleet: Any) -> Any:
    """A source with every kind of object: registered, failed, rejected, excluded, pending, changed and deleted."""
    fails = {"fails": lambda url: "403 Forbidden" if "b.jpg" in url else None}
    fleet = new_fleet(encord=fails, exclude=["**/skip/**"])
    fleet.put(*(f"raw/{name}.jpg" for name in "abcdef"), "raw/skip/x.jpg", "raw/x.exe").put("raw/empty.jpg", size=0)
    fleet.sync().register()
    fleet.register(retry_failed=True)
    del fleet.objects["raw/c.jpg"]
    fleet.put("raw/d.jpg", e_tag="another").put("raw/z.jpg").sync()
    return fleet


def copy_of(store: StateStore, folders: set[str]) -> StateStore:
    """Return a state that holds only these folders of the source."""
    copied = BucketStateStore(MemoryStore(), "memory://copy")
    for name in store.names(""):
        if name.split("/")[1] in folders:
            copied.create(name, store.read(name))
    return copied


@pytest.mark.parametrize(
    "kept", [PLAN | {"journal", "outcomes"}, PLAN | {"journal"}], ids=["with outcomes", "without outcomes"]
)
def test_status_and_failures_need_nothing_but_plan_and_journal(worn_fleet: Any, kept: set[str]):
    store = worn_fleet.store
    others = {name.split("/")[1] for name in store.names("")} - kept
    bare = copy_of(store, kept)

    assert {"inventory", "lineage", "manifests", "failures"} <= others
    assert source_status(bare, "fleet") == source_status(store, "fleet")
    assert list(source_failures(bare, "fleet")) == list(source_failures(store, "fleet"))
    status = source_status(bare, "fleet")
    assert (status.registered, status.failed, status.rejected, status.excluded) == (4, 1, 2, 1)
    assert (status.pending, status.changed, status.deleted) == (1, 1, 1)


@pytest.mark.parametrize(
    "damage", [b"", b"no Parquet", b"PAR1" + bytes(40) + b"PAR1"], ids=["empty", "other", "garbled"]
)
def test_damaged_outcomes_are_named_with_the_way_out(worn_fleet: Any, damage: bytes):
    store = worn_fleet.store
    names = list(store.names("fleet/outcomes/"))
    for name in names:
        store.delete(name)
        store.create(name, damage)

    with pytest.raises(StateCorruptError, match=r"memory://.*/outcomes/.*delete it"):
        list(source_failures(store, "fleet"))

    for name in names:
        store.delete(name)
    assert [one.key for one in source_failures(store, "fleet")] == ["raw/empty.jpg", "raw/x.exe", "raw/b.jpg"]
