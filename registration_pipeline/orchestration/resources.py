"""The configuration as a Dagster resource: it holds a path and nothing else; secrets are read when a run needs them."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from registration_pipeline.orchestration.project import Project


class ProjectResource(dg.ConfigurableResource):
    """Loads ``registration.yaml`` anew for every step, so that a run sees the file as it is."""

    config_path: str = Field(description="The registration.yaml that the code location was loaded from, absolute.")

    def load(self) -> Project:
        """Return the configuration and the environment of this process."""
        return Project.load(Path(self.config_path))
