"""What becomes of a whole unit: planned, held, or rejected with all its members.

What does not belong here: why Encord would not take a single object (``members.py``) and where a planned unit goes
(``place.py``).

The order of the verdicts is fixed, so that a unit has the same one whenever it is judged: planned already, registered in
another form, too many objects, a bad member, more objects than expected, too large a manifest, then whatever only waits.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from registration_pipeline.limits import MAX_SEQUENCE_IMAGES
from registration_pipeline.objects import MediaKind, RejectionReason
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.unit_size import exceeded_limit
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.planning.grouping.place import UnitLabel
    from registration_pipeline.planning.grouping.summary import UnitSummary
    from registration_pipeline.settings.units import GroupRule


class Fate(Enum):
    """What becomes of a unit."""

    PLANNED = "planned"
    HELD = "held"
    REJECTED = "rejected"


class Wait(Enum):
    """What a held unit waits for first."""

    HEADERS = "headers of objects that may be in it"
    METADATA = "metadata of its objects"
    YOUNG = "its youngest object to be old enough"
    FEW = "more objects"


class UnitVerdict(NamedTuple):
    """What becomes of a unit, and why.

    Args:
        fate: what.
        reason: of a rejected one, for those of its members that have no reason of their own.
        message: likewise; it follows the key of the object.
        wait: of a held one, what for.
    """

    fate: Fate
    reason: RejectionReason | None = None
    message: str = ""
    wait: Wait | None = None


PLANNED: Final = UnitVerdict(Fate.PLANNED)
_HELD: Final = {wait: UnitVerdict(Fate.HELD, wait=wait) for wait in Wait}


class UnitJudge:
    """Judges units by the rules of a source.

    Args:
        rules: ``GroupRules.rules``.
        min_age_seconds: of the source.
        inventory_started_at: ages are measured against it.
        limits: what Encord accepts in one manifest.
        wave_id: that would plan the units.
        waiting: rules of which an object's header is not known yet: it may belong to any series, whatever rule takes it.
        submit_as: the form of manifests.
    """

    def __init__(
        self,
        rules: Sequence[GroupRule],
        *,
        min_age_seconds: int,
        inventory_started_at: datetime,
        limits: ManifestLimits,
        wave_id: str,
        waiting: Collection[int],
        submit_as: SubmitAs = SubmitAs.JSON,
    ) -> None:
        self._rules, self._waiting, self._submit_as = rules, waiting, submit_as
        self._limits, self._wave_id = limits, wave_id
        started = round(inventory_started_at.timestamp() * 1_000_000)
        ages = [
            min_age_seconds if rule.complete_after_seconds is None else rule.complete_after_seconds for rule in rules
        ]
        # Without a minimum age even objects from a clock ahead of ours go at once.
        self._youngest = [started - age * 1_000_000 if age else None for age in ages]

    def of(
        self,
        kind: MediaKind,
        unit: UnitSummary,
        label: UnitLabel,
        *,
        chunks: Mapping[str, str],
        outside: Container[str],
        bad_key: Callable[[], str],
        is_beyond: bool = False,
    ) -> UnitVerdict:
        """Return what becomes of a unit.

        Args:
            kind: its kind.
            unit: it.
            label: what names it, and what Encord shows.
            chunks: group key -> chunk, of units that are planned.
            outside: group keys of units of which planned objects would be members.
            bad_key: finds the first member that Encord would not take.
            is_beyond: it has more objects than any unit may have.
        """
        refusal = (
            _late(kind, unit, chunks, outside)
            or self._too_many(kind, unit, label, is_beyond=is_beyond)
            or (_bad_member(unit, bad_key()) if unit.bad else None)
            or self._unexpected(unit)
            or self._too_large(kind, unit, label)
        )
        wait = self._wait(unit)
        return refusal or (PLANNED if wait is None else _HELD[wait])

    def _too_many(self, kind: MediaKind, unit: UnitSummary, label: UnitLabel, *, is_beyond: bool) -> UnitVerdict | None:
        if is_beyond:  # nothing counts how far
            most = self._limits.urls
            return _beyond(unit, f"it has more than {most:,} objects: Encord accepts {most:,} URLs in a manifest")
        most = MAX_SEQUENCE_IMAGES if kind is MediaKind.IMAGE_SEQUENCE else self._limits.urls
        return None if unit.objects <= most else self._too_large(kind, unit, label)

    def _unexpected(self, unit: UnitSummary) -> UnitVerdict | None:
        expected = self._rules[unit.rule].expect_objects
        if expected is None or unit.objects <= expected:
            return None
        return _rejected(
            RejectionReason.UNIT_INCOMPLETE,
            f"is one of {unit.objects:,} objects of unit {unit.group_key!r}, and groups[{unit.rule}].expect_objects is "
            f"{expected:,}: correct the rule, or remove or exclude what does not belong to the unit",
        )

    def _too_large(self, kind: MediaKind, unit: UnitSummary, label: UnitLabel) -> UnitVerdict | None:
        """Return the verdict on a unit whose manifest Encord would not take though it has no other unit."""
        limit = exceeded_limit(
            kind,
            self._limits,
            wave_id=self._wave_id,
            title=label.title.text,
            url_bytes=unit.url_bytes,
            objects=unit.objects,
            client_metadata=label.metadata,
            metadata_bytes=label.media_bytes,
            submit_as=self._submit_as,
        )
        return None if limit is None else _beyond(unit, limit)

    def _wait(self, unit: UnitSummary) -> Wait | None:
        """Return what a unit waits for: a missing object counts only when nothing else would bring it yet."""
        youngest, expected = self._youngest[unit.rule], self._rules[unit.rule].expect_objects
        if self._waiting and GroupRules.series_of(unit.group_key) is not None:
            return Wait.HEADERS
        if unit.unread:
            return Wait.METADATA
        if youngest is not None and unit.youngest > youngest:
            return Wait.YOUNG
        return Wait.FEW if expected is not None and unit.objects < expected else None


def _rejected(reason: RejectionReason, message: str) -> UnitVerdict:
    return UnitVerdict(Fate.REJECTED, reason, message)


def _late(kind: MediaKind, unit: UnitSummary, chunks: Mapping[str, str], outside: Container[str]) -> UnitVerdict | None:
    if (chunk_id := chunks.get(unit.group_key)) is not None:
        return _rejected(
            RejectionReason.LATE_MEMBER,
            f"came after its unit {unit.group_key!r} was planned in chunk {chunk_id}, and a planned unit never changes. "
            f"{_way_out(unit.group_key)}",
        )
    if unit.group_key in outside:
        return _rejected(
            RejectionReason.LATE_MEMBER,
            f"would be in unit {unit.group_key!r} ({kind.value}), but other objects of this unit are registered in another "
            f"form: `groups` or `kinds` were changed since. {_way_out(unit.group_key)}. Taking the change of the rules back "
            "helps, too",
        )
    return None


def _way_out(group_key: str) -> str:
    exclude = "to have no report of this object, exclude it"
    if GroupRules.series_of(group_key) is not None:
        return (
            "A copy has the same SeriesInstanceUID and would be late, too. To register all objects as one unit, write the "
            f"whole series with a new SeriesInstanceUID; {exclude}"
        )
    if GroupRules.directory_of(group_key) is not None:
        place = "another directory"
    else:
        names = ", ".join(map(repr, GroupRules.names_of(group_key)))
        place = f"keys that give the named groups of the rule ({names}) other values"
    return f"To register all objects as one unit, copy them to {place}, so that the unit has another name; {exclude}"


def _beyond(unit: UnitSummary, limit: str) -> UnitVerdict:
    return _rejected(
        RejectionReason.UNIT_TOO_LARGE,
        f"is in unit {unit.group_key!r}, which is too large: {limit}. Change the rule so that it makes smaller units",
    )


def _bad_member(unit: UnitSummary, bad_key: str) -> UnitVerdict:
    return _rejected(
        RejectionReason.UNIT_INCOMPLETE,
        f"can't be registered without {bad_key!r}, which is in the same unit {unit.group_key!r} and is rejected: see there. "
        "This object needs no change: correct that one or exclude it by a rule; the next sync plans the whole unit",
    )
