"""A listing that leaves files out: whatever XML answers with status 200 is an empty folder for the client of a bucket.

Files are created once, so nothing is planned or sent twice because of it; these tests are about what people are told to do.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.planning import prune
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.planning.prune import prunable_inventories
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.unit.inventory.key_ranges.keys_lister import KeysLister

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SAID = "is there, but a listing of its folder left it out. Nothing has to be restored: run again."


class Forgetful(BucketStateStore):
    """A bucket whose listings leave out what lies below some names."""

    left_out: tuple[str, ...] = ()

    def names(self, prefix: str) -> Iterator[str]:
        return (name for name in super().names(prefix) if not name.startswith(self.left_out))

    def folders(self, prefix: str) -> list[str]:
        return [folder for folder in super().folders(prefix) if not f"{prefix}{folder}/".startswith(self.left_out)]


@pytest.fixture
def store() -> Forgetful:
    """A state with two inventories, each planned."""
    store = Forgetful(MemoryStore(), "memory://state")
    source = SourceSettings(name="fleet", uri="s3://bucket/", url_style="s3")
    for night in range(2):
        clock = partial(NOON.__add__, timedelta(days=night))
        keys = [f"{number}.jpg" for number in range(night + 1)]
        take_inventory(lister=KeysLister(keys), store=store, source="fleet", clock=clock)
        plan_source(store=store, source=source, clock=clock)
    return store


def test_a_file_that_is_there_is_not_to_be_restored_from_a_backup(store: Forgetful) -> None:
    store.left_out = ("fleet/plan/", "fleet/ledger/")

    with pytest.raises(StateCorruptError, match=SAID) as said:
        load_history(store, "fleet")

    assert "backup" not in str(said.value)
    store.left_out = ()
    assert len(load_history(store, "fleet").wave_ids) == 2


def test_what_is_missing_is_to_be_restored(store: Forgetful) -> None:
    for name in [*store.names("fleet/plan/"), *store.names("fleet/ledger/")]:
        if name.endswith(".parquet"):
            store.delete(name)

    with pytest.raises(StateCorruptError, match=r"[.]parquet is missing, .*Restore it from a backup"):
        load_history(store, "fleet")


def test_verify_does_not_call_a_file_missing_that_is_there(store: Forgetful) -> None:
    marker = next(name for name in store.names("fleet/plan/") if name.endswith("_SUCCESS.json"))

    store.left_out = (marker,)

    found = verify_state(store, "fleet").damaged[marker]

    assert f"{found.problem}. {found.to_do}.".startswith(SAID)


def test_pruning_keeps_the_newest_inventory_when_a_listing_leaves_the_inventories_out(
    store: Forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, before = NOON + timedelta(days=2), NOON + timedelta(days=30)
    take_inventory(lister=KeysLister(["2.jpg"]), store=store, source="fleet", clock=lambda: at)
    assert prunable_inventories(store, "fleet", before=before) == ["20261121T120000Z"]

    monkeypatch.setattr(prune, "latest_inventory", lambda *_: None)
    assert prunable_inventories(store, "fleet", before=before) == []
