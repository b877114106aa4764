"""registration-pipeline: every object of a bucket registered in Encord, exactly once.

What belongs here is the version, and the names that other projects use. Those are imported when they are asked for, so that
importing the package has no effect and costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registration_pipeline.orchestration.component.bucket_registration import BucketRegistration
    from registration_pipeline.orchestration.definitions import build_definitions
    from registration_pipeline.pipeline import Pipeline
    from registration_pipeline.project.configuration import load_settings

__version__ = "0.1.0"

__all__ = ["BucketRegistration", "Pipeline", "__version__", "build_definitions", "load_settings"]

_MODULES = {
    "BucketRegistration": "registration_pipeline.orchestration.component.bucket_registration",
    "build_definitions": "registration_pipeline.orchestration.definitions",
    "Pipeline": "registration_pipeline.pipeline",
    "load_settings": "registration_pipeline.project.configuration",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Name also what was not imported yet: ``dg`` finds components this way."""
    return sorted({*globals(), *__all__})
