"""A fleet: a bucket in memory, its state in memory and an Encord in memory, in a time that only waiting moves on.

What belongs here: what the tests of submission and of tracking share. Everything but the store and Encord is the real thing.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import HaltError
from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.planning.wave import load_chunks, read_chunk_units
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.chunk import ChunkSubmission
from registration_pipeline.submission.context import SubmissionContext
from registration_pipeline.submission.registrar import register_chunks
from registration_pipeline.submission.target import resolve_target
from registration_pipeline.submission.testing import ScriptedGateway
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.outcomes import read_outcomes
from registration_pipeline.tracking.status import chunk_statuses, source_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.outcomes import Outcome
    from registration_pipeline.tracking.status import SourceStatus

START = datetime(2026, 11, 21, 2, tzinfo=UTC)


class FleetTime:
    """A clock that does not move until someone sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._seconds = 0.0
        self._lock = threading.Lock()

    def clock(self) -> datetime:
        return START + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._seconds += seconds


class Crash(BaseException):
    """The process ends here."""


class CrashingStore:
    """A ``StateStore`` whose process ends before or after one of its creations; nothing reaches the state after that.

    Args:
        inner: the state.
        number: ends at the nth creation whose name holds ``name``, from 1.
        moment: ``before`` or ``after`` the file is there.
    """

    def __init__(self, inner: StateStore, number: int, moment: str, name: str = "") -> None:
        self._inner, self._left, self._moment, self._name = inner, number, moment, name
        self.is_dead = False

    def create(self, name: str, data: bytes) -> None:
        self._create(name, lambda: self._inner.create(name, data))

    def create_from_file(self, name: str, path: Path) -> None:
        self._create(name, lambda: self._inner.create_from_file(name, path))

    def _create(self, name: str, create: Callable[[], None]) -> None:
        if self.is_dead:
            raise Crash(name)
        self._left -= self._name in name
        if self._left:
            create()
            return
        self.is_dead = True
        if self._moment == "after":
            create()
        raise Crash(name)

    def __getattr__(self, attribute: str) -> Any:
        if self.is_dead:
            raise Crash(attribute)
        return getattr(self._inner, attribute)


class CrashingGateway:
    """A ``RegistrationGateway`` whose process ends before or after the nth start reaches Encord."""

    def __init__(self, inner: ScriptedGateway, number: int, moment: str) -> None:
        self._inner, self._left, self._moment = inner, number, moment

    def start_job(self, **arguments: Any) -> str:
        self._left -= 1
        if self._left:
            return self._inner.start_job(**arguments)
        if self._moment == "after":
            self._inner.start_job(**arguments)
        raise Crash("start")

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._inner, attribute)


Gateway = ScriptedGateway | CrashingGateway


class Fleet:
    """A source from bucket to Encord. Every ``register`` is a new process on the same state and the same Encord."""

    def __init__(
        self, *, store: StateStore | None = None, encord: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.time = FleetTime()
        self.store: StateStore = store or BucketStateStore(MemoryStore(), "memory://state")
        self.encord = ScriptedGateway(clock=self.time.clock, **(encord or {}))
        self.objects: dict[str, dict[str, Any]] = {}
        self.configure(**options)

    def configure(self, **options: Any) -> None:
        base: dict[str, Any] = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
        base |= {"encord": {"integration": "sandbox", "folder": "fleet"}, "chunk_size": {"images": 2}}
        self.source = SourceSettings.model_validate(base | options)

    def put(self, *keys: str, **facts: Any) -> Fleet:
        for key in keys:
            self.objects[key] = {"size": 10, "last_modified": self.time.clock(), "e_tag": f"tag-of-{key}"} | facts
        return self

    def take_inventory(self) -> None:
        self.time.sleep(1)
        take_inventory(lister=self, store=self.store, source=self.source.name, clock=self.time.clock)

    def plan(self) -> None:
        plan_source(store=self.store, source=self.source, clock=self.time.clock)

    def sync(self) -> Fleet:
        """Take an inventory and plan it."""
        self.take_inventory()
        self.plan()
        return self

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [{"key": key, **facts} for key, facts in sorted(self.objects.items())]
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)

    requests = 1
    description = "a dictionary"

    @property
    def chunks(self) -> list[PlannedChunk]:
        return list(load_chunks(self.store, self.source.name).values())

    def units(self) -> list[PlannedUnit]:
        return [unit for chunk in self.chunks for unit in self.units_of(chunk)]

    def units_of(self, chunk: PlannedChunk) -> ChunkUnits:
        return read_chunk_units(self.store, self.source.name, chunk)

    def urls(self) -> list[str]:
        """Return the URL of every planned object."""
        return sorted(entry.object_url for unit in self.units() for entry in unit.objects)

    def context(
        self, *, store: StateStore | CrashingStore | None = None, gateway: Gateway | None = None, **options: Any
    ) -> SubmissionContext:
        retry = RetryPolicy(sleep=self.time.sleep, jitter=lambda _low, high: high)
        values: dict[str, Any] = {
            "store": store or self.store,
            "source": self.source.name,
            "gateway": gateway or self.encord,
            "target": resolve_target(self.encord, retry, self.source),
            "retry": retry,
            "clock": self.time.clock,
            "monotonic": self.time.monotonic,
            "sleep": self.time.sleep,
        }
        return SubmissionContext(**values | options)

    def submission(self, chunk: PlannedChunk | None = None, **options: Any) -> ChunkSubmission:
        return ChunkSubmission(self.context(**options), chunk or self.chunks[0])

    def registering(
        self,
        *,
        max_in_flight: int = 1,
        settle_seconds: float = 120,
        retry_failed: bool = False,
        tasks: list[ChunkTask] | None = None,
        **options: Any,
    ) -> Iterator[ChunkResult]:
        options.setdefault("slots", Slots(max_in_flight))
        return register_chunks(
            self.context(settle_seconds=settle_seconds, **options),
            self.tasks(retry_failed=retry_failed) if tasks is None else tasks,
        )

    def tasks(self, *, retry_failed: bool = False) -> list[ChunkTask]:
        statuses = chunk_statuses(self.store, self.source.name)
        if not retry_failed:
            return [ChunkTask(chunk=status.chunk) for status in statuses.values()]
        return [
            ChunkTask(chunk=status.chunk, after_attempt=status.progress.attempt, is_fresh=True)
            for status in statuses.values()
        ]

    def register(self, **options: Any) -> list[ChunkResult]:
        return list(self.registering(**options))

    def register_until_done(self, **options: Any) -> list[ChunkResult]:
        """Run again after every halt, as a person would."""
        for _ in range(5):
            try:
                return self.register(**options)
            except HaltError:
                continue
        raise AssertionError("five runs halted")

    @property
    def journal(self) -> Journal:
        return Journal(self.store, self.source.name)

    def status(self) -> SourceStatus:
        return source_status(self.store, self.source.name)

    def outcomes(self) -> list[Outcome]:
        """Return what the newest verdicts vouch for."""
        return self._vouched(self._progress())

    def _progress(self) -> list[ChunkProgress]:
        return [self.journal.progress(chunk.chunk_id) for chunk in self.chunks]

    def _vouched(self, progress: list[ChunkProgress]) -> list[Outcome]:
        verdicts = [one.verdict for one in progress if one.verdict]
        return [outcome for verdict in verdicts for outcome in read_outcomes(self.store, self.source.name, verdict)]

    def assert_exactly_once(self, *, failing: frozenset[str] | set[str] = frozenset()) -> None:
        """Every planned object has one verdict; each is in Encord once, or failed and is not there."""
        urls, progress = self.urls(), self._progress()
        expected = [url for url in urls if url not in failing]
        assert sorted(self.encord.urls()) == expected
        outcomes = self._vouched(progress)
        assert sorted(outcome.object_url for outcome in outcomes) == urls
        assert {one.object_url for one in outcomes if not one.verdict.is_registered} == set(failing)
        assert all(one.state.is_concluded for one in progress)
        status = self.status()
        assert status.adds_up
        assert (status.registered, status.failed, status.pending) == (len(expected), len(failing), 0)


@pytest.fixture(scope="session")
def new_fleet() -> type[Fleet]:
    """Make fleets; a new one for every example."""
    return Fleet


class FleetOf(Protocol):
    """Makes a planned fleet; ``encord`` are settings of its Encord, ``options`` of its source."""

    def __call__(self, *names: str, encord: dict[str, Any] | None = None, **options: Any) -> Fleet: ...


@pytest.fixture(scope="session")
def fleet_of() -> FleetOf:
    """Make a planned fleet with objects of these names below the prefix: by default three, in two chunks.

    Planning takes longer than what most tests do with the plan: the same fleet is planned once, and its state copied.
    """
    planned: dict[str, tuple[float, dict[str, bytes]]] = {}

    def make(*names: str, encord: dict[str, Any] | None = None, **options: Any) -> Fleet:
        fleet = Fleet(encord=encord, **options).put(*(f"raw/{name}" for name in names or ("a.jpg", "b.jpg", "c.jpg")))
        same = repr((sorted(fleet.objects), options))
        if same not in planned:
            fleet.sync()
            planned[same] = fleet.time.monotonic(), {name: fleet.store.read(name) for name in fleet.store.names("")}
            return fleet
        seconds, files = planned[same]
        fleet.time.sleep(seconds)
        for name, data in files.items():
            fleet.store.create(name, data)
        return fleet

    return make


@pytest.fixture(scope="session")
def crash() -> type[Crash]:
    return Crash


@pytest.fixture(scope="session")
def crashing_store() -> type[CrashingStore]:
    return CrashingStore


@pytest.fixture(scope="session")
def crashing_gateway() -> type[CrashingGateway]:
    return CrashingGateway
