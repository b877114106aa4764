"""Whether the packages of the ``demo`` extra are there, and the advice if they are not.

What does not belong here: what the packages are used for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PILLOW = {"PIL.Image": "pillow"}
MEDIA = {"av": "av", "mutagen": "mutagen", "pydicom": "pydicom", "pypdf": "pypdf"}
MOTO = {"moto.moto_server.werkzeug_app": "moto[server]"}


def require_demo_extra(packages: Mapping[str, str]) -> None:
    """Make sure that optional packages can be imported.

    Args:
        packages: module to import -> what the user installs to get it.

    Raises:
        UsageError: one is missing; the message says how to install the whole extra.
    """
    for module, package in packages.items():
        try:
            import_module(module)
        except ImportError as error:
            message = (
                f"The demo needs the package {package}, which can't be imported ({error}). "
                "Install what the demo needs with: pip install 'registration-pipeline[demo]'"
            )
            raise UsageError(message) from error
