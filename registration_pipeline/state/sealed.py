"""JSON documents of the state that carry their own digest, so that a flipped bit is found by the next reader.

What does not belong here: what the documents say, and digests of Parquet files, which their commit markers hold
(``parquet.py``).

A document is one line of canonical JSON whose last member is ``"xxh3"``: the XXH3-128 digest of the same line without it. It
finds damage, not forgery.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh3_128_hexdigest

from registration_pipeline.state.damage import damaged
from registration_pipeline.state.identity import identity_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.state.store import StateStore

DIGEST_KEY: Final = "xxh3"
_SEAL: Final = re.compile(rb',"xxh3":"([0-9a-f]{32})"}\n\Z')


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Return the one way this package writes a JSON document: sorted keys, no spaces, ASCII, newline at the end."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """Return a document with its digest.

    Args:
        value: at least one member, and none named ``xxh3``.
    """
    text = canonical_json(value)
    return text[:-2] + f',"{DIGEST_KEY}":"{xxh3_128_hexdigest(text)}"}}\n'.encode("ascii")


def read_sealed(store: StateStore, name: str) -> dict[str, Any]:
    """Return a document of the state, without its digest.

    Args:
        store: the state.
        name: of the file.

    Raises:
        StateNotFoundError: no such name.
        StateCorruptError: the file is not what was written, or is another file under this name.
    """
    try:
        document = open_sealed(store.read(name))
    except ValueError as error:
        raise damaged(store, name, f"is damaged: {error}") from error
    problem = identity_problem(name, document)
    if problem is not None:
        raise damaged(store, name, problem)
    return document


def open_sealed(data: bytes) -> dict[str, Any]:
    """Return a document without its digest.

    Raises:
        ValueError: it is not what ``sealed_json`` returned.
    """
    seal = _SEAL.search(data)
    if seal is None:
        raise ValueError("it does not end with its digest")
    text = data[: seal.start()] + b"}\n"
    if xxh3_128_hexdigest(text).encode("ascii") != seal[1]:
        raise ValueError("its content does not match its digest")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the one error of this function
    return value
