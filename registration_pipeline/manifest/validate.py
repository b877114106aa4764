"""Checks the bytes of a manifest against the key table and Encord's limits; reports every violation, not the first.

What does not belong here: the key table itself (``format.py``) and the checks of single items (``items.py``).
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from registration_pipeline.limits import (
    ENVELOPE_BYTES,
    MANIFEST_LIMITS,
    MAX_DEPTH,
    MAX_GROWTH,
    EncordPlan,
)
from registration_pipeline.manifest.canonical import is_canonical_and_valid
from registration_pipeline.manifest.format import CLIENT_METADATA, FLAGS, ITEM_FORMATS, SKIP_DUPLICATE_URLS
from registration_pipeline.manifest.items import ItemChecker
from registration_pipeline.manifest.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.limits import ManifestLimits

__all__ = ["Violation", "validate_manifest"]

_WHOLE = "manifest"
WIDEST = MANIFEST_LIMITS[EncordPlan.ENTERPRISE]
"""What any plan accepts is within these."""
_HALF_PAIR = re.compile("[\ud800-\udfff]")


class _RepeatedKeys(dict[str, Any]):
    """A JSON object some of whose keys were repeated."""

    repeated: tuple[str, ...] = ()


def _parsed_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) == len(pairs):
        return parsed
    seen: set[str] = set()
    marked = _RepeatedKeys(parsed)
    marked.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def validate_manifest(
    data: bytes, limits: ManifestLimits | None = None, *, needs_media_metadata: bool = False
) -> list[Violation]:
    """Return every violation of Encord's JSON upload format and limits, in document order; empty if there is none.

    What counts is what would reach Encord: the SDK reads the file and writes it again. What it would change on the way
    (repeated keys, numbers that JSON does not have) is a violation too.

    Args:
        data: the manifest file's bytes.
        limits: what Encord accepts in one manifest, by the plan that was bought; None: the widest plan's.
        needs_media_metadata: every item must have its block: ``strict_client_only``.
    """
    limits = limits or WIDEST
    if is_canonical_and_valid(data, limits, needs_media_metadata=needs_media_metadata):
        return []
    return find_violations(data, limits, needs_media_metadata=needs_media_metadata)


def find_violations(
    data: bytes, limits: ManifestLimits | None = None, *, needs_media_metadata: bool = False
) -> list[Violation]:
    """Do what ``validate_manifest`` does, without the glance that spares our own manifests the rest."""
    limits = limits or WIDEST
    violations: list[Violation] = []
    if len(data) > limits.bytes:
        problem = f"is {len(data):,} bytes long; Encord accepts {limits.bytes:,}: lower chunk_size"
        violations.append(Violation(_WHOLE, problem))
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_parsed_object)
        violations.extend(_check_values("", document))
    except UnicodeDecodeError as error:
        violations.append(Violation(_WHOLE, f"is not UTF-8 at byte {error.start}"))
    except RecursionError:
        violations.append(Violation(_WHOLE, f"is nested too deep: the SDK can send {MAX_DEPTH} levels"))
    except ValueError as error:
        violations.append(Violation(_WHOLE, f"is not JSON: {error}"))
    else:
        if isinstance(document, dict):
            checker = ItemChecker(needs_media_metadata=needs_media_metadata)
            violations.extend(_check_document(document, len(data), limits, checker))
        else:
            violations.append(Violation(_WHOLE, "must be an object at the top"))
    return [_encodable(violation) for violation in violations]


def _encodable(violation: Violation) -> Violation:
    """Return it in a form that can be written down: a key may hold half of a surrogate pair."""
    where, problem = (
        text.encode("utf-8", "backslashreplace").decode("utf-8") for text in (violation.where, violation.problem)
    )
    return Violation(where, problem)


def _check_document(
    document: dict[str, Any], length: int, limits: ManifestLimits, checker: ItemChecker
) -> Iterator[Violation]:
    yield from _check_length_as_sent(document, length, limits.bytes)
    for key in document:
        if key not in ITEM_FORMATS and key not in FLAGS:
            yield Violation(key, "is not a key of the upload format")
    yield from _check_flags(document)
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
    if items > limits.entries:
        yield Violation(_WHOLE, f"has {items:,} items; Encord accepts {limits.entries:,}: lower chunk_size")
    if checker.urls > limits.urls:
        yield Violation(_WHOLE, f"has {checker.urls:,} URLs; Encord accepts {limits.urls:,}: lower chunk_size")


def _check_length_as_sent(document: dict[str, Any], length: int, most: int) -> Iterator[Violation]:
    if length > most or length * MAX_GROWTH + ENVELOPE_BYTES <= most:
        return
    sent = len(json.dumps(document)) + ENVELOPE_BYTES
    if sent > most:
        problem = f"grows to {sent:,} bytes when it is sent; Encord accepts {most:,}: lower chunk_size"
        yield Violation(_WHOLE, problem)


def _check_flags(document: dict[str, Any]) -> Iterator[Violation]:
    for flag in FLAGS:
        if not isinstance(document.get(flag, False), bool):
            yield Violation(flag, "must be a boolean")
    if document.get(SKIP_DUPLICATE_URLS, False) is False:
        yield Violation(
            SKIP_DUPLICATE_URLS, "must be there and true: without it, sending the manifest again makes duplicates"
        )


def _check_values(where: str, value: Any, depth: int = 1) -> Iterator[Violation]:
    """Find what no key table can: repeated keys, numbers that JSON does not have, text that is not Unicode.

    Raises:
        RecursionError: the value is nested deeper than ``MAX_DEPTH``.
    """
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        for key in getattr(value, "repeated", ()):
            yield Violation(f"{where}.{key}".lstrip("."), "is repeated")
        for key, below in value.items():
            place = f"{where}.{key}".lstrip(".")
            yield from _check_text(place, key)
            yield from _check_values(place, below, depth + 1)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _check_values(f"{where}[{index}]", below, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Violation(where or _WHOLE, "must be a finite number")
    elif isinstance(value, str):
        yield from _check_text(where or _WHOLE, value)


def _check_text(where: str, text: str) -> Iterator[Violation]:
    if not text.isascii() and _HALF_PAIR.search(text):
        yield Violation(where, "holds half of a surrogate pair, which is not Unicode text")
    if "\0" in text and f".{CLIENT_METADATA}." in where:
        yield Violation(where, "holds U+0000, which PostgreSQL's jsonb, where Encord keeps metadata, does not take")
