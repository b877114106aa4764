"""The rows of objects that are members of units: what they carry while they are sorted, and how they are made.

What does not belong here: which rule takes an object (``rules.py``) and what becomes of a whole unit (``judge.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from registration_pipeline.objects import KINDS, MediaKind, RejectionReason
from registration_pipeline.planning.grouping.headers import HEADER_COLUMNS
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.kinds import KIND_BY_SUFFIX, suffix_of
from registration_pipeline.planning.rejected_rows import find_rejections, rejected_rows
from registration_pipeline.planning.rejection import Rejection
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.warnings import Noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.planning.fact_verdicts import FactVerdicts, Sent
    from registration_pipeline.planning.grouping.rules import Member

GROUP_KINDS: Final = tuple(kind for kind, spec in KINDS.items() if spec.is_group)
"""The kinds of units of several objects. A member's row has the place of its kind here, so that units sort by kind first and
the chunks of a kind come one after the other."""

CODES: Final = {kind: code for code, kind in enumerate(GROUP_KINDS)}

UNIT_KEY_SCHEMA: pa.Schema = pa.schema(
    [pa.field("kind", pa.int8(), nullable=False), pa.field("group_key", pa.string(), nullable=False)]
)
"""What names a unit in its source."""

UNIT_KEY: Final = tuple(UNIT_KEY_SCHEMA.names)

MEMBER_SCHEMA: pa.Schema = pa.schema(
    [
        *UNIT_KEY_SCHEMA,
        pa.field("order", pa.string(), nullable=False),
        *(PLAN_SCHEMA.field(name) for name in ("key", "object_url", "size", "last_modified", "e_tag", "version")),
        pa.field("rule", pa.int32(), nullable=False),
        pa.field("frame", pa.int64()),
        pa.field("study", pa.string()),
        pa.field("modality", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
    ]
)
"""One row per member. ``reason`` and ``message`` say why Encord would not take the object itself; null: it would."""

FACT_FIELDS: Final = (
    *(PLAN_SCHEMA.field(name) for name in ("client_metadata", "media_metadata")),
    pa.field("is_unread", pa.bool_(), nullable=False),
)
"""What rows have besides where a source has a use for metadata: what is sent of the object, and whether it waits for that."""

MEMBER_ORDER: Final = ("kind", "group_key", "order", "key")

_TIFF_SUFFIXES: Final = frozenset({".tif", ".tiff"})
_TIFF_CONTENT_TYPE: Final = "image/tiff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """What the members of a batch are.

    Args:
        rows: ``MEMBER_SCHEMA``.
        rejected: ``REJECTED_SCHEMA``: Encord would not take them, and what their unit would be is not known.
        rejected_by_reason: ``RejectionReason`` -> objects, of those.
        waiting: rule -> objects whose header is not known yet.
        taken_by: the rules that took them.
        astray: those of ``rejected`` that may belong to any series, by key.
        unread: objects that wait for their metadata.
    """

    rows: pa.RecordBatch
    rejected: pa.RecordBatch
    rejected_by_reason: Counter[str]
    waiting: Counter[int]
    taken_by: frozenset[int]
    astray: tuple[str, ...]
    unread: Noted


class _Named(NamedTuple):
    """A member of a batch whose unit is known."""

    row: int
    member: Member
    group_key: str
    rejection: Rejection | None
    url: str


class MemberRows:
    """Makes the rows of members.

    Args:
        rules: of the source.
        facts: what metadata make of objects.
    """

    def __init__(self, rules: GroupRules, facts: FactVerdicts) -> None:
        self._rules, self._facts = rules, facts
        self._codes = [CODES[rule.kind.media_kind] for rule in rules.rules]

    def of(
        self,
        rows: pa.RecordBatch,
        members: Sequence[Member],
        kinds: Sequence[MediaKind | None],
        urls: Sequence[str],
    ) -> Members:
        """Return what the members of a batch are.

        Args:
            rows: of the inventory; with ``HEADER_COLUMNS`` if headers were read.
            members: what the rules say of each.
            kinds: of the objects.
            urls: their ``objectUrl``.
        """
        keys: list[str] = rows.column("key").to_pylist()
        rejections = self._rejections(rows, keys, members, kinds, urls)
        group_keys, waiting = self._group_keys(rows, members, rejections)
        sent = self._sent(rows, members, group_keys, rejections)
        alone = [(row, found) for row, found in enumerate(rejections) if found is not None and group_keys[row] is None]
        named = [
            _Named(row, member, group_key, rejections[row], urls[row])
            for row, (member, group_key) in enumerate(zip(members, group_keys, strict=True))
            if group_key is not None
        ]
        return Members(
            rows=self._rows(rows, named, sent),
            rejected=rejected_rows(rows, [row for row, _ in alone], [found for _, found in alone], urls),
            rejected_by_reason=Counter(found.reason.value for _, found in alone),
            waiting=waiting,
            taken_by=frozenset(member.rule for member in members),
            astray=tuple(
                keys[row]
                for row, found in alone
                if self._rules.needs_headers(members[row])
                and (kinds[row] is not None or found.reason is not RejectionReason.INVALID_HEADER)
            ),
            unread=_unread(keys, named, sent),
        )

    def unit_keys(self, rows: pa.RecordBatch, members: Sequence[Member | None]) -> pa.RecordBatch:
        """Return, as ``UNIT_KEY_SCHEMA``, the units that objects are members of by today's rules, as far as it is known."""
        series = _column(rows, "header_series")
        named = {
            (
                self._codes[member.rule],
                member.group_key or (GroupRules.headers_key(series[row]) if series[row] else None),
            )
            for row, member in enumerate(members)
            if member is not None
        }
        known = sorted((code, group_key) for code, group_key in named if group_key is not None)
        return pa.RecordBatch.from_arrays(
            [
                pa.array([code for code, _ in known], pa.int8()),
                pa.array([group_key for _, group_key in known], pa.string()),
            ],
            schema=UNIT_KEY_SCHEMA,
        )

    def _rejections(
        self,
        rows: pa.RecordBatch,
        keys: Sequence[str],
        members: Sequence[Member],
        kinds: Sequence[MediaKind | None],
        urls: Sequence[str],
    ) -> list[Rejection | None]:
        """Return why Encord would not take an object itself: by what the listing says, then by what its header says."""
        # What the header alone shows to be DICOM has no kind by its name.
        of_kinds = [kind or MediaKind.DICOM_SERIES for kind in kinds]
        rejections = find_rejections(rows, keys, of_kinds, urls)
        content_types = _column(rows, "content_type")
        sequence = CODES[MediaKind.IMAGE_SEQUENCE]
        for row, (key, member) in enumerate(zip(keys, members, strict=True)):
            if rejections[row] is not None:
                continue
            if member.is_unnamed:
                rejections[row] = Rejection(RejectionReason.UNIT_INCOMPLETE, self._rules.unnamed_message(member, key))
            elif self._codes[member.rule] == sequence and _is_tiff(key, content_types[row]):
                rejections[row] = _tiff_in_sequence(key)
        return rejections

    def _sent(
        self,
        rows: pa.RecordBatch,
        members: Sequence[Member],
        group_keys: Sequence[str | None],
        rejections: list[Rejection | None],
    ) -> Sent | None:
        """Return what is sent of members, and note whom their metadata rejects: only those whose unit is known.

        The unit of the others would be planned without them.
        """
        found = list(rejections)
        sent = self._facts.of(rows, [GROUP_KINDS[self._codes[member.rule]] for member in members], found)
        for row, group_key in enumerate(group_keys):
            if group_key is not None:
                rejections[row] = found[row]
        return sent

    def _group_keys(
        self, rows: pa.RecordBatch, members: Sequence[Member], rejections: list[Rejection | None]
    ) -> tuple[list[str | None], Counter[int]]:
        """Return what names each member's unit, and how many wait for their header; notes what headers lack."""
        group_keys = [member.group_key for member in members]
        waiting: Counter[int] = Counter()
        if None not in group_keys:
            return group_keys, waiting
        series, is_read, problems, messages = (_column(rows, name) for name in HEADER_COLUMNS[:4])
        keys: list[str] = rows.column("key").to_pylist()
        for row, member in enumerate(members):
            if group_keys[row] is not None or member.is_unnamed:
                continue
            group_keys[row] = GroupRules.headers_key(series[row]) if series[row] else None
            if rejections[row] is not None:
                continue
            if not is_read[row]:
                waiting[member.rule] += 1
            elif problems[row] is not None or not series[row]:
                rejections[row] = _header_problem(keys[row], problems[row], messages[row])
        return group_keys, waiting

    def _rows(self, rows: pa.RecordBatch, named: Sequence[_Named], sent: Sent | None) -> pa.RecordBatch:
        everything = len(named) == rows.num_rows
        taken = rows if everything else rows.take(pa.array([one.row for one in named], pa.int64()))
        found = [one.rejection for one in named]
        columns = {name: taken.column(name) for name in ("key", "size", "last_modified", "e_tag", "version")}
        columns |= {
            "kind": pa.array([self._codes[one.member.rule] for one in named], pa.int8()),
            "group_key": pa.array([one.group_key for one in named], pa.string()),
            "order": pa.array([one.member.order for one in named], pa.string()),
            "object_url": pa.array([_url(one.rejection, one.url) for one in named], pa.string()),
            "rule": pa.array([one.member.rule for one in named], pa.int32()),
            "frame": pa.array([one.member.frame for one in named], pa.int64()),
            "study": _texts(taken, "header_study"),
            "modality": _texts(taken, "header_modality"),
            "reason": pa.array([one and one.reason.value for one in found], pa.string()),
            "message": pa.array([one and one.message for one in found], pa.string()),
        }
        found_rows = pa.RecordBatch.from_arrays([columns[name] for name in MEMBER_SCHEMA.names], schema=MEMBER_SCHEMA)
        return found_rows if sent is None else _with_facts(found_rows, sent.take([one.row for one in named]))


def _with_facts(rows: pa.RecordBatch, sent: Sent) -> pa.RecordBatch:
    for field, values in zip(FACT_FIELDS, sent, strict=True):
        rows = rows.append_column(field, pa.array(values, field.type))
    return rows


def _unread(keys: Sequence[str], named: Sequence[_Named], sent: Sent | None) -> Noted:
    found = Noted()
    for one in named if sent is not None else ():
        if sent is not None and sent.is_waiting[one.row]:
            found.add(keys[one.row])
    return found


def _column(rows: pa.RecordBatch, name: str) -> list[Any]:
    values: list[Any] = rows.column(name).to_pylist() if name in rows.schema.names else [None] * rows.num_rows
    return values


def _texts(rows: pa.RecordBatch, name: str) -> pa.Array:
    return rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows, pa.string())


def _url(rejection: Rejection | None, url: str) -> str:
    return "" if rejection is not None and rejection.reason is RejectionReason.NAME_NOT_UTF8 else url


def _is_tiff(key: str, content_type: str | None) -> bool:
    suffix = suffix_of(key)
    if suffix in KIND_BY_SUFFIX:
        return suffix in _TIFF_SUFFIXES
    return content_type is not None and content_type.partition(";")[0].strip().lower() == _TIFF_CONTENT_TYPE


def _tiff_in_sequence(key: str) -> Rejection:
    return Rejection(
        RejectionReason.UNSUPPORTED_TYPE,
        f"{key!r} is a TIFF image in an image sequence, which Encord does not accept: convert it, or make the rule "
        "`as: image_group`",
    )


def _header_problem(key: str, problem: str | None, message: str | None) -> Rejection:
    if problem is None:
        lacks = f"the header of {key!r} has no SeriesInstanceUID: write it, or exclude the object by a rule"
        return Rejection(RejectionReason.INVALID_HEADER, lacks)
    return Rejection(RejectionReason(problem), message or f"the header of {key!r} can't be used")
