"""What each unit was sent last by upserts: a stream by key over all waves, and its compacted form.

What does not belong here: comparing it with what is known now (``compare.py``).

A wave's rows count with what became of their chunk. Rows of chunks without a verdict do not: a later wave is only planned when
nothing is under way, so what was never sent is planned again.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import StateConflictError
from registration_pipeline.facts.sets import FactsWriter, latest_facts
from registration_pipeline.planning.upserts.schema import COMPACT_SCHEMA, DONE, SENT_SCHEMA, STATE_SCHEMA
from registration_pipeline.planning.wave import load_wave
from registration_pipeline.state.layout import facts_folder
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tables.part_reader import read_sorted
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.planning.upserts.registered import UpsertOutcomes
    from registration_pipeline.planning.wave import Wave
    from registration_pipeline.state.store import StateStore

SENT: Final = "sent"
"""The name of the set of facts that the compacted form is."""

_MOST_WAVES: Final = 8
"""Waves that are read one by one. Each row is then copied once in eight nights with changes."""

_BATCH_ROWS: Final = 16_384
_KEPT: Final = 2


class LastSent(NamedTuple):
    """What was sent last of units, each key once in each.

    Args:
        done: ``STATE_SCHEMA``: the newest that the item shows.
        failed: ``STATE_SCHEMA``: the newest that failed, where nothing was done since.
    """

    done: pa.RecordBatch
    failed: pa.RecordBatch


class SentStream:
    """What was sent, read once from the first key to the last.

    Args:
        store: the state.
        history: of the upserts.
        outcomes: what became of them.
        last: number of the last wave that counts; None: all do.
    """

    def __init__(
        self, store: StateStore, history: PlanHistory, outcomes: UpsertOutcomes, *, last: int | None = None
    ) -> None:
        compact = latest_facts(store, history.source, SENT)
        through = int(compact.facts_id) if compact else 0
        self.waves_read = 0
        streams: list[Iterator[pa.RecordBatch]] = []
        if compact is not None:
            streams.append(
                batch.select(STATE_SCHEMA.names)
                for part in compact.parts
                for batch in read_sorted(store, part, columns=STATE_SCHEMA.names, batch_rows=_BATCH_ROWS)
            )
        end = len(history.wave_ids) if last is None else last
        for wave_id in history.wave_ids[through:end]:
            wave = history.latest if history.latest and wave_id == history.latest.wave_id else None
            wave = wave or load_wave(store, history.source, wave_id)
            self.waves_read += 1
            if wave is not None and wave.sent_files:
                streams.append(_with_states(store, wave, outcomes))
        self.through = end
        self._rows = SortedMerge(streams, STATE_SCHEMA)

    def bound(self) -> tuple[str, ...] | None:
        """See ``SortedMerge.bound``."""
        return self._rows.bound()

    def take_until(self, bound: tuple[str, ...]) -> LastSent:
        """Return what was sent last of the units up to a key."""
        return _last_sent(self._rows.take_until(bound))

    def __iter__(self) -> Iterator[LastSent]:
        """Yield everything that is left."""
        return map(_last_sent, self._rows)


def _with_states(store: StateStore, wave: Wave, outcomes: UpsertOutcomes) -> Iterator[pa.RecordBatch]:
    known: dict[str, str | dict[str, str] | None] = {}
    for batch in read_parts(store, wave.sent_files, SENT_SCHEMA.names, _BATCH_ROWS):
        for chunk_id in pc.unique(batch.column("chunk_id")).to_pylist():
            if chunk_id not in known:
                states = outcomes.states_of(chunk_id)
                known[chunk_id] = states if states is None or isinstance(states, str) else dict(states)
        states = pa.array(
            [
                found if found is None or isinstance(found, str) else found.get(unit_id)
                for found, unit_id in zip(
                    map(known.__getitem__, batch.column("chunk_id").to_pylist()),
                    batch.column("unit_id").to_pylist(),
                    strict=True,
                )
            ],
            pa.string(),
        )
        rows = pa.RecordBatch.from_arrays(
            [*batch.columns, states], schema=STATE_SCHEMA.set(len(SENT_SCHEMA), pa.field("state", pa.string()))
        ).filter(pc.is_valid(states))
        yield pa.RecordBatch.from_arrays(rows.columns, schema=STATE_SCHEMA)


def _last_sent(rows: pa.RecordBatch) -> LastSent:
    if not rows.num_rows:
        return LastSent(rows, rows)
    rows = rows.sort_by([("key", "ascending"), ("wave", "ascending")])
    done = _last_of_each(rows.filter(pc.equal(rows.column("state"), pa.scalar(DONE))))
    newest = _last_of_each(rows)
    return LastSent(done, newest.filter(pc.not_equal(newest.column("state"), pa.scalar(DONE))))


def _last_of_each(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the last row of each key of sorted rows."""
    if rows.num_rows < 2:  # noqa: PLR2004
        return rows
    keys = rows.column("key")
    differs = pc.not_equal(keys.slice(0, len(keys) - 1), keys.slice(1))
    return rows.filter(pa.concat_arrays([differs, pa.array([True])]))


def compact_sent(
    store: StateStore,
    history: PlanHistory,
    outcomes: UpsertOutcomes,
    *,
    made_at: datetime,
    most_waves: int = _MOST_WAVES,
) -> bool:
    """Write what all waves but the newest sent as one set, when they are many; return whether it was written.

    Nothing of those waves may be under way. The newest is left out: what it has not sent yet may still be sent.

    Args:
        store: the state.
        history: of the upserts.
        outcomes: what became of them.
        made_at: UTC.
        most_waves: that are read one by one.
    """
    compact = latest_facts(store, history.source, SENT)
    through, last = int(compact.facts_id) if compact else 0, len(history.wave_ids) - 1
    if last - through < most_waves:
        return False
    facts_id = f"{last:08d}"
    stream = SentStream(store, history, outcomes, last=last)
    with FactsWriter(store, history.source, SENT, facts_id, COMPACT_SCHEMA) as writer:
        for one in stream:
            rows = pa.Table.from_batches([one.done, one.failed]).sort_by("key").combine_chunks()
            for batch in rows.to_batches():
                tags = pa.nulls(batch.num_rows, pa.string())
                columns = [batch.column(0), tags, *batch.columns[1:]]
                writer.write(pa.RecordBatch.from_arrays(columns, schema=COMPACT_SCHEMA))
        try:
            writer.commit(made_at=made_at, notes={})
        except StateConflictError:
            return False  # another process was here
    _remove_outdated(store, history.source)
    return True


def _remove_outdated(store: StateStore, source: str) -> None:
    names: Sequence[str] = list(own_names(store, facts_folder(source, SENT)))
    outdated = sorted({PurePosixPath(name).parent for name in names})[:-_KEPT]
    for name in sorted(names, reverse=True):
        if PurePosixPath(name).parent in outdated:
            store.delete(name)
