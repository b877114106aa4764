"""Pruning removes the pipeline's own files, and is not ended by files that something else put beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import MemoryStore

from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.planning.prune import prunable_inventories, prune_inventories, prune_reports
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.owned import is_own
from registration_pipeline_tests.unit.inventory.key_ranges.keys_lister import KeysLister

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
STRAYS = ("a\u2028b", "back\\slash.json", ".tmp-abc", ".DS_Store", "x (copy).json", "c\u2028d/x.json", "zzz/x.json")
Put = tuple["StateStore", "Callable[[str], object]"]


def in_a_folder(root: Path) -> Put:
    def put(name: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")

    return LocalStateStore(root), put


def in_a_bucket(_: Path) -> Put:
    memory = MemoryStore()
    return BucketStateStore(memory, "memory://state"), lambda name: obstore.put(memory, name, b"x")


@pytest.mark.parametrize("place", [in_a_folder, in_a_bucket])
def test_files_of_others_are_left_where_they_are(place: Callable[[Path], Put], tmp_path: Path) -> None:
    store, put = place(tmp_path)
    for day in range(3):
        take_inventory(
            lister=KeysLister(["a"]), store=store, source="fleet", clock=partial(NOON.__add__, timedelta(days=day))
        )
    reports = [f"failure_log/202611{day}T020000000000Z.csv" for day in (21, 22)]
    reports += [
        f"audit/202611{day}T030000000000Z/{name}" for day in (21, 22) for name in ("_SUCCESS.json", "findings.csv")
    ]
    for name in reports:
        store.create(f"fleet/{name}", b"")
    folders = {name.rpartition("/")[0] for name in store.names("fleet/")} | {"fleet/inventory", "fleet/audit"}
    for folder in sorted(folders):
        for stray in STRAYS:
            put(f"{folder}/{stray}")
    strays = {name for name in store.names("fleet/") if not is_own(name)}
    before = NOON + timedelta(days=30)

    removed = prune_inventories(store, "fleet", before=before), prune_reports(store, "fleet", before=before)

    assert removed == (
        ["20261121T120000Z", "20261122T120000Z"],
        ["fleet/failure_log/20261121T020000000000Z.csv", "fleet/audit/20261121T030000000000Z/"],
    )
    assert {name for name in store.names("fleet/") if not is_own(name)} == strays
    assert {name.split("/")[2][:8] for name in store.names("fleet/") if is_own(name) and name.count("/") > 1} == {
        "20261123",
        "20261122",
    }
    assert prunable_inventories(store, "fleet", before=before) == []
    assert prune_reports(store, "fleet", before=before) == []
