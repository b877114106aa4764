"""Charges CPU to functions, without making them slower: a stage of ``chunk_cpu`` under a sampling profiler.

Every two milliseconds a thread reads how much CPU each other thread has used since the last time, by the threads' own clocks,
and charges it to where the thread is. So waiting costs nothing, calls into C count where they are made from, and the program
runs at nearly its own speed. What Arrow's own threads use is in no Python function and is left to the caller as a remainder.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks import chunk_cpu
from benchmarks.measure import Stopwatch

if TYPE_CHECKING:
    from types import FrameType

INTERVAL_SECONDS = 0.002
ROWS = 30
_OURS = "registration_pipeline/"


class CpuSampler:
    """Charges CPU to functions while it is entered.

    ``own`` is charged to the function itself with what it calls in C; ``nearest`` to the pipeline's function that is nearest,
    with the libraries that it calls; ``inclusive`` to every function of the pipeline on the stack. Seconds.
    """

    def __init__(self) -> None:
        self.own: defaultdict[str, float] = defaultdict(float)
        self.nearest: defaultdict[str, float] = defaultdict(float)
        self.inclusive: defaultdict[str, float] = defaultdict(float)
        self.charged_seconds = 0.0
        self.sampler_seconds = 0.0
        self._used: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="cpu-sampler", daemon=True)

    def __enter__(self) -> Self:
        for ident in sys._current_frames():  # noqa: SLF001 - the documented way to see other threads' frames
            self._used[ident] = _cpu_of(ident)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        began = time.thread_time()
        while not self._ended.wait(INTERVAL_SECONDS):
            for ident, frame in sys._current_frames().items():  # noqa: SLF001
                if ident == threading.get_ident():
                    continue
                # A thread's number may be used again, for one whose clock begins at zero.
                used, before = _cpu_of(ident), self._used.get(ident, 0.0)
                self._used[ident] = used
                self._charge(frame, used - before if used >= before else used)
        self.sampler_seconds = time.thread_time() - began

    def _charge(self, frame: FrameType, seconds: float) -> None:
        if seconds <= 0:
            return
        self.charged_seconds += seconds
        stack = [_name(one) for one in _stack(frame)]
        self.own[stack[0]] += seconds
        ours = [name for name in stack if name.startswith(_OURS)]
        if ours:
            self.nearest[ours[0]] += seconds
        for name in set(ours):
            self.inclusive[name] += seconds


def _cpu_of(ident: int) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(ident))


def _stack(frame: FrameType | None) -> list[FrameType]:
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    return stack


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = code.co_filename
    for start in ("/site-packages/", f"/{Path(sys.prefix).name}/", "/lib/"):
        path = path.rpartition(start)[2] if start in path else path
    if f"/{_OURS}" in path:
        path = _OURS + path.rpartition(f"/{_OURS}")[2]
    return f"{path}:{code.co_qualname}"


def profile(watch: Stopwatch, *, stage: str) -> None:
    """Stage: one of ``chunk_cpu``, sampled."""
    sampler = CpuSampler()

    class Sampling(Stopwatch):
        """Samples while the stage's own watch runs, so that imports and preparation are left out."""

        def __enter__(self) -> Self:
            super().__enter__()
            sampler.__enter__()
            return self

        def __exit__(self, *_: object) -> None:
            sampler.__exit__()
            super().__exit__()

    own = Sampling()
    getattr(chunk_cpu, stage)(own)
    watch.seconds, watch.cpu_seconds, watch.libraries_bytes = own.seconds, own.cpu_seconds, own.libraries_bytes
    watch.facts.update(own.facts)
    for name in ("own", "nearest", "inclusive"):
        charged: dict[str, float] = getattr(sampler, name)
        watch.facts[name] = sorted(charged.items(), key=lambda entry: -entry[1])[:ROWS]
    watch.facts.update(charged=sampler.charged_seconds, sampler=sampler.sampler_seconds)
