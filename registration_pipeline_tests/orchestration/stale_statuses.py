"""Which assets and partitions the UI shows as "Unsynced", computed by what Dagster's own webserver computes it with.

What does not belong here: what makes them so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

if TYPE_CHECKING:
    import dagster as dg


def unsynced(defs: dg.Definitions, instance: dg.DagsterInstance, partitions: list[str]) -> dict[str, list[str]]:
    """Return the causes by name of the asset, with the partition where it has some."""
    graph = defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found: dict[str, list[str]] = {}
    for key in graph.get_all_asset_keys():
        for partition in partitions if graph.get(key).is_partitioned else [None]:
            if resolver.get_status(key, partition) is StaleStatus.STALE:
                name = key.path[-1] if partition is None else f"{key.path[-1]}[{partition}]"
                found[name] = [
                    f"{cause.reason} {cause.dependency}" for cause in resolver.get_stale_causes(key, partition)
                ]
    return found
