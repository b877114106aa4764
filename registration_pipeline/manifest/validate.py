"""Checks the bytes of a manifest against the key table and Encord's limits; reports every violation, not the first.

What does not belong here: the key table itself (``format.py``) and the checks of single items (``items.py``).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from registration_pipeline.manifest.format import (
    FLAGS,
    ITEM_FORMATS,
    MAX_ITEMS,
    MAX_MANIFEST_BYTES,
    SKIP_DUPLICATE_URLS,
    UPSERT_METADATA,
)
from registration_pipeline.manifest.items import ItemChecker
from registration_pipeline.manifest.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Violation", "validate_manifest"]

_WHOLE = "manifest"


class _ParsedObject(dict[str, Any]):
    """A JSON object that remembers which of its keys stood there more than once."""

    repeated: tuple[str, ...] = ()

    @classmethod
    def from_pairs(cls, pairs: list[tuple[str, Any]]) -> _ParsedObject:
        parsed = cls(pairs)
        if len(parsed) != len(pairs):
            seen: set[str] = set()
            parsed.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return parsed


def validate_manifest(data: bytes) -> list[Violation]:
    """Return every violation of Encord's JSON upload format and limits, in document order; empty if there is none.

    Args:
        data: the manifest as it would be sent.
    """
    violations: list[Violation] = []
    if len(data) > MAX_MANIFEST_BYTES:
        problem = f"is {len(data):,} bytes long; Encord takes {MAX_MANIFEST_BYTES:,}: lower chunk_size"
        violations.append(Violation(_WHOLE, problem))
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_ParsedObject.from_pairs)
        violations.extend(_check_values("", document))
    except UnicodeDecodeError as error:
        violations.append(Violation(_WHOLE, f"is not UTF-8 at byte {error.start}"))
    except RecursionError:
        violations.append(Violation(_WHOLE, "is nested too deep to be read"))
    except ValueError as error:
        violations.append(Violation(_WHOLE, f"is not JSON: {error}"))
    else:
        if isinstance(document, dict):
            violations.extend(_check_document(document))
        else:
            violations.append(Violation(_WHOLE, "must be an object at the top"))
    return violations


def _check_document(document: dict[str, Any]) -> Iterator[Violation]:
    for key in document:
        if key not in ITEM_FORMATS and key not in FLAGS:
            yield Violation(key, "is no key of the upload format")
    yield from _check_flags(document)
    checker = ItemChecker()
    items = 0
    for key, item_format in ITEM_FORMATS.items():
        if key not in document:
            continue
        if not isinstance(document[key], list):
            yield Violation(key, "must be a list")
            continue
        items += len(document[key])
        for index, item in enumerate(document[key]):
            yield from checker.check(f"{key}[{index}]", item, item_format)
    if items == 0:
        yield Violation(_WHOLE, "has no items")
    if items > MAX_ITEMS:
        yield Violation(_WHOLE, f"has {items:,} items; Encord takes {MAX_ITEMS:,}: lower chunk_size")


def _check_flags(document: dict[str, Any]) -> Iterator[Violation]:
    if document.get(SKIP_DUPLICATE_URLS) is not True:
        yield Violation(
            SKIP_DUPLICATE_URLS, "must be there and true: without it, sending the manifest again makes duplicates"
        )
    if not isinstance(document.get(UPSERT_METADATA, False), bool):
        yield Violation(UPSERT_METADATA, "must be a boolean")


def _check_values(where: str, value: Any) -> Iterator[Violation]:
    """Find what no key table can: repeated keys, numbers that JSON does not have, text that is not Unicode."""
    if isinstance(value, dict):
        for key in getattr(value, "repeated", ()):
            yield Violation(f"{where}.{key}".lstrip("."), "stands there more than once")
        for key, below in value.items():
            yield from _check_values(f"{where}.{key}".lstrip("."), below)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _check_values(f"{where}[{index}]", below)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Violation(where or _WHOLE, "must be a finite number")
    elif isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        yield Violation(where or _WHOLE, "holds half of a surrogate pair, which is not Unicode text")
