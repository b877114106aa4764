"""The code location of ``registration.yaml``. Nothing happens at import.

What does not belong here: building definitions from a configuration, here or for other projects (``orchestration``).
"""

import os
from pathlib import Path

import dagster as dg

from registration_pipeline.orchestration.asset_specs import Embedding
from registration_pipeline.orchestration.definitions import define
from registration_pipeline.orchestration.names import ConfigurationNames
from registration_pipeline.settings import load_settings
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
    own = define(load_settings(None, os.environ), ConfigurationNames(), Embedding(), resources={}, has_schedules=True)
    # Submission is parallel within one step; a process for each step would only cost its start.
    return dg.Definitions.merge(own, dg.Definitions(executor=dg.in_process_executor))
