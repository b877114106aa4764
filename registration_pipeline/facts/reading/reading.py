"""Reads what is needed of objects and not known yet, and commits it together with what is.

What does not belong here: which objects need it (``planning``), what their content says (the kind's package), asking a store
(``readers/``), and what a plan makes of it.

The objects come sorted by key and are joined with what was read before, so memory holds a batch of each. What is not known is
read in key ranges, each by many threads: a range is the unit of work, and needs nothing but its objects and a reader.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import ObjectReadError, StateCorruptError
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.reading.known import Known
from registration_pipeline.facts.reading.patience import Patience
from registration_pipeline.facts.reading.progress import (
    PART_ROWS,
    ProgressLog,
    claim_reading,
    clear_away,
    give_up_claim,
    unfinished_readings,
)
from registration_pipeline.facts.reading.spec import COLUMNS_NOTE, WAITING, T, latest_reading
from registration_pipeline.facts.sets import FactsWriter, read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.reading.spec import FactKind
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.state.store import StateStore

RANGE_OBJECTS: Final = 1_000
"""Of one key range that are read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingProgress:
    """How far a reading is, and in the end what it came to.

    Args:
        objects: of which something is needed, so far.
        cached: of these, known from earlier readings.
        read: of these, read now.
        problems: of objects: reason -> objects.
        waiting: could not be read now, for a reason that passes, and wait for the next reading.
        bytes: read now.
        requests: made now.
        seconds: since its start.
    """

    objects: int = 0
    cached: int = 0
    read: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    bytes: int = 0
    requests: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Say it in one line."""
        rate = self.read / self.seconds if self.seconds else 0.0
        requests = "1 request" if self.requests == 1 else f"{self.requests:,} requests"
        waiting = f", {self.waiting:,} waiting" if self.waiting else ""
        bad = waiting + "".join(f", {count:,} {reason}" for reason, count in sorted(self.problems.items()))
        return (
            f"{self.objects:,} objects, {self.read:,} read ({self.bytes:,} bytes, {requests}, {rate:,.0f} objects/s), "
            f"{self.cached:,} known{bad}"
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reading came to.

    Args:
        facts: the committed set; None: no object needs it, and none ever did.
        progress: its counts.
    """

    facts: FactSet | None
    progress: ReadingProgress


class ObjectReading(Generic[T]):
    """One reading of the objects of a source.

    Args:
        kind: what is read.
        store: the state.
        source: its name.
        reader: of its objects.
        clock: gives the aware time.
        threads: that read at once.
        progress: called with how far it is after every key range.
        range_objects: of one key range.
        part_objects: read, after which progress is written.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        *,
        kind: FactKind[T],
        store: StateStore,
        source: str,
        reader: ObjectReader,
        clock: Callable[[], datetime],
        threads: int = 16,
        progress: Callable[[ReadingProgress], None] | None = None,
        range_objects: int = RANGE_OBJECTS,
        part_objects: int = PART_ROWS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind, self._store, self._source, self._reader, self._clock = kind, store, source, reader, clock
        self._threads, self._range_objects, self._part_objects = threads, range_objects, part_objects
        self._report, self._monotonic = progress or (lambda _: None), monotonic

    def read(
        self, candidates: Callable[[], Iterable[pa.RecordBatch]], notes: Mapping[str, object], *, always: bool = True
    ) -> Reading:
        """Read what is not known yet, and commit what is known of all.

        Args:
            candidates: gives the objects of which it is needed: rows with key, e_tag, size, last_modified and version as in
                ``INVENTORY_SCHEMA``, sorted by key, each key once.
            notes: what the set is to say of itself, in JSON's types.
            always: commit a set also if no object needs it and there was none before.

        Raises:
            ServiceUnavailableError: the store gave no usable replies, to several objects in a row. What was read is kept.
            HaltError: what the reader raises.
            StateError: the state can't be read or written.
        """
        facts_id = claim_reading(self._store, self._source, self._kind.name, self._clock())
        try:
            try:
                return self._attempt(facts_id, candidates(), notes, always=always, is_trusted=True)
            except StateCorruptError:
                # Progress of a process that died may be damaged; a set that was committed may not.
                return self._attempt(facts_id, candidates(), notes, always=always, is_trusted=False)
        except BaseException:
            give_up_claim(self._store, self._source, self._kind.name, facts_id)
            raise

    def read_part(self, candidates: Callable[[], Iterable[pa.RecordBatch]]) -> ReadingProgress:
        """Read what is not known yet of some objects, and keep it for the reading of all of them, which commits it.

        Args:
            candidates: as ``read``; they may be a key range of all.

        Raises:
            ServiceUnavailableError: as ``read``. What was read is kept.
            HaltError: what the reader raises.
            StateError: the state can't be read or written.
        """
        facts_id = claim_reading(self._store, self._source, self._kind.name, self._clock())
        try:
            try:
                return self._keep(facts_id, candidates(), is_trusted=True)
            except StateCorruptError:
                return self._keep(facts_id, candidates(), is_trusted=False)
        finally:
            give_up_claim(self._store, self._source, self._kind.name, facts_id)

    def _keep(self, facts_id: str, candidates: Iterable[pa.RecordBatch], *, is_trusted: bool) -> ReadingProgress:
        run, runs = self._run(facts_id, is_trusted=is_trusted)
        log = self._log(facts_id)
        with closing(self._rows(run, runs, log, candidates)) as rows:
            for _ in rows:
                pass
        log.flush()
        return run.progress

    def _attempt(
        self,
        facts_id: str,
        candidates: Iterable[pa.RecordBatch],
        notes: Mapping[str, object],
        *,
        always: bool,
        is_trusted: bool,
    ) -> Reading:
        kind = self._kind
        previous = latest_reading(self._store, self._source, kind.name, kind.schema)
        run, runs = self._run(facts_id, is_trusted=is_trusted)
        with (
            FactsWriter(self._store, self._source, kind.name, facts_id, kind.schema) as writer,
            closing(self._rows(run, runs, self._log(facts_id), candidates)) as found,
        ):
            for rows in found:
                writer.write(rows)
            facts = None
            if always or run.progress.objects or (previous is not None and previous.rows):
                facts = writer.commit(made_at=self._clock(), notes={**notes, **_noted(run.progress, kind)})
        clear_away(self._store, self._source, kind.name, facts_id, self._clock())
        return Reading(facts, run.progress)

    def _run(self, facts_id: str, *, is_trusted: bool) -> tuple[_Run[T], list[Iterator[pa.RecordBatch]]]:
        """Return a pass over the objects, and the readings that know some of them."""
        kind = self._kind
        previous = latest_reading(self._store, self._source, kind.name, kind.schema)
        runs = [] if previous is None else [read_facts(self._store, previous)]
        if is_trusted:
            runs = [*unfinished_readings(self._store, self._source, kind, but=facts_id), *runs]
        patience = Patience(kind, self._reader, has_read=_was_ever_read(previous, kind))
        run = _Run(
            kind,
            self._reader,
            patience,
            range_objects=self._range_objects,
            report=self._report,
            monotonic=self._monotonic,
        )
        return run, runs

    def _log(self, facts_id: str) -> ProgressLog:
        return ProgressLog(
            self._store, self._source, self._kind, facts_id, part_rows=self._part_objects, monotonic=self._monotonic
        )

    def _rows(
        self,
        run: _Run[T],
        runs: Sequence[Iterator[pa.RecordBatch]],
        log: ProgressLog,
        candidates: Iterable[pa.RecordBatch],
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows of all objects, and keep those that are read now as progress."""
        kind = self._kind
        with (
            kind.session(),
            _threads(self._threads, kind.name) as pool,
            closing(run.rows(candidates, Known(kind, runs), pool)) as found,
        ):
            try:
                for rows, read_now in found:
                    yield rows
                    log.add(read_now)
            except BaseException:
                log.flush()  # an interruption, or a store that is down, must not cost what was read
                raise


def _noted(progress: ReadingProgress, kind: FactKind[Any]) -> dict[str, object]:
    counts = asdict(progress)
    problems = counts.pop("problems")
    return {
        COLUMNS_NOTE: kind.schema.names,
        "problems": problems,
        "counts": {**counts, "seconds": round(progress.seconds, 3)},
    }


def _was_ever_read(previous: FactSet | None, kind: FactKind[Any]) -> bool:
    if previous is None:
        return False
    notes: Any = previous.notes
    unread = sum(notes.get("problems", {}).get(problem, 0) for problem in kind.retried)
    waiting = 0 if kind.waiting is None else notes.get("counts", {}).get("waiting", 0)
    return bool(previous.rows > unread + waiting)


@contextmanager
def _threads(number: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(number, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Run(Generic[T]):
    """One pass over the objects."""

    def __init__(
        self,
        kind: FactKind[T],
        reader: ObjectReader,
        patience: Patience[T],
        *,
        range_objects: int,
        report: Callable[[ReadingProgress], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._kind, self._reader, self._patience = kind, reader, patience
        self._range_objects, self._report, self._monotonic = range_objects, report, monotonic
        self._began, self._requests_before = monotonic(), reader.requests
        self._objects = self._cached = self._read = self._bytes = 0
        self._problems: Counter[str] = Counter()
        self.progress = ReadingProgress()

    def rows(
        self, candidates: Iterable[pa.RecordBatch], known: Known, pool: ThreadPoolExecutor
    ) -> Generator[tuple[pa.RecordBatch, pa.RecordBatch], None, None]:
        """Yield the rows of all objects, sorted by key, each time with those among them that were read now."""
        for batch in candidates:
            for piece, earlier in known.match(batch) if batch.num_rows else ():
                for rows, facts in self._ranges(piece, earlier):
                    read_now = self._read_range(rows.filter(pc.is_null(facts.column("key"))), pool)
                    found = pa.concat_batches([known.as_listed(rows, facts), read_now]).sort_by("key")
                    self._count(found, read_now)
                    yield found, read_now

    def _ranges(self, rows: pa.RecordBatch, facts: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield the rows in key ranges, each with at most so many objects to read as one may have."""
        unknown = pc.indices_nonzero(pc.is_null(facts.column("key")))
        sizes = None if self._kind.range_bytes is None else rows.column("size").take(unknown).to_pylist()
        ends = list(self._ends(unknown.to_pylist(), sizes))
        for begin, end in zip([0, *ends], [*ends, rows.num_rows], strict=True):
            yield rows.slice(begin, end - begin), facts.slice(begin, end - begin)

    def _ends(self, unknown: Sequence[int], sizes: Sequence[int] | None) -> Iterator[int]:
        """Yield where ranges end: the place of each object that is too much for the range before it."""
        objects = size = 0
        for number, place in enumerate(unknown):
            weight = 0 if sizes is None else sizes[number]
            if objects == self._range_objects or (objects and size + weight > (self._kind.range_bytes or 0) and sizes):
                yield place
                objects = size = 0
            objects, size = objects + 1, size + weight

    def _read_range(self, rows: pa.RecordBatch, pool: ThreadPoolExecutor) -> pa.RecordBatch:
        objects = list(StoredObject.of(rows))
        found: list[T | None] = []
        pending: list[Future[T | ObjectReadError]] = [
            pool.submit(read_object, self._kind, self._reader, item)
            for item in ([] if self._patience.is_over else objects)
        ]
        for future in pending:
            if self._patience.is_over:
                future.cancel()
                continue
            found.append(self._patience.judged(future.result()))
        found += [self._patience.not_asked(self._kind.target(item)) for item in objects[len(found) :]]
        read = [(item, fact) for item, fact in zip(objects, found, strict=True) if fact is not None]
        self._bytes += sum(fact.bytes_read for _, fact in read)
        return self._kind.rows([item for item, _ in read], [fact for _, fact in read])

    def _count(self, rows: pa.RecordBatch, read_now: pa.RecordBatch) -> None:
        problems = Counter(rows.column("problem").drop_null().to_pylist())
        waiting = problems.pop(WAITING, 0)  # all of them are among those that were asked for now
        self._objects += rows.num_rows - waiting
        self._read += read_now.num_rows - waiting
        self._cached += rows.num_rows - read_now.num_rows
        self._problems.update(problems)
        self.progress = ReadingProgress(
            objects=self._objects,
            cached=self._cached,
            read=self._read,
            problems=dict(self._problems),
            waiting=self._patience.waiting,
            bytes=self._bytes,
            requests=self._reader.requests - self._requests_before,
            seconds=self._monotonic() - self._began,
        )
        self._report(self.progress)


def read_object(kind: FactKind[T], reader: ObjectReader, item: StoredObject) -> T | ObjectReadError:
    """Return what was read of one object, or why it can't be read.

    Args:
        kind: what is read.
        reader: of the object.
        item: the candidate.

    Raises:
        HaltError: what the reader raises.
    """
    try:
        return kind.read(reader, kind.target(item))
    except ObjectReadError as error:
        return error
