"""Verifies what belongs to single chunks: journals and their summaries, outcomes, manifests and failure logs.

What does not belong here: the plan itself (``markers.py``).
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from contextlib import suppress
from itertools import groupby, islice
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateCorruptError, StateNotFoundError
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.planning.halves import read_units
from registration_pipeline.state.ahead import is_asked_by_requests
from registration_pipeline.state.layout import failures_name, is_upserts, journal_folder, manifest_name, outcomes_name
from registration_pipeline.state.owned import is_own
from registration_pipeline.tracking.failures.files import COLUMNS, STAGE_REGISTRATION, STAGE_UPSERT
from registration_pipeline.tracking.failures.log import chunk_failures
from registration_pipeline.tracking.journal.journal import (
    USE_NEWER_VERSION,
    NewerEntryError,
    decode_event,
    in_order,
    summary_entries,
)
from registration_pipeline.tracking.journal.states import JournalEventKind, fold_events
from registration_pipeline.tracking.journal.summary import SummaryReader, summarised_entries
from registration_pipeline.tracking.outcomes import check_outcomes, open_outcomes
from registration_pipeline.verification.reading import LARGE_FILES, read_each
from registration_pipeline.verification.report import Damage
from registration_pipeline.verification.reports import pair_damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import JournalEvent
    from registration_pipeline.verification.report import StateReport


class ChunkVerifier:
    """Verifies the files of one source's chunks.

    Args:
        store: the state.
        names: of all files of the source, sorted.
        report: takes what is damaged.
    """

    def __init__(self, store: StateStore, names: Sequence[str], report: StateReport) -> None:
        self._store, self._names, self._report = store, names, report
        self._present = {*names}
        self._read_ahead = dict[str, bytes]()
        self._source = report.source
        self.outcomes = set[str]()
        """The names that verdicts vouch for."""

    def verify(self) -> None:
        """Verify everything."""
        folder, sent = journal_folder(self._source), dict[str, str]()
        journals = (name for name in self._names if name.startswith(folder))
        with SummaryReader(self._store, self._source) as summary:
            for chunk_id, names in self._ahead(groupby(journals, key=lambda name: name.rsplit("/", 2)[1])):
                events = self._events(chunk_id, names)
                if events is None:
                    continue
                self._compare_summary(summary, chunk_id, names, events)
                for event in events:
                    if event.kind is JournalEventKind.VERDICT:
                        self._verify_verdict(event)
                    if event.manifest_sha256:
                        sent.setdefault(chunk_id, event.manifest_sha256)
            for name in summary.damaged():
                self._report.add(Damage(name, "is damaged: its lines do not match their checksum"))
        self._find_lost_entries()
        self._verify_manifests(sent)

    def _ahead(self, journals: Iterable[tuple[str, Iterator[str]]]) -> Iterator[tuple[str, list[str]]]:
        """Yield chunks and the names of their entries; of a bucket entries and outcomes of the next ones are read together."""
        chunks = ((chunk_id, list(owned)) for chunk_id, owned in journals)
        if not is_asked_by_requests(self._store):
            yield from chunks
            return
        while some := list(islice(chunks, LARGE_FILES)):
            wanted = [name for chunk_id, names in some for name in (*names, *self._outcomes_of(chunk_id))]
            read = read_each(self._store, wanted, ahead=len(wanted))
            self._read_ahead = {name: data for name, data in read if data is not None}
            yield from some
        self._read_ahead = {}

    def _outcomes_of(self, chunk_id: str) -> Sequence[str]:
        folder = outcomes_name(self._source, chunk_id, "")
        first = bisect_left(self._names, folder)
        return self._names[first : bisect_left(self._names, f"{folder}\U0010ffff", first)]

    def _read(self, name: str) -> bytes:
        data = self._read_ahead.pop(name, None)
        return self._store.read(name) if data is None else data

    def _find_lost_entries(self) -> None:
        for summary, chunk_id, entries in summarised_entries(self._store, self._source):
            for name in (journal_folder(self._source, chunk_id) + entry for entry in entries):
                if name not in self._present and is_own(name) and not self._store.exists(name):
                    self._report.add(Damage(name, f"is missing, though {summary} has it"))

    def _events(self, chunk_id: str, names: Sequence[str]) -> list[JournalEvent] | None:
        """Return a chunk's events in their order; None: one of them is damaged."""
        events = []
        for name in names:
            try:
                data = self._read(name)
                self._report.bytes += len(data)
                events.append(decode_event(data, name=name))
            except StateCorruptError as error:
                cause = error.__cause__
                if isinstance(cause, NewerEntryError):
                    self._report.add(Damage(name, str(cause), USE_NEWER_VERSION))
                else:
                    self._report.add(Damage(name, f"is damaged: {cause or error}"))
        if len(events) < len(names):
            return None
        events = in_order(events)
        try:
            fold_events(chunk_id, events)
        except StateCorruptError as error:
            self._report.add(Damage(f"{journal_folder(self._source, chunk_id)}", f"does not agree: {error}"))
        return events

    def _compare_summary(
        self, summary: SummaryReader, chunk_id: str, names: Sequence[str], events: Sequence[JournalEvent]
    ) -> None:
        found = summary.entries(chunk_id, [name.rsplit("/", 1)[-1] for name in names])
        if found is not None and found[1] != json.loads(json.dumps(summary_entries(events))):
            self._report.add(Damage(found[0], f"does not say what the journal of chunk {chunk_id} says"))

    def _verify_verdict(self, verdict: JournalEvent) -> None:
        name = outcomes_name(self._source, verdict.chunk_id, verdict.outcomes or "")
        self.outcomes.add(name)
        try:
            check_outcomes(self._store, name, data := self._read(name))
            self._report.bytes += len(data)
        except StateNotFoundError:
            self._report.add(Damage(name, "is missing, though the journal names it"))
            return
        except StateCorruptError:
            self._report.add(Damage(name, "is damaged: its content does not match the digest in its name"))
            return
        outcomes = open_outcomes(self._store, name, data)
        failed = len(outcomes.failed)
        if (len(outcomes) - failed, failed) != (verdict.registered, verdict.failed):
            self._report.add(Damage(name, "holds other numbers of registered and failed objects than its verdict"))
        parquet, text = (
            failures_name(self._source, verdict.chunk_id, verdict.attempt, suffix) for suffix in ("parquet", "csv")
        )
        if parquet in self._present or text in self._present:
            stage = STAGE_UPSERT if is_upserts(self._source) else STAGE_REGISTRATION
            source = self._source.partition("/")[0]
            rows = [row.cells for row in chunk_failures(source, verdict.chunk_id, outcomes, stage=stage)]
            self._note(pair_damage(self._store, parquet, text, (COLUMNS, rows)))

    def _verify_manifests(self, sent: dict[str, str]) -> None:
        """Compare each manifest with what was sent, or else with what its plan gives."""
        folder = manifest_name(self._source, "").removesuffix(".json")
        manifests = (name for name in self._names if name.startswith(folder))
        for name, content in read_each(self._store, manifests, ahead=LARGE_FILES):
            chunk_id = name.removeprefix(folder).removesuffix(".json")
            data = self._store.read(name) if content is None else content
            self._report.bytes += len(data)
            if chunk_id in sent:
                is_same = hashlib.sha256(data).hexdigest() == sent[chunk_id]
            else:
                is_same = True
                with suppress(StateCorruptError):  # of the plan, which is named elsewhere
                    units = read_units(self._store, self._source, chunk_id)
                    is_same = data == render_manifest(chunk_id, units, upsert=is_upserts(self._source))
            self._note(None if is_same else Damage(name, "is not what its chunk was planned as, or was sent as"))

    def _note(self, damage: Damage | None) -> None:
        if damage is not None:
            self._report.add(damage)


def report_pairs(names: Sequence[str], folder: str) -> Iterator[tuple[str, str]]:
    """Yield the names of the Parquet and CSV forms of every report in a folder."""
    stems = {
        name.rpartition(".")[0] for name in names if name.startswith(folder) and name.endswith((".parquet", ".csv"))
    }
    return ((f"{stem}.parquet", f"{stem}.csv") for stem in sorted(stems))
