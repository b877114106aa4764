"""The code location: one ``Definitions``, built explicitly from ``registration.yaml``. Nothing happens at import.

What belongs here is putting the pieces together; the pieces are in ``orchestration``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from registration_pipeline.orchestration.assets import build_assets
from registration_pipeline.orchestration.audit import build_audit_check
from registration_pipeline.orchestration.jobs import build_jobs, build_schedule
from registration_pipeline.orchestration.resources import ProjectResource
from registration_pipeline.orchestration.runs.stale_runs import build_stale_run_sensor
from registration_pipeline.orchestration.storage.clients import RESOURCE_KEYS
from registration_pipeline.settings import Settings, load_settings
from registration_pipeline.settings.load import DEFAULT_FILE


@dg.definitions
def defs() -> dg.Definitions:
    """Load the code location from ``REGISTRATION_CONFIG`` or ``./registration.yaml``.

    Raises:
        ConfigurationError: the file is wrong; the UI shows the message at the code location.
    """
    if not os.environ.get("REGISTRATION_CONFIG") and not Path(DEFAULT_FILE).exists():
        dg.get_dagster_logger().warning(
            f"There is no {DEFAULT_FILE} in {Path.cwd()} and REGISTRATION_CONFIG is not set, so there are no sources. "
            "Copy examples/registration.yaml, or try the demo's sources: make demo && make dev"
        )
        return dg.Definitions()
    return build_definitions(load_settings(None, os.environ))


def build_definitions(settings: Settings, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return everything that the sources need.

    Args:
        settings: the configuration.
        resources: storage resources that list the sources instead of clients made from their ``storage`` settings: ``s3``
            (``dagster_aws.s3.S3Resource``), ``gcs`` (``dagster_gcp.GCSResource``) and ``azure``
            (``dagster_azure.blob.AzureBlobStorageResource``). Other resources are kept as they are.
    """
    resources = resources or {}
    storage = {key: resources[key] for key in RESOURCE_KEYS if key in resources}
    sources = list(settings.sources.values())
    schedules = [schedule for schedule in map(build_schedule, sources) if schedule is not None]
    return dg.Definitions(
        assets=[asset for source in sources for asset in build_assets(source)],
        asset_checks=[build_audit_check(source) for source in sources],
        jobs=[job for source in sources for job in build_jobs(source)],
        schedules=schedules,
        sensors=[build_stale_run_sensor()],
        resources={**resources, "project": ProjectResource(config_path=str(settings.path), **storage)},
        executor=dg.in_process_executor,
    )
