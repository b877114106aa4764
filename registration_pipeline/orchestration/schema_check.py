"""The declared metadata schema in Dagster: the numbers of its asset check.

What does not belong here: comparing schemas (``project/metadata_schema.py``) and the preflight (``project/preflight.py``).
"""

from typing import TYPE_CHECKING

from registration_pipeline.objects import RejectionReason
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


def schema_facts(source: SourceSettings, rejected: "Mapping[str, int]") -> "dict[str, int] | None":
    """Return the numbers of the check ``metadata_matches_schema``; it passes when ``objects_rejected`` is 0.

    Args:
        source: its declared schema.
        rejected: objects by reason of rejection.

    Returns:
        None where the source declares no schema, and there is nothing to check.
    """
    if not source.metadata_schema:
        return None
    return {
        "declared_fields": len(source.metadata_schema),
        "objects_rejected": rejected.get(RejectionReason.INVALID_METADATA.value, 0),
    }
