"""Checks values against ``metadata_schema`` before anything is sent: Encord's types, with the rule that a value breaks.

What does not belong here: names and what no value may be whatever its type (``values.py``), and Encord's own schema, which is
compared elsewhere. A field that the schema does not name is free.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.facts.metadata.values import ValueProblem, canonical, embeddings_of_frames, shown
from registration_pipeline.limits import INTEGER_RANGE, MAX_VARCHAR_CHARACTERS
from registration_pipeline.settings.metadata import FieldKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from registration_pipeline.settings.metadata import FieldType

    Check = Callable[[Any], bool]

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_BOOLEANS: Final = {"true": True, "false": False}
_LATITUDES, _LONGITUDES = 90.0, 180.0
"""Degrees from 0 in both directions: the SDK's ``GeospatialCoordinates``."""


class SchemaCheck:
    """The types of a source's fields, asked for every object.

    Args:
        schema: name -> type.
    """

    def __init__(self, schema: Mapping[str, FieldType]) -> None:
        self._types = schema
        self._checks = {name: _check_of(field) for name, field in schema.items()}

    @property
    def is_empty(self) -> bool:
        """Whether every field is free."""
        return not self._checks

    def problems(self, values: Mapping[str, Any]) -> list[ValueProblem]:
        """Return every value that is not of its field's type; empty: there is none.

        Args:
            values: of one object, all its entries merged.
        """
        checks = self._checks
        found = [
            ValueProblem(name, shown(value), _rule_of(self._types[name]))
            for name, value in values.items()
            if (check := checks.get(name)) is not None and not check(value)
        ]
        return [*found, *self._problems_of_frames(values)]

    def converted(self, name: str, text: str) -> str | int | float | bool:
        """Return what a text stands for in a field of a type that is not a text: a number or a boolean.

        A text that is not of the field's type stays a text, and is a problem of its object then.
        """
        field = self._types.get(name)
        if field is not None and field.kind is FieldKind.NUMBER:
            return _number(text)
        if field is not None and field.kind is FieldKind.BOOLEAN:
            return _BOOLEANS.get(text.lower(), text)
        return text

    @property
    def converts(self) -> bool:
        """Whether ``converted`` may give something else than a text."""
        return any(field.kind in {FieldKind.NUMBER, FieldKind.BOOLEAN} for field in self._types.values())

    def converted_texts(self, values: str) -> str | None:
        """Return the canonical JSON of an object whose values are texts with those converted that ``converted`` does."""
        texts: dict[str, Any] = json.loads(values)
        return canonical(
            {name: self.converted(name, text) if isinstance(text, str) else text for name, text in texts.items()}
        )

    def _problems_of_frames(self, values: Mapping[str, Any]) -> Iterator[ValueProblem]:
        for frame, name, value in embeddings_of_frames(values):
            check = self._checks.get(name)
            if check is None:
                continue
            rule = _rule_of(self._types[name])
            if self._types[name].kind is not FieldKind.EMBEDDING:
                yield ValueProblem(frame, shown(value), f"{rule}, and has embeddings of frames")
            elif not check(value):
                yield ValueProblem(frame, shown(value), rule)


def _rule_of(field: FieldType) -> str:
    said = {
        FieldKind.NUMBER: "a number",
        FieldKind.BOOLEAN: "true or false",
        FieldKind.DATETIME: "a time as ISO 8601 has it, e.g. 2026-11-27T10:00:00Z",
        FieldKind.UUID: "a UUID",
        FieldKind.VARCHAR: f"a text of at most {MAX_VARCHAR_CHARACTERS:,} characters",
        FieldKind.TEXT: "a text",
        FieldKind.ENUM: f"one of {shown(list(field.values))}",
        FieldKind.EMBEDDING: f"a list of {field.size} finite numbers",
        FieldKind.GEOSPATIAL: "an object with latitude (-90 to 90) and longitude (-180 to 180)",
    }
    return f"must be {said[field.kind]} by metadata_schema"


def _check_of(field: FieldType) -> Check:
    if field.kind is FieldKind.ENUM:
        options = frozenset(field.values)
        return lambda value: isinstance(value, str) and value in options
    if field.kind is FieldKind.EMBEDDING:
        return lambda value: isinstance(value, list) and len(value) == field.size and all(map(_is_number, value))
    return _CHECKS[field.kind]


def _is_number(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or type(value) is int


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_place(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"latitude", "longitude"}
        and all(map(_is_number, value.values()))
        and abs(value["latitude"]) <= _LATITUDES
        and abs(value["longitude"]) <= _LONGITUDES
    )


_CHECKS: Final[Mapping[FieldKind, Check]] = {
    FieldKind.NUMBER: _is_number,
    FieldKind.BOOLEAN: lambda value: isinstance(value, bool),
    FieldKind.DATETIME: _is_time,
    FieldKind.UUID: lambda value: isinstance(value, str) and _UUID.fullmatch(value) is not None,
    FieldKind.VARCHAR: lambda value: isinstance(value, str) and len(value) <= MAX_VARCHAR_CHARACTERS,
    FieldKind.TEXT: lambda value: isinstance(value, str),
    FieldKind.GEOSPATIAL: _is_place,
}


def _number(text: str) -> str | int | float:
    if _WHOLE.fullmatch(text) and int(text) in INTEGER_RANGE:
        return int(text)
    number = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text
