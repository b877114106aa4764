"""Compares what the state says of each source with what Dagster shows: ``python -m benchmarks.celery_truth`` on one machine.

Prints a JSON document: by source the counts of ``status``, and the numbers of chunks that Dagster shows otherwise than the
state knows them.
"""

from __future__ import annotations

import json
import os

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.project.project import Project
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.status import chunk_statuses, source_status


def truth(instance: dg.DagsterInstance, project: Project, source: str) -> dict[str, object]:
    """Return what is compared, of one source."""
    own = SourceNames(source)
    chunks = chunk_statuses(project.store, source)
    done = {name for name, chunk in chunks.items() if chunk.progress.state is ChunkState.SUCCEEDED}
    partitions = dg.DynamicPartitionsDefinition(name=own.partitions)
    shown: dict[str, set[str]] = {}
    for stage, key in (("registered", own.registration), ("made", own.manifest)):
        with partition_loading_context(dynamic_partitions_store=instance):
            cached = get_and_update_asset_status_cache_value(instance, key, partitions)
            assert cached is not None
            failed = set(cached.deserialize_failed_partition_subsets(partitions).get_partition_keys())
            running = set(cached.deserialize_in_progress_partition_subsets(partitions).get_partition_keys())
            whole = set(cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys())
        shown[stage] = whole - failed - running
    return {
        "status": source_status(project.store, source).as_json(),
        "chunks": len(chunks),
        "registered": len(done),
        "shown_otherwise": sorted(shown["registered"] ^ done),
        "manifests_shown_otherwise": sorted(shown["made"] ^ set(chunks)),
        "partitions_missing": sorted(set(chunks) ^ set(instance.get_dynamic_partitions(own.partitions))),
    }


def main() -> None:
    """Print it for all sources of the configuration of this machine."""
    project = Project.load()
    with dg.DagsterInstance.get() as instance:
        print(json.dumps({source: truth(instance, project, source) for source in project.settings.sources}), flush=True)
    os._exit(0)  # nothing of the stores' threads is waited for


if __name__ == "__main__":
    main()
