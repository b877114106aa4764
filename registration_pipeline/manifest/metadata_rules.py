"""What client metadata may hold, and how much longer it is when it is sent.

What does not belong here: writing it (``client_metadata.py``), and whether it fits the metadata schema (``facts``).
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from registration_pipeline.limits import EMBEDDING_SIZES, MAX_CLIENT_METADATA_BYTES
from registration_pipeline.settings.metadata import ENCORD_KEY, KeyframeMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FRAME: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_MODES: Final = frozenset(KeyframeMode)
_NUMBERS: Final = frozenset({int, float})
_MOST_GROWTH: Final = 24
"""Characters that a number grows by at most when Python reads and writes it: ``1e15`` is written out."""
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


class _UncertainError(Exception):
    """Whether it is valid does not show here."""


def encord_problems(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield place and problem of everything that is wrong with ``$encord``: configuration, frames and embeddings.

    Args:
        place: where it is, e.g. ``videos[0].clientMetadata.$encord``.
        value: parsed JSON.
    """
    if not isinstance(value, dict):
        yield place, "must be an object"
        return
    for key in value.keys() - {"config", "frames"}:
        yield f"{place}.{key}", "is not a key of it: it holds config and frames"
    if "config" in value:
        yield from _config_problems(f"{place}.config", value["config"])
    if "frames" in value:
        yield from _frames_problems(f"{place}.frames", value["frames"])


def _config_problems(place: str, config: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(config, dict):
        yield place, "must be an object"
        return
    for key, value in config.items():
        if key == "sampling_rate":
            if type(value) not in _NUMBERS or not value >= 0:
                yield f"{place}.{key}", "must be a number that is not negative"
        elif key == "keyframe_mode":
            if not isinstance(value, str) or value not in _MODES:
                yield f"{place}.{key}", f"must be {' or '.join(sorted(_MODES))}"
        else:
            yield f"{place}.{key}", "is not a key of it: it holds sampling_rate and keyframe_mode"


def _frames_problems(place: str, frames: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(frames, dict):
        yield place, "must be an object"
        return
    for frame, values in frames.items():
        if not _FRAME.fullmatch(frame):
            yield f"{place}.{frame}", "must be named by a number, e.g. 12"
        if not isinstance(values, dict):
            yield f"{place}.{frame}", "must be an object"
            continue
        for name, value in values.items():
            if isinstance(value, list) and (problem := _embedding_problem(value)) is not None:
                yield f"{place}.{frame}.{name}", problem


def _embedding_problem(numbers: list[Any]) -> str | None:
    if len(numbers) not in EMBEDDING_SIZES:
        most = f"{EMBEDDING_SIZES[0]} to {EMBEDDING_SIZES[-1]:,}"
        return f"is an embedding of {len(numbers):,} numbers; Encord accepts {most}"
    return None if _NUMBERS.issuperset(map(type, numbers)) else "must be an embedding: a list of numbers"


def certain_growth(texts: Sequence[bytes], *, room: int) -> int | None:
    """Return how much longer client metadata is at most when it is sent; None if it may be invalid or too long.

    Args:
        texts: of objects, each the JSON that a manifest holds.
        room: how much longer it may be; an estimate that is below is not made exact.
    """
    try:
        parsed = _parsed_plainly([text for text in texts if b"\\" not in text])
        parsed += _parsed_exactly([text for text in texts if b"\\" in text])
    except (ValueError, OverflowError, RecursionError, _UncertainError):
        return None
    if any(ENCORD_KEY in one and any(encord_problems("", one[ENCORD_KEY])) for one in parsed):
        return None
    places = [text.count(b",") + text.count(b":") for text in texts]
    most = sum(places) * (1 + _MOST_GROWTH)
    longest = max(len(text) + count * (1 + _MOST_GROWTH) for text, count in zip(texts, places, strict=True))
    if most <= room and longest <= MAX_CLIENT_METADATA_BYTES:
        return most
    sent = [len(json.dumps(json.loads(text))) for text in texts]
    growth = sum(sent) - sum(map(len, texts))
    return growth if growth <= room and max(sent) <= MAX_CLIENT_METADATA_BYTES else None


def _count_keys(value: Any) -> int:
    """Return how many keys the objects within parsed JSON have.

    Raises:
        _UncertainError: a number of it may be infinite.
        OverflowError: the same.
    """
    if isinstance(value, dict):
        keys = len(value)
        for below in value.values():
            kind = type(below)
            if kind is dict or kind is list:
                keys += _count_keys(below)
            elif kind is float and not math.isfinite(below):
                raise _UncertainError
        return keys
    try:
        if math.isfinite(sum(value)):
            return 0  # numbers only: an embedding
    except TypeError:
        return sum(_count_keys(below if isinstance(below, dict | list) else [_number(below)]) for below in value)
    raise _UncertainError


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _parsed_plainly(texts: Sequence[bytes]) -> list[Any]:
    """Return JSON without escapes, parsed, in a third of the time of json.loads.

    Raises:
        _UncertainError: a key came twice, or a number may be none that JSON has.
        ValueError, OverflowError: the same.
    """
    whole = b"[%s]" % b",".join(texts)
    parsed: list[Any] = from_json(whole, allow_inf_nan=False)
    # Without an escape, '":' ends a key and nothing else: so every key was kept, and none came twice.
    if whole.count(b'":') != sum(map(_count_keys, parsed)):
        raise _UncertainError
    return parsed


def _parsed_exactly(texts: Sequence[bytes]) -> list[Any]:
    """Return JSON with escapes, parsed, if it is in the form that Python writes.

    Raises:
        _UncertainError: a key came twice, a number is none that JSON has, or a text is one that Encord can't keep.
        ValueError: a number is too long.
    """
    whole = b"[%s]" % b",".join(texts)
    parsed: list[Any] = json.loads(whole)
    if json.dumps(parsed, sort_keys=True, separators=(",", ":")).encode() != whole:
        raise _UncertainError
    if b"\\u" in whole:
        plain = json.dumps(parsed, ensure_ascii=False)
        if "\\u0000" in plain or _HALF_PAIR.search(plain):
            raise _UncertainError
    # NaN and Infinity are written as they are read.
    sum(map(_count_keys, parsed))
    return parsed
