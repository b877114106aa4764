"""The seam to Encord for its metadata schema, which is one for the whole organisation.

What belongs here: the protocol and its values. The implementation that imports the SDK is ``encord/metadata_schema.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

FieldDefinition: TypeAlias = Mapping[str, Any]
"""A field as Encord writes it, whole: a JSON object whose ``ty`` is its type. It may be of a type that is new to us."""

EncordSchema: TypeAlias = Mapping[str, FieldDefinition]
"""Encord's fields by name, every one as it came."""


class SchemaGateway(Protocol):
    """Encord, as far as its metadata schema goes.

    Both methods may raise the subclasses of ``SubmissionError`` but ``AmbiguousError``, and of ``HaltError``.
    """

    def read_schema(self) -> EncordSchema:
        """Return the fields; none where the organisation has no schema."""

    def replace_schema(self, fields: EncordSchema) -> None:
        """Put these fields in the place of all that there are: Encord has no other way, and does not say what was there.

        A ``TransientError`` leaves open whether it happened.
        """
