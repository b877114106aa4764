"""Processes that hang, die or fill their memory take one object with them, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import HaltError, ObjectReadError
from registration_pipeline.facts.media.probed_file import MOST_REQUESTS, ProbedFile
from registration_pipeline.facts.media.trouble import NotUnderstoodError, TooMuchError
from registration_pipeline.facts.media.workers import WorkerPool
from registration_pipeline_tests.unit.facts.media.test_probes import pdf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow  # processes are started and killed

PDF = pdf(3)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    found = WorkerPool(2, wait_seconds=20)
    yield found
    found.close()


def of(content: bytes) -> Callable[[int, int], bytes]:
    return lambda start, length: content[start : start + length]


def started(pool: WorkerPool) -> int:
    """Return the process that a probe starts, which waits for the next one."""
    pool.probe("pdf", "a.pdf", len(PDF), of(PDF))
    return pool.processes[0]


def test_a_process_is_used_again(pool: WorkerPool) -> None:
    for _ in range(3):
        assert pool.probe("pdf", "a.pdf", len(PDF), of(PDF))["num_pages"] == 3

    assert pool.started == 1


@pytest.mark.parametrize(
    ("number", "why"),
    [
        pytest.param(signal.SIGKILL, "the process that read it ended with signal 9", id="killed"),
        pytest.param(signal.SIGSEGV, "the process that read it ended with signal 11", id="crashed"),
        pytest.param(signal.SIGXCPU, "it took too much processor time", id="processor-time"),
    ],
)
def test_a_process_that_dies_is_replaced(number: signal.Signals, why: str, pool: WorkerPool) -> None:
    process = started(pool)

    def killing(start: int, length: int) -> bytes:
        os.kill(process, number)
        return PDF[start : start + length]

    with pytest.raises(NotUnderstoodError, match=why):
        pool.probe("pdf", "a.pdf", len(PDF), killing)

    assert pool.probe("pdf", "a.pdf", len(PDF), of(PDF))["num_pages"] == 3
    assert pool.started == 2


def test_a_process_that_does_not_answer_is_killed(pool: WorkerPool) -> None:
    process = started(pool)
    pool._idle[0]._wait_seconds = 0.5

    def stopping(start: int, length: int) -> bytes:
        os.kill(process, signal.SIGSTOP)
        return PDF[start : start + length]

    with pytest.raises(NotUnderstoodError, match="took longer than"):
        pool.probe("pdf", "a.pdf", len(PDF), stopping)

    assert not Path(f"/proc/{process}").exists()


def test_what_reading_raises_is_raised_and_the_process_goes_on(pool: WorkerPool) -> None:
    def failing(start: int, length: int) -> bytes:
        raise ObjectReadError("not now", is_silent=True)

    with pytest.raises(ObjectReadError, match="not now"):
        pool.probe("pdf", "a.pdf", len(PDF), failing)

    assert pool.probe("pdf", "a.pdf", len(PDF), of(PDF))["num_pages"] == 3
    assert pool.started == 1


def test_a_process_knows_no_secret_of_this_one(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCORD_SSH_KEY", "very secret")
    process = started(pool)

    assert b"secret" not in Path(f"/proc/{process}/environ").read_bytes()


def test_a_process_that_does_not_start_is_not_the_fault_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.facts.media.workers._MODULE", "registration_pipeline.not_there")
    pool = WorkerPool(1)

    with pytest.raises(HaltError, match=r"does not start: .* ended with status 1"):
        pool.probe("pdf", "a.pdf", len(PDF), of(PDF))

    with pytest.raises(HaltError):  # the place of the first one is free again
        pool.probe("pdf", "a.pdf", len(PDF), of(PDF))


def test_no_process_is_left(pool: WorkerPool) -> None:
    process = started(pool)

    pool.close()

    assert not Path(f"/proc/{process}").exists()


def test_more_than_a_limit_is_never_fetched() -> None:
    fetched: list[int] = []

    def fetch(start: int, length: int) -> bytes:
        fetched.append(length)
        return bytes(length)

    file = ProbedFile(fetch, 1 << 40, most_bytes=256 << 10)
    while file.bytes_read < 256 << 10:
        file.read(10_000)
    with pytest.raises(TooMuchError):
        file.read(20_000)
    with pytest.raises(TooMuchError):
        ProbedFile(fetch, 1 << 40, most_bytes=256 << 10).read()

    assert sum(fetched) <= 256 << 10


def test_a_file_that_is_jumped_about_in_is_given_up() -> None:
    file = ProbedFile(lambda _, length: bytes(length), 1 << 40, most_bytes=1 << 40)
    for place in range(MOST_REQUESTS):
        file.read_at(place << 25, 8)

    with pytest.raises(TooMuchError):
        file.read_at(MOST_REQUESTS << 25, 8)

    assert file.requests == MOST_REQUESTS
