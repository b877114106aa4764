"""Reads the headers that are needed and not known yet, and commits them together with those that are.

What does not belong here: which objects need one (``planning``), what a header says (``dicom.py``), asking a store
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
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import ObjectReadError, ServiceUnavailableError, StateCorruptError
from registration_pipeline.facts.headers.dicom import quiet_pydicom, read_header
from registration_pipeline.facts.headers.progress import (
    PART_ROWS,
    ProgressLog,
    claim_reading,
    clear_away,
    give_up_claim,
    unfinished_readings,
)
from registration_pipeline.facts.headers.ranged_file import RangedFile
from registration_pipeline.facts.headers.schema import (
    COLUMNS_NOTE,
    HEADER_SCHEMA,
    HEADERS,
    UNREADABLE,
    Header,
    header_rows,
    latest_headers,
)
from registration_pipeline.facts.join import FactsJoin
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.sets import FactsWriter, read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.state.store import StateStore

RANGE_OBJECTS: Final = 1_000
"""Of one key range that are read together."""

_MOST_SILENT: Final = 20
"""Objects in a row for which the store gave no usable reply, after retries: then it is the store, and not the objects."""

_MOST_DENIED: Final = 100
"""Objects in a row that may not be read, while no other may: then the rest is not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadersProgress:
    """How far a reading is, and in the end what it came to.

    Args:
        objects: that need a header, so far.
        cached: of these, known from earlier readings.
        read: of these, read now.
        problems: what the header of objects is not: reason -> objects.
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
        facts: the committed set; None: no object needs a header, and none ever did.
        progress: its counts.
    """

    facts: FactSet | None
    progress: HeadersProgress


class HeaderReading:
    """One reading of the headers of a source.

    Args:
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
        store: StateStore,
        source: str,
        reader: ObjectReader,
        clock: Callable[[], datetime],
        threads: int = 16,
        progress: Callable[[HeadersProgress], None] | None = None,
        range_objects: int = RANGE_OBJECTS,
        part_objects: int = PART_ROWS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._source, self._reader, self._clock = store, source, reader, clock
        self._threads, self._range_objects, self._part_objects = threads, range_objects, part_objects
        self._report, self._monotonic = progress or (lambda _: None), monotonic

    def read(
        self, candidates: Callable[[], Iterable[pa.RecordBatch]], notes: Mapping[str, object], *, always: bool = True
    ) -> Reading:
        """Read what is not known yet, and commit what is known of all.

        Args:
            candidates: gives the objects that need a header: rows of ``INVENTORY_SCHEMA``, sorted by key.
            notes: what the set is to say of itself, in JSON's types.
            always: commit a set also if no object needs a header and there was none before.

        Raises:
            ServiceUnavailableError: the store gave no usable replies, to several objects in a row. What was read is kept.
            HaltError: what the reader raises.
            StateError: the state can't be read or written.
        """
        facts_id = claim_reading(self._store, self._source, self._clock())
        try:
            try:
                return self._attempt(facts_id, candidates(), notes, always=always, is_trusted=True)
            except StateCorruptError:
                # Progress of a process that died may be damaged; a set that was committed may not.
                return self._attempt(facts_id, candidates(), notes, always=always, is_trusted=False)
        except BaseException:
            give_up_claim(self._store, self._source, facts_id)
            raise

    def _attempt(
        self,
        facts_id: str,
        candidates: Iterable[pa.RecordBatch],
        notes: Mapping[str, object],
        *,
        always: bool,
        is_trusted: bool,
    ) -> Reading:
        previous = latest_headers(self._store, self._source)
        runs = [] if previous is None else [read_facts(self._store, previous)]
        if is_trusted:
            runs = [*unfinished_readings(self._store, self._source, but=facts_id), *runs]
        run = _Run(self._reader, self._range_objects, self._report, self._monotonic, _was_ever_read(previous))
        log = ProgressLog(self._store, self._source, facts_id, part_rows=self._part_objects, monotonic=self._monotonic)
        with (
            FactsWriter(self._store, self._source, HEADERS, facts_id, HEADER_SCHEMA) as writer,
            quiet_pydicom(),
            _threads(self._threads) as pool,
            closing(run.rows(candidates, runs, pool)) as found,
        ):
            try:
                for rows, read_now in found:
                    writer.write(rows)
                    log.add(read_now)
            except BaseException:
                log.flush()  # an interruption, or a store that is down, must not cost what was read
                raise
            facts = None
            if always or run.progress.objects or (previous is not None and previous.rows):
                facts = writer.commit(made_at=self._clock(), notes={**notes, **_noted(run.progress)})
        clear_away(self._store, self._source, facts_id, self._clock())
        return Reading(facts, run.progress)


def _noted(progress: HeadersProgress) -> dict[str, object]:
    counts = asdict(progress)
    problems = counts.pop("problems")
    return {
        COLUMNS_NOTE: HEADER_SCHEMA.names,
        "problems": problems,
        "counts": {**counts, "seconds": round(progress.seconds, 3)},
    }


def _was_ever_read(previous: FactSet | None) -> bool:
    problems: object = {} if previous is None else previous.notes.get("problems", {})
    unread = problems.get(UNREADABLE.value, 0) if isinstance(problems, dict) else 0
    return previous is not None and previous.rows > unread


@contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(number, "headers")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Run:
    """One pass over the objects."""

    def __init__(
        self,
        reader: ObjectReader,
        range_objects: int,
        report: Callable[[HeadersProgress], None],
        monotonic: Callable[[], float],
        was_ever_read: bool,  # noqa: FBT001
    ) -> None:
        self._reader, self._range_objects, self._report, self._monotonic = reader, range_objects, report, monotonic
        self._began, self._requests_before = monotonic(), reader.requests
        self._patience = _Patience(reader, has_read=was_ever_read)
        self._objects = self._cached = self._read = self._bytes = 0
        self._problems: Counter[str] = Counter()
        self._waiting = 0
        self.progress = HeadersProgress()

    def rows(
        self, candidates: Iterable[pa.RecordBatch], runs: Sequence[Iterator[pa.RecordBatch]], pool: ThreadPoolExecutor
    ) -> Generator[tuple[pa.RecordBatch, pa.RecordBatch], None, None]:
        """Yield the rows of all objects, sorted by key, each time with those among them that were read now."""
        joins = [FactsJoin(run, HEADER_SCHEMA) for run in runs]
        for batch in candidates:
            for piece, known in _known(batch, joins) if batch.num_rows else ():
                for rows, facts in self._ranges(piece, known):
                    read_now = self._read_range(rows.filter(pc.is_null(facts.column("key"))), pool)
                    found = pa.concat_batches([_as_listed(rows, facts), read_now]).sort_by("key")
                    self._count(found, read_now)
                    yield found, read_now

    def _ranges(self, rows: pa.RecordBatch, facts: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield the rows in key ranges, each with at most so many objects to read as one may have."""
        unknown = pc.indices_nonzero(pc.is_null(facts.column("key"))).to_pylist()
        ends = [unknown[place] for place in range(self._range_objects, len(unknown), self._range_objects)]
        for begin, end in zip([0, *ends], [*ends, rows.num_rows], strict=True):
            yield rows.slice(begin, end - begin), facts.slice(begin, end - begin)

    def _read_range(self, rows: pa.RecordBatch, pool: ThreadPoolExecutor) -> pa.RecordBatch:
        objects = list(StoredObject.of(rows))
        headers: list[Header] = []
        pending: list[Future[Header | ObjectReadError]] = [
            pool.submit(read_object, self._reader, item) for item in ([] if self._patience.is_over else objects)
        ]
        for future in pending:
            if self._patience.is_over:
                future.cancel()
                continue
            headers.append(self._patience.judged(future.result()))
        headers += [self._patience.not_asked(item) for item in objects[len(headers) :]]
        read = [(item, header) for item, header in zip(objects, headers, strict=True) if not header.is_waiting]
        self._waiting += len(objects) - len(read)
        return header_rows([item for item, _ in read], [header for _, header in read])

    def _count(self, rows: pa.RecordBatch, read_now: pa.RecordBatch) -> None:
        self._objects += rows.num_rows
        self._read += read_now.num_rows
        self._cached += rows.num_rows - read_now.num_rows
        self._bytes += pc.sum(read_now.column("bytes_read"), min_count=0).as_py()
        self._problems.update(rows.column("problem").drop_null().to_pylist())
        self.progress = HeadersProgress(
            objects=self._objects,
            cached=self._cached,
            read=self._read,
            problems=dict(self._problems),
            waiting=self._waiting,
            bytes=self._bytes,
            requests=self._reader.requests - self._requests_before,
            seconds=self._monotonic() - self._began,
        )
        self._report(self.progress)


def read_object(reader: ObjectReader, item: StoredObject) -> Header | ObjectReadError:
    """Return what the header of one object says, or why it can't be read.

    Raises:
        HaltError: what the reader raises.
    """
    try:
        with RangedFile(lambda start, length: reader.read(item, start, length), item.size) as file:
            header = read_header(file, item.key)
            return header._replace(bytes_read=file.bytes_read)
    except ObjectReadError as error:
        return error


class _Patience:
    """Tells objects that can't be read from a store that can't be.

    Args:
        reader: for texts.
        has_read: whether any header of the source was ever read.
    """

    def __init__(self, reader: ObjectReader, *, has_read: bool) -> None:
        self._reader, self._has_read = reader, has_read
        self._silent = self._denied = 0
        self.is_over = False

    def judged(self, found: Header | ObjectReadError) -> Header:
        """Return the header, or that there is none.

        Raises:
            ServiceUnavailableError: too many objects in a row got no usable reply.
        """
        if isinstance(found, Header):
            self._silent, self._has_read = 0, True
            return found
        self._silent = self._silent + 1 if found.is_silent else 0
        self._denied += found.is_refused
        if self._silent >= _MOST_SILENT:
            raise ServiceUnavailableError(
                f"The headers of {self._silent} objects in a row can't be read; the last one: {found}. What was read is kept. "
                "Run again later"
            )
        self.is_over = self._denied >= _MOST_DENIED and not self._has_read
        return Header(problem=UNREADABLE, message=str(found), is_waiting=found.is_silent or found.is_changed)

    def not_asked(self, item: StoredObject) -> Header:
        """Return what is said of an object that was not asked for."""
        return Header(
            problem=UNREADABLE,
            message=f"{item.key!r} was not read: {self._denied} objects before it may not be read, and none may. Grant "
            f"{self._reader.permission}; the next sync tries again",
        )


def _known(batch: pa.RecordBatch, joins: Sequence[FactsJoin]) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Yield a batch in pieces, each with what is known of its objects: from the first join that knows anything.

    A header that could not be read is not known.
    """
    if not joins:
        nothing = [pa.nulls(batch.num_rows, field.type) for field in HEADER_SCHEMA]
        yield batch, pa.RecordBatch.from_arrays(nothing, schema=_NULLABLE)
        return
    for piece, facts in joins[0].match(batch):
        usable = pc.and_(
            pc.is_valid(facts.column("key")),
            pc.not_equal(pc.fill_null(facts.column("problem"), ""), UNREADABLE.value),
        )
        mine = _where(usable, facts)
        if len(joins) == 1:
            yield piece, mine
            continue
        begin = 0
        for rest, others in _known(piece, joins[1:]):
            part = mine.slice(begin, rest.num_rows)
            begin += rest.num_rows
            yield rest, _where(pc.is_valid(part.column("key")), part, others)


_NULLABLE: Final = pa.schema([column.with_nullable(True) for column in HEADER_SCHEMA])


def _where(chosen: pa.BooleanArray, rows: pa.RecordBatch, others: pa.RecordBatch | None = None) -> pa.RecordBatch:
    """Return the rows that are chosen, and in the place of the others theirs, or nulls."""
    columns = [
        pc.if_else(chosen, column, pa.scalar(None, column.type) if others is None else others.column(place))
        for place, column in enumerate(rows.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_NULLABLE)


def _as_listed(rows: pa.RecordBatch, facts: pa.RecordBatch) -> pa.RecordBatch:
    """Return what is known of objects, with ETag, size and time as they are listed now."""
    is_known = pc.is_valid(facts.column("key"))
    listed, known = rows.filter(is_known), facts.filter(is_known)
    columns = [
        (listed if name in {"key", "e_tag", "size", "last_modified"} else known).column(name)
        for name in HEADER_SCHEMA.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=HEADER_SCHEMA)
