"""A declared schema beside Encord's, field by field; and that what is added is what the SDK itself would send."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from encord.metadata_schema import MetadataSchema

from registration_pipeline.settings import FieldKind, FieldType
from registration_pipeline.submission.metadata_schema.difference import FieldState, difference
from registration_pipeline.submission.metadata_schema.fields import definition_of, described

SCALARS = [FieldKind.BOOLEAN, FieldKind.DATETIME, FieldKind.NUMBER, FieldKind.UUID, FieldKind.VARCHAR, FieldKind.TEXT]


def enum(*values: str) -> FieldType:
    return FieldType(kind=FieldKind.ENUM, values=values)


def embedding(size: int) -> FieldType:
    return FieldType(kind=FieldKind.EMBEDDING, size=size)


def of(kind: FieldKind) -> FieldType:
    return FieldType(kind=kind)


def sent_by_the_sdk(name: str, field: FieldType) -> Any:
    """Return what the SDK's own class sends for one field of an organisation without a schema."""
    api = Mock(get=Mock(return_value=None))
    schema = MetadataSchema(api)
    if field.kind is FieldKind.ENUM:
        schema.add_enum(name, values=field.values)
    elif field.kind is FieldKind.EMBEDDING:
        assert field.size is not None
        schema.add_embedding(name, size=field.size)
    elif field.kind is FieldKind.GEOSPATIAL:
        schema.add_geospatial(name)
    else:
        schema.add_scalar(name, data_type=field.kind.value)  # type: ignore[arg-type]
    schema.save()
    return api.post.call_args.kwargs["payload"].model_dump(mode="json")


@pytest.mark.parametrize(
    "field",
    [*map(of, SCALARS), of(FieldKind.GEOSPATIAL), enum("sun", "rain"), embedding(512)],
    ids=lambda field: field.kind,
)
def test_a_new_field_is_sent_as_the_sdk_sends_it_and_is_then_the_same(field: FieldType) -> None:
    sent = sent_by_the_sdk("a", field)

    assert {"a": definition_of(field)} == sent
    assert difference({"a": field}, sent).is_same


FITS = {
    **{f"{kind} as a type of its own": (of(kind), {"ty": kind.value}) for kind in SCALARS},
    "number of 32 bits": (of(FieldKind.NUMBER), {"ty": "number", "format": "F32"}),
    "varchar of the whole length": (of(FieldKind.VARCHAR), {"ty": "varchar", "max_length": 8192}),
    "varchar by its older name": (of(FieldKind.VARCHAR), {"ty": "variant", "hint": "string"}),
    "text by its older name": (of(FieldKind.TEXT), {"ty": "variant", "hint": "long_string"}),
    "text by default": (of(FieldKind.TEXT), {"ty": "variant"}),
    "enum with more options": (enum("a"), {"ty": "enum", "values": ["b", "a"]}),
    "full enum that has all": (enum("o1"), {"ty": "enum", "values": [f"o{number}" for number in range(256)]}),
    "embedding with a search of Encord's": (
        embedding(8),
        {"ty": "embedding", "size": 8, "api": {"url": "https://x", "later": 1}},
    ),
}


@pytest.mark.parametrize(("field", "held"), FITS.values(), ids=FITS)
def test_a_field_that_encord_has_is_the_same(field: FieldType, held: dict[str, Any]) -> None:
    found = difference({"a": field}, {"a": held, "foreign": {"ty": "later"}})

    assert [one.state for one in found.fields] == [FieldState.SAME]
    assert found.foreign == 1


CONFLICTS = {
    "another scalar": (of(FieldKind.NUMBER), {"ty": "variant", "hint": "text"}, "text", "is text in Encord"),
    "text for varchar": (of(FieldKind.VARCHAR), {"ty": "text"}, "text", "is text in Encord"),
    "a scalar for an enum": (enum("a"), {"ty": "variant", "hint": "varchar"}, "varchar", "is varchar in Encord"),
    "an enum for a scalar": (of(FieldKind.TEXT), {"ty": "enum", "values": ["a"]}, "enum of 1", "is enum of 1 in Enc"),
    "smaller embedding": (
        embedding(512),
        {"ty": "embedding", "size": 256},
        "embedding of 256",
        "is embedding of 256 in Encord: declare that size, or choose another name",
    ),
    "shorter varchar": (
        of(FieldKind.VARCHAR),
        {"ty": "varchar", "max_length": 100},
        "varchar of 100 characters",
        "has at most 100 characters in Encord",
    ),
    "deleted": (
        of(FieldKind.NUMBER),
        {"ty": "tombstone", "deleted_ty": {"ty": "variant", "hint": "number"}},
        "deleted, was number",
        "is deleted in Encord: restore it there (restore_key of Encord's SDK), or choose another name",
    ),
    "deleted for good": (
        of(FieldKind.NUMBER),
        {"ty": "tombstone", "deleted_ty": None},
        "deleted for good",
        "was deleted for good in Encord, where the name can't be used again: choose another name",
    ),
    "too many options together": (
        enum("new", "o1"),
        {"ty": "enum", "values": [f"o{number}" for number in range(255)]},
        "enum of 255",
        "would have 256 options with those in Encord, which accepts 255 in an enum",
    ),
    "a user": (of(FieldKind.UUID), {"ty": "user"}, "user", "is user in Encord"),
    "a type of a later version": (of(FieldKind.TEXT), {"ty": "colour", "x": 1}, "colour", "is colour in Encord"),
    "a hint of a later version": (of(FieldKind.TEXT), {"ty": "variant", "hint": "hue"}, "hue", "is hue in Encord"),
    "a hint that is not a word": (of(FieldKind.TEXT), {"ty": "variant", "hint": [1]}, "[1]", "is [1] in Encord"),
    "an embedding without a size": (embedding(1), {"ty": "embedding"}, "embedding of None", "is embedding of None"),
    "a varchar without a length": (
        of(FieldKind.VARCHAR),
        {"ty": "varchar", "max_length": None},
        "varchar of 0 characters",
        "has at most 0 characters",
    ),
}


@pytest.mark.parametrize(("field", "held", "shown", "says"), CONFLICTS.values(), ids=CONFLICTS)
def test_what_encord_has_as_something_else_is_a_conflict(
    field: FieldType, held: dict[str, Any], shown: str, says: str
) -> None:
    (one,) = difference({"a": field}, {"a": held}).fields

    assert (one.state, one.in_encord) == (FieldState.CONFLICT, shown)
    assert (one.problem or "").startswith(says)


def test_missing_fields_and_options_are_told_apart() -> None:
    declared = {"weather": enum("sun", "rain", "fog"), "speed": of(FieldKind.NUMBER), "name": of(FieldKind.TEXT)}
    held: dict[str, Any] = {"weather": {"ty": "enum", "values": ["sun"]}, "name": {"ty": "text"}, "x": {"ty": "text"}}

    found = difference(declared, held)

    assert {one.name: one.state for one in found.fields} == {
        "weather": FieldState.LACKS_OPTIONS,
        "speed": FieldState.MISSING,
        "name": FieldState.SAME,
    }
    assert found.fields[0].options == ("fog", "rain")
    assert not found.is_same
    assert found.summary() == "of 3 declared fields: 1 missing, 1 without some of the options"
    assert found.as_json()["foreign_fields"] == 1


def test_a_long_foreign_type_is_shortened() -> None:
    assert len(described({"ty": "x" * 10_000})) < 100
