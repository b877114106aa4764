"""The audit as an asset that is materialized by itself, and as a job that takes chunks over."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from dagster import AssetCheckKey, DagsterInstance, ExecuteInProcessResult, TableMetadataValue

from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.audit import AUDIT_OP
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.project import utc_now
from registration_pipeline.state.layout import audit_folder
from registration_pipeline_tests.orchestration.check_statuses import shown_checks

if TYPE_CHECKING:
    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = pytest.mark.slow


def audit(pipeline: Pipeline, instance: DagsterInstance) -> ExecuteInProcessResult:
    """Materialize the audit, as its button in the UI does."""
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=[pipeline.own.audit])


def register(pipeline: Pipeline, instance: DagsterInstance) -> ExecuteInProcessResult:
    """Materialize all chunks, with every check of theirs, as the UI does."""
    first, *_, last = pipeline.plan(instance)
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    own = pipeline.own
    return job.execute_in_process(instance=instance, asset_selection=[own.manifest, own.registration], tags=tags)


def audit_of(result: ExecuteInProcessResult) -> Any:
    (found,) = (one for one in result.get_asset_check_evaluations() if one.check_name == names.AUDIT_CLEAN)
    return found


def delete_items(pipeline: Pipeline, *titles: str) -> None:
    with pipeline.sandbox._database.writing() as connection:
        connection.executemany("DELETE FROM items WHERE name = ?", [(title,) for title in titles])


def test_an_audit_compares_and_its_check_shows_what_to_do(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(3)
    register(pipeline, instance)
    clean = audit_of(audit(pipeline, instance))
    assert clean.passed
    assert not {"findings", "sample"} & set(clean.metadata)

    delete_items(pipeline, "2026-11-20/frame_001.jpg")
    found = audit_of(audit(pipeline, instance))

    assert not found.passed
    table = found.metadata["findings"]
    assert isinstance(table, TableMetadataValue)
    rows = {record.data["finding"]: record.data for record in table.records}
    assert {finding: row["count"] for finding, row in rows.items()} == {"missing": 1}
    assert "submit fleet-cameras --chunk ID --force" in str(rows["missing"]["what to do"])
    (sample,) = found.metadata["sample"].records
    assert sample.data["key"] == "2026-11-20/frame_001.jpg"
    assert found.metadata["csv"].value.endswith("/findings.csv")


def test_a_registration_does_not_audit(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(2)

    result = register(pipeline, instance)

    assert result.success
    assert names.AUDIT_CLEAN not in {one.check_name for one in result.get_asset_check_evaluations()}
    assert pipeline.project.store.folders(audit_folder(pipeline.own.source)) == []


def test_a_sync_does_not_audit(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(2)

    assert run_job(instance, pipeline.own.sync_job)

    assert pipeline.project.store.folders(audit_folder(pipeline.own.source)) == []


def test_the_job_takes_chunks_over_and_they_show_as_registered(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(3)
    pipeline.plan(instance)
    own = pipeline.own
    assert run_job(instance, own.submit_job)
    first_wave = pipeline.chunk_ids[0].partition("-")[0]
    shutil.rmtree(pipeline.root / ".registration")
    # Two inventories of one second would have the same chunks, as this state no longer knows the first.
    pipeline.wait_until(lambda: f"{utc_now():%Y%m%dT%H%M%SZ}" > first_wave, seconds=5, what="the next second")
    pipeline.plan(instance)
    delete_items(pipeline, "2026-11-20/frame_002.jpg")

    options = {"ops": {f"{own.ident}_{AUDIT_OP}": {"config": {"adopt": True}}}}
    assert run_job(instance, own.audit_job, options)

    chunk_ids = pipeline.chunk_ids
    shown = pipeline.shown(instance, own.registration)
    assert set(chunk_ids[:2]) <= shown.materialized
    assert chunk_ids[2] not in shown.materialized
    assert (pipeline.status.registered, pipeline.status.pending) == (2, 1)
    assert len(pipeline.sandbox.jobs()) == 3
    key = AssetCheckKey(own.audit, names.AUDIT_CLEAN)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert record.status.value == "SUCCEEDED"
    assert shown_checks(pipeline, instance)[names.NO_FAILED_CHUNKS] == "SUCCEEDED", "older than what was adopted"
