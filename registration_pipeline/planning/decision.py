"""What becomes of objects that no wave has planned yet: excluded, rejected, held or eligible, one batch at a time.

What does not belong here: which objects were planned before (``ledger.py``) and which chunk an eligible one goes to
(``chunking.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.globs import is_include_rule
from registration_pipeline.ids import inventory_id, rules_digest
from registration_pipeline.limits import (
    ARCHIVED_STORAGE_CLASSES,
    MANIFEST_LIMITS,
    MAX_OBJECT_BYTES,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
    EncordPlan,
)
from registration_pipeline.objects import RejectionReason
from registration_pipeline.planning.exclusion import Exclusion
from registration_pipeline.planning.fact_verdicts import FactVerdicts, Sent
from registration_pipeline.planning.grouping.members import MemberRows, Members
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.kinds import KIND_BY_CONTENT_TYPE, KIND_BY_SUFFIX, UNPLANNED_SUFFIXES, KindFinder
from registration_pipeline.planning.object_facts import PlanFacts
from registration_pipeline.planning.rejected_rows import find_rejections, rejected_rows, values_of
from registration_pipeline.planning.single_sizes import SingleSizes
from registration_pipeline.planning.warnings import Noted
from registration_pipeline.urls import url_writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.rejection import Rejection
    from registration_pipeline.settings import SourceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of a batch.

    Args:
        eligible: the rows that get a chunk, as the inventory has them.
        kinds: their kinds, in the same order.
        urls: their ``objectUrl``, in the same order.
        sent: what is sent of them besides, in the same order; None: nothing is.
        rejected: ``REJECTED_SCHEMA``.
        held: how many are younger than ``min_age_seconds``, or wait for their metadata, or are members that wait for their
            header.
        unread: of all objects, members too, those that wait for their metadata.
        rejected_by_reason: ``RejectionReason`` -> objects.
        unsupported: the keys of those that are ``unsupported_type``.
        excluded_by_rule: rule -> objects.
        not_included: the first key that ``include`` leaves out, and the rule that does; None: there is none.
        members: those that leave the stream because a group rule takes them; None: there are none.
        missed: rule -> images that its globs match and its expression does not.
    """

    eligible: pa.RecordBatch
    kinds: Sequence[MediaKind]
    urls: Sequence[str]
    sent: Sent | None
    rejected: pa.RecordBatch
    held: int
    unread: Noted
    rejected_by_reason: Mapping[str, int]
    unsupported: Sequence[str]
    excluded_by_rule: Mapping[str, int]
    not_included: tuple[str, str] | None
    members: Members | None
    missed: Mapping[int, Noted]


class KnownUnits(NamedTuple):
    """What today's rules say of planned objects.

    Args:
        units: ``UNIT_KEY_SCHEMA``: the units that they would be members of.
        taken_by: the rules that say so.
        elsewhere: those that are planned as another kind than that of today's rule.
    """

    units: pa.RecordBatch
    taken_by: frozenset[int]
    elsewhere: Noted


class Decider:
    """Decides by the rules of one source: the user's rule first, then what Encord accepts, then age.

    Args:
        source: its rules and the form of its URLs.
        inventory_started_at: when the listing began; ages are measured against it, so that planning an inventory
            again decides the same.
        limits: what Encord accepts in one manifest.
        wave_id: the wave that would plan the objects.
    """

    def __init__(
        self,
        source: SourceSettings,
        inventory_started_at: datetime,
        *,
        limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
        wave_id: str = "",
    ) -> None:
        self._sizes = SingleSizes(source, limits, wave_id or inventory_id(inventory_started_at))
        self._groups = GroupRules(source)
        self._facts = FactVerdicts(source)
        self._members = MemberRows(self._groups, self._facts)
        self._exclusion = Exclusion(source)
        self._find_kinds = KindFinder(source.kinds, source.location.below_prefix).kinds
        self._write_url = url_writer(source)
        # Without a minimum age even objects from a clock ahead of ours go at once.
        youngest = inventory_started_at - timedelta(seconds=source.min_age_seconds) if source.min_age_seconds else None
        self._youngest = None if youngest is None else pa.scalar(youngest, pa.timestamp("us", tz="UTC"))

    def decide(self, rows: pa.RecordBatch) -> Decision:
        """Decide about inventory rows that are in no wave."""
        rows, excluded_by_rule, not_included = self._without_excluded(rows)
        keys: list[str] = rows.column("key").to_pylist()
        kinds = self._find_kinds(keys, values_of(rows, "content_type"))
        urls = list(map(self._write_url, keys))
        missed: dict[int, Noted] = {}
        members, rows, keys, kinds, urls = self._without_members(rows, keys, kinds, urls, missed)
        rejections = find_rejections(rows, keys, kinds, urls)
        sent = self._facts.of(rows, kinds, rejections)
        if sent is not None:
            self._sizes.reject(keys, kinds, urls, sent, rejections)
        waits = self._waiting(rows, sent)
        eligible: list[int] = []
        eligible_kinds: list[MediaKind] = []
        rejected: list[int] = []
        found_rejections: list[Rejection] = []
        for index, (kind, rejection) in enumerate(zip(kinds, rejections, strict=True)):
            if rejection is not None:
                rejected.append(index)
                found_rejections.append(rejection)
            elif kind is not None and not (waits and waits[index]):
                eligible.append(index)
                eligible_kinds.append(kind)
        everything = len(eligible) == rows.num_rows
        return Decision(
            eligible=rows if everything else rows.take(pa.array(eligible, pa.int64())),
            kinds=eligible_kinds,
            urls=urls if everything else [urls[index] for index in eligible],
            sent=sent if sent is None or everything else sent.take(eligible),
            rejected=_merged(rejected_rows(rows, rejected, found_rejections, urls), members),
            held=rows.num_rows - len(eligible) - len(rejected) + (members.waiting.total() if members else 0),
            unread=_unread(keys, sent, members),
            rejected_by_reason=Counter(found.reason.value for found in found_rejections)
            + (members.rejected_by_reason if members else Counter()),
            unsupported=[
                keys[index]
                for index, found in zip(rejected, found_rejections, strict=True)
                if found.reason is RejectionReason.UNSUPPORTED_TYPE
            ],
            excluded_by_rule=excluded_by_rule,
            not_included=not_included,
            members=members,
            missed=missed,
        )

    def known_units(self, rows: pa.RecordBatch) -> KnownUnits:
        """Return what today's rules say of planned objects.

        Args:
            rows: of the inventory, with the chunk of each object as ``chunk_id``.
        """
        rows, *_ = self._without_excluded(rows)
        keys: list[str] = rows.column("key").to_pylist()
        found = self._groups.members(keys, self._find_kinds(keys, values_of(rows, "content_type")))
        elsewhere = Noted()
        for key, chunk_id, member in zip(keys, rows.column("chunk_id").to_pylist(), found, strict=True):
            if member is not None and f"-{self._groups.rules[member.rule].kind.media_kind}-" not in chunk_id:
                elsewhere.add(key)
        taken_by = frozenset(member.rule for member in found if member is not None)
        return KnownUnits(self._members.unit_keys(rows, found), taken_by, elsewhere)

    def _without_members(
        self,
        rows: pa.RecordBatch,
        keys: list[str],
        kinds: list[MediaKind | None],
        urls: list[str],
        missed: dict[int, Noted],
    ) -> tuple[Members | None, pa.RecordBatch, list[str], list[MediaKind | None], list[str]]:
        """Return what the members are, and rows, keys, kinds and URLs of all other objects."""
        found = self._groups.members(keys, kinds, missed=missed)
        if found.count(None) == len(found):
            return None, rows, keys, kinds, urls
        taken = [(index, member) for index, member in enumerate(found) if member is not None]
        places = [index for index, _ in taken]
        members = self._members.of(
            rows.take(pa.array(places, pa.int64())),
            [member for _, member in taken],
            [kinds[index] for index in places],
            [urls[index] for index in places],
        )
        others = [index for index, member in enumerate(found) if member is None]
        rows = rows.take(pa.array(others, pa.int64()))
        return members, rows, *([values[index] for index in others] for values in (keys, kinds, urls))

    def _without_excluded(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str], tuple[str, str] | None]:
        if self._exclusion.is_empty:
            return rows, Counter(), None
        keys: list[str] = rows.column("key").to_pylist()
        rules = list(map(self._exclusion.rule_of, keys))
        kept = rows.filter(pa.array([rule is None for rule in rules], pa.bool_()))
        by_rule = Counter(rule for rule in rules if rule is not None)
        not_included = None
        if any(map(is_include_rule, by_rule)):
            pairs = zip(keys, rules, strict=True)
            not_included = next((key, rule) for key, rule in pairs if rule is not None and is_include_rule(rule))
        return kept, by_rule, not_included

    def _waiting(self, rows: pa.RecordBatch, sent: Sent | None) -> list[bool] | None:
        """Return which objects wait if nothing else is the matter with them; None: none does."""
        young = self._young(rows)
        if sent is None or True not in sent.is_waiting:
            return young
        return sent.is_waiting if young is None else [any(both) for both in zip(young, sent.is_waiting, strict=True)]

    def _young(self, rows: pa.RecordBatch) -> list[bool] | None:
        if self._youngest is None:
            return None
        young: list[bool] = pc.greater(rows.column("last_modified"), self._youngest).to_pylist()
        return young


def digest_rules(source: SourceSettings, facts: PlanFacts = PlanFacts()) -> str:  # noqa: B008 - it is frozen
    """Return the digest of everything that decides about an object: the user's rules and this version's tables.

    Chunk sizes are not in it: they change no decision, and chunks never change.

    Args:
        source: its rules.
        facts: what is known of objects beyond their listing.
    """
    headers, besides = facts.headers, facts.digest(source)
    return rules_digest(
        {
            # Of a source without such settings the digest is the one that it always had.
            **({} if besides is None else {"facts": besides}),
            "include": list(source.include),
            "exclude": list(source.exclude),
            "prefix": source.location.prefix,
            "min_age_seconds": source.min_age_seconds,
            "url_of_key": url_writer(source)("key"),
            "kinds": [[rule.match, rule.kind.value] for rule in source.kinds],
            "groups": [rule.model_dump(mode="json") for rule in source.groups],
            "title": source.title,
            "headers": None if headers is None else headers.digest,
            "suffixes": {suffix: kind.value for suffix, kind in KIND_BY_SUFFIX.items()},
            "unplanned_suffixes": sorted(UNPLANNED_SUFFIXES),
            "content_types": {name: kind.value for name, kind in KIND_BY_CONTENT_TYPE.items()},
            "object_bytes": {kind.value: size for kind, size in MAX_OBJECT_BYTES.items()},
            "url_bytes": MAX_URL_BYTES,
            "title_characters": MAX_TITLE_CHARACTERS,
            "archived_storage_classes": sorted(ARCHIVED_STORAGE_CLASSES),
        }
    )


def _unread(keys: Sequence[str], sent: Sent | None, members: Members | None) -> Noted:
    found = Noted()
    if sent is not None:
        for key, is_waiting in zip(keys, sent.is_waiting, strict=True):
            if is_waiting:
                found.add(key)
    if members is not None:
        found.add(members.unread.first, members.unread.count)
    return found


def _merged(rejected: pa.RecordBatch, members: Members | None) -> pa.RecordBatch:
    if members is None or not members.rejected.num_rows:
        return rejected
    return pa.concat_batches([rejected, members.rejected]).sort_by("key")
