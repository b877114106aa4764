"""What the UI shows of asset checks, by the code that its GraphQL resolvers call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

if TYPE_CHECKING:
    from dagster import AssetCheckKey, DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline

NOT_EVALUATED = "NOT_EVALUATED"


def shown_checks(pipeline: Pipeline, instance: DagsterInstance) -> dict[str, str]:
    """Return the status of every check of the pipeline's source, by name, as the list of checks shows it."""
    keys = pipeline.definitions.get_repository_def().asset_graph.asset_check_keys
    return {key.name: asyncio.run(_shown(instance, key)) for key in sorted(keys)}


async def _shown(instance: DagsterInstance, key: AssetCheckKey) -> str:
    """Do what ``executionForLatestMaterialization`` of GraphQL's ``AssetCheck`` does."""
    context = LoadingContextForTest(instance)
    record = await AssetCheckExecutionRecord.gen(context, key)
    if record is None or not await record.targets_latest_materialization(context):
        return NOT_EVALUATED
    status = (await record.resolve_status(context)).value
    severity = record.evaluation.severity.value if record.evaluation and status == "FAILED" else ""
    return f"{status} {severity}".strip()
