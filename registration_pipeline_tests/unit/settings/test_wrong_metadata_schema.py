"""Wrong values of ``metadata_schema``, ``dataset`` and of what is sent: each is refused with line, key and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.unit.settings.wrong_values import field, loaded, problem_of, refusal, sources_of

if TYPE_CHECKING:
    from pathlib import Path

NOT_A_NAME = "is not a name that Encord accepts: letters, digits, space, '-', '_' and '.', and not keyframes"
RESERVED = "begins with registration., which is kept for what the pipeline writes itself; choose another name"
A_TYPE = "must be boolean, datetime, number, uuid, varchar, text, geospatial, {enum: [one, two]} or {embedding: 512}"
ENUM = "must have a list of texts as its enum; put options such as 1, true and 2026-01-31 in quotes"
SIZE = "must have a size from 1 to 4,096, e.g. {embedding: 512}"
TITLE = "must be a line of text without spaces at its ends"

WRONG = {
    "schema is a list": (
        "metadata_schema: [weather]\n",
        6,
        "metadata_schema",
        "must be a mapping of fields to types, e.g. {weather: {enum: [sun, rain]}, speed: number}",
    ),
    "schema is null": ("metadata_schema: null\n", 6, "metadata_schema", "has no value; give one, or leave the key out"),
    "field of another type": (field("string"), 7, "metadata_schema.weather", A_TYPE),
    "field of no type": (field("null"), 7, "metadata_schema.weather", A_TYPE),
    "field of no": (field("no"), 7, "metadata_schema.weather", A_TYPE),
    "enum as a word": (field("enum"), 7, "metadata_schema.weather", A_TYPE),
    "field of two types": (field("{enum: [a], embedding: 3}"), 7, "metadata_schema.weather", A_TYPE),
    "field by kind": (field("{kind: enum, values: [a, a]}"), 7, "metadata_schema.weather", A_TYPE),
    "field name with a slash": (field("number", "a/b"), 7, "metadata_schema.a/b", f"'a/b' {NOT_A_NAME}"),
    "field name of Encord's": (field("number", "$encord"), 7, "metadata_schema.$encord", f"'$encord' {NOT_A_NAME}"),
    "field name of key frames": (
        field("number", "keyframes"),
        7,
        "metadata_schema.keyframes",
        f"'keyframes' {NOT_A_NAME}",
    ),
    "field name of key frames, with separators": (
        field("number", "key.fra-mes"),
        7,
        "metadata_schema.key.fra-mes",
        f"'key.fra-mes' {NOT_A_NAME}",
    ),
    "field name of separators": (field("number", "'. -'"), 7, "metadata_schema.. -", f"'. -' {NOT_A_NAME}"),
    "field name of the pipeline's own": (
        field("varchar", "registration.key"),
        7,
        "metadata_schema.registration.key",
        f"'registration.key' {RESERVED}",
    ),
    "field name null": (field("number", "~"), 7, "metadata_schema.~", f"'~' {NOT_A_NAME}"),
    "enum of one text": (field("{enum: sun}"), 7, "metadata_schema.weather", ENUM),
    "enum of nothing": (field("{enum: []}"), 7, "metadata_schema.weather", ENUM),
    "enum of numbers": (field("{enum: [1, 2]}"), 7, "metadata_schema.weather", ENUM),
    "enum of a switch": (field("{enum: [true, false]}"), 7, "metadata_schema.weather", ENUM),
    "enum of a date": (field("{enum: [2026-01-31]}"), 7, "metadata_schema.weather", ENUM),
    "enum of null": (field("{enum: [null]}"), 7, "metadata_schema.weather", ENUM),
    "enum of an empty text": (field("{enum: ['']}"), 7, "metadata_schema.weather", ENUM),
    "enum with an option twice": (field("{enum: [a, b, a]}"), 7, "metadata_schema.weather", "has an option twice"),
    "enum with a zero byte": (
        field('{enum: ["a\\0"]}'),
        7,
        "metadata_schema.weather",
        "has an option with a zero byte or half a character, which no database takes; remove it",
    ),
    "enum of too many": (
        field(f"{{enum: [{', '.join(f'o{n}' for n in range(256))}]}}"),
        7,
        "metadata_schema.weather",
        "has 256 options: Encord accepts 255 in an enum",
    ),
    "embedding of nothing": (field("{embedding: 0}"), 7, "metadata_schema.weather", SIZE),
    "embedding that is too large": (field("{embedding: 4097}"), 7, "metadata_schema.weather", SIZE),
    "embedding of true": (field("{embedding: true}"), 7, "metadata_schema.weather", SIZE),
    "embedding of half a number": (field("{embedding: 1.5}"), 7, "metadata_schema.weather", SIZE),
    "embedding of a word": (field("{embedding: small}"), 7, "metadata_schema.weather", SIZE),
    "upserts without metadata": (
        "upsert_metadata: true\n",
        6,
        "upsert_metadata",
        "sends metadata that changed, and there is none; add metadata, or remove the key",
    ),
    "upserts of a word": ("upsert_metadata: maybe\n", 6, "upsert_metadata", "must be true or false"),
    "media metadata by another word": (
        "media_metadata: full\n",
        6,
        "media_metadata",
        "must be one of 'off' or 'probe'",
    ),
    "media metadata switched on": ("media_metadata: true\n", 6, "media_metadata", "must be one of 'off' or 'probe'"),
    "strict without media metadata": (
        "media_metadata: off\nstrict_client_only: true\n",
        7,
        "strict_client_only",
        "needs media metadata of every unit; add media_metadata: probe",
    ),
    "sent as another form": ("submit_as: csv\n", 6, "submit_as", "must be one of 'json' or 'data_items'"),
    "dataset is a text": ("dataset: fleet\n", 6, "dataset", "must be a mapping, e.g. {title: fleet}"),
    "dataset with an empty title": ("dataset: {title: ''}\n", 6, "dataset.title", "must not be empty"),
    "dataset without title": ("dataset: {max_items: 5}\n", 6, "dataset.title", "missing: this key is required"),
    "dataset with a long title": (
        f"dataset: {{title: {'x' * 251}}}\n",
        6,
        "dataset.title",
        "must have 250 characters or less",
    ),
    "dataset with a blank title": ("dataset: {title: ' '}\n", 6, "dataset.title", TITLE),
    "dataset with two lines of title": ('dataset: {title: "a\\nb"}\n', 6, "dataset.title", TITLE),
    "dataset of nothing": ("dataset: {title: a, max_items: 0}\n", 6, "dataset.max_items", "must be 1 or more"),
    "dataset with an unknown key": (
        "dataset: {title: a, max_item: 1}\n",
        6,
        "dataset.max_item",
        "unknown key; did you mean 'max_items'?",
    ),
}
RIGHT = {
    "no entry": "metadata: []\nmetadata_schema: {}\n",
    "every type": "metadata_schema: {"
    + ", ".join(
        f"{name}: {name}" for name in ("boolean", "datetime", "number", "uuid", "varchar", "text", "geospatial")
    )
    + ", e: {enum: ['1', yes, off]}, f: {embedding: '4096'}}\n",
    "keys that YAML reads as something else": "metadata_schema: {off: number, 2026-01-31: text, 7: uuid, null: text}\n",
    "a field that no entry gives": field("number"),
    "upserts with strict client-only access": (
        "upsert_metadata: true\nstrict_client_only: true\nmedia_metadata: probe\nmetadata: [{object_metadata: true}]\n"
    ),
    "media metadata off, without quotes": "media_metadata: off\n",
    "media metadata false": "media_metadata: false\n",
    "no dataset": "dataset: null\n",
}


@pytest.mark.parametrize(("lines", "line", "key", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_names_its_line_its_key_and_what_to_do(
    tmp_path: Path, lines: str, line: int, key: str, says: str
) -> None:
    assert problem_of(tmp_path, lines) == (f"{tmp_path}/registration.yaml:{line}", f"sources.fleet.{key}: {says}")


@pytest.mark.parametrize("lines", RIGHT.values(), ids=RIGHT)
def test_a_right_value_is_accepted(tmp_path: Path, lines: str) -> None:
    assert sources_of(tmp_path, lines) == ["fleet"]


def two_sources(first: str, second: str) -> str:
    source = "  {0}:\n    uri: file:///data/{0}/\n    metadata_schema: {{field: {1}}}\n"
    return "sources:\n" + source.format("one", first) + source.format("two", second)


def options(first: int, end: int) -> str:
    return f"{{enum: [{', '.join(f'o{number}' for number in range(first, end))}]}}"


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        pytest.param("number", "text", "is text, and number in source 'one'", id="two types"),
        pytest.param("{embedding: 4}", "{embedding: 5}", "is embedding of 5, and embedding of 4 in", id="two sizes"),
        pytest.param("{enum: [a]}", "varchar", "is varchar, and enum of 1 in source 'one'", id="an enum and a text"),
        pytest.param(
            options(0, 200), options(100, 300), "has 300 options together with the sources above", id="too many options"
        ),
    ],
)
def test_sources_that_declare_a_field_differently_are_refused(
    tmp_path: Path, first: str, second: str, says: str
) -> None:
    message = refusal(tmp_path, two_sources(first, second))

    assert message.startswith(f"{tmp_path}/registration.yaml:7: sources.two.metadata_schema.field: {says}")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("number", "number", id="one type"),
        pytest.param("{embedding: 4}", "{embedding: 4}", id="one size"),
        pytest.param("{enum: [a, b]}", "{enum: [b, c]}", id="enums with options of their own"),
        pytest.param(options(0, 200), options(0, 255), id="as many options as Encord takes"),
    ],
)
def test_sources_may_declare_one_field_together(tmp_path: Path, first: str, second: str) -> None:
    assert list(loaded(tmp_path, two_sources(first, second)).sources) == ["one", "two"]
