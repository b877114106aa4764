"""Linking the items of a source to its dataset: the lease, the state and Encord put together.

What does not belong here: what is linked where (``submission/datasets``), and what is shown of it (``orchestration``).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from registration_pipeline.project.project import utc_now
from registration_pipeline.settings import encord_domain, encord_private_key
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.submission.calls.pace import shared_pace
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.datasets.context import LinkContext
from registration_pipeline.submission.datasets.linking import DatasetLinking, due_for_linking
from registration_pipeline.submission.datasets.target import gone_error, title_now, title_of
from registration_pipeline.submission.encord.datasets import EncordDatasetGateway
from registration_pipeline.tracking.links.ledger import LinkRecords
from registration_pipeline.tracking.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.project.project import Project
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.submission.datasets.gateway import DatasetGateway
    from registration_pipeline.submission.datasets.linking import LinkTotals
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.snapshot import SourceSnapshot


def dataset_gateway(project: Project) -> DatasetGateway:
    """Return Encord's datasets.

    Raises:
        CredentialsError: no key in the environment.
        ConfigurationError: a key that can't be used.
    """
    return EncordDatasetGateway(
        ssh_private_key=encord_private_key(project.environ).reveal(),
        domain=encord_domain(project.settings, project.environ),
        timeout_seconds=project.settings.encord.timeout_seconds,
    )


def link_source(
    project: Project,
    source: SourceSettings,
    *,
    notify: Callable[[str], None],
    progress: Callable[[int], None] = lambda _: None,
    retry_failed: bool = False,
) -> LinkTotals | None:
    """Link what is registered and not linked yet to the source's dataset; None: nothing had to be.

    Sources without a dataset read nothing, and nothing is asked of Encord where all is linked. Waits while another process
    submits the source.

    Args:
        project: the configuration.
        source: which.
        notify: called with texts for people.
        progress: called with how many units were dealt with so far.
        retry_failed: also what could not be linked before.

    Raises:
        HaltError: nothing more can be linked now.
    """
    if source.dataset is None:
        return None
    snapshot = project.snapshot(source)
    ledger = LinkRecords(project.store, source.name).read()
    if ledger.open is None and not due_for_linking(ledger, _progresses(snapshot), retry_failed=retry_failed):
        return None
    stop = threading.Event()
    pace = shared_pace(encord_domain(project.settings, project.environ))
    try:
        with hold_lease(
            project.store, source.name, clock=utc_now, notify=notify, stop=stop, longest_wait=project.longest_wait
        ) as lease:
            context = LinkContext(
                store=project.store,
                source=source.name,
                settings=source.dataset,
                gateway=dataset_gateway(project),
                retry=RetryPolicy(pace=pace, source=source.name, stop=stop),
                stop=stop,
                may_send=lease.check,
                notify=notify,
                progress=progress,
                clock=utc_now,
                threads=source.max_in_flight,
            )
            # Read once more: another process may have registered and linked while this one waited for the lease.
            current = read_snapshot(project.store, source.name, before=snapshot)
            return DatasetLinking(context).run(_progresses(current), retry_failed=retry_failed)
    finally:
        stop.set()


def find_source_dataset(project: Project, source: SourceSettings, retry: RetryPolicy) -> str:
    """Say which dataset the next items of a source go to, or that it will be made; nothing is changed.

    Raises:
        HaltError: it can't be used; the message says what to do.
    """
    assert source.dataset is not None
    gateway, title = dataset_gateway(project), source.dataset.title
    ledger = LinkRecords(project.store, source.name).read()
    in_use = ledger.in_use(title)
    if not in_use:
        found = retry.read(f"finding dataset {title!r}", lambda: gateway.find_dataset(title))
        return (
            f"dataset {title!r} is {found}" if found else f"dataset {title!r} does not exist; the first sync creates it"
        )
    for one in in_use:
        now = title_now(gateway, retry, one.dataset_uuid)
        if now is None:
            raise gone_error(source.name, one.dataset_uuid, ledger)
        if ledger.fill.get(one.dataset_uuid, 0) < source.dataset.max_items:
            break
    renamed = "" if now == one.title else f"; it is titled {now!r} now and is used as before"
    return f"dataset {title_of(title, one.part)!r} is {one.dataset_uuid}{renamed}"


def _progresses(snapshot: SourceSnapshot) -> Iterator[ChunkProgress]:
    return map(snapshot.progress_of, snapshot.chunks)
