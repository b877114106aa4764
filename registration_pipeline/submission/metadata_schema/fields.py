"""One field: how Encord writes a declared type, what an Encord definition is called, and whether the two fit.

The forms are those that the SDK sends. Fields that it makes are ``variant`` with a hint; the types of their own names
(``number``, ``varchar``…) mean the same and are accepted where Encord has them.

What does not belong here: whole schemas (``difference.py``, ``merge.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.limits import MAX_ENUM_VALUES, MAX_VARCHAR_CHARACTERS
from registration_pipeline.settings import FieldKind

if TYPE_CHECKING:
    from registration_pipeline.settings import FieldType
    from registration_pipeline.submission.metadata_schema.gateway import FieldDefinition

_HINT_ALIASES: Final = {"string": "varchar", "long_string": "text"}
"""Older names, which the SDK reads as well."""

_OWN_NAMES: Final = frozenset(
    {"number", "boolean", "varchar", "datetime", "text", "uuid", "geospatial", "enum", "embedding"}
)
_LONGEST: Final = 60


def definition_of(field: FieldType) -> dict[str, Any]:
    """Return a declared field as it is sent to Encord."""
    if field.kind is FieldKind.ENUM:
        return {"ty": "enum", "values": sorted(field.values)}
    if field.kind is FieldKind.EMBEDDING:
        return {"ty": "embedding", "size": field.size, "api": None}
    if field.kind is FieldKind.GEOSPATIAL:
        return {"ty": "geospatial"}
    return {"ty": "variant", "hint": field.kind.value}


def described(definition: FieldDefinition) -> str:
    """Return what an Encord field is, for people: ``number``, ``enum of 3``, ``deleted, was number``."""
    kind = definition["ty"]
    if kind == "tombstone":
        before = definition.get("deleted_ty")
        return f"deleted, was {described(before)}" if _is_definition(before) else "deleted for good"
    if kind == "enum":
        return f"enum of {len(options_of(definition))}"
    if kind == "embedding":
        return f"embedding of {shortened(str(definition.get('size')), _LONGEST)}"
    if kind == "varchar" and _varchar_length(definition) < MAX_VARCHAR_CHARACTERS:
        return f"varchar of {_varchar_length(definition)} characters"
    if kind == "variant":
        hint = definition.get("hint")
        return shortened(str(_HINT_ALIASES.get(str(hint), hint)), _LONGEST)
    return shortened(str(kind), _LONGEST)


def options_of(definition: FieldDefinition) -> tuple[str, ...]:
    """Return the options of an Encord enum; none where it has another form than we know."""
    values = definition.get("values")
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def lacking_options(field: FieldType, definition: FieldDefinition) -> tuple[str, ...]:
    """Return the declared options that an Encord enum does not have, sorted."""
    return tuple(sorted(set(field.values) - set(options_of(definition))))


def conflict(field: FieldType, definition: FieldDefinition) -> str | None:
    """Return why a declared field can't be had beside what Encord holds under its name, as a clause, or None."""
    if definition["ty"] == "tombstone":
        return _deleted(definition)
    if _kind(definition) != field.kind.value:
        return f"is {described(definition)} in Encord: declare that type, or choose another name"
    if field.kind is FieldKind.EMBEDDING and definition.get("size") != field.size:
        return f"is {described(definition)} in Encord: declare that size, or choose another name"
    if field.kind is FieldKind.VARCHAR and definition["ty"] == "varchar":
        length = _varchar_length(definition)
        if length < MAX_VARCHAR_CHARACTERS:
            return f"has at most {length:,} characters in Encord, which may be too few: choose another name, or text"
    if field.kind is FieldKind.ENUM:
        count = len(set(options_of(definition)) | set(field.values))
        if count > MAX_ENUM_VALUES and lacking_options(field, definition):
            return (
                f"would have {count:,} options with those in Encord, which accepts {MAX_ENUM_VALUES} in an enum: declare "
                "fewer, or choose another name and varchar"
            )
    return None


def _deleted(definition: FieldDefinition) -> str:
    if not _is_definition(definition.get("deleted_ty")):
        return "was deleted for good in Encord, where the name can't be used again: choose another name"
    return "is deleted in Encord: restore it there (restore_key of Encord's SDK), or choose another name"


def _kind(definition: FieldDefinition) -> str | None:
    """Return the type in the words of ``metadata_schema``; None: it is none of these."""
    kind = definition["ty"]
    if kind == "variant":
        hint = definition.get("hint", "text")  # the SDK's default
        return _HINT_ALIASES.get(hint, hint) if isinstance(hint, str) else None
    return kind if kind in _OWN_NAMES else None


def _varchar_length(definition: FieldDefinition) -> int:
    length = definition.get("max_length", MAX_VARCHAR_CHARACTERS)
    return length if isinstance(length, int) else 0


def _is_definition(value: Any) -> TypeGuard[FieldDefinition]:
    return isinstance(value, dict) and isinstance(value.get("ty"), str)
