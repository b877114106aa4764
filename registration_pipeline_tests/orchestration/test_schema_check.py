"""The asset check ``metadata_matches_schema``: what it counts, and that a plan reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from registration_pipeline.orchestration.schema_check import schema_facts
from registration_pipeline.orchestration.stages import plan_stage
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from registration_pipeline_tests.orchestration.conftest import MakePipeline


def source(**settings: object) -> SourceSettings:
    return SourceSettings.model_validate({"name": "fleet", "uri": "file:///data/", **settings})


def test_objects_whose_values_do_not_fit_are_counted() -> None:
    declared = source(metadata_schema={"speed": "number", "weather": {"enum": ["sun"]}})

    assert schema_facts(declared, {"invalid_metadata": 3, "too_large": 2}) == {
        "declared_fields": 2,
        "objects_rejected": 3,
    }
    assert schema_facts(declared, {}) == {"declared_fields": 2, "objects_rejected": 0}


def test_without_a_schema_there_is_nothing_to_check() -> None:
    assert schema_facts(source(), {"invalid_metadata": 3}) is None


def test_a_plan_reports_the_check_of_a_declared_schema(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.configure(metadata_schema={"speed": "number"})
    pipeline.add_images(1)
    project = pipeline.project
    declared = project.source("fleet-cameras")
    project.take_inventory(declared)
    with dg.DagsterInstance.ephemeral() as instance:
        report = plan_stage(project, declared, pipeline.own, instance, lambda _: None)

    (check,) = [check for check in report.checks if check.name == "metadata_matches_schema"]
    assert check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata == {"declared_fields": 1, "objects_rejected": 0}
