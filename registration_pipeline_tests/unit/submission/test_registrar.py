"""Many chunks at once: bounded, stopped together, results never lost."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import pytest

from registration_pipeline.errors import CredentialsError, ServiceUnavailableError, StateError, TransientError
from registration_pipeline.submission.calls.retry import RetryPolicy, StoppedError
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.chunk import ChunkSubmission
from registration_pipeline.submission.gateway import JobReport, JobStatus
from registration_pipeline.submission.registrar import register_chunks
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline.tracking.journal.states import ChunkState


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """Eight chunks of one image."""
    return fleet_of(*(f"{number}.jpg" for number in range(8)), chunk_size={"images": 1})


class Wrapped:
    """A gateway around another."""

    def __init__(self, inner: ScriptedGateway) -> None:
        self.inner = inner

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.inner, attribute)


class CountingGateway(Wrapped):
    """Counts the jobs that are open at once; none ends before ``expected`` are."""

    def __init__(self, inner: ScriptedGateway, expected: int) -> None:
        super().__init__(inner)
        self.open, self.most, self.expected = 0, 0, expected
        self.lock, self.is_full = threading.Lock(), threading.Event()

    def start_job(self, **arguments: Any) -> str:
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
            if self.most >= self.expected:
                self.is_full.set()
        return self.inner.start_job(**arguments)

    def poll_job(self, **arguments: Any) -> JobReport:
        self.is_full.wait(10)
        with self.lock:
            self.open -= 1
        return self.inner.poll_job(**arguments)


@pytest.mark.parametrize("max_in_flight", [1, 3, 8])
def test_no_more_jobs_are_open_than_allowed(fleet: Any, max_in_flight: int):
    gateway = CountingGateway(fleet.encord, max_in_flight)

    slots = Slots(max_in_flight, first=max_in_flight)
    results = fleet.register(gateway=gateway, max_in_flight=max_in_flight, slots=slots)

    assert gateway.most == max_in_flight
    assert len(results) == 8
    fleet.assert_exactly_once()


def test_nothing_is_started_before_there_is_room(fleet: Any):
    """Only what is in flight is handed to the pool, so a million chunks make no million futures."""
    started: list[str] = []

    class Slow(Wrapped):
        def start_job(self, **arguments: Any) -> str:
            started.append(threading.current_thread().name)
            return self.inner.start_job(**arguments)

    results = fleet.registering(gateway=Slow(fleet.encord), max_in_flight=2)
    next(results)

    assert len(started) <= 4
    results.close()


def test_a_halt_stops_everything_after_the_finished_results(fleet: Any):
    fleet.encord.starts = [StartScript.ACCEPT] * 3 + [StartScript.HALT] * 5
    results = fleet.registering(max_in_flight=2)
    found: list[Any] = []

    with pytest.raises(CredentialsError):
        found.extend(iter(results.__next__, None))

    concluded = [progress.chunk_id for progress in fleet.journal.all_progress() if progress.state.is_concluded]
    assert sorted(result.chunk.chunk_id for result in found) == concluded
    assert all(result.state is ChunkState.SUCCEEDED for result in found)
    assert len(fleet.encord.starts) >= 3
    fleet.encord.starts = []
    fleet.register()
    fleet.assert_exactly_once()


def test_the_cause_of_a_halt_is_raised_and_not_its_echo(fleet: Any):
    """The other threads stop with errors of their own; the person has to read the first one."""

    class OneRefusal(Wrapped):
        def start_job(self, **arguments: Any) -> str:
            if arguments["manifest"].name.endswith("00001.json"):
                time.sleep(0.05)
                raise CredentialsError("401: key refused")
            raise TransientError("429", retry_after_seconds=60)

    # Room for all: a chunk that waits for a minute keeps its place, and the refused one must not have to wait for it.
    slots = Slots(10, first=10)
    with pytest.raises(CredentialsError, match="key refused"):
        fleet.register(gateway=OneRefusal(fleet.encord), max_in_flight=4, slots=slots, retry=RetryPolicy())


def test_trouble_of_the_state_in_a_thread_surfaces(fleet: Any, crashing_store: Any):
    class FullDisk(crashing_store):  # type: ignore[misc]
        def create(self, name: str, data: bytes) -> None:
            if "-closed" in name:
                raise StateError("no space left")
            self._inner.create(name, data)

    with pytest.raises(StateError, match="no space left"):
        fleet.register(store=FullDisk(fleet.store, 10**9, "before"), max_in_flight=3)
    fleet.register()
    fleet.assert_exactly_once()


class EndlessGateway(Wrapped):
    """The first job ends, the others never do."""

    def poll_job(self, **arguments: Any) -> JobReport:
        report = self.inner.poll_job(**arguments)
        return report if arguments["job_id"] == min(self.inner.jobs, key=list(self.inner.jobs).index) else PENDING


class ThrottledGateway(Wrapped):
    """The first start passes, the others are asked to come back in a minute."""

    def __init__(self, inner: ScriptedGateway) -> None:
        super().__init__(inner)
        self.passed = threading.Lock()

    def start_job(self, **arguments: Any) -> str:
        if self.passed.acquire(blocking=False):
            return self.inner.start_job(**arguments)
        raise TransientError("429", retry_after_seconds=60)


PENDING = JobReport(status=JobStatus.PENDING)


@pytest.mark.parametrize("gateway", [EndlessGateway, ThrottledGateway], ids=["polling", "throttled"])
def test_a_caller_that_stops_early_ends_the_threads_quickly(fleet: Any, gateway: Any):
    before = threading.active_count()
    results = fleet.registering(
        gateway=gateway(fleet.encord), max_in_flight=4, retry=RetryPolicy(), sleep=None, slow_poll_seconds=60
    )
    next(results)
    began = time.monotonic()

    results.close()

    assert time.monotonic() - began < 30, "a poll waits 60 s"
    assert threading.active_count() == before
    fleet.register()
    fleet.assert_exactly_once()


@pytest.mark.timeout(20)
def test_a_stream_that_ends_where_a_thread_is_started_waits_for_nothing_that_is_held_there(fleet: Any):
    """The garbage collector may end it there; every thread needs that lock to end."""
    results = fleet.registering(gateway=EndlessGateway(fleet.encord), max_in_flight=4, retry=RetryPolicy())
    next(results)

    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        results.close()

    fleet.register()
    fleet.assert_exactly_once()


def test_a_stream_that_one_of_its_own_threads_ends_does_not_wait_for_itself(fleet: Any):
    ended: queue.SimpleQueue[float] = queue.SimpleQueue()

    class Ending(EndlessGateway):
        """Whichever thread polls a job that does not end drops the stream, as the garbage collector may there."""

        def poll_job(self, **arguments: Any) -> JobReport:
            report = super().poll_job(**arguments)
            if report is PENDING and is_given.wait(10) and lock.acquire(blocking=False):
                began = time.monotonic()
                results.close()
                ended.put(time.monotonic() - began)
            return report

    is_given, lock = threading.Event(), threading.Lock()
    results = fleet.registering(gateway=Ending(fleet.encord), max_in_flight=4, retry=RetryPolicy())
    next(results)

    is_given.set()

    assert ended.get(timeout=10) < 5


def test_chunks_in_doubt_wait_for_all_others_and_then_for_quiet(fleet: Any):
    fleet.encord.starts = [StartScript.LOSE_REQUEST, StartScript.ACCEPT, StartScript.LOSE_REPLY]
    notes: list[str] = []
    seen_at_notice: list[int] = []

    def notify(text: str) -> None:
        notes.append(text)
        seen_at_notice.append(len(fleet.encord.urls()))

    results = fleet.register(notify=notify)

    assert sorted(result.attempt for result in results) == [1] * 7 + [2]
    assert seen_at_notice == [7]
    assert "2 chunk(s) may or may not have reached Encord" in notes[0]
    assert "120 s of quiet" in notes[0]
    assert sum(fleet.time.slept) >= 120
    fleet.assert_exactly_once()


def test_replies_that_are_lost_again_and_again_halt_without_a_last_wait(fleet_of: Any):
    fleet = fleet_of("a.jpg", encord={"starts": [StartScript.LOSE_REQUEST] * 6})
    planned = fleet.time.monotonic()

    with pytest.raises(ServiceUnavailableError, match="6 times in a row"):
        fleet.register(settle_seconds=120)

    assert fleet.time.monotonic() - planned == pytest.approx(5 * 120, abs=5)
    fleet.register()
    fleet.assert_exactly_once()


def test_the_last_round_may_still_succeed(fleet_of: Any):
    fleet = fleet_of("a.jpg", encord={"starts": [StartScript.LOSE_REQUEST] * 5})

    (result,) = fleet.register()

    assert result.attempt == 6


def test_a_stop_ends_the_wait_for_quiet(fleet_of: Any):
    fleet = fleet_of("a.jpg", encord={"starts": [StartScript.LOSE_REQUEST]})
    context = fleet.context(sleep=None, settle_seconds=600)
    threading.Timer(0.1, context.stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        list(register_chunks(context, fleet.tasks()))

    assert time.monotonic() - began < 60, "the quiet takes 600 s"


def test_two_processes_at_once_register_everything_once(fleet: Any):
    """One of them may be told to stop; neither may send what the other has sent."""
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(len(fleet.register(max_in_flight=2)))
        except Exception as error:  # noqa: BLE001 - what ends a process is checked below
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fleet.register()

    assert set(map(str, outcomes)) <= {"8", "StoppedError"}
    fleet.assert_exactly_once()


def test_every_chunk_of_a_long_list_is_reached(fleet_of: Any):
    fleet = fleet_of(*(f"{number:03d}.jpg" for number in range(60)), chunk_size={"images": 1})

    results = fleet.register(max_in_flight=8)

    assert {result.chunk.chunk_id for result in results} == {chunk.chunk_id for chunk in fleet.chunks}
    assert isinstance(fleet.submission(), ChunkSubmission)
    fleet.assert_exactly_once()
