"""Sends the metadata that changed: what is under way first, then a wave of what is planned, until nothing is left to plan.

What does not belong here: the order of acts for one chunk (``chunk.py``), and comparing (``planning/upserts``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import FailureReason
from registration_pipeline.planning.upserts.plan import plan_upserts
from registration_pipeline.planning.upserts.request import is_due
from registration_pipeline.submission.registrar import stream_chunks
from registration_pipeline.submission.result import ChunkResult
from registration_pipeline.submission.upserts.effect import UpsertEffect
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline.tracking.upserts import upsert_view

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from registration_pipeline.planning.upserts.request import UpsertPlan, UpsertRequest
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.result import ReadyChunk
    from registration_pipeline.tracking.upserts import UpsertView

MOST_PASSES: Final = 3
"""Of one run. Each after the first is for units whose chunk was not sent because items were deleted since it was planned."""


def send_upserts(
    context: SubmissionContext,
    request_of: Callable[[UpsertView], UpsertRequest],
    *,
    planned: Callable[[UpsertPlan], None] = lambda _: None,
    with_manifests: bool = False,
) -> Generator[ReadyChunk | ChunkResult, None, None]:
    """Bring the source's upserts to their verdicts, and yield what comes. The caller holds the lease.

    Chunks of earlier runs whose start was intended are finished; those that nothing was intended for are sent if there is
    nothing newer, and are planned again otherwise.

    Args:
        context: of the source; the state that stands for its upserts.
        request_of: what is planned from, given what there is of upserts.
        planned: called with each wave.
        with_manifests: yield each chunk with its manifest too, before it is sent.

    Raises:
        HaltError: nothing more may be sent.
        StateCorruptError: a file of the state was changed.
    """
    for number in range(MOST_PASSES):
        view = upsert_view(context.store, context.source)
        under_way = view.under_way()
        if under_way:
            yield from _send(context, view, under_way, with_manifests=with_manifests)
            view = upsert_view(context.store, context.source)
        request = request_of(view)
        if number:
            # A person's wish to send again what failed is met once.
            request = replace(request, policy=replace(request.policy, failed=False, force=False))
        if is_due(request, has_retries=view.has_retries(request.policy)):
            plan = plan_upserts(context.store, request)
            planned(plan)
            view = upsert_view(context.store, context.source, history=plan.history)
        is_unsent = False
        for found in _send(context, view, view.unsent(), with_manifests=with_manifests):
            is_unsent = is_unsent or (isinstance(found, ChunkResult) and FailureReason.PLANNED_AGAIN in found.reasons)
            yield found
        if not is_unsent:
            return


def _send(
    context: SubmissionContext, view: UpsertView, chunks: Iterable[PlannedChunk], *, with_manifests: bool
) -> Generator[ReadyChunk | ChunkResult, None, None]:
    context = replace(context, effect=UpsertEffect(view.snapshot.chunks))
    yield from stream_chunks(context, map(_task, chunks), with_manifests=with_manifests)


def _task(chunk: PlannedChunk) -> ChunkTask:
    return ChunkTask(chunk=chunk)
