"""The configuration as a Dagster resource: settings, and storage resources if there are any; secrets are read in runs only.

What does not belong here: where settings come from (``definitions.py`` for ``registration.yaml``).
"""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from registration_pipeline.orchestration.names import SOURCE_TAG, SourceNames
from registration_pipeline.orchestration.runs.pools import ensure_pools
from registration_pipeline.orchestration.runs.processes import record_worker
from registration_pipeline.orchestration.runs.waits import longest_wait
from registration_pipeline.orchestration.runs.worker_lock import WorkerLock
from registration_pipeline.orchestration.storage.clients import ResourceClients
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import Settings, SourceSettings
from registration_pipeline.state.version import ensure_layout
from registration_pipeline.tracing import begin_run, end_run

_NONE: Any = None
"""The default of a dependency, which Dagster allows and its annotation does not."""


class ProjectResource(dg.ConfigurableResource):
    """Carries the configuration that the definitions were built from.

    Every worker loads its code location again, so each run uses the configuration as it is when the run starts.
    """

    # As a dependency it is handed on as the object that it is: it never becomes resource config, which the UI shows.
    settings: dg.ResourceDependency[Settings]
    """The configuration."""
    # Of any class, because naming dagster-aws's and its like would import them wherever the code location loads.
    s3: dg.ResourceDependency[Any] = _NONE
    """``dagster_aws.s3.S3Resource``: lists the sources in ``s3://``."""
    gcs: dg.ResourceDependency[Any] = _NONE
    """``dagster_gcp.GCSResource``: lists the sources in ``gs://``."""
    azure: dg.ResourceDependency[Any] = _NONE
    """``dagster_azure.blob.AzureBlobStorageResource``: lists the sources in ``az://`` that are in its account."""
    _held: dict[Any, Any] = PrivateAttr(default_factory=dict)  # what the last step read of the state (Project.held)

    _store: Any = PrivateAttr(default=None)  # of the steps of a run: another one would open connections of its own
    _checked: set[str] = PrivateAttr(default_factory=set)  # sources whose layout this process has checked in the run
    _lock: WorkerLock | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Record which process works on the run, and make its pools: it begins with its resources, however it was started."""
        self._store, self._checked = None, set()
        if context.instance is not None and context.run is not None:
            self._lock = record_worker(context.instance, context.run)
        if context.run is not None:
            source = context.run.tags.get(SOURCE_TAG)
            if context.instance is not None:
                ensure_pools(context.instance, self.settings.sources if source is None else [source])
            begin_run(os.environ, source=source, run_id=context.run.run_id, job_name=context.run.job_name)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Give back what says that this process works on the run."""
        end_run()
        if self._lock is not None:
            self._lock.release()

    def load_source(self, name: str, of_host: Mapping[str, Any] | None = None) -> tuple[Project, SourceSettings]:
        """Return the configuration with the environment of this process, and one of its sources.

        Whatever runs for a source begins here, so this is where the layout of its state is checked, by the first step that a
        process executes of a run.

        Args:
            name: of the source.
            of_host: storage resources of a host by kind, besides those that this one was given.

        Raises:
            UsageError: its state was written by another version.
        """
        storage = {"s3": self.s3, "gcs": self.gcs, "azure": self.azure, **(of_host or {})}
        clients = ResourceClients(SettingsClients(os.environ), **storage)
        known = {"clients": clients, "held": self._held, "opened": self._store, "longest_wait": longest_wait()}
        project = Project(self.settings, os.environ, **known)
        source = project.source(name)
        self._store = project.store
        if name not in self._checked:
            ensure_layout(project.store, name, utc_now())
            self._checked.add(name)
        return project, source


def load_source(context: Any, own: SourceNames) -> tuple[Project, SourceSettings]:
    """Return the configuration and the settings of a source, in a step that requires the resource of the source.

    Args:
        context: of the asset, check or op; it requires the resource ``own.resource``.
        own: the names of the source.

    Raises:
        UsageError: its state was written by another version.
    """
    resource: ProjectResource = getattr(context.resources, own.resource)
    of_host = {kind: getattr(context.resources, key) for kind, key in own.shared.storage.items()}
    return resource.load_source(own.source, of_host)
