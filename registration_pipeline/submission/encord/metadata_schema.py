"""Encord's metadata schema through its own SDK: the requests of ``MetadataSchema``, with the fields as they came.

The SDK's class reads fields into models of its own. It fails on a type that is new, and gives back only what it knows of the
others; what belongs to others must go back as it came, so its two requests are made without the models.

What does not belong here: what is written (``submission/metadata_schema/``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from encord.http.v2.api_client import ApiClient
from pydantic import RootModel, field_validator

from registration_pipeline.submission.encord.gateway import EncordGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.submission.metadata_schema.gateway import EncordSchema

_PATH: Final = "organisation/client-metadata-schema-v2"
_ADVICE: Final = (
    "The schema is one for the whole organisation, and the key's user may not use it in this way: let a Workspace Admin run "
    "this command with their own key, or give the user that role"
)


class _Fields(RootModel[dict[str, Any] | None]):
    """Every field as it came: null where there is no schema."""

    @field_validator("root")
    @classmethod
    def _is_a_schema(cls, fields: dict[str, Any] | None) -> dict[str, Any] | None:
        # The whole schema is written again with what is added: what something else answered must not become a part of it.
        strange = [
            name
            for name, definition in (fields or {}).items()
            if not isinstance(definition, dict) or not isinstance(definition.get("ty"), str)
        ]
        if strange:
            raise ValueError("each field must be an object with its type in ty")
        return fields


class EncordSchemaGateway(EncordGateway):
    """``SchemaGateway`` on the Encord SDK. Its arguments are those of ``EncordGateway``."""

    def read_schema(self) -> EncordSchema:
        """See ``SchemaGateway``."""
        with self._advised("reading the metadata schema"):
            # Not allow_none: that would also take an empty reply (204) for an organisation without a schema.
            fields: _Fields = ApiClient(self._client.user_config.config).get(_PATH, params=None, result_type=_Fields)  # type: ignore[type-var]
        return fields.root or {}

    def replace_schema(self, fields: EncordSchema) -> None:
        """See ``SchemaGateway``."""
        payload: Any = _Fields.model_validate(dict(fields))  # the SDK's annotation wants its own base class
        with self._advised("changing the metadata schema"):
            self._posting().post(_PATH, params=None, payload=payload, result_type=None)

    @contextmanager
    def _advised(self, what: str) -> Iterator[None]:
        with self._translated(what, advice=_ADVICE):
            yield
