"""The client metadata of a unit as text: its own with where the unit comes from, in one sorted object.

What does not belong here: the item around it (``render.py``) and checking it (``metadata_rules.py``).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    OBJECTS_METADATA_KEY,
    UNIT_METADATA_KEY,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN_PREFIX: Final = "registration."
_KEY_CHARACTERS: Final = " $-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
"""Of the keys that Encord's metadata schema takes, and ``$encord``."""
_STRING: Final = r'"[ !#-\[\]-~]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-\[\]-~]*+)*+"'
_FLAT: Final = rf"(?:{_STRING}|-?[0-9][0-9.eE+-]*+|true|false|null|\[[0-9.eE+,-]*+\])"
_DEEPEST: Final = 4
"""Objects and lists within each other that are recognised: ``$encord`` has four."""


def _nested(depth: int) -> str:
    if depth == 0:
        return _FLAT
    below = _nested(depth - 1)
    pairs = rf"\{{(?:{_STRING}:{below}(?:,(?=\")|(?=\}})))*+\}}"
    items = rf"\[(?:{below}(?:,(?!\])|(?=\])))*+\]"
    return f"(?:{_FLAT}|{pairs}|{items})"


VALUE: Final = _nested(_DEEPEST - 1)
"""Recognises a value of client metadata in canonical JSON, up to a depth; what it matches need not be valid JSON."""
_PAIR_END: Final = r'(?:,(?=")|(?=\}))'


def _keys_before(target: str) -> str:
    """Return what recognises the keys that come before ``target`` when sorted, all of the usual characters."""
    alternatives = []
    for place, character in enumerate(target):
        smaller = "".join(re.escape(one) for one in _KEY_CHARACTERS if one < character)
        alternatives.append(rf"{re.escape(target[:place])}[{smaller}][{re.escape(_KEY_CHARACTERS)}]*+")
        if place:
            alternatives.append(rf'{re.escape(target[:place])}(?=")')
    return "|".join(alternatives)


_SPLIT: Final = re.compile(
    rf'\{{((?:"(?:{_keys_before(_OWN_PREFIX)})":{VALUE}{_PAIR_END})*+)'
    rf'((?:"(?!{re.escape(_OWN_PREFIX)})[{re.escape(_KEY_CHARACTERS)}]++":{VALUE}{_PAIR_END})*+)\}}'
)
"""The pairs of canonical metadata without keys of ours: those before such keys, and those after them."""
_dump = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def merged_metadata(chunk_id: str, unit_id: str, own: str, ours: str, objects: str | None) -> str:
    """Return the client metadata of a unit that has some of its own, as JSON text; where the unit comes from wins.

    Args:
        chunk_id: its chunk.
        unit_id: its id.
        own: canonical JSON text of an object.
        ours: what is added, as sorted pairs of JSON text.
        objects: the digest of its URLs, of a unit of several.

    Raises:
        StateCorruptError: its own is not the JSON text of an object.
    """
    # Parsing and writing takes 4 microseconds, and 140 with an embedding of 512 numbers; this takes 2 and 8.
    found = _SPLIT.fullmatch(own)
    if found is not None:
        before, after = found.groups()
        if before and before[-1] != ",":
            before += ","
        return f"{{{before}{ours},{after}}}" if after else f"{{{before}{ours}}}"
    more = {CHUNK_METADATA_KEY: chunk_id, UNIT_METADATA_KEY: unit_id}
    return _merged_by_parsing(chunk_id, unit_id, own, more | ({OBJECTS_METADATA_KEY: objects} if objects else {}))


def upserted_metadata(chunk_id: str, unit_id: str, own: str | None) -> str:
    """Return the client metadata of a unit of an upsert: its own as it is, for it says already where the unit comes from.

    The chunk in it is the one that the unit was registered with, and not that of the upsert.

    Raises:
        StateCorruptError: it does not say so.
    """
    if own is None or f'"{UNIT_METADATA_KEY}":"{unit_id}"' not in own or f'"{CHUNK_METADATA_KEY}":"' not in own:
        raise _damage(chunk_id, unit_id, f"the text of an upsert with {CHUNK_METADATA_KEY} and {UNIT_METADATA_KEY}")
    return own


def own_metadata(chunk_id: str, unit_id: str, text: str) -> dict[str, Any]:
    """Return the client metadata of a unit, parsed.

    Raises:
        StateCorruptError: it is not the JSON text of an object.
    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damage(chunk_id, unit_id, f"the JSON text of an object ({error})") from error
    if not isinstance(parsed, dict):
        raise _damage(chunk_id, unit_id, "the JSON text of an object")
    return parsed


def _merged_by_parsing(chunk_id: str, unit_id: str, own: str, ours: Mapping[str, str]) -> str:
    try:
        return _dump({**own_metadata(chunk_id, unit_id, own), **ours})
    except (ValueError, RecursionError) as error:
        raise _damage(chunk_id, unit_id, f"the JSON text of an object ({error})") from error


def _damage(chunk_id: str, unit_id: str, expected: str) -> StateCorruptError:
    return StateCorruptError(
        f"The client metadata of unit {unit_id} of chunk {chunk_id} is not {expected}. The plan of this chunk is damaged: "
        "restore the state's plan folder from a copy"
    )
