"""The processes that run libraries on foreign bytes, and reading for them.

What does not belong here: what they do (``worker.py``).

A process does one object at a time, and a thread of this process reads the ranges that it asks for. It is started when it is
first needed, with no environment but what Python needs, and killed when it takes too long.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import HaltError
from registration_pipeline.facts.media.messages import (
    ASKED,
    DONE,
    FAILED,
    GIVEN,
    RANGE,
    READY,
    REPLY,
    packed,
    read_exactly,
    unpacked,
    write_all,
)
from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES: Final = 8
"""At most. Each takes about 60 MB, and waits for its store most of the time."""

WAIT_SECONDS: Final = 60.0
"""For a process to ask or answer. Its processor time ends earlier; this is for one that sleeps for ever."""

_OBJECTS_OF_ONE: Final = 5_000
"""After which a process is replaced: libraries in C lose a little memory now and then."""

_MOST_RANGE: Final = 256 << 20
_MODULE: Final = "registration_pipeline.facts.media.worker"
_START_SECONDS: Final = 120.0


class WorkerPool:
    """Processes that probe files; a context manager.

    Args:
        processes: at most.
        wait_seconds: for one to ask or answer.
    """

    def __init__(self, processes: int = PROCESSES, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = threading.Semaphore(processes)
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self.started = 0

    @property
    def processes(self) -> list[int]:
        """The ids of the processes that have nothing to do."""
        with self._lock:
            return [worker.process_id for worker in self._idle]

    def close(self) -> None:
        """End all processes that have nothing to do."""
        with self._lock:
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.end()

    def probe(self, name: str, key: str, size: int, fetch: Callable[[int, int], bytes]) -> dict[str, Any]:
        """Return the block of media metadata of a file.

        Args:
            name: of the probe.
            key: of the object.
            size: of the object, in bytes.
            fetch: gives the bytes from a place on, as many as asked for.

        Raises:
            NotUnderstoodError: there is none, or the process did not survive the file.
            HaltError: no process can be started.
            Exception: what ``fetch`` raises.
        """
        with self._free, self._worker() as worker:
            return worker.probe({"probe": name, "key": key, "size": size}, fetch)

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            self.started += worker is None
        worker = worker or _Worker(self._wait_seconds)
        try:
            yield worker
        finally:
            if worker.is_usable:
                with self._lock:
                    self._idle.append(worker)
            else:
                worker.end()


class _Worker:
    """One process."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._process = subprocess.Popen(  # noqa: S603 - Python itself
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # an interruption is for this process, which then ends the other
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("unreachable")
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._objects = 0
        self._is_broken = True
        self._await_start()

    def _await_start(self) -> None:
        try:
            is_ready = self._read(1, _START_SECONDS) == READY
        except TimeoutError:
            is_ready = False
        if not is_ready:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self.end()
            raise HaltError(
                f"The process that probes media does not start: {sys.executable} -m {_MODULE} ended with status "
                f"{self._process.returncode}. Run this command to find out why; it should wait without a word"
            )

    @property
    def process_id(self) -> int:
        """Of the system."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it can take another object."""
        return not self._is_broken and self._objects < _OBJECTS_OF_ONE

    def probe(self, job: dict[str, Any], fetch: Callable[[int, int], bytes]) -> dict[str, Any]:
        """See ``WorkerPool.probe``."""
        self._objects += 1
        self._is_broken = (
            True  # until the answer is complete: whatever happens before leaves it in the middle of something
        )
        try:
            found, trouble = self._conversation(job, fetch)
        except TimeoutError:
            raise NotUnderstoodError(f"took longer than {self._wait_seconds:.0f} seconds to be understood") from None
        except (EOFError, BrokenPipeError, ConnectionError, ValueError):
            raise NotUnderstoodError(f"can't be understood: {self._end_of_process()}") from None
        self._is_broken = bool(found.get("is_last"))
        if trouble is not None:
            raise trouble
        if "block" in found:
            block: dict[str, Any] = found["block"]
            return block
        raise NotUnderstoodError(str(found.get("why", "is damaged")))

    def _conversation(
        self, job: dict[str, Any], fetch: Callable[[int, int], bytes]
    ) -> tuple[dict[str, Any], Exception | None]:
        write_all(self._to, packed(job))
        trouble: Exception | None = None
        while True:
            kind = read_exactly(self._read, 1)
            if kind == DONE:
                return unpacked(self._read), trouble
            if kind != ASKED:
                raise ValueError("not a message")
            start, length = RANGE.unpack(read_exactly(self._read, RANGE.size))
            try:
                if trouble is not None or not 0 < length <= _MOST_RANGE:
                    raise ValueError("not a range")  # noqa: TRY301 - answered like a failure of the store
                content = fetch(start, length)
            except Exception as error:  # noqa: BLE001 - raised when the process has ended its work
                trouble = trouble or error
                write_all(self._to, REPLY.pack(FAILED, 0))
            else:
                write_all(self._to, REPLY.pack(GIVEN, len(content)) + content)

    def _read(self, length: int, seconds: float | None = None) -> bytes:
        poll = select.poll()
        poll.register(self._from, select.POLLIN)
        if not poll.poll((self._wait_seconds if seconds is None else seconds) * 1000):
            raise TimeoutError
        return os.read(self._from, length)

    def _end_of_process(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(5)
            if code == -signal.SIGXCPU:
                return "it took too much processor time"
            return f"the process that read it ended with {f'signal {-code}' if code < 0 else f'status {code}'}"
        return "the process that read it does not answer"

    def end(self) -> None:
        """End the process: one that waits for a job ends by itself, any other is killed."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(0 if self._is_broken else 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
