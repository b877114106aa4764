"""What is true at one moment of the demo: what the sandbox holds, what the pipeline's state says and what Dagster shows.

The sandbox is asked directly and keys are decoded here, so that the claims do not rest on the code that they are about.
What does not belong here: judging (``claims``).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import dagster as dg

from registration_pipeline.demo.configuration import BUCKET, BUCKET_SOURCE, DIRECTORY_SOURCE
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.tracking.due import failed_chunks
from registration_pipeline.tracking.failures.files import STAGE_PLAN
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.status import chunk_statuses, source_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.demo.home import DemoHome
    from registration_pipeline.demo.servers import DemoServers
    from registration_pipeline.sandbox.admin.insight import JobRecord, RegisteredItem
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.status import SourceStatus

SOURCES = (BUCKET_SOURCE, DIRECTORY_SOURCE)

ObjectName = tuple[str, str]
"""Source and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One moment.

    Args:
        registered: how often each object is in the sandbox.
        metadata: the client metadata of each.
        media: objects that the sandbox has media metadata of.
        linked: how often each object is in a dataset.
        datasets: how many datasets there are.
        jobs: every upload job so far, oldest first.
        failed: objects that the failure log says Encord refused.
        rejected: objects that the failure log says were not submitted.
        chunks: every planned chunk's id.
        failed_chunks: those that hold failed objects.
        materialized: chunks that Dagster shows as materialized partitions of the registration.
        runs: Dagster runs so far.
        statuses: what ``status`` prints, by source.
        duplicates: URLs that the sandbox itself counts more than once.
    """

    registered: Counter[ObjectName]
    metadata: Mapping[ObjectName, Mapping[str, Any]]
    media: frozenset[ObjectName]
    linked: Counter[ObjectName]
    datasets: int
    jobs: tuple[JobRecord, ...]
    failed: frozenset[ObjectName]
    rejected: frozenset[ObjectName]
    chunks: frozenset[str]
    failed_chunks: frozenset[str]
    materialized: frozenset[str]
    runs: int
    statuses: Mapping[str, SourceStatus]
    duplicates: int


def observe(home: DemoHome, servers: DemoServers, store: StateStore) -> Observation:
    """Read the sandbox and the state."""
    rows = [row for source in SOURCES for row in source_failures(store, source)]
    jobs = tuple(servers.sandbox.jobs())
    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        materialized, runs = _materialized(instance), instance.get_runs_count()
    items = [(name, item) for item in _items(servers, jobs) for name in _names(home, servers, item)]
    datasets = servers.sandbox.datasets()
    linked = [uuid for dataset in datasets for uuid in servers.sandbox.links(dataset.uuid)]
    return Observation(
        registered=Counter(name for name, _ in items),
        metadata={name: json.loads(item.client_metadata) for name, item in items},
        media=frozenset(name for name, item in items if item.media is not None),
        linked=Counter(name for name, item in items for uuid in linked if uuid == item.uuid),
        datasets=len(datasets),
        jobs=jobs,
        failed=frozenset((row.source, row.key) for row in rows if row.stage != STAGE_PLAN),
        rejected=frozenset((row.source, row.key) for row in rows if row.stage == STAGE_PLAN),
        chunks=frozenset(f"{source}/{chunk_id}" for source in SOURCES for chunk_id in load_chunks(store, source)),
        failed_chunks=frozenset(
            f"{source}/{chunk.chunk_id}" for source in SOURCES for chunk in failed_chunks(chunk_statuses(store, source))
        ),
        materialized=materialized,
        runs=runs,
        statuses={source: source_status(store, source) for source in SOURCES},
        duplicates=sum(map(len, servers.sandbox.duplicates().values())),
    )


def _items(servers: DemoServers, jobs: tuple[JobRecord, ...]) -> list[RegisteredItem]:
    folders = {job.folder_uuid for job in jobs}
    return [item for folder in folders for item in servers.sandbox.folder_items(folder)]


def _names(home: DemoHome, servers: DemoServers, item: RegisteredItem) -> list[ObjectName]:
    roots = {
        f"{servers.bucket.endpoint_url}/{BUCKET}/": BUCKET_SOURCE,
        f"{home.directory.as_uri()}/": DIRECTORY_SOURCE,
    }
    return [_object_name(url, roots) for url in item.urls]


def _materialized(instance: dg.DagsterInstance) -> frozenset[str]:
    return frozenset(
        f"{source}/{chunk_id}"
        for source in SOURCES
        for chunk_id in instance.get_materialized_partitions(SourceNames(source).registration)
    )


def _object_name(url: str, roots: Mapping[str, str]) -> ObjectName:
    for root, source in roots.items():
        if url.startswith(root):
            return source, unquote(url.removeprefix(root))
    return "", url
