"""The organisation's metadata schema: read whole, replaced whole, without any check that nothing came between.

Bodies are those that the SDK was observed to send and to accept: snake_case, explicit nulls, the type under ``ty``.

What does not belong here: client metadata itself (``jobs/``), of which only the size of embeddings is checked against it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registration_pipeline.sandbox.api.service import service_of
from registration_pipeline.sandbox.api.wire import json_body, timestamp, unprocessable

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request

_NAME: Final = re.compile(r"[A-Za-z0-9 ._-]+")
_RESERVED: Final = frozenset({"", "keyframes"})
_MOST_OPTIONS: Final = 255


class _Type(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Number(_Type):
    ty: Literal["number"]
    format: Literal["F32", "F64"] = "F64"


class _Plain(_Type):
    ty: Literal["boolean", "text", "uuid", "user", "geospatial"]


class _Varchar(_Type):
    ty: Literal["varchar"]
    max_length: Annotated[int, Field(ge=0, le=8192)] = 8192


class _DateTime(_Type):
    ty: Literal["datetime"]
    timezone: Literal["UTC"] = "UTC"


class _Enum(_Type):
    ty: Literal["enum"]
    values: Annotated[list[str], Field(min_length=1, max_length=_MOST_OPTIONS)]


class _EmbeddingApi(_Type):
    url: str | None = None
    path: str | None = None
    service_integration: str | None = None
    client_only: bool | None = None
    embed_b64_image: bool | None = None
    embed_text: bool | None = None


class _Embedding(_Type):
    ty: Literal["embedding"]
    size: Annotated[int, Field(ge=1, le=4096)]
    api: _EmbeddingApi | None = None


class _Variant(_Type):
    ty: Literal["variant"]
    hint: Literal["number", "varchar", "text", "boolean", "datetime", "uuid"] = "text"


_Living = Annotated[
    _Number | _Plain | _Varchar | _DateTime | _Enum | _Embedding | _Variant,
    Field(discriminator="ty"),
]


class _Tombstone(_Type):
    ty: Literal["tombstone"]
    deleted_ty: _Living | None = None


_FIELD: Final = TypeAdapter[Any](
    Annotated[
        _Number | _Plain | _Varchar | _DateTime | _Enum | _Embedding | _Variant | _Tombstone,
        Field(discriminator="ty"),
    ]
)

_SIMPLE: Final = {
    "number": {"ty": "variant", "hint": "number"},
    "string": {"ty": "variant", "hint": "varchar"},
    "long_string": {"ty": "variant", "hint": "text"},
    "boolean": {"ty": "variant", "hint": "boolean"},
    "datetime": {"ty": "variant", "hint": "datetime"},
    "geospatial": {"ty": "geospatial"},
}
"""Types of the deprecated call. Its ``enum`` and ``embedding`` name neither options nor a size, and are refused."""


def get_schema(request: Request) -> Response:
    """``GET organisation/client-metadata-schema-v2``: ``null`` until one was set."""
    with service_of(request).database.reading() as connection:
        return JSONResponse(held_schema(connection))


def set_schema(request: Request) -> Response:
    """``POST organisation/client-metadata-schema-v2``: the whole schema; the last writer wins."""
    body = json_body(request)
    with service_of(request).database.writing() as connection:
        held = held_schema(connection) or {}
        fields = {name: _field(name, definition, held) for name, definition in body.items()}
        keep_schema(connection, fields)
    return Response(status_code=204)


def set_simple_schema(request: Request) -> Response:
    """``POST organisation/client-metadata-schema``, deprecated: ``{"a": "string"}``; replaces the whole schema, too."""
    fields = {}
    for name, kind in json_body(request).items():
        _check_name(name)
        if not isinstance(kind, str) or kind not in _SIMPLE:
            unprocessable(("body", name), f"Input should be {', '.join(map(repr, _SIMPLE))}", "enum")
        fields[name] = _SIMPLE[kind]
    with service_of(request).database.writing() as connection:
        keep_schema(connection, fields)
    return Response(status_code=204)


def _field(name: str, definition: Any, held: dict[str, Any]) -> Any:
    if name in held and definition == held[name]:
        return definition  # also of a type that this version does not know
    _check_name(name)
    try:
        return _FIELD.validate_python(definition, strict=True).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        unprocessable(("body", name, *first["loc"]), first["msg"], first["type"])


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or re.sub(r"[ ._-]", "", name) in _RESERVED:
        unprocessable(("body", name), "the key is not letters, digits, ' ', '.', '_' and '-'", "value_error")


def held_schema(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """The fields by name; None: there is no schema."""
    row = connection.execute("SELECT fields FROM metadata_schema").fetchone()
    fields: dict[str, Any] | None = json.loads(row["fields"]) if row else None
    return fields


def keep_schema(connection: sqlite3.Connection, fields: dict[str, Any]) -> None:
    """Put a schema in the place of the one that is held, as it is."""
    connection.execute(
        "INSERT INTO metadata_schema (id, fields, changed_at) VALUES (1, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET fields = excluded.fields, changed_at = excluded.changed_at",
        (json.dumps(fields), timestamp()),
    )


_PATH: Final = "/organisation/client-metadata-schema"

ROUTES = [
    Route(f"{_PATH}-v2", get_schema, methods=["GET"], name="get_metadata_schema"),
    Route(f"{_PATH}-v2", set_schema, methods=["POST"], name="set_metadata_schema"),
    Route(_PATH, set_simple_schema, methods=["POST"], name="set_simple_metadata_schema"),
]
