"""The state as it would be with the newest inventory planned, for status and failure log between inventory and plan.

Their numbers are counted over the latest inventory, and only a plan says what is excluded, rejected or new in it. What
belongs here is planning on the side: nothing is written to the state, and nothing is decided that a plan would not decide.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

from registration_pipeline.errors import StateConflictError
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.planning.history import load_chunks_of
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.snapshot import SourceSnapshot


@contextmanager
def view_of_latest(
    store: StateStore,
    source: SourceSettings,
    snapshot: SourceSnapshot,
    limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
    *,
    inventory: Inventory | None = None,
) -> Iterator[tuple[StateStore, SourceSnapshot]]:
    """Give the state to count over, and its snapshot: those given when the newest inventory is planned, as it usually is.

    Otherwise planning it costs as much as ``plan --dry-run``, and its files go to a temporary folder that is removed at the
    end of the ``with`` block.

    Args:
        store: the state.
        source: which.
        snapshot: of the state.
        limits: what Encord accepts in one manifest.
        inventory: the newest one, if it was read a moment ago.
    """
    inventory = inventory or latest_inventory(store, source.name)
    latest = snapshot.history.latest
    if inventory is None or (latest is not None and latest.inventory_id >= inventory.inventory_id):
        yield store, snapshot
        return
    with tempfile.TemporaryDirectory(prefix="registration-view-") as folder:
        view = StoreOverlay(store, LocalStateStore(Path(folder)))
        plan = plan_source(
            store=view,
            source=source,
            clock=lambda: inventory.finished_at,
            inventory=inventory,
            limits=limits,
            compacts=False,
        )
        yield view, replace(snapshot, history=plan.history, chunks=load_chunks_of(view, plan.history))


class StoreOverlay:
    """``StateStore`` that reads through to one state and writes to another.

    Args:
        below: never written to; deleting a file of it does nothing.
        above: takes everything that is written.
    """

    def __init__(self, below: StateStore, above: StateStore) -> None:
        self._below, self._above = below, above

    @property
    def uri(self) -> str:
        """See ``StateStore.uri``."""
        return self._below.uri

    def create(self, name: str, data: bytes) -> None:
        """See ``StateStore.create``."""
        self._check_free(name)
        self._above.create(name, data)

    def create_from_file(self, name: str, path: Path) -> None:
        """See ``StateStore.create_from_file``."""
        self._check_free(name)
        self._above.create_from_file(name, path)

    def read(self, name: str) -> bytes:
        """See ``StateStore.read``."""
        return self._holder(name).read(name)

    def exists(self, name: str) -> bool:
        """See ``StateStore.exists``."""
        return self._holder(name).exists(name)

    def names(self, prefix: str) -> Iterator[str]:
        """See ``StateStore.names``."""
        return (name for name, _ in groupby(merge(self._above.names(prefix), self._below.names(prefix))))

    def folders(self, prefix: str) -> list[str]:
        """See ``StateStore.folders``."""
        return sorted({*self._above.folders(prefix), *self._below.folders(prefix)})

    def delete(self, name: str) -> None:
        """See ``StateStore.delete``."""
        self._above.delete(name)

    def open(self, name: str) -> IO[bytes]:
        """See ``StateStore.open``."""
        return self._holder(name).open(name)

    def local_file(self, name: str) -> AbstractContextManager[Path]:
        """See ``StateStore.local_file``."""
        return self._holder(name).local_file(name)

    def require_exclusive_create(self) -> None:
        """See ``StateStore.require_exclusive_create``; of what takes the writes."""
        self._above.require_exclusive_create()

    def location(self, name: str) -> str:
        """See ``StateStore.location``."""
        return self._holder(name).location(name)

    def _holder(self, name: str) -> StateStore:
        return self._above if self._above.exists(name) else self._below

    def _check_free(self, name: str) -> None:
        if self._below.exists(name):
            raise StateConflictError(f"{self._below.location(name)} exists already: another process wrote it first.")
