"""A source's declared metadata schema beside Encord's, for a loaded project: comparing, and adding what is missing.

What does not belong here: how fields are compared and added (``submission/metadata_schema/``).
"""

from typing import TYPE_CHECKING

from registration_pipeline.settings import SourceSettings, encord_domain, encord_private_key

if TYPE_CHECKING:
    from registration_pipeline.project.project import Project
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.metadata_schema.apply import Applied
    from registration_pipeline.submission.metadata_schema.difference import SchemaDifference
    from registration_pipeline.submission.metadata_schema.gateway import SchemaGateway


def schema_gateway(project: "Project") -> "SchemaGateway":
    """Return Encord, as far as its metadata schema goes.

    Raises:
        CredentialsError: no key in the environment.
        ConfigurationError: a key that can't be used.
    """
    from registration_pipeline.submission.encord.metadata_schema import EncordSchemaGateway

    return EncordSchemaGateway(
        ssh_private_key=encord_private_key(project.environ).reveal(),
        domain=encord_domain(project.settings, project.environ),
        timeout_seconds=project.settings.encord.timeout_seconds,
    )


def compare_schema(
    project: "Project", source: SourceSettings, retry: "RetryPolicy | None" = None
) -> "SchemaDifference":
    """Return how the declared schema relates to Encord's; a source that declares none asks nothing.

    Raises:
        HaltError: Encord's schema can't be read.
        ConfigurationError: a key that can't be used.
    """
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.metadata_schema.apply import read_schema
    from registration_pipeline.submission.metadata_schema.difference import difference

    if not source.metadata_schema:
        return difference({}, {})
    return difference(source.metadata_schema, read_schema(schema_gateway(project), retry or RetryPolicy()))


def try_schema(project: "Project", source: SourceSettings, retry: "RetryPolicy") -> str:
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


def apply_schema(project: "Project", source: SourceSettings) -> "Applied":
    """Add what Encord's schema lacks.

    Raises:
        ConfigurationError: fields contradict Encord's and nothing was written, or a key can't be used.
        HaltError: Encord can't be asked or refuses.
    """
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.metadata_schema.apply import SchemaChange

    change = SchemaChange(
        gateway=schema_gateway(project), retry=RetryPolicy(), source=source.name, declared=source.metadata_schema
    )
    return change.apply()
