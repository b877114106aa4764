"""Plans upserts: one wave of all registered units whose client metadata is another one than they were sent last.

What belongs here is the way through the pass and the commit. What does not: comparing (``compare.py``), deciding about a unit
(``decide.py``) and sending (``submission/upserts``). The caller holds the source's lease, and nothing that an earlier wave
sent is under way.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registration_pipeline.errors import StateConflictError
from registration_pipeline.ids import inventory_id, objects_digest
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.history import compact
from registration_pipeline.planning.lineage import commit_wave, discard_uncommitted, restore_markers
from registration_pipeline.planning.media_blocks import media_bytes
from registration_pipeline.planning.upserts.compare import Comparison
from registration_pipeline.planning.upserts.counting import count_unit, settle, uncount
from registration_pipeline.planning.upserts.decide import (
    Answer,
    Candidate,
    Decision,
    candidates,
    decide,
    joined_units,
)
from registration_pipeline.planning.upserts.request import InvalidUnit, Sample, UpsertPlan, UpsertRequest
from registration_pipeline.planning.upserts.rows import ChunkRows, SentUnit, placed_rows
from registration_pipeline.planning.upserts.schema import CANDIDATE_SCHEMA
from registration_pipeline.planning.upserts.sent import SentStream, compact_sent
from registration_pipeline.planning.upserts.texts import CHUNK_KEY, OBJECTS_KEY, UNIT_KEY, sent_text
from registration_pipeline.planning.upserts.writer import DryUpsertWriter, StateUpsertWriter
from registration_pipeline.planning.wave import FactsUsed, Wave, load_waves, read_chunk_units, wave_order
from registration_pipeline.state.layout import upserts_source
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import ExternalSort

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.planning.upserts.writer import UpsertWriter
    from registration_pipeline.state.store import StateStore


MOST_SAMPLES: Final = 20
"""Fields that are shown as a sample of what changes."""

MOST_INVALID: Final = 5
"""Units that are shown as a sample of what is invalid."""

_SORT_BYTES: Final = 64 << 20
_SLACK_BYTES: Final = 16
"""What a unit may take more than is counted: the id of the chunk that registered it may be longer than that of the upsert."""

_SLACK_OF_ALL: Final = 64
"""The flag at the top of the manifest."""

_BY_CHUNK: Final = ("kind", "chunk_id", "unit_index", "position")


def plan_upserts(store: StateStore, request: UpsertRequest, *, dry_run: bool = False) -> UpsertPlan:
    """Compare everything planned with what is known now, and commit a wave of what has to be sent.

    Args:
        store: the state.
        request: what to plan from.
        dry_run: compare and count, but write nothing.

    Raises:
        StateCorruptError: a file of the state is missing or unreadable.
        StateConflictError: another process planned upserts of the source meanwhile.
        StateError: the temporary folder has no room, or the state can't be written.
    """
    history, source = request.history, upserts_source(request.source)
    if dry_run:
        return _Pass(store, request, _next_wave_id(history, request.clock())).run(DryUpsertWriter())
    restore_markers(store, history)
    compact_sent(store, history, request.outcomes, made_at=request.clock())
    found = _Pass(store, request, _next_wave_id(history, request.clock()))
    with StateUpsertWriter(store, source, found.wave_id) as writer:
        plan = found.run(writer)
        wave, chunks = writer.finish(plan.wave, plan.chunks)
    if not commit_wave(store, wave, history.number + 1):
        raise StateConflictError(
            f"Another process planned upserts of source {request.source} meanwhile. Let it finish, then run again."
        )
    discard_uncommitted(store, history, wave)
    history = history.followed_by(wave)
    return replace(plan, wave=wave, chunks=chunks, history=compact(store, history, history.number))


def _next_wave_id(history: PlanHistory, now: datetime) -> str:
    """Return an id behind all others, whatever the clock says."""
    base, number = inventory_id(now), 1
    if history.latest is not None:
        last, last_number = wave_order(history.latest.wave_id)
        if last >= base:
            base, number = last, last_number + 1
    return f"{base}-upsert" if number == 1 else f"{base}-{number}-upsert"


@dataclass(slots=True)
class _Pass:
    """One pass; used once."""

    store: StateStore
    request: UpsertRequest
    wave_id: str
    _samples: list[Sample] = field(default_factory=list)
    _invalid: list[InvalidUnit] = field(default_factory=list)
    _folder_uuid: str | None = None

    def run(self, writer: UpsertWriter) -> UpsertPlan:
        """Compare, decide, and hand the units on that are sent."""
        request = self.request
        comparison = Comparison(request.registrations.chunks)
        limits = replace(request.limits, bytes=request.limits.bytes - _SLACK_OF_ALL)
        cutter = ChunkCutter(self.wave_id, request.sizes, limits, submit_as=request.submit_as)
        units = objects = 0
        with tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with temporary_space("The upserts", folder):
                for rows in self._to_send(comparison, folder, cutter, writer):
                    units, objects = units + 1, objects + rows
        wave = Wave(
            wave_id=self.wave_id,
            source=request.history.source,
            inventory_id=self.wave_id.removesuffix("-upsert").partition("-")[0],
            rules_digest="",
            listing_digest=request.metadata.digest,
            counts=PlanCounts(objects=objects, new=objects),
            facts=(FactsUsed(request.metadata.name, request.metadata.facts_id, request.metadata.digest),),
            planned_at=request.clock(),
            upserts=self._said(comparison.counts, units),
        )
        return UpsertPlan(
            wave=wave,
            chunks=cutter.finish(),
            samples=tuple(self._samples),
            invalid=tuple(self._invalid),
            history=request.history,
        )

    def _said(self, counts: Counter[str], units: int) -> dict[str, Any]:
        names = ("done", "failed", "unknown", "invalid", "not_registered", "removed")
        return {
            "metadata": self.request.metadata.digest,
            "registrations": self.request.registrations.digest,
            "units": units,
            **{name: counts[name] for name in names},
        }

    def _to_send(
        self, comparison: Comparison, folder: Path, cutter: ChunkCutter, writer: UpsertWriter
    ) -> Iterator[int]:
        """Hand on every unit that is sent, and yield how many objects it has."""
        (folder / "units").mkdir()
        found = ExternalSort(folder / "units", CANDIDATE_SCHEMA, by=_BY_CHUNK, run_bytes=_SORT_BYTES)
        for batch in self._open(comparison, folder, writer):
            found.add(pa.RecordBatch.from_pylist([unit._asdict() for unit in batch], schema=CANDIDATE_SCHEMA))
        chunk_id, units = None, list[Candidate]()
        for table in found.tables():
            for unit in (unit for batch in table.to_batches(1_024) for unit in candidates(batch)):
                if unit.chunk_id != chunk_id:
                    yield from self._send_of(units, comparison.counts, cutter, writer)
                    chunk_id, units = unit.chunk_id, []
                units.append(unit)
        yield from self._send_of(units, comparison.counts, cutter, writer)

    def _open(self, comparison: Comparison, folder: Path, writer: UpsertWriter) -> Iterator[list[Candidate]]:
        """Yield the units that are sent, or whose item decides about it."""
        request = self.request
        (folder / "members").mkdir()
        members = ExternalSort(folder / "members", CANDIDATE_SCHEMA, by=_BY_CHUNK[1:], run_bytes=_SORT_BYTES)
        runs = [wave.parts for wave in load_waves(self.store, request.source)]
        sent = SentStream(self.store, request.history, request.outcomes)
        for singles, others in comparison.rows(self.store, runs, request.metadata, sent):
            members.add(others)
            yield list(self._undecided(candidates(singles), comparison.counts, writer))
        batch: list[Candidate] = []
        for unit in joined_units(members.tables()):
            count_unit(unit, comparison.counts)
            batch += self._undecided([unit], comparison.counts, writer)
            if len(batch) == 1_024:  # noqa: PLR2004
                yield batch
                batch = []
        yield batch

    def _undecided(self, units: Iterable[Candidate], counts: Counter[str], writer: UpsertWriter) -> Iterator[Candidate]:
        for unit in units:
            decision = self._decide(unit)
            if decision.answer in (Answer.SEND, Answer.ASK):
                yield unit
            else:
                settle(unit, decision, counts, writer)

    def _decide(self, unit: Candidate, item: str | None = None) -> Decision:
        chunk = self.request.registrations.chunks[unit.chunk_id]
        return decide(unit, chunk, self.request.policy, now=self.request.clock(), item=item)

    def _send_of(
        self, units: list[Candidate], counts: Counter[str], cutter: ChunkCutter, writer: UpsertWriter
    ) -> Iterator[int]:
        """Hand on the units of one chunk of registrations that are sent."""
        if not units:
            return
        chunk_id = units[0].chunk_id
        folder_uuid = self.request.registrations.chunks[chunk_id].folder_uuid
        if folder_uuid != self._folder_uuid:
            cutter.end_chunks()
            self._folder_uuid = folder_uuid
        planned = read_chunk_units(self.store, self.request.source, self.request.registrations.chunks[chunk_id].planned)
        rows = ChunkRows(planned)
        items = self.request.registrations.items_of(chunk_id)
        sent: list[SentUnit] = []
        for unit in units:
            item = items.get(rows.unit_ids[unit.unit_index])
            if item is None:
                counts["not_registered"] += 1
                uncount(unit, counts)
                continue
            decision = self._decide(unit, item)
            settle(unit, decision, counts, writer)
            if decision.answer is Answer.INVALID:
                writer.write_kept(self._kept(unit, rows))
            if decision.answer is Answer.SEND:
                sent.append(self._sent(unit, decision, rows, item, cutter))
                yield sent[-1].objects
        if sent:
            writer.write_units(placed_rows(planned, rows, sent, self._folder_uuid or ""), [one.row for one in sent])

    def _kept(self, unit: Candidate, rows: ChunkRows) -> dict[str, object]:
        """Return the ``KEPT_SCHEMA`` row of a unit whose metadata is invalid or can't be read."""
        assert unit.problem is not None
        if len(self._invalid) < MOST_INVALID:
            self._invalid.append(InvalidUnit(unit.key, unit.problem, unit.message))
        first, end = rows.spans[unit.unit_index]
        return {
            "key": unit.key,
            "chunk_id": unit.chunk_id,
            "unit_id": rows.unit_ids[unit.unit_index],
            "objects": end - first,
            "attempt": self.request.registrations.chunks[unit.chunk_id].attempt,
            "reason": unit.problem,
            "message": unit.message,
        }

    def _sent(self, unit: Candidate, decision: Decision, rows: ChunkRows, item: str, cutter: ChunkCutter) -> SentUnit:
        """Place a unit, and return what is sent of it."""
        first, end = rows.spans[unit.unit_index]
        keys, urls, unit_id = rows.keys[first:end], rows.urls[first:end], rows.unit_ids[unit.unit_index]
        kind, request = MediaKind(unit.kind), self.request
        assert unit.metadata is not None
        provenance = {CHUNK_KEY: unit.chunk_id, UNIT_KEY: unit_id}
        if KINDS[kind].is_group:
            provenance[OBJECTS_KEY] = objects_digest(urls)
        text = sent_text(unit.metadata, unit.planned, provenance)
        media = sum(media_bytes(kind, one, request.submit_as) for one in rows.media[first:end])
        chunk_id, unit_index = cutter.place(
            kind,
            min(keys),
            max(keys),
            size=sum(rows.sizes[first:end]),
            url_bytes=sum(map(len, urls)),
            objects=len(keys),
            title=rows.titles[first],
            client_metadata=text,
            metadata_bytes=_SLACK_BYTES + media,
        )
        row: dict[str, object] = {
            "key": keys[0],
            "wave": request.history.number + 1,
            "chunk_id": chunk_id,
            "unit_id": unit_id,
            "item_uuid": item,
            "attempt": request.registrations.chunks[unit.chunk_id].attempt,
            "metadata": unit.metadata,
            "tries": decision.tries,
            "at": request.clock(),
        }
        room = MOST_SAMPLES - len(self._samples)
        self._samples += [Sample(keys[0], change) for change in decision.fields[:room]]
        return SentUnit(unit.unit_index, len(keys), unit_index, text, row)
