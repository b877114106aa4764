"""Submitting chunks of a loaded source: the lease, the folder, what it held before, and the stream of results.

What does not belong here: one chunk's way to its verdict (``submission``), and the order of the stages (``stages``).
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings, encord_domain

if TYPE_CHECKING:
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.prior_items import PriorItems
    from registration_pipeline.submission.result import ChunkResult, ReadyChunk
    from registration_pipeline.tracking.due import ChunkTask
    from registration_pipeline.tracking.snapshot import SourceSnapshot

_LONGEST_SLICE_SECONDS = 10


def register(
    project: Project,
    source: SourceSettings,
    tasks: "Iterable[ChunkTask]",
    *,
    notify: Callable[[str], None],
    with_manifests: bool = False,
) -> "Generator[ReadyChunk | ChunkResult, None, None]":
    """Bring the chunks to their verdicts, yielding results as they come; nothing is asked of Encord without chunks.

    Waits while another process submits the source.

    Args:
        project: the configuration.
        source: where they belong.
        tasks: the chunks, started one by one as there is room for them.
        notify: called with texts about what takes long.
        with_manifests: yield each chunk with its manifest too, before it is sent.

    Raises:
        HaltError: nothing more may be sent.
    """
    from registration_pipeline.submission.registrar import stream_chunks
    from registration_pipeline.tracking.snapshot import written_journals

    waiting = iter(tasks)
    first = next(waiting, None)
    if first is None:
        return
    with submitting(project, source, notify) as opened:
        seen = project.held.get((project.store.uri, source.name))
        prior = _prior_items(project, source, opened, seen)
        with written_journals(project.held, project.store.uri, source.name) as concluded:
            context = replace(opened, prior=prior, concluded=concluded)
            if seen is not None and seen.is_as_of(opened.lease_term):
                context = replace(context, untouched=lambda chunk_id: chunk_id not in seen.journals)
            yield from stream_chunks(context, chain([first], waiting), with_manifests=with_manifests)


@contextmanager
def submitting(
    project: Project, source: SourceSettings, notify: Callable[[str], None]
) -> "Iterator[SubmissionContext]":
    """Hold the source's lease and its folder, and give what its chunks are submitted with.

    Waits while another process submits the source, or another source of the state to the same folder.

    Args:
        project: the configuration.
        source: which.
        notify: called with texts about what takes long.

    Raises:
        HaltError: nothing may be sent.
    """
    from registration_pipeline.state.folder_lease import hold_folder, hold_title
    from registration_pipeline.state.lease import hold_lease
    from registration_pipeline.submission.calls.pace import shared_pace
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.calls.slots import Slots
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.shared_folder import refuse_shared_folder
    from registration_pipeline.submission.target import resolve_target

    stop = threading.Event()
    settings = project.settings
    pace = shared_pace(encord_domain(settings, project.environ))
    retry = RetryPolicy(pace=pace, source=source.name, stop=stop)
    waiting: dict[str, Any] = {"clock": utc_now, "notify": notify, "stop": stop, "longest_wait": project.longest_wait}
    # Before the folder is searched for: two processes that both find none would make two.
    with hold_lease(project.store, source.name, **waiting) as lease:
        gateway = project.gateway
        target = resolve_target(
            gateway,
            retry,
            source,
            known=project.known_folders(source),
            notify=notify,
            before_creating=partial(hold_title, project.store, lease, source.encord.folder),
        )
        refuse_shared_folder(gateway, retry, settings, source, target.folder_uuid)
        hold_folder(project.store, lease, target.folder_uuid)
        yield SubmissionContext(
            store=project.store,
            source=source.name,
            gateway=gateway,
            target=target,
            limits=project.manifest_limits,
            submit_as=source.submit_as,
            needs_media_metadata=source.strict_client_only,
            retry=retry,
            stop=stop,
            may_send=lease.check,
            lease_term=lease.term,
            slots=Slots(source.max_in_flight, lambda: pace.throttles),
            notify=notify,
            slice_seconds=min(_LONGEST_SLICE_SECONDS, settings.encord.timeout_seconds // 2),
            job_timeout_seconds=source.job_timeout_seconds,
            settle_seconds=source.settle_seconds,
        )


def _prior_items(
    project: Project, source: SourceSettings, context: "SubmissionContext", seen: "SourceSnapshot | None"
) -> "PriorItems | None":
    """Return what the folder held before the source's first upload; nothing of this costs a request later on."""
    from registration_pipeline.submission.prior_items import PriorItemsFinder, was_sent_to
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.urls import object_url

    folder_uuid = context.target.folder_uuid

    def has_sent() -> bool:
        # What was read before the lease was held can only have become more; it mostly settles it.
        if seen is not None and (seen.is_as_of(context.lease_term) or was_sent_to(folder_uuid, seen.journals)):
            return was_sent_to(folder_uuid, seen.journals)
        return was_sent_to(folder_uuid, Journal(project.store, source.name).fold_all())

    return PriorItemsFinder(
        store=project.store,
        source=source.name,
        target=context.target,
        url_prefix=object_url(source, source.location.prefix),
        gateway=project.gateway,
        retry=context.retry,
        has_sent=has_sent,
        notify=context.notify,
    ).find()
