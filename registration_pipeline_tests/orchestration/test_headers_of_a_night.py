"""Nights of a source whose DICOM series are found by their headers, from the bucket to Encord, and what Dagster shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from registration_pipeline.cli.app import run as run_command
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline_tests.dicom_files import image, written
from registration_pipeline_tests.orchestration.conftest import SOURCE

if TYPE_CHECKING:
    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = pytest.mark.slow

BY_HEADERS = [{"match": "**", "as": "dicom_series", "by": "headers"}]


def put_scans(pipeline: Pipeline, *numbers: int, series: int = 1) -> None:
    folder = pipeline.root / "files" / "scans"
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{series}-{number}").write_bytes(written(image(1, series, number)))


def shown(instance: dg.DagsterInstance) -> dict[str, object]:
    """Return the numbers of the newest materialization of the asset."""
    event = instance.get_latest_materialization_event(dg.AssetKey([SOURCE, "headers"]))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    return {
        name: metadata[name].value for name in ("dagster/row_count", "read_objects", "requests") if name in metadata
    }


def test_a_sync_reads_headers_and_registers_series_and_the_next_one_reads_what_is_new(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    pipeline.configure(groups=BY_HEADERS)
    pipeline.add_images(1)
    put_scans(pipeline, 0, 1, 2)
    put_scans(pipeline, 0, 1, series=2)
    (pipeline.root / "files" / "notes").write_bytes(b"not DICOM")
    run_job(instance, pipeline.own.sync_job)

    status = pipeline.status
    assert (status.objects, status.registered, status.rejected, status.failed) == (7, 6, 1, 0)
    assert status.units.registered == 3
    assert shown(instance) == {"dagster/row_count": 6, "read_objects": 6, "requests": 6}

    put_scans(pipeline, 0, series=3)
    run_job(instance, pipeline.own.sync_job)
    assert pipeline.status.units.registered == 4
    assert shown(instance) == {"dagster/row_count": 2, "read_objects": 1, "requests": 1}

    run_job(instance, pipeline.own.sync_job)
    assert shown(instance) == {"dagster/row_count": 2}
    assert pipeline.sandbox.duplicates() == {}


def test_without_a_rule_the_plan_reads_them_and_a_probe_is_a_run_of_its_own(
    pipeline: Pipeline, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pipeline.root / "files"
    folder.mkdir(exist_ok=True)
    for number in range(3):
        (folder / f"{number}.dcm").write_bytes(written(image(1, 1, number)))
    run_job(instance, pipeline.own.sync_job)
    assert run_command(["probe", SOURCE]) == 0

    assert (pipeline.status.registered, pipeline.status.units.registered) == (3, 1)
    assert instance.get_latest_materialization_event(dg.AssetKey([SOURCE, "headers"])) is None
    assert "headers of 0 objects, of which 0 were read now" in " ".join(capsys.readouterr().out.split())


def test_the_asset_can_be_materialized_by_itself(pipeline: Pipeline, instance: dg.DagsterInstance) -> None:
    pipeline.configure(groups=BY_HEADERS)
    put_scans(pipeline, 0, 1)
    run_job(instance, pipeline.own.inventory_job)
    definitions = pipeline.definitions
    key = dg.AssetKey([SOURCE, "headers"])
    job = dg.define_asset_job("only_headers", selection=[key])
    extended = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    result = extended.resolve_job_def("only_headers").execute_in_process(instance=instance)

    assert result.success
    assert shown(instance)["read_objects"] == 2
