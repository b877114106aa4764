"""The configuration as a Dagster resource: it holds a path and nothing else; secrets are read when a run needs them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.version import ensure_layout


class ProjectResource(dg.ConfigurableResource):
    """Loads ``registration.yaml`` for every step, so that each run uses the current file."""

    config_path: str = Field(description="The registration.yaml that the code location was loaded from, absolute.")
    _held: dict[Any, Any] = PrivateAttr(default_factory=dict)  # what the last step read of the state (Project.held)

    def load_source(self, name: str) -> tuple[Project, SourceSettings]:
        """Return the configuration with the environment of this process, and one of its sources.

        Whatever runs for a source begins here, so this is where the layout of its state is checked.

        Raises:
            UsageError: the file is wrong, the source is not in it any more, or its state was written by another version.
        """
        project = replace(Project.load(Path(self.config_path)), held=self._held)
        source = project.source(name)
        ensure_layout(project.store, name, utc_now())
        return project, source
