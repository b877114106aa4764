"""The public API for Python: ``Pipeline``, plain calls for the stages of a source, without Dagster.

Only what users import is named here; what the calls do is in ``project`` and below.
"""

from registration_pipeline.pipeline.pipeline import Pipeline
from registration_pipeline.pipeline.progress import Progress
from registration_pipeline.pipeline.results import (
    CheckResult,
    FactsResult,
    FailedChunk,
    FailureLogResult,
    InventoryResult,
    PlanResult,
    ProbeResult,
    SyncResult,
)

__all__ = [
    "CheckResult",
    "FactsResult",
    "FailedChunk",
    "FailureLogResult",
    "InventoryResult",
    "Pipeline",
    "PlanResult",
    "ProbeResult",
    "Progress",
    "SyncResult",
]
