"""What differs between a source's declared metadata schema and Encord's, field by field.

What does not belong here: one field (``fields.py``) and changing Encord's (``merge.py``, ``apply.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from registration_pipeline.counted import counted
from registration_pipeline.submission.metadata_schema.fields import conflict, described, lacking_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.settings import FieldType
    from registration_pipeline.submission.metadata_schema.gateway import EncordSchema


class FieldState(StrEnum):
    """How a declared field relates to Encord's schema."""

    SAME = "same"
    MISSING = "missing"
    """Encord does not have it."""
    LACKS_OPTIONS = "lacks_options"
    """An enum that has some of the declared options."""
    CONFLICT = "conflict"
    """Encord has something else under its name, which is never changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """One declared field.

    Args:
        name: of the field.
        declared: its type, for people.
        in_encord: what Encord has, for people; None: nothing.
        state: how the two relate.
        options: that Encord's enum lacks.
        problem: of a conflict: what is in the way and what to do, as a clause.
    """

    name: str
    declared: str
    in_encord: str | None
    state: FieldState
    options: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaDifference:
    """A declared schema beside Encord's.

    Args:
        fields: the declared ones, in the order of the configuration.
        foreign: how many fields Encord has besides; nothing ever changes them.
    """

    fields: tuple[FieldDifference, ...]
    foreign: int

    def of(self, *states: FieldState) -> tuple[FieldDifference, ...]:
        """Return the fields in one of some states."""
        return tuple(field for field in self.fields if field.state in states)

    @property
    def conflicts(self) -> tuple[FieldDifference, ...]:
        """The fields that Encord has as something else."""
        return self.of(FieldState.CONFLICT)

    @property
    def missing(self) -> tuple[FieldDifference, ...]:
        """The fields that Encord lacks, wholly or in options."""
        return self.of(FieldState.MISSING, FieldState.LACKS_OPTIONS)

    @property
    def is_same(self) -> bool:
        """Whether Encord has every declared field as it is declared."""
        return not self.conflicts and not self.missing

    def summary(self) -> str:
        """Return it in one line."""
        if self.is_same:
            count = len(self.fields)
            return f"Encord has {'the declared field' if count == 1 else f'all {count:,} declared fields'}"
        parts = {
            "in conflict": self.conflicts,
            "missing": self.of(FieldState.MISSING),
            "without some of the options": self.of(FieldState.LACKS_OPTIONS),
        }
        said = ", ".join(f"{len(fields):,} {what}" for what, fields in parts.items() if fields)
        return f"of {counted(len(self.fields), 'declared field')}: {said}"

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return {
            "is_same": self.is_same,
            "fields": [
                {
                    "name": field.name,
                    "declared": field.declared,
                    "in_encord": field.in_encord,
                    "state": field.state.value,
                    "lacking_options": list(field.options),
                    "problem": field.problem,
                }
                for field in self.fields
            ],
            "foreign_fields": self.foreign,
        }


def difference(declared: Mapping[str, FieldType], schema: EncordSchema) -> SchemaDifference:
    """Compare a declared schema with Encord's."""
    fields = tuple(_compared(name, field, schema) for name, field in declared.items())
    return SchemaDifference(fields=fields, foreign=len(schema.keys() - declared.keys()))


def _compared(name: str, field: FieldType, schema: EncordSchema) -> FieldDifference:
    definition = schema.get(name)
    if definition is None:
        return FieldDifference(name=name, declared=str(field), in_encord=None, state=FieldState.MISSING)
    problem = conflict(field, definition)
    options = () if problem else lacking_options(field, definition)
    state = FieldState.CONFLICT if problem else FieldState.LACKS_OPTIONS if options else FieldState.SAME
    return FieldDifference(
        name=name,
        declared=str(field),
        in_encord=described(definition),
        state=state,
        options=options,
        problem=problem,
    )
