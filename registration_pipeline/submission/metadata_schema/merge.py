"""Encord's schema with what is declared added to it. Nothing is removed, narrowed or changed.

What does not belong here: whether the two contradict each other (``difference.py``), and sending (``apply.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.settings import FieldKind
from registration_pipeline.submission.metadata_schema.fields import definition_of, lacking_options, options_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from registration_pipeline.settings import FieldType
    from registration_pipeline.submission.metadata_schema.gateway import EncordSchema, FieldDefinition


def merged(
    declared: Mapping[str, FieldType], schema: EncordSchema, seen: EncordSchema | None = None
) -> dict[str, FieldDefinition]:
    """Return the schema to send: Encord's, with the declared fields and options that it lacks.

    Args:
        declared: without conflict with the schema.
        schema: as Encord has it now; what is in it stays, byte for byte, but for the options that an enum gets.
        seen: what Encord had before we wrote, if we did: fields and options that are gone since are put back.
    """
    fields = dict(schema)
    for name, definition in (seen or {}).items():
        if name not in fields:
            fields[name] = definition
        elif _is_enum(definition) and _is_enum(fields[name]):
            fields[name] = _with_options(fields[name], options_of(definition))
    for name, field in declared.items():
        if name not in fields:
            fields[name] = definition_of(field)
        elif field.kind is FieldKind.ENUM:
            fields[name] = _with_options(fields[name], lacking_options(field, fields[name]))
    return fields


def remembered(seen: EncordSchema, schema: EncordSchema) -> dict[str, FieldDefinition]:
    """Return all that was ever seen: the newest form of each field, and of an enum every option."""
    known = dict(seen)
    for name, definition in schema.items():
        before = known.get(name)
        is_enum = before is not None and _is_enum(before) and _is_enum(definition)
        known[name] = _with_options(definition, options_of(before)) if before is not None and is_enum else definition
    return known


def _with_options(definition: FieldDefinition, options: Iterable[str]) -> FieldDefinition:
    """Return an enum with more options, sorted as the SDK does; as it is where it has them all."""
    held = options_of(definition)
    new = set(options) - set(held)
    return {**definition, "values": sorted([*held, *new])} if new else definition


def _is_enum(definition: FieldDefinition) -> bool:
    return definition.get("ty") == "enum"
