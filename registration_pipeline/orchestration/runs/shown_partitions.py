"""Which chunks Dagster shows as done: compared with the latest state of each partition, not with what was once the case.

What does not belong here: which chunks a run means (``tracking/due.py``).
"""

from collections.abc import Mapping

import dagster as dg
from dagster import DagsterEventType

from registration_pipeline.orchestration.names import SourceNames


def shown_as_done(instance: dg.DagsterInstance, source: SourceNames) -> set[str]:
    """Return the chunks whose registration is shown as materialized, and whose manifest is not shown as failed.

    A partition that was planned again since it was materialized shows what its newest run did: it failed, when that run ended
    before it reached the partition. A manifest that was never made shows nothing, and is left so.
    """
    registered = _newest(instance, source.registration, DagsterEventType.ASSET_MATERIALIZATION)
    planned = _newest(instance, source.registration, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    done = {chunk_id for chunk_id, event in registered.items() if planned.get(chunk_id, 0) < event}
    # Only runs of assets plan manifests; a source that is synced by its job has no such event.
    to_make = _newest(instance, source.manifest, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    made = _newest(instance, source.manifest, DagsterEventType.ASSET_MATERIALIZATION) if to_make else {}
    return done - {chunk_id for chunk_id, event in to_make.items() if made.get(chunk_id, 0) < event}


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey, kind: DagsterEventType) -> Mapping[str, int]:
    """Return the number of the newest event of a kind by partition."""
    return instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
