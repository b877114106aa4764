"""Wrong entries of ``metadata``: each is refused with line, key and text.

What does not belong here: the schema (``test_wrong_metadata_schema.py``), and values that tables and objects hold
(``unit/facts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.unit.settings.wrong_values import HEAD, problem_of, refusal, sources_of

if TYPE_CHECKING:
    from pathlib import Path

NOT_A_NAME = "is not a name that Encord accepts: letters, digits, space, '-', '_' and '.', and not keyframes"
RESERVED = "begins with registration., which is kept for what the pipeline writes itself; choose another name"
WAYS = "must have one of pattern, table, sidecar, object_metadata, and has"
SAME = "is the same as metadata[0] and changes nothing; remove one of the two"
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
    "config of key frames": table(config="{sampling_rate: 0, keyframe_mode: seconds}"),
}


@pytest.mark.parametrize(("lines", "line", "key", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_names_its_line_its_key_and_what_to_do(
    tmp_path: Path, lines: str, line: int, key: str, says: str
) -> None:
    assert problem_of(tmp_path, lines) == (f"{tmp_path}/registration.yaml:{line}", f"sources.fleet.{key}: {says}")


@pytest.mark.parametrize("lines", RIGHT.values(), ids=RIGHT)
def test_a_right_value_is_accepted(tmp_path: Path, lines: str) -> None:
    assert sources_of(tmp_path, lines) == ["fleet"]


def test_a_directory_has_no_object_metadata(tmp_path: Path) -> None:
    source = "sources:\n  fleet:\n    uri: file:///data/\n    metadata:\n      - object_metadata: true\n"

    assert refusal(tmp_path, source).endswith(
        ":5: sources.fleet.metadata[0].object_metadata: file:///"
        " sources have no metadata of the store; remove the entry"
    )


def test_an_entry_that_is_wrong_does_not_make_upserts_wrong(tmp_path: Path) -> None:
    lines = "    metadata: [{table: a.xlsx, key: k}]\n    upsert_metadata: true\n"

    assert refusal(tmp_path, HEAD + lines).splitlines() == [
        f"{tmp_path}/registration.yaml:6: sources.fleet.metadata[0].table: must end in .parquet, .csv or .jsonl"
    ]
