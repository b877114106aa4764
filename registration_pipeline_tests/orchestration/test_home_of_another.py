"""``check`` notices a ``DAGSTER_HOME`` that was exported for another configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from registration_pipeline.orchestration.preflight import run_all_checks
from registration_pipeline.project.preflight import INSTANCE
from registration_pipeline.project.project import Project
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


def instance_finding(folder: Path, home: Path) -> str:
    """Return what ``check`` says about the instance of a configuration in a folder."""
    environ = {"DAGSTER_HOME": str(home)}
    project = Project(load_settings(folder / "registration.yaml", environ), environ)
    for finding in run_all_checks(project, project.settings.sources["media"]):
        if finding.what == INSTANCE:
            assert finding.error is None
            return finding.detail
    raise AssertionError("it was not checked")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with a configuration each."""
    made = tmp_path / "one", tmp_path / "other"
    for folder in made:
        (folder / ".dagster").mkdir(parents=True)
        (folder / "media").mkdir()
        source = {"uri": (folder / "media").as_uri() + "/", "encord": {"integration": "sandbox"}}
        (folder / "registration.yaml").write_text(yaml.safe_dump({"sources": {"media": source}}))
    return made


def test_the_instance_of_another_configuration_is_named(folders: tuple[Path, Path]) -> None:
    one, other = folders

    said = instance_finding(one, other / ".dagster")

    assert f"the instance of another configuration, {other / 'registration.yaml'}" in said
    assert f"Set it to {one / '.dagster'}" in said


def test_the_own_instance_and_one_that_belongs_to_no_configuration_are_fine(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    one, _ = folders
    shared = tmp_path / "shared" / ".dagster"
    shared.mkdir(parents=True)

    assert "another configuration" not in instance_finding(one, one / ".dagster")
    assert "another configuration" not in instance_finding(one, shared)
