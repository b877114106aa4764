"""In the UI, too, a state that another version wrote is refused: the step fails and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.state.sealed import open_sealed, sealed_json

if TYPE_CHECKING:
    from pathlib import Path

    import dagster as dg

    from registration_pipeline_tests.orchestration.conftest import Pipeline

SOURCE = "fleet-cameras"


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("asset", ["inventory", "chunk_plan", "failure_log"])
def test_an_asset_of_a_state_with_another_layout_fails_with_what_to_do(
    pipeline: Pipeline, instance: dg.DagsterInstance, asset: str
) -> None:
    pipeline.add_images(1)
    project = pipeline.project
    project.take_inventory(project.source(SOURCE))
    folder = pipeline.root / ".registration"
    path = folder / SOURCE / "state.json"
    path.write_bytes(sealed_json({**open_sealed(path.read_bytes()), "layout": 2}))
    before = bytes_below(folder / SOURCE)

    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    key = getattr(pipeline.own, asset)
    result = job.execute_in_process(instance=instance, asset_selection=[key], raise_on_error=False)

    assert not result.success
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    shown = failure.step_failure_data.user_failure_data
    assert shown is not None
    said = str(shown.description)
    assert "layout 2" in said
    assert "audit fleet-cameras --adopt" in said
    assert bytes_below(folder / SOURCE) == before
