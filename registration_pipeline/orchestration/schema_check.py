"""The declared metadata schema in the preflight and in Dagster.

What does not belong here: comparing schemas (``submission/metadata_schema/``) and the other checks (``preflight.py``).
"""

from typing import TYPE_CHECKING

from registration_pipeline.objects import RejectionReason
from registration_pipeline.project.metadata_schema import compare_schema
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.submission.calls.retry import RetryPolicy


def try_schema(project: Project, source: SourceSettings, retry: "RetryPolicy") -> str:
    """Compare the declared schema with Encord's and say what it came to.

    Fields that are missing are no problem of a sync: Encord keeps values without a schema, and fields can be added later.

    Raises:
        ConfigurationError: fields contradict Encord's.
        HaltError: Encord's schema can't be read.
    """
    from registration_pipeline.submission.metadata_schema.apply import conflict_error

    found = compare_schema(project, source, retry)
    if found.conflicts:
        raise conflict_error(source.name, found, "Correct these fields, or leave them out:")
    if found.is_same:
        return found.summary()
    return (
        f"{found.summary()}; Encord can't filter by these until `registration-pipeline schema {source.name} --apply` "
        "has added them"
    )


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
