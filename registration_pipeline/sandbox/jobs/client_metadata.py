"""Rules of client metadata besides its form: ``$encord``, and embeddings beside the organisation's metadata schema.

What Encord's pages print of ``$encord`` is checked when a job is started. Whether an embedding of another size than the schema
says is refused, and when, is not documented: here it fails its unit.

What does not belong here: the schema itself (``api/metadata_schema.py``), and whether metadata is JSON (manifests).
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

MAX_EMBEDDING = 4_096
"""Numbers of an embedding (Encord's page on custom metadata)."""
ENCORD_KEY = "$encord"
_MODES = ("frame", "seconds")


def encord_refusal(metadata: dict[str, Any]) -> str | None:
    """Place and problem of the first thing that is wrong with ``$encord`` in client metadata, or None."""
    if ENCORD_KEY not in metadata:
        return None
    given = metadata[ENCORD_KEY]
    if not isinstance(given, dict):
        return f"{ENCORD_KEY} must be an object"
    if unknown := [key for key in given if key not in ("config", "frames")]:
        return f"{ENCORD_KEY}.{unknown[0]} is unknown; known: config, frames"
    return next(chain(_config(given.get("config", {})), _frames(given.get("frames", {}))), None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _config(config: object) -> Iterator[str]:
    where = f"{ENCORD_KEY}.config"
    if not isinstance(config, dict):
        yield f"{where} must be an object"
        return
    if unknown := [key for key in config if key not in ("sampling_rate", "keyframe_mode")]:
        yield f"{where}.{unknown[0]} is unknown; known: sampling_rate, keyframe_mode"
    rate, mode = config.get("sampling_rate", 0), config.get("keyframe_mode", "frame")
    if not _is_number(rate) or rate < 0:
        yield f"{where}.sampling_rate must be a number from 0 up"
    if mode not in _MODES:
        yield f"{where}.keyframe_mode must be {' or '.join(_MODES)}"


def _frames(frames: object) -> Iterator[str]:
    where = f"{ENCORD_KEY}.frames"
    if not isinstance(frames, dict):
        yield f"{where} must be an object"
        return
    for number, values in frames.items():
        whole, _, fraction = number.partition(".")
        is_decimal = whole.isdecimal() and whole.isascii() and (whole == "0" or whole[0] != "0")
        if not is_decimal or ("." in number and not (fraction.isdecimal() and fraction.isascii())):
            yield f"{where}.{number} is not the number of a frame"
        if not isinstance(values, dict):
            yield f"{where}.{number} must be an object"
            continue
        for name, value in values.items():
            if isinstance(value, list):
                if not 1 <= len(value) <= MAX_EMBEDDING:
                    yield f"{where}.{number}.{name} has {len(value)} numbers; an embedding has 1 to {MAX_EMBEDDING}"
                elif not all(map(_is_number, value)):
                    yield f"{where}.{number}.{name} must be a list of numbers"


def embedding_sizes(connection: sqlite3.Connection) -> dict[str, int]:
    """How many numbers each embedding has, by the metadata schema that is held; empty without one."""
    row = connection.execute("SELECT fields FROM metadata_schema").fetchone()
    fields: dict[str, dict[str, Any]] = json.loads(row["fields"]) if row else {}
    return {name: one["size"] for name, one in fields.items() if one.get("ty") == "embedding"}


def embedding_error(client_metadata: str | None, sizes: dict[str, int]) -> str | None:
    """Why an embedding of a unit, or of a frame of it, does not fit the metadata schema, or None."""
    if not client_metadata or not sizes:
        return None
    metadata: dict[str, Any] = json.loads(client_metadata)
    frames = metadata.get(ENCORD_KEY, {}).get("frames", {})
    for values in (metadata, *frames.values()):
        for name in values.keys() & sizes.keys():
            value = values[name]
            if not isinstance(value, list) or not all(map(_is_number, value)):
                return f"Client metadata {name} is not an embedding"
            if len(value) != sizes[name]:
                return f"Client metadata {name} has {len(value)} numbers; the schema says {sizes[name]}"
    return None
