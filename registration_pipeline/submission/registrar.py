"""Many chunks at once: bounded in memory, chunks in doubt held back until it is quiet, everything stopped on a halt.

The order of acts for one chunk is in ``chunk.py``.
"""

from __future__ import annotations

import collections
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING

from registration_pipeline.errors import HaltError, ServiceUnavailableError, StoppedError
from registration_pipeline.submission.chunk import ChunkSubmission
from registration_pipeline.submission.result import ChunkResult, InDoubt
from registration_pipeline.submission.settle import wait_for_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.tracking.due import Errand

_MAX_SETTLE_ROUNDS = 5
_AHEAD = 2
"""Chunks that are made ready or concluded while ``max_in_flight`` jobs are open, so that no room for a job stays empty."""


def register_chunks(
    context: SubmissionContext, errands: Sequence[Errand], *, max_in_flight: int, settle_seconds: float
) -> Iterator[ChunkResult]:
    """Bring every chunk to its verdict and yield results as they come; the caller's thread does nothing else.

    Chunks whose start is in doubt wait until all others are through, then until their folder has been quiet for
    ``settle_seconds``, and are then adopted or sent again.

    Args:
        max_in_flight: how many upload jobs may be open; ``context.slots`` sees to it.

    Raises:
        HaltError: nothing more may be sent. Results reached before it have been yielded.
    """
    in_doubt: list[InDoubt] = []
    work = [
        partial(
            ChunkSubmission(context, errand.chunk).advance,
            after_attempt=errand.after_attempt,
            is_fresh=errand.is_fresh,
            is_forced=errand.is_forced,
        )
        for errand in errands
    ]
    yield from _run(context, work, max_in_flight + _AHEAD, in_doubt)
    for _ in range(_MAX_SETTLE_ROUNDS):
        if not in_doubt:
            return
        settled = _settle(context, in_doubt, settle_seconds)
        work = [
            partial(ChunkSubmission(context, doubt.chunk).resolve, doubt, settled_seconds=settled) for doubt in in_doubt
        ]
        in_doubt = []
        yield from _run(context, work, max_in_flight + _AHEAD, in_doubt)
    if not in_doubt:
        return
    raise ServiceUnavailableError(
        f"Encord lost the reply to the start of {len(in_doubt)} chunk(s) {_MAX_SETTLE_ROUNDS + 1} times in a row. Nothing "
        "is lost; run again."
    )


def _settle(context: SubmissionContext, in_doubt: Sequence[InDoubt], settle_seconds: float) -> float:
    sample = in_doubt[0]
    context.notify(
        f"{len(in_doubt)} chunk(s) may or may not have reached Encord, e.g. {sample.chunk.chunk_id} ({sample.message}); "
        f"waiting for {settle_seconds:.0f} s of quiet in the folder before anything is sent again"
    )
    return max(
        wait_for_quiet(
            gateway=context.gateway,
            retry=context.calls,
            folder_uuid=folder_uuid,
            settle_seconds=settle_seconds,
            sleep=context.pause,
            monotonic=context.monotonic,
        )
        for folder_uuid in sorted({doubt.folder_uuid for doubt in in_doubt})
    )


def _run(
    context: SubmissionContext,
    work: Iterable[Callable[[], ChunkResult | InDoubt]],
    at_once: int,
    in_doubt: list[InDoubt],
) -> Iterator[ChunkResult]:
    """Run the work with at most ``at_once`` at a time; queue only that many, so memory is bounded too."""
    queue = collections.deque(work)
    running: set[Future[ChunkResult | InDoubt]] = set()
    halted: HaltError | None = None
    with ThreadPoolExecutor(at_once, thread_name_prefix="submission") as pool:
        try:
            while running or (queue and halted is None):
                while queue and halted is None and len(running) < at_once:
                    running.add(pool.submit(queue.popleft()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    error = future.exception()
                    if isinstance(error, HaltError):
                        halted = halted if halted and not isinstance(halted, StoppedError) else error
                        context.stop.set()
                        continue
                    result = future.result()
                    if isinstance(result, InDoubt):
                        in_doubt.append(result)
                    else:
                        yield result
        finally:
            # Also when the caller stops early or something unexpected came up: threads end at their next step.
            if running or queue:
                context.stop.set()
    if halted is not None:
        raise halted
