"""Loads the configuration with the environment of this process, for other people's code.

What does not belong here: reading it (``settings/load.py``, which is given the environment).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from registration_pipeline.settings import Settings, load


def load_settings(path: Path | str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration.

    Args:
        path: the file; None means ``REGISTRATION_CONFIG``, else ``registration.yaml`` in the working directory.
        environ: the environment, for ``REGISTRATION_CONFIG`` and for ``${NAME}`` in values; None: that of the process.

    Raises:
        ConfigurationError: names file, line and key of everything that is wrong, one problem per line.
    """
    return load.load_settings(path, os.environ if environ is None else environ)
