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

MISSING = "registration_yaml_is_missing"


@dg.definitions
def defs() -> dg.Definitions:
    """Load the code location from ``REGISTRATION_CONFIG`` or ``./registration.yaml``.

    Raises:
        ConfigurationError: the file is wrong; the UI shows the message at the code location.
    """
    if not os.environ.get("REGISTRATION_CONFIG") and not Path(DEFAULT_FILE).exists():
        return _without_configuration(Path.cwd())
    own = define(load_settings(None, os.environ), ConfigurationNames(), Embedding(), resources={}, has_schedules=True)
    # Submission is parallel within one step; a process for each step would only cost its start.
    return dg.Definitions.merge(own, dg.Definitions(executor=dg.in_process_executor))


def _without_configuration(folder: Path) -> dg.Definitions:
    """Return an asset whose name and description say what is missing: people read the catalog, and not the server's log."""
    missing = f"There is no {DEFAULT_FILE} in {folder} and REGISTRATION_CONFIG is not set, so there are no sources."
    dg.get_dagster_logger().warning(f"{missing} `registration-pipeline init` makes one.")
    description = (
        f"{missing}\n\n"
        f"Run `registration-pipeline init` in that folder, or `registration-pipeline init --sandbox` to try it without a "
        "bucket and a key. Or set `REGISTRATION_CONFIG` to a file that exists, in the environment of the web server and "
        "the daemon. "
        "Then choose **Reload definitions** on the page **Deployment**.\n\n"
        "This asset is only this message: there is nothing to materialize."
    )
    return dg.Definitions(assets=[dg.AssetSpec(MISSING, description=description, group_name="set_up")])
