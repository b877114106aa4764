"""What becomes of objects that no wave has planned yet: excluded, rejected, held or eligible, one batch at a time.

What does not belong here: which objects were planned before (``ledger.py``) and which chunk an eligible one goes to
(``chunking.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.globs import KeyRules
from registration_pipeline.ids import rules_digest
from registration_pipeline.limits import (
    ARCHIVED_STORAGE_CLASSES,
    MAX_OBJECT_BYTES,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
)
from registration_pipeline.objects import RejectionReason
from registration_pipeline.planning.kinds import KIND_BY_CONTENT_TYPE, KIND_BY_SUFFIX, UNPLANNED_SUFFIXES, KindFinder
from registration_pipeline.planning.rejection import Rejection, find_rejection
from registration_pipeline.planning.schema import REJECTED_SCHEMA
from registration_pipeline.urls import url_writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.settings import SourceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of a batch.

    Args:
        eligible: the rows that get a chunk, as the inventory has them.
        kinds: their kinds, in the same order.
        urls: their ``objectUrl``, in the same order.
        rejected: ``REJECTED_SCHEMA``.
        held: how many are younger than ``min_age_seconds``.
        rejected_by_reason: ``RejectionReason`` -> objects.
        unsupported: the keys of those that are ``unsupported_type``.
        excluded_by_rule: rule -> objects.
    """

    eligible: pa.RecordBatch
    kinds: Sequence[MediaKind]
    urls: Sequence[str]
    rejected: pa.RecordBatch
    held: int
    rejected_by_reason: Mapping[str, int]
    unsupported: Sequence[str]
    excluded_by_rule: Mapping[str, int]


class Decider:
    """Decides by the rules of one source: the user's rule first, then what Encord accepts, then age.

    Args:
        source: its rules and the form of its URLs.
        inventory_started_at: when the listing began; ages are measured against it, so that planning an inventory
            again decides the same.
    """

    def __init__(self, source: SourceSettings, inventory_started_at: datetime) -> None:
        self._below_prefix = source.location.below_prefix
        self._rules = KeyRules(source.include, source.exclude) if source.include or source.exclude else None
        self._find_kinds = KindFinder(source.kinds, self._below_prefix).kinds
        self._write_url = url_writer(source)
        # Without a minimum age even objects from a clock ahead of ours go at once.
        youngest = inventory_started_at - timedelta(seconds=source.min_age_seconds) if source.min_age_seconds else None
        self._youngest = None if youngest is None else pa.scalar(youngest, pa.timestamp("us", tz="UTC"))

    def decide(self, rows: pa.RecordBatch) -> Decision:
        """Decide about inventory rows that are in no wave."""
        rows, excluded_by_rule = self._without_excluded(rows)
        keys: list[str] = rows.column("key").to_pylist()
        kinds = self._find_kinds(keys, _values(rows, "content_type"))
        urls = list(map(self._write_url, keys))
        rejections = _find_rejections(rows, keys, kinds, urls)
        is_young = self._young(rows)
        eligible: list[int] = []
        eligible_kinds: list[MediaKind] = []
        rejected: list[int] = []
        found_rejections: list[Rejection] = []
        for index, (kind, rejection) in enumerate(zip(kinds, rejections, strict=True)):
            if rejection is not None:
                rejected.append(index)
                found_rejections.append(rejection)
            elif kind is not None and not (is_young and is_young[index]):
                eligible.append(index)
                eligible_kinds.append(kind)
        everything = len(eligible) == rows.num_rows
        return Decision(
            eligible=rows if everything else rows.take(pa.array(eligible, pa.int64())),
            kinds=eligible_kinds,
            urls=urls if everything else [urls[index] for index in eligible],
            rejected=_rejected_rows(rows, rejected, found_rejections, urls),
            held=rows.num_rows - len(eligible) - len(rejected),
            rejected_by_reason=Counter(found.reason.value for found in found_rejections),
            unsupported=[
                keys[index]
                for index, found in zip(rejected, found_rejections, strict=True)
                if found.reason is RejectionReason.UNSUPPORTED_TYPE
            ],
            excluded_by_rule=excluded_by_rule,
        )

    def _without_excluded(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        if self._rules is None:
            return rows, Counter()
        excluded_by, below = self._rules.excluded_by, self._below_prefix
        rules = [excluded_by(below(key)) for key in rows.column("key").to_pylist()]
        kept = rows.filter(pa.array([rule is None for rule in rules], pa.bool_()))
        return kept, Counter(rule for rule in rules if rule is not None)

    def _young(self, rows: pa.RecordBatch) -> list[bool] | None:
        if self._youngest is None:
            return None
        young: list[bool] = pc.greater(rows.column("last_modified"), self._youngest).to_pylist()
        return young


def digest_rules(source: SourceSettings) -> str:
    """Return the digest of everything that decides about an object: the user's rules and this version's tables.

    Chunk sizes are not in it: they change no decision, and chunks never change.
    """
    return rules_digest(
        {
            "include": list(source.include),
            "exclude": list(source.exclude),
            "prefix": source.location.prefix,
            "min_age_seconds": source.min_age_seconds,
            "url_of_key": url_writer(source)("key"),
            "kinds": [[rule.match, rule.kind.value] for rule in source.kinds],
            "suffixes": {suffix: kind.value for suffix, kind in KIND_BY_SUFFIX.items()},
            "unplanned_suffixes": sorted(UNPLANNED_SUFFIXES),
            "content_types": {name: kind.value for name, kind in KIND_BY_CONTENT_TYPE.items()},
            "object_bytes": {kind.value: size for kind, size in MAX_OBJECT_BYTES.items()},
            "url_bytes": MAX_URL_BYTES,
            "title_characters": MAX_TITLE_CHARACTERS,
            "archived_storage_classes": sorted(ARCHIVED_STORAGE_CLASSES),
        }
    )


def _values(rows: pa.RecordBatch, column: str) -> list[Any] | None:
    values = rows.column(column)
    return None if values.null_count == len(values) else values.to_pylist()


def _find_rejections(
    rows: pa.RecordBatch, keys: Sequence[str], kinds: Sequence[MediaKind | None], urls: Sequence[str]
) -> list[Rejection | None]:
    sizes = rows.column("size").to_pylist()
    storage_classes = _values(rows, "storage_class") or repeat(None, len(keys))
    content_types = _values(rows, "content_type") or repeat(None, len(keys))
    return [
        find_rejection(key=key, size=size, kind=kind, url=url, storage_class=storage_class, content_type=content_type)
        for key, size, kind, url, storage_class, content_type in zip(
            keys, sizes, kinds, urls, storage_classes, content_types, strict=True
        )
    ]


def _rejected_rows(
    rows: pa.RecordBatch, rejected: Sequence[int], rejections: Sequence[Rejection], urls: Sequence[str]
) -> pa.RecordBatch:
    refused = rows.take(pa.array(rejected, pa.int64()))
    return pa.RecordBatch.from_arrays(
        [
            refused.column("key"),
            refused.column("size"),
            refused.column("last_modified"),
            pa.array([rejection.reason.value for rejection in rejections], pa.string()),
            pa.array([rejection.message for rejection in rejections], pa.string()),
            pa.array(
                [
                    "" if rejection.reason is RejectionReason.NAME_NOT_UTF8 else urls[index]
                    for index, rejection in zip(rejected, rejections, strict=True)
                ],
                pa.string(),
            ),
            pa.nulls(len(rejected), pa.string()),
        ],
        schema=REJECTED_SCHEMA,
    )
