"""A bucket whose units are described in every way that there is, and what Encord must hold of each: computed on its own.

What belongs here: the objects, the values of each entry of ``metadata:`` for them, how these are written as tables and
sidecars, and the merge of them as the interface states it. What does not: the pipeline's own merge, and where objects lie.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PREFIX: Final = "raw/"
SIDECAR: Final = ".metadata.json"

UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    key: (key,)
    for key in (
        "raw/site-ulm/cam a.jpg",
        "raw/site-ulm/100%25.jpg",
        "raw/site-ulm/+&=.jpg",
        "raw/site-k\u00f6ln/\u00fc.jpg",
        "raw/site-bonn/drive.mp4",
        "raw/site-bonn/voice.wav",
        "raw/site-bonn/report.pdf",
        "raw/site-bonn/notes.txt",
        "raw/plain.jpg",
    )
} | {
    "raw/rigs/1": ("raw/rigs/1/2.jpg", "raw/rigs/1/10.jpg"),
    "raw/clips/a": ("raw/clips/a/1.png", "raw/clips/a/2.png", "raw/clips/a/10.png"),
}
"""What names a unit -> its objects in their order."""

GROUPS: Final[list[dict[str, Any]]] = [
    {"match": "rigs/**", "as": "image_group", "by": "directory"},
    {"match": "clips/**", "as": "image_sequence", "by": "directory"},
]

OBJECTS: Final = tuple(key for keys in UNITS.values() for key in keys)

SCHEMA: Final[dict[str, Any]] = {
    "fleet.weather": {"enum": ["sun", "rain"]},
    "fleet.speed": "number",
    "fleet.night": "boolean",
    "fleet.clip": {"embedding": 3},
    "fleet.seen": "datetime",
    "place.site": "varchar",
}

BAD: Final[Mapping[str, str]] = {
    "raw/bad/enum.jpg": "fleet.weather",
    "raw/bad/number.jpg": "fleet.speed",
    "raw/bad/embedding.jpg": "fleet.clip",
    "raw/bad/nan.jpg": "ratio",
    "raw/bad/twice.jpg": "row",
    "raw/bad/sidecar.jpg": "raw/bad/sidecar.jpg.metadata.json",
    "raw/bad/own.jpg": "registration.unit",
}
"""Objects that must be rejected as ``invalid_metadata``, and what the message must name besides the object."""


def path_of(key: str) -> str:
    """Return a key below the prefix."""
    return key.removeprefix(PREFIX)


CSV_BY_PATH: Final[dict[str, dict[str, str]]] = {
    "raw/site-ulm/cam a.jpg": {"weather": "sun", "speed": "12.5", "night": "true", "winner": "csv", "note": 'a, "b"'},
    "raw/site-ulm/100%25.jpg": {"weather": "rain", "speed": "-3", "night": "", "winner": "csv", "note": ""},
    "raw/site-k\u00f6ln/\u00fc.jpg": {"weather": "", "speed": "1e3", "night": "false", "winner": "csv", "note": "007"},
    "raw/rigs/1/10.jpg": {"weather": "rain", "speed": "5", "night": "", "winner": "second of the rig", "note": ""},
    "raw/clips/a/2.png": {"weather": "", "speed": "8", "night": "", "winner": "", "note": "second"},
    "raw/clips/a/10.png": {"weather": "sun", "speed": "9", "night": "", "winner": "", "note": "third"},
    "raw/bad/enum.jpg": {"weather": "hail", "speed": "", "night": "", "winner": "", "note": ""},
    "raw/bad/number.jpg": {"weather": "", "speed": "fast", "night": "", "winner": "", "note": ""},
    "raw/not-there.jpg": {"weather": "sun", "speed": "", "night": "", "winner": "", "note": ""},
}
PARQUET_BY_KEY: Final[dict[str, dict[str, Any]]] = {
    "raw/site-ulm/cam a.jpg": {"count": 3, "clip": [0.1, -1.5, 3.0], "winner": "parquet", "ratio": 0.25},
    "raw/site-bonn/drive.mp4": {"count": 2**53 + 1, "clip": None, "winner": "parquet", "ratio": None},
    "raw/rigs/1/2.jpg": {"count": 1, "clip": None, "winner": None, "ratio": 1.0},
    "raw/rigs/1/10.jpg": {"count": 2, "clip": [1.0, 2.0, 3.0], "winner": None, "ratio": None},
    "raw/bad/embedding.jpg": {"count": 1, "clip": [1.0, 2.0], "winner": None, "ratio": None},
    "raw/bad/nan.jpg": {"count": 1, "clip": None, "winner": None, "ratio": float("nan")},
}
JSONL_BY_URL: Final[dict[str, dict[str, Any]]] = {
    "raw/site-ulm/cam a.jpg": {"seen": "2026-11-21T02:00:00Z", "more": {"a": [1, None, "x"]}, "winner": "jsonl"},
    "raw/site-ulm/+&=.jpg": {"seen": "2026-11-21T02:00:00Z", "winner": "jsonl"},
    "raw/site-bonn/voice.wav": {"winner": "jsonl", "flag": False},
}
CSV_BY_NAME: Final[dict[str, dict[str, str]]] = {
    "report.pdf": {"owner": "lab"},
    "plain.jpg": {"owner": "field"},
    "twice.jpg": {"owner": "one"},
}
SIDECARS: Final[dict[str, dict[str, Any]]] = {
    "raw/site-ulm/cam a.jpg": {"winner": "sidecar", "nothing": None, "deep": {"x": 1.5}},
    "raw/site-bonn/notes.txt": {"winner": "sidecar", "language": "\u00e9"},
    "raw/clips/a/1.png": {"first": True},
}
DESCRIBED: Final[dict[str, dict[str, str]]] = {
    "raw/site-ulm/cam a.jpg": {"winner": "store", "camera": "left"},
    "raw/site-bonn/notes.txt": {"camera": "none"},
}
"""The store's own metadata."""


def entries(jsonl: Path, *, with_object_metadata: bool) -> list[dict[str, Any]]:
    """Return the entries of ``metadata:``; the tables lie beside ``jsonl``, but for the Parquet files in the bucket."""
    described: list[dict[str, Any]] = [{"object_metadata": True, "prefix": "store."}] if with_object_metadata else []
    return [
        {"pattern": r"site-(?P<site>[^/]+)/", "prefix": "place."},
        {"table": "labels.csv", "key": "image", "matches": "path", "prefix": "fleet."},
        {"table": "{tables}/labels-*.parquet", "key": "image", "prefix": "fleet."},
        {
            "table": str(jsonl),
            "key": "address",
            "matches": "url",
            "columns": ["seen", "more", "winner", "flag"],
            "prefix": "fleet.",
        },
        {"table": "owners.csv", "key": "file", "matches": "name"},
        {"sidecar": SIDECAR},
        *described,
    ]


def write_tables(
    folder: Path, put: Callable[[str, bytes], None], url_of: Callable[[str], str], *, key_of: Callable[[str], str]
) -> None:
    """Write the tables beside the configuration and into the bucket, and the sidecars.

    Args:
        folder: of the configuration.
        put: puts an object.
        url_of: gives the objectUrl of a key.
        key_of: gives the key as the source has it.
    """
    _write_csv(folder / "labels.csv", "image", {path_of(key): row for key, row in CSV_BY_PATH.items()})
    _write_csv(folder / "owners.csv", "file", CSV_BY_NAME, again="twice.jpg")
    keys = list(PARQUET_BY_KEY)
    for number, part in enumerate((keys[::2], keys[1::2])):
        put(f"tables/labels-{number}.parquet", _parquet(part, key_of))
    lines = [{"address": url_of(key), **row, "unused": 1} for key, row in JSONL_BY_URL.items()]
    (folder / "seen.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for key, values in SIDECARS.items():
        put(key + SIDECAR, json.dumps(values).encode())
    put("raw/bad/sidecar.jpg" + SIDECAR, b'{"a": 1,}')
    put("raw/bad/own.jpg" + SIDECAR, b'{"registration.unit": "mine"}')


def _write_csv(path: Path, key_column: str, rows: Mapping[str, Mapping[str, str]], *, again: str | None = None) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([key_column, *next(iter(rows.values()))])
    for key, row in rows.items():
        writer.writerow([key, *row.values()])
    if again is not None:
        writer.writerow([again, *rows[again].values()])
    path.write_text(out.getvalue(), encoding="utf-8", newline="")


def _parquet(keys: list[str], key_of: Callable[[str], str]) -> bytes:
    rows = [PARQUET_BY_KEY[key] for key in keys]
    table = pa.table(
        {
            "image": pa.array(map(key_of, keys), pa.string()),
            "count": pa.array([row["count"] for row in rows], pa.int64()),
            "clip": pa.array([row["clip"] for row in rows], pa.list_(pa.float32())),
            "winner": pa.array([row["winner"] for row in rows], pa.string()),
            "ratio": pa.array([row["ratio"] for row in rows], pa.float64()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def expected(keys: tuple[str, ...], *, with_object_metadata: bool) -> dict[str, Any]:
    """Return the client metadata of a unit: the first object's, and what later ones add; without what the pipeline adds."""
    found: dict[str, Any] = {}
    for key in keys:
        for name, value in _of_object(key, with_object_metadata=with_object_metadata).items():
            found.setdefault(name, value)
    return found


def _of_object(key: str, *, with_object_metadata: bool) -> dict[str, Any]:
    path, file_name = path_of(key), key.rsplit("/", 1)[-1]
    found: dict[str, Any] = {}
    if path.startswith("site-"):
        found["place.site"] = path.removeprefix("site-").split("/", 1)[0]
    convert: dict[str, Callable[[str], Any]] = {"speed": float, "night": "true".__eq__}
    for name, text in CSV_BY_PATH.get(key, {}).items():
        if text:
            found[f"fleet.{name}"] = convert.get(name, str)(text)
    found |= {f"fleet.{name}": value for name, value in PARQUET_BY_KEY.get(key, {}).items() if value is not None}
    found |= {f"fleet.{name}": value for name, value in JSONL_BY_URL.get(key, {}).items()}
    found |= CSV_BY_NAME.get(file_name, {})
    found |= {name: value for name, value in SIDECARS.get(key, {}).items() if value is not None}
    if with_object_metadata:
        found |= {f"store.{name}": value for name, value in DESCRIBED.get(key, {}).items()}
    return found
