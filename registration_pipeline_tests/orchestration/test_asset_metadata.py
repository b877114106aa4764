"""What people see of each asset after a sync: counts, tables, and links that lead somewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    MetadataValue,
    PathMetadataValue,
    TableMetadataValue,
)

from registration_pipeline.orchestration.runs.launch import run_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline_tests.orchestration.conftest import Pipeline

Shown = dict[str, dict[str, Any]]


def readable(values: Mapping[str, MetadataValue[Any]]) -> dict[str, Any]:
    """Return metadata as plain values: tables as lists of rows, links as paths that exist."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, TableMetadataValue):
            plain[name] = [dict(record.data) for record in value.records]
        elif isinstance(value, PathMetadataValue):
            assert Path(value.path or "").exists(), f"{name} links to {value.path}"
            plain[name] = Path(value.path or "")
        else:
            plain[name] = value.value
    return plain


@pytest.fixture
def shown(pipeline: Pipeline, instance: DagsterInstance) -> Shown:
    """The metadata of every asset after a sync with one failure, one rejected file and one excluded file."""
    pipeline.configure(exclude=["**/thumbnails/**"], chunk_size={"images": 2})
    folder = pipeline.add_images(4)[0].parent
    (folder / "player.exe").write_bytes(b"MZ")
    (folder / "thumbnails").mkdir()
    (folder / "thumbnails" / "frame.jpg").write_bytes(b"\xff")
    pipeline.break_images(3)
    run_job(instance, pipeline.own.sync_job)
    good, bad = pipeline.chunk_ids
    found: Shown = {}
    own = pipeline.own
    for key in (own.inventory, own.chunk_plan, own.failure_log):
        event = instance.get_latest_materialization_event(key)
        assert event is not None
        assert event.asset_materialization is not None
        found[key.path[-1]] = readable(event.asset_materialization.metadata)
    found["manifest"] = _of_partition(instance, own.manifest, bad)
    found["registration"] = _of_partition(instance, own.registration, good)
    (record,) = instance.fetch_observations(own.registration, limit=5).records
    assert record.asset_observation is not None
    assert record.asset_observation.partition == bad
    found["failed registration"] = readable(record.asset_observation.metadata)
    return found


def _of_partition(instance: DagsterInstance, key: AssetKey, partition: str) -> dict[str, Any]:
    records = instance.fetch_materializations(key, limit=5).records
    (one,) = [record.asset_materialization for record in records if record.partition_key == partition]
    assert one is not None
    return readable(one.metadata)


@pytest.mark.slow
def test_everything_shows_its_counts_its_reasons_and_files_that_exist(pipeline: Pipeline, shown: Shown) -> None:
    check_assets(pipeline, shown)
    check_chunks(pipeline, shown)


def check_assets(pipeline: Pipeline, shown: Shown) -> None:
    inventory, plan, log = shown["inventory"], shown["chunk_plan"], shown["failure_log"]
    assert inventory["dagster/row_count"] == 6
    assert inventory["bytes"] == 7
    assert inventory["inventory_id"] == pipeline.status.inventory_id
    assert [row["key"] for row in inventory["sample"]][:1] == ["2026-11-20/frame_000.jpg"]
    assert str(inventory["files"]).endswith(f"inventory/{inventory['inventory_id']}")

    counts = {name: plan[name] for name in ("objects", "new_objects", "new_units", "known_objects", "new_chunks")}
    assert counts == {"objects": 6, "new_objects": 4, "new_units": 4, "known_objects": 0, "new_chunks": 2}
    assert (plan["excluded_objects"], plan["rejected_objects"]) == (1, 1)
    assert plan["rejected_by_reason"] == [{"reason": "unsupported_type", "objects": 1}]
    assert [row["objects"] for row in plan["rejected_suffixes"]] == [1]
    assert plan["excluded_by_rule"] == [{"rule": 'exclude "**/thumbnails/**"', "objects": 1}]
    assert (plan["warnings"], plan["first_warnings"]) == (0, [])
    assert (plan["changed_units"], plan["deleted_units"]) == (0, 0)

    assert list(log)[:3] == ["reasons", "sample", "dagster/row_count"], "what failed and why is on the first screen"
    assert "dagster/column_schema" not in log, "the UI shows it above all the rest"
    assert [column.name for column in log["columns"].columns][:2] == ["source", "key"]
    assert log["dagster/row_count"] == 2
    assert {name: log[name] for name in ("registered_objects", "failed_objects", "pending_objects")} == {
        "registered_objects": 3,
        "failed_objects": 1,
        "pending_objects": 0,
    }
    assert (log["registered_units"], log["failed_units"], log["pending_units"]) == (3, 1, 0)
    assert sorted(str(row["reason"]) for row in log["reasons"]) == ["not_found", "unsupported_type"]
    assert str(log["csv"]).endswith(".csv")


def check_chunks(pipeline: Pipeline, shown: Shown) -> None:
    manifest, good, bad = shown["manifest"], shown["registration"], shown["failed registration"]
    assert (manifest["dagster/partition_row_count"], manifest["units"], manifest["objects"]) == (2, 2, 2)
    assert (good["dagster/partition_row_count"], bad["dagster/partition_row_count"]) == (2, 1)
    named = [next(iter(one.items())) for one in (manifest, good, bad)]
    failed, registered = pipeline.chunk_ids[1], pipeline.chunk_ids[0]
    assert named == [("chunk", failed), ("chunk", registered), ("chunk", failed)]
    assert (good["bytes_when_planned"], "bytes" in good) == (2, False)
    assert manifest["violations"] == 0
    assert Path(str(manifest["file"])).stat().st_size == manifest["bytes"]

    assert (good["registered_objects"], good["failed_objects"], good["attempt"], good["state"]) == (
        2,
        0,
        1,
        "succeeded",
    )
    assert good["seconds"] >= 0
    assert good["encord_folder"] in {job.folder_uuid for job in pipeline.sandbox.jobs()}
    assert good["upload_job"] in {job.uuid for job in pipeline.sandbox.jobs()}
    assert "failure_log" not in good

    assert (bad["registered_units"], bad["failed_units"], bad["state"]) == (1, 1, "partially_failed")
    assert bad["reasons"] == [{"reason": "not_found", "units": 1, "what to do": "fix the file"}]
    (sample,) = bad["sample_of_failures"]
    assert sample["key"] == "2026-11-20/frame_003.jpg"
    assert "404" in sample["message"]
    assert "frame_003.jpg" in Path(str(bad["failure_log"])).read_text()
