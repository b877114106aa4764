"""Wrong values of ``metadata``, ``metadata_schema``, ``dataset`` and their like: each is refused with line, key and text.

What does not belong here: values that tables and objects hold (``unit/facts``).
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """\
sources:
  fleet:
    uri: s3://fleet-bucket/raw/
    storage: {region: eu-west-2}
    encord: {integration: prod}
"""
NOT_A_NAME = "is not a name that Encord accepts: letters, digits, space, '-', '_' and '.', and not keyframes"
RESERVED = "begins with registration., which is kept for what the pipeline writes itself; choose another name"
A_TYPE = "must be boolean, datetime, number, uuid, varchar, text, geospatial, {enum: [one, two]} or {embedding: 512}"
ENUM = "must have a list of texts as its enum; put options such as 1, true and 2026-01-31 in quotes"
SIZE = "must have a size from 1 to 4,096, e.g. {embedding: 512}"
WAYS = "must have one of pattern, table, sidecar, object_metadata, and has"
SAME = "is the same as metadata[0] and changes nothing; remove one of the two"
TITLE = "must be a line of text without spaces at its ends"
SCHEMES = (
    "must be s3://bucket/prefix/, gs://bucket/prefix/, az://container@account/prefix/, obs://bucket/prefix/ or "
    "file:///absolute/directory/"
)


def entries(*lines: str) -> str:
    return "metadata:\n" + "".join(f"  - {line}\n" for line in lines)


def entry(text: str) -> str:
    return entries("{" + text + "}")


def table(**keys: str) -> str:
    """An entry for a table, right but for what is given."""
    whole = {"table": "labels.csv", "key": "image"} | keys
    return entry(", ".join(f"{key}: {value}" for key, value in whole.items() if value))


def field(text: str, name: str = "weather") -> str:
    return f"metadata_schema:\n  {name}: {text}\n"


WRONG = {
    "metadata is a mapping": (
        "metadata: {table: a.csv, key: k}\n",
        6,
        "metadata",
        "must be a list of rules, e.g. - {table: labels.parquet, key: image_path}",
    ),
    "metadata is null": ("metadata: null\n", 6, "metadata", "has no value; give one, or leave the key out"),
    "entry is a text": (entries("labels.csv"), 7, "metadata[0]", "must be a mapping of keys"),
    "entry of nothing": (entry(""), 7, "metadata[0]", f"{WAYS} none"),
    "entry of two things": (
        entry("sidecar: .meta.json, object_metadata: true"),
        7,
        "metadata[0]",
        f"{WAYS} sidecar and object_metadata",
    ),
    "object metadata switched off": (entry("object_metadata: false"), 7, "metadata[0]", f"{WAYS} none"),
    "misspelt key": (table(colums="[a]"), 7, "metadata[0].colums", "unknown key; did you mean 'columns'?"),
    "another unknown key": (
        table(zzz="[a]"),
        7,
        "metadata[0].zzz",
        "unknown key; known here: pattern, table, key, matches, columns, config, sidecar, object_metadata, prefix",
    ),
    "the same entry twice": (
        entries("{sidecar: .meta.json}", "{object_metadata: true}", "{sidecar: .meta.json}"),
        9,
        "metadata[2]",
        SAME,
    ),
    "the same table twice, a default written out": (
        entries("{table: a.csv, key: k}", "{table: a.csv, key: k, matches: key}"),
        8,
        "metadata[1]",
        SAME,
    ),
    "pattern without names": (
        entry("pattern: 'site-([a-z]+)'"),
        7,
        "metadata[0].pattern",
        "must be a regular expression with named groups, e.g. 'site-(?P<site>[a-z]+)/'",
    ),
    "pattern that is too long": (
        entry(f"pattern: '(?P<a>{'x' * 1000})'"),
        7,
        "metadata[0].pattern",
        "is a regular expression of more than 1,000 characters; write it shorter",
    ),
    "pattern that is unfinished": (
        entry("pattern: '(?P<a>x'"),
        7,
        "metadata[0].pattern",
        "is not a regular expression: missing ), unterminated subpattern at position 0",
    ),
    "pattern with a name of the schema's": (
        entry("pattern: '(?P<keyframes>x)'"),
        7,
        "metadata[0].pattern",
        f"has a named group whose key {NOT_A_NAME}",
    ),
    "pattern whose prefix makes such a name": (
        entry("pattern: '(?P<frames>x)', prefix: key-"),
        7,
        "metadata[0].pattern",
        f"has a named group whose key {NOT_A_NAME}",
    ),
    "pattern with a name of other letters": (
        entry("pattern: '(?P<größe>x)'"),
        7,
        "metadata[0].pattern",
        f"has a named group whose key {NOT_A_NAME}",
    ),
    "pattern with a name of nothing but a separator": (
        entry("pattern: '(?P<_>x)'"),
        7,
        "metadata[0].pattern",
        f"has a named group whose key {NOT_A_NAME}",
    ),
    "pattern with a key of tables": (
        entry("pattern: '(?P<a>x)', key: k"),
        7,
        "metadata[0]",
        "has key, which belongs to a table; remove it",
    ),
    "sidecar with a config": (
        entry("sidecar: .meta.json, config: {}"),
        7,
        "metadata[0]",
        "has config, which belongs to a table; remove it",
    ),
    "table without key": (
        table(key=""),
        7,
        "metadata[0]",
        "lacks key: the column of the table that names the object",
    ),
    "table of another form": (
        table(table="labels.xlsx"),
        7,
        "metadata[0].table",
        "must end in .parquet, .csv or .jsonl",
    ),
    "table in capitals": (table(table="labels.CSV"), 7, "metadata[0].table", "must end in .parquet, .csv or .jsonl"),
    "table that is a number": (
        table(table="7"),
        7,
        "metadata[0].table",
        "must be text; put a number or date in quotes",
    ),
    "table in any folder": (
        table(table="'**/labels.csv'"),
        7,
        "metadata[0].table",
        "holds **, which has no meaning here: * means any text without a slash",
    ),
    "table with a zero byte": (table(table='"a\\0.csv"'), 7, "metadata[0].table", "a path can't hold a zero byte"),
    "table of an unknown scheme": (
        table(table="ftp://tables/labels.csv"),
        7,
        "metadata[0].table",
        f"{SCHEMES}; ftp:// is none of these",
    ),
    "table of the web": (
        table(table="https://example.org/labels.csv"),
        7,
        "metadata[0].table",
        f"{SCHEMES}; https:// is none of these",
    ),
    "table that is a bucket": (
        table(table="s3://labels.csv"),
        7,
        "metadata[0].table",
        "names a bucket without a file; write scheme://bucket/folder/labels.parquet",
    ),
    "table with a signature": (
        table(table="'s3://tables/a?X-Amz-Signature=00.csv'"),
        7,
        "metadata[0].table",
        "holds a query (what follows a ?), which may hold a signature and has no meaning here; remove it",
    ),
    "table of any bucket": (
        table(table="'s3://*/labels.csv'"),
        7,
        "metadata[0].table",
        "not a bucket name: 3 or more letters, digits, dots, hyphens and underscores",
    ),
    "table matched by another word": (
        table(matches="title"),
        7,
        "metadata[0].matches",
        "must be one of 'key', 'path', 'url' or 'name'",
    ),
    "key is empty": (table(key="''"), 7, "metadata[0].key", "must not be empty"),
    "columns is a text": (
        table(columns="weather"),
        7,
        "metadata[0].columns",
        "must be a list of columns, e.g. [weather, speed]",
    ),
    "column that is a date": (
        table(columns="[2026-01-31]"),
        7,
        "metadata[0].columns[0]",
        "must be text; put a number or date in quotes",
    ),
    "key among the columns": (
        table(columns="[weather, image]"),
        7,
        "metadata[0].columns[1]",
        "is also key, which names the object and is not a value; remove it",
    ),
    "config of a table whose frames are a value": (
        table(columns="[frame, clip]", config="{}"),
        7,
        "metadata[0].config",
        "is of key frames, and frame is named as another column; remove one of the two",
    ),
    "column twice": (
        table(columns="[a, b, a]"),
        7,
        "metadata[0].columns[2]",
        "is given twice; remove one of the two",
    ),
    "column that is not a name": (
        table(columns="[a/b]"),
        7,
        "metadata[0].columns[0]",
        f"names a column whose key {NOT_A_NAME}",
    ),
    "column of the pipeline's own": (
        table(columns="[.key]", prefix="registration"),
        7,
        "metadata[0].columns[0]",
        f"names a column whose key {RESERVED}",
    ),
    "config is a word": (table(config="frame"), 7, "metadata[0].config", "must be a mapping of keys"),
    "config with an unknown key": (
        table(config="{sampling: 1}"),
        7,
        "metadata[0].config.sampling",
        "unknown key; did you mean 'sampling_rate'?",
    ),
    "negative rate": (
        table(config="{sampling_rate: -1}"),
        7,
        "metadata[0].config.sampling_rate",
        "must be 0 or more",
    ),
    "rate without end": (
        table(config="{sampling_rate: .inf}"),
        7,
        "metadata[0].config.sampling_rate",
        "must be a number, 0 or more",
    ),
    "rate is true": (
        table(config="{sampling_rate: true}"),
        7,
        "metadata[0].config.sampling_rate",
        "must be a number, 0 or more",
    ),
    "rate is a word": (
        table(config="{sampling_rate: fast}"),
        7,
        "metadata[0].config.sampling_rate",
        "must be a number",
    ),
    "mode by another word": (
        table(config="{keyframe_mode: frames}"),
        7,
        "metadata[0].config.keyframe_mode",
        "must be one of 'frame' or 'seconds'",
    ),
    "sidecar in a folder": (
        entry("sidecar: /meta.json"),
        7,
        "metadata[0].sidecar",
        "is added to the key of an object, and can't hold a slash",
    ),
    "sidecar that is too long": (
        entry(f"sidecar: .{'x' * 128}"),
        7,
        "metadata[0].sidecar",
        "must have 128 characters or less",
    ),
    "sidecar that is a suffix of media": (
        entry("sidecar: .JPG"),
        7,
        "metadata[0].sidecar",
        "is also the end of .jpg: objects of that type would count as sidecars; use e.g. .metadata.json",
    ),
    "sidecar that is the end of media": (
        entry("sidecar: gz"),
        7,
        "metadata[0].sidecar",
        "is also the end of .nii.gz: objects of that type would count as sidecars; use e.g. .metadata.json",
    ),
    "sidecar without its dot": (
        entry("sidecar: json"),
        7,
        "metadata[0].sidecar",
        "is also the end of .json: objects of that type would count as sidecars; use e.g. .metadata.json",
    ),
    "prefix of the pipeline's own": (
        table(prefix="registration."),
        7,
        "metadata[0].prefix",
        f"makes names of which each {RESERVED}",
    ),
    "prefix that makes no name": (
        table(prefix="fleet/"),
        7,
        "metadata[0].prefix",
        f"makes names of which each {NOT_A_NAME}",
    ),
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
    "every kind of entry": entries(
        "{pattern: 'site-(?P<site>[a-z]+)/'}",
        "{table: 's3://tables/labels-*.parquet', key: image, matches: path, columns: [weather], prefix: 'fleet.'}",
        "{sidecar: '.metadata.json'}",
        "{object_metadata: true}",
    ),
    "frame as a value, and as a key": entries("{table: a.csv, key: k, columns: [frame]}", "{table: a.csv, key: frame}"),
    "one table by key and by name": entries("{table: a.csv, key: k}", "{table: a.csv, key: k, matches: name}"),
    "object metadata under two prefixes": entries("{object_metadata: true}", "{object_metadata: true, prefix: s3.}"),
    "tables of every store": entries(
        *(
            f"{{table: '{place}/labels.jsonl', key: k}}"
            for place in ("s3://tab", "gs://tab", "az://tab@account", "obs://tab", "file:///data", "/data", "..", "~")
        )
    ),
    "sidecar that ends in JSON": entry("sidecar: .json"),
    "null for the default": entry("sidecar: .meta.json, table: null, pattern: null"),
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
    "config of key frames": table(config="{sampling_rate: 0, keyframe_mode: seconds}"),
}


def load(folder: Path, text: str) -> str:
    """Return what is wrong with a configuration."""
    file = folder / "registration.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    return str(raised.value)


@pytest.mark.parametrize(("lines", "line", "key", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_names_its_line_its_key_and_what_to_do(
    tmp_path: Path, lines: str, line: int, key: str, says: str
) -> None:
    message = load(tmp_path, HEAD + textwrap.indent(lines, "    "))

    without_value = re.sub(r" \(given: '[^']*'\)$", "", message)
    assert without_value == f"{tmp_path}/registration.yaml:{line}: sources.fleet.{key}: {says}"
    assert re.search(r"\b(?:input|pydantic|value error)\b", message, re.IGNORECASE) is None


@pytest.mark.parametrize("lines", RIGHT.values(), ids=RIGHT)
def test_a_right_value_is_accepted(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(HEAD + textwrap.indent(lines, "    "), encoding="utf-8")

    assert list(load_settings(file, {}).sources) == ["fleet"]


def test_a_directory_has_no_object_metadata(tmp_path: Path) -> None:
    source = "sources:\n  fleet:\n    uri: file:///data/\n    metadata:\n      - object_metadata: true\n"

    assert load(tmp_path, source).endswith(
        ":5: sources.fleet.metadata[0].object_metadata: file:///"
        " sources have no metadata of the store; remove the entry"
    )


def test_an_entry_that_is_wrong_does_not_make_upserts_wrong(tmp_path: Path) -> None:
    lines = "    metadata: [{table: a.xlsx, key: k}]\n    upsert_metadata: true\n"

    assert load(tmp_path, HEAD + lines).splitlines() == [
        f"{tmp_path}/registration.yaml:6: sources.fleet.metadata[0].table: must end in .parquet, .csv or .jsonl"
    ]


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
    message = load(tmp_path, two_sources(first, second))

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
    file = tmp_path / "registration.yaml"
    file.write_text(two_sources(first, second), encoding="utf-8")

    assert list(load_settings(file, {}).sources) == ["one", "two"]
