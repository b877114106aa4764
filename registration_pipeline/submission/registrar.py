"""Many chunks at once: bounded in memory, chunks in doubt held back until it is quiet, everything stopped on a halt.

The order of acts for one chunk is in ``chunk.py``.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from registration_pipeline.errors import HaltError, ServiceUnavailableError, StoppedError
from registration_pipeline.submission.chunk import ChunkSubmission
from registration_pipeline.submission.doubt import MOST_IN_A_ROW
from registration_pipeline.submission.result import ChunkResult, InDoubt, ReadyChunk
from registration_pipeline.submission.settle import wait_for_quiet
from registration_pipeline.submission.threads import GeneratorThreads
from registration_pipeline.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.tracking.due import ChunkTask

    Work = Callable[[], "_Prepared | ChunkResult | InDoubt"]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What to show of a chunk that is ready, and the call that takes it further once that was shown."""

    shown: ReadyChunk
    send: Callable[[], ChunkResult | InDoubt]


def register_chunks(context: SubmissionContext, tasks: Iterable[ChunkTask]) -> Iterator[ChunkResult]:
    """Bring every chunk to its verdict and yield results as they come; the caller's thread does nothing else.

    Raises:
        HaltError: nothing more may be sent. Results reached before it have been yielded.
    """
    with closing(stream_chunks(context, tasks, with_manifests=False)) as stream:
        for found in stream:
            if isinstance(found, ChunkResult):
                yield found


def stream_chunks(
    context: SubmissionContext, tasks: Iterable[ChunkTask], *, with_manifests: bool
) -> Generator[ReadyChunk | ChunkResult, None, None]:
    """Bring every chunk to its verdict and yield what comes, as it comes: ready chunks and results.

    A chunk is drawn from ``tasks`` when there is room for it, so no more than ``context.slots.most + context.ahead`` are
    in memory. Chunks whose start is in doubt wait until all others are through, then until their folder has been quiet for
    ``context.settle_seconds``, and are then adopted or sent again. Where the reply to a start would mean the same for every
    other chunk, these are held back until then.

    Args:
        context: what every chunk needs.
        tasks: the chunks; drawn from in the caller's thread.
        with_manifests: make or verify the manifest of every chunk, also of one that needs none any more, and yield the chunk
            with it. It is sent once the caller has come back for more.

    Raises:
        HaltError: nothing more may be sent. Results reached before it have been yielded.
        StateCorruptError: a manifest or the plan of a chunk was changed; nothing more is started.
    """
    begin = _prepare if with_manifests else _advance
    work = (partial(begin, context, task) for task in tasks)
    in_doubt: list[InDoubt] = []
    yield from _run(context, work, in_doubt)
    while in_doubt:
        hopeless = next((doubt for doubt in in_doubt if doubt.is_hopeless), None)
        if hopeless is not None:
            raise ServiceUnavailableError(
                f"The start of chunk {hopeless.chunk.chunk_id} was in doubt {MOST_IN_A_ROW} times in a row, with "
                f"{len(in_doubt) - 1} others; the last reply was: {hopeless.message}. Nothing is lost; run again. If it "
                "lasts, check what lies between this machine and Encord: proxies, gateways, firewalls."
            )
        in_doubt = yield from _resolve(context, in_doubt)
        if not in_doubt:
            yield from _run(context, work, in_doubt)  # what was held back


def _resolve(
    context: SubmissionContext, doubts: Sequence[InDoubt]
) -> Generator[ReadyChunk | ChunkResult, None, list[InDoubt]]:
    """Wait for quiet, decide the chunks in doubt, and return those that are in doubt again or were not reached."""
    settled, left = _settle(context, doubts), iter(doubts)
    work = (partial(_decide, context, doubt, settled) for doubt in left)
    in_doubt: list[InDoubt] = []
    yield from _run(context, work, in_doubt)
    return [*in_doubt, *left]


def _decide(context: SubmissionContext, doubt: InDoubt, settled: float) -> ChunkResult | InDoubt:
    with span("chunk in doubt", chunk_id=doubt.chunk.chunk_id, settled_seconds=settled):
        return ChunkSubmission(context, doubt.chunk).resolve(doubt, settled_seconds=settled)


def _prepare(context: SubmissionContext, task: ChunkTask) -> _Prepared:
    submission = ChunkSubmission(context, task.chunk)
    ready = ReadyChunk(chunk=task.chunk, manifest=submission.manifest())
    return _Prepared(ready, partial(_advance, context, task, submission))


def _advance(
    context: SubmissionContext, task: ChunkTask, submission: ChunkSubmission | None = None
) -> ChunkResult | InDoubt:
    submission, chunk = submission or ChunkSubmission(context, task.chunk), task.chunk
    with span("chunk", chunk_id=chunk.chunk_id, units=chunk.units, objects=chunk.objects):
        return submission.advance(after_attempt=task.after_attempt, is_fresh=task.is_fresh, is_forced=task.is_forced)


def _settle(context: SubmissionContext, in_doubt: Sequence[InDoubt]) -> float:
    sample, settle_seconds = in_doubt[0], context.settle_seconds
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
    context: SubmissionContext, work: Iterable[Work], in_doubt: list[InDoubt]
) -> Iterator[ReadyChunk | ChunkResult]:
    """Run the work, as much of it at a time as there is room for; take no more of it, so memory is bounded too.

    No more of it is begun after a halt, or when a chunk is in doubt for a reason that others would meet, too.
    """
    at_once, waiting, is_held_back = context.slots.most + context.ahead, iter(work), False
    running: set[Future[_Prepared | ChunkResult | InDoubt]] = set()
    halted: HaltError | None = None
    with GeneratorThreads(at_once, "submission") as threads:
        try:
            while True:
                if halted is None and not is_held_back:
                    running.update(_submitted(threads, islice(waiting, at_once - len(running))))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    error = future.exception()
                    if isinstance(error, HaltError):
                        halted = halted if halted and not isinstance(halted, StoppedError) else error
                        context.stop.set()
                        continue
                    found = future.result()
                    if isinstance(found, InDoubt):
                        in_doubt.append(found)
                        is_held_back = is_held_back or found.concerns_all
                        continue
                    yield found.shown if isinstance(found, _Prepared) else found
                    if isinstance(found, _Prepared) and halted is None:
                        running.update(_submitted(threads, [found.send]))
        except BaseException:
            context.stop.set()  # the caller stops early or something unexpected came up: threads end at their next step
            raise
    if halted is not None:
        raise halted


def _submitted(threads: GeneratorThreads, work: Iterable[Work]) -> Iterator[Future[_Prepared | ChunkResult | InDoubt]]:
    """Give work to the threads, each with the caller's context: spans are below the present one in every thread."""
    return (threads.submit(partial(copy_context().run, one)) for one in work)
