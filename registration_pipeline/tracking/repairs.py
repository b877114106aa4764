"""Which failures are worth another try because the object was written again since. Only finding them belongs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.wave import read_census
from registration_pipeline.tracking.due import has_failed
from registration_pipeline.tracking.failures.log import failed_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.snapshot import SourceSnapshot
    from registration_pipeline.tracking.status import ChunkStatus


def repaired_chunks(store: StateStore, snapshot: SourceSnapshot, statuses: Mapping[str, ChunkStatus]) -> frozenset[str]:
    """Return the chunks with a failed object that the latest inventory shows written after the last attempt began.

    The store's clock is compared with ours: one that is behind makes a repair be found a night later, or by a retry.
    """
    began = {
        chunk_id: status.progress.began.at
        for chunk_id, status in statuses.items()
        if has_failed(status) and status.progress.began is not None
    }
    latest = snapshot.history.latest if began else None
    rewritten: dict[str, set[str]] = {}
    for batch in read_census(store, latest, "changed") if latest else ():
        rows = batch.filter(pc.is_in(batch.column("chunk_id"), pa.array(list(began), pa.string()))).to_pylist()
        for row in rows:
            if row["last_modified"] > began[row["chunk_id"]]:
                rewritten.setdefault(row["chunk_id"], set()).add(row["key"])
    return frozenset(
        chunk_id
        for chunk_id, keys in rewritten.items()
        if keys & failed_keys(store, snapshot.source, statuses[chunk_id].progress)
    )
