"""The grouping pass of a plan: takes members out of the stream, sorts them by unit, has whole units judged and placed.

What does not belong here: which objects are members (``members.py``), verdicts (``judge.py``), places (``place.py``).

Members come in the order of their keys, and their units may be spread over the whole bucket: so they are sorted beyond memory
by unit and order. Nothing here holds more than a piece of rows, or the rows of one unit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.grouping.earlier import EarlierUnits
from registration_pipeline.planning.grouping.judge import Fate, UnitJudge, UnitVerdict
from registration_pipeline.planning.grouping.members import CODES, GROUP_KINDS, MEMBER_ORDER, MEMBER_SCHEMA
from registration_pipeline.planning.grouping.notes import GroupingNotes
from registration_pipeline.planning.grouping.oddities import oddities_of
from registration_pipeline.planning.grouping.place import PlacedUnit, UnitLabel, UnitPlacer, group_rows, plan_rows
from registration_pipeline.planning.grouping.refused import count_reasons, refused_rows
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.grouping.summary import summarise
from registration_pipeline.planning.grouping.unit_facts import NO_FACTS, facts_of
from registration_pipeline.planning.grouping.whole_units import PIECE_ROWS, Piece, whole_units
from registration_pipeline.planning.schema import GROUP_SCHEMA
from registration_pipeline.planning.warnings import PlanWarnings
from registration_pipeline.tables.external_sort import ExternalSort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.planning.chunking import ChunkCutter
    from registration_pipeline.planning.grouping.members import Members
    from registration_pipeline.planning.grouping.summary import UnitSummary
    from registration_pipeline.planning.ledger import Run
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

_GROUP_SORT_BYTES: Final = 16 << 20

_PIECE_ROWS_WITH_FACTS: Final = 4_096
"""Rows that are judged at once where they carry metadata, which may take kilobytes each."""


class GroupedRows(Protocol):
    """Takes what the pass comes to."""

    def write_units(self, rows: pa.RecordBatch) -> None:
        """Take ``PLAN_SCHEMA`` rows of units in the order of their places."""

    def write_refused(self, rows: pa.RecordBatch) -> None:
        """Take ``REJECTED_SCHEMA`` rows in any order."""

    def write_groups(self, rows: pa.RecordBatch) -> None:
        """Take ``GROUP_SCHEMA`` rows, sorted by group key."""


@dataclass(slots=True)
class GroupingTotals:
    """Where the members went.

    Args:
        new: in a chunk of this wave.
        held: wait for something: their age, other members, or headers of others.
        held_units: units of those.
        rejected_by_reason: ``RejectionReason`` -> objects.
        grouped_by: ``Wave.grouped_by``.
        warnings: about rules, about units that wait, and about units that are planned.
    """

    new: int = 0
    held: int = 0
    held_units: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    grouped_by: tuple[str, ...] = ()
    warnings: PlanWarnings = field(default_factory=PlanWarnings)


class Grouping:
    """The pass, for one planning run.

    Args:
        folder: for what is sorted; a temporary folder of the caller's.
        store: the state.
        source: its rules.
        group_runs: units of several objects that earlier waves planned.
        inventory_started_at: ages are measured against it.
        cutter: of the wave.
        limits: what Encord accepts in one manifest.
        wave_id: of the wave.
        grouped_by: ``Wave.grouped_by`` of the wave before.

    Attributes:
        notes: what a person should know besides the numbers.
    """

    def __init__(
        self,
        folder: Path,
        store: StateStore,
        source: SourceSettings,
        group_runs: Sequence[Run],
        *,
        inventory_started_at: datetime,
        cutter: ChunkCutter,
        limits: ManifestLimits,
        wave_id: str,
        grouped_by: Sequence[str] = (),
    ) -> None:
        self._folder, self._most_objects, self._waiting = folder, limits.urls, Counter[int]()
        self._submit_as, self._piece_rows = source.submit_as, PIECE_ROWS
        self._rules, self._grouped_by = GroupRules(source), set(grouped_by)
        self.notes = GroupingNotes(source.name, self._rules)
        self._members: ExternalSort | None = None
        self._earlier = EarlierUnits(folder / "outside", store, group_runs)
        self._placer = UnitPlacer(source, cutter)
        self._judge = UnitJudge(
            self._rules.rules,
            min_age_seconds=source.min_age_seconds,
            inventory_started_at=inventory_started_at,
            limits=limits,
            wave_id=wave_id,
            waiting=self._waiting,
            submit_as=source.submit_as,
        )
        self._beyond: tuple[MediaKind, str] | None = None
        self._beyond_verdict: UnitVerdict | None = None
        self._totals = GroupingTotals()
        self._taken_by = set[int]()

    def add(self, members: Members) -> None:
        """Take the members of a batch.

        Raises:
            OSError: the folder can't hold them.
        """
        self._waiting.update(members.waiting)
        self._taken_by |= members.taken_by
        self.notes.add_astray(members.astray)
        if not members.rows.num_rows:
            return
        if self._members is None:
            folder = self._folder / "members"
            folder.mkdir(parents=True)
            self._members = ExternalSort(folder, members.rows.schema, by=MEMBER_ORDER)
            self._piece_rows = PIECE_ROWS if members.rows.schema == MEMBER_SCHEMA else _PIECE_ROWS_WITH_FACTS
        self._members.add(members.rows)

    def add_known(self, units: pa.RecordBatch, taken_by: frozenset[int]) -> None:
        """Take the units, as ``UNIT_KEY_SCHEMA``, that planned objects would be members of by today's rules.

        Args:
            units: they.
            taken_by: these rules.

        Raises:
            OSError: the folder can't hold them.
        """
        self._taken_by |= taken_by
        self._earlier.add_outside(units)

    def finish(self, rows: GroupedRows) -> GroupingTotals:
        """Judge and place every unit.

        Raises:
            OSError: the folder can't hold what is sorted.
            StateCorruptError: a file of an earlier wave is missing or unreadable.
        """
        unused = self._unused_rules()
        if self._members is not None:
            folder = self._folder / "groups"
            folder.mkdir(parents=True)
            groups = ExternalSort(folder, GROUP_SCHEMA, by=("group_key",), run_bytes=_GROUP_SORT_BYTES)
            for piece in self._pieces(self._members):
                self._decide(piece, rows, groups)
            for table in groups.tables():
                for batch in table.to_batches():
                    rows.write_groups(batch)
        self._totals.warnings = self.notes.result(unused, self._waiting)
        return self._totals

    def _pieces(self, members: ExternalSort) -> Iterator[Piece]:
        return whole_units(members.tables(), most_objects=self._most_objects, piece_rows=self._piece_rows)

    def _unused_rules(self) -> set[int]:
        """Note which of the source's own rules took an object, now or in an earlier plan, and return those that never did."""
        digests = dict(enumerate(self._rules.digests()))
        self._grouped_by.update(digest for index, digest in digests.items() if index in self._taken_by)
        self._totals.grouped_by = tuple(sorted(self._grouped_by))
        return {index for index, digest in digests.items() if digest not in self._grouped_by}

    def _decide(self, piece: Piece, rows: GroupedRows, groups: ExternalSort) -> None:
        kind = GROUP_KINDS[piece.rows.column("kind")[0].as_py()]
        unit_of_row, units = summarise(piece.rows)
        placed, refused = self._verdicts(kind, piece, units)
        for batch in plan_rows(kind, piece.rows, unit_of_row, placed) if placed else ():
            rows.write_units(batch)
            self._totals.new += batch.num_rows
        if placed:
            groups.add(group_rows(placed))
        for batch in refused_rows(piece.rows, unit_of_row, refused) if refused else ():
            rows.write_refused(batch)
            self._totals.rejected_by_reason.update(count_reasons(batch))

    def _verdicts(
        self, kind: MediaKind, piece: Piece, units: Sequence[UnitSummary]
    ) -> tuple[list[PlacedUnit], dict[int, UnitVerdict]]:
        """Return the units that are planned, in their places, and number -> verdict of those that are rejected."""
        placed: list[PlacedUnit] = []
        refused: dict[int, UnitVerdict] = {}
        is_begun = piece.is_beyond and self._beyond == (kind, units[0].group_key)
        verdict_of = self._judging(kind, piece, units)
        for number, unit in enumerate(units):
            facts = NO_FACTS if piece.is_beyond else facts_of(kind, piece.rows, unit, self._submit_as)
            label = self._placer.label(kind, unit, facts)
            verdict = verdict_of(unit, label)
            if verdict.fate is Fate.PLANNED:
                placed.append(self._placer.place(kind, number, unit, label))
                self._note_planned(kind, piece, unit, label)
            elif verdict.fate is Fate.REJECTED:
                refused[number] = verdict
            else:
                self._totals.held += unit.objects
                self._totals.held_units += not is_begun
                self.notes.add_held(unit, label.title.text, verdict.wait)
        return placed, refused

    def _note_planned(self, kind: MediaKind, piece: Piece, unit: UnitSummary, label: UnitLabel) -> None:
        frames = piece.rows.column("frame")
        self.notes.add_about_unit(
            oddities_of(kind, unit, lambda: frames.slice(unit.first_row, unit.objects).combine_chunks())
        )
        if kind is MediaKind.IMAGE_SEQUENCE and unit.objects == 1:
            self.notes.add_single_image(label.title.text)

    def _judging(
        self, kind: MediaKind, piece: Piece, units: Sequence[UnitSummary]
    ) -> Callable[[UnitSummary, UnitLabel], UnitVerdict]:
        """Return what judges the units of a piece."""
        unit_key = (kind, units[0].group_key)
        if piece.is_beyond and self._beyond == unit_key and self._beyond_verdict is not None:
            again = self._beyond_verdict
            return lambda _unit, _label: again
        group_keys = pa.array([unit.group_key for unit in units], pa.string())
        chunks = self._earlier.chunks(CODES[kind], group_keys)
        outside = self._earlier.outside(CODES[kind], group_keys)

        def judge(unit: UnitSummary, label: UnitLabel) -> UnitVerdict:
            verdict = self._judge.of(
                kind,
                unit,
                label,
                chunks=chunks,
                outside=outside,
                bad_key=lambda: _bad_key(piece.rows, unit),
                is_beyond=piece.is_beyond,
            )
            if piece.is_beyond:
                self._beyond, self._beyond_verdict = unit_key, verdict
            return verdict

        return judge


def _bad_key(rows: pa.Table, unit: UnitSummary) -> str:
    """Return the key of the first member that Encord would not take."""
    members = rows.slice(unit.first_row, unit.objects)
    place = pc.indices_nonzero(pc.is_valid(members.column("reason")))[0].as_py()
    key: str = members.column("key")[place].as_py()
    return key
