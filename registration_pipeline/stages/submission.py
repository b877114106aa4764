"""The stages from a plan to the failure log, in their order: registration, upserts, dataset, failure log.

Commands, ``Pipeline`` and Dagster's jobs run ``submit_chunks``, and differ in what they show of its steps. What does not
belong here: which chunks a run means (``project/selection.py``), and events of Dagster.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from registration_pipeline.counted import counted
from registration_pipeline.errors import LeaseBusyError, RegistrationPipelineError
from registration_pipeline.project.listener import Log, current_listener, notice_and_log
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.project.submitting import register
from registration_pipeline.settings import SourceSettings
from registration_pipeline.tracing import span, traced

if TYPE_CHECKING:
    from registration_pipeline.planning.upserts.request import UpsertPlan
    from registration_pipeline.submission.datasets.linking import LinkTotals
    from registration_pipeline.submission.result import ChunkResult, ReadyChunk
    from registration_pipeline.tracking.due import ChunkTask
    from registration_pipeline.tracking.failures.files import FailureTally
    from registration_pipeline.tracking.links.counts import DatasetCounts
    from registration_pipeline.tracking.status import SourceStatus
    from registration_pipeline.tracking.upserts import UpsertCounts

SAMPLE_ROWS = 10
"""Rows of a failure log that are kept to be shown."""

_DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class ChunksConcluded:
    """Every chunk of a run has its verdict.

    Args:
        failed: the chunks with failures; the first ``SAMPLE_ROWS`` of them have their samples.
    """

    failed: "Sequence[ChunkResult]"


@dataclass(frozen=True, slots=True)
class UpsertsSent:
    """What a run sent of metadata that changed.

    Args:
        counts: units by the state of their newest upsert, afterwards.
        plan: the last wave that was planned; None: nothing had changed.
        units: how many got their new metadata.
    """

    counts: "UpsertCounts"
    plan: "UpsertPlan | None"
    units: int


@dataclass(frozen=True, slots=True)
class DatasetLinked:
    """What a run linked to the source's dataset.

    Args:
        counts: registered units by whether they are linked, afterwards.
        totals: what was done; None: nothing had to be.
    """

    counts: "DatasetCounts"
    totals: "LinkTotals | None"


@dataclass(frozen=True, slots=True)
class LinkingHalted:
    """No more can be linked to the source's dataset now; the failure log is written all the same.

    Args:
        error: why.
    """

    error: RegistrationPipelineError


@dataclass(frozen=True, slots=True)
class FailureLogBegins:
    """All that a run sends is sent, and its failure log is written next."""


@dataclass(frozen=True, slots=True)
class FailureLogWritten:
    """A failure log of the whole source.

    Args:
        status: of the source, counted at the same moment.
        tally: its rows by reason, and the first ones.
        names: of the Parquet file, the CSV file and the page of the report in the state.
    """

    status: "SourceStatus"
    tally: "FailureTally"
    names: Sequence[str]


Step: TypeAlias = (
    "ReadyChunk | ChunkResult | ChunksConcluded | UpsertsSent | DatasetLinked | LinkingHalted | FailureLogBegins "
    "| FailureLogWritten"
)
"""What a run over chunks yields, as it comes."""


def submit_chunks(
    project: Project,
    source: SourceSettings,
    tasks: "Iterable[ChunkTask]",
    *,
    total: int,
    log: Log,
    is_named: bool = False,
    retry_failed: bool = False,
    force: bool = False,
    with_manifests: bool = False,
    hands_on: bool = False,
) -> Generator[Step, None, None]:
    """Register chunks, send metadata that changed, link what is registered to the dataset, and write the failure log.

    Args:
        project: the configuration.
        source: which.
        tasks: the chunks, started one by one as there is room for them.
        total: how many they are.
        log: takes a line.
        is_named: a person chose the chunks, so that nothing else is sent: no upserts.
        retry_failed: also upserts and links that failed before.
        force: also upserts that were tried as often as is allowed.
        with_manifests: yield each chunk with its manifest too, right before it is sent.
        hands_on: the caller lets another run go on when a lease is busy for too long, so that linking raises that, too.

    Raises:
        HaltError: nothing more can be sent; the journal says where to go on. No failure log was written.
        LeaseBusyError: another process works for the source or in its folder. No failure log was written.
        StateError: the state can't be read or written.
    """
    failed = yield from register_chunks(project, source, tasks, total=total, log=log, with_manifests=with_manifests)
    yield ChunksConcluded(failed)
    if source.upsert_metadata and not is_named:
        yield send_upserts(project, source, log, failed=retry_failed, force=force)
    if source.dataset is not None:
        yield _linked_or_halted(project, source, log, retry_failed=retry_failed, hands_on=hands_on)
    yield FailureLogBegins()
    yield write_failure_log(project, source, log)


def _linked_or_halted(
    project: Project, source: SourceSettings, log: Log, *, retry_failed: bool, hands_on: bool
) -> DatasetLinked | LinkingHalted:
    try:
        return link_dataset(project, source, log, retry_failed=retry_failed)
    except RegistrationPipelineError as error:
        if hands_on and isinstance(error, LeaseBusyError):
            raise
        return LinkingHalted(error)


def register_chunks(
    project: Project,
    source: SourceSettings,
    tasks: "Iterable[ChunkTask]",
    *,
    total: int,
    log: Log,
    with_manifests: bool = False,
) -> "Generator[ReadyChunk | ChunkResult, None, list[ChunkResult]]":
    """Bring chunks to their verdicts, yield each when it has its own, and return those with failures.

    The first ``SAMPLE_ROWS`` of them have their samples.

    Arguments and errors are those of ``submit_chunks``.
    """
    from registration_pipeline.submission.result import ChunkResult

    listener = current_listener()
    listener.stage_started(source.name, "registration", total)
    failed: list[ChunkResult] = []
    done = 0
    # Closed here and not when it is freed: an interruption may be kept, with all it refers to, and the threads would go on.
    found = register(project, source, tasks, notify=notice_and_log(log), with_manifests=with_manifests)
    with span("stage", stage="registration"), closing(found):
        for one in found:
            if isinstance(one, ChunkResult):
                done += 1
                listener.chunk_concluded(source.name, one)
                listener.advanced(done)
                if one.has_failures:
                    failed.append(one if len(failed) < SAMPLE_ROWS else replace(one, failures=()))
            yield one
    return failed


def send_upserts(
    project: Project, source: SourceSettings, log: Log, *, failed: bool = False, force: bool = False
) -> UpsertsSent:
    """Send the metadata of registered units that changed.

    Args:
        project: the configuration.
        source: with ``upsert_metadata``.
        log: takes a line.
        failed: also what failed for a reason that does not pass by itself.
        force: also what was tried as often as is allowed.

    Raises:
        HaltError: nothing more can be sent.
    """
    from registration_pipeline.submission.result import ChunkResult

    current_listener().stage_started(source.name, "upserts", None)
    waves: list[UpsertPlan] = []

    def planned(plan: "UpsertPlan") -> None:
        waves.append(plan)
        units = plan.wave.upserts["units"]
        log(f"metadata of {counted(units, 'registered unit')} has changed: {counted(len(plan.chunks), 'chunk')}")

    upserts = project.upserts(source)
    sent = 0
    found = upserts.send(notify=notice_and_log(log), planned=planned, failed=failed, force=force)
    with closing(found):
        for one in found:
            if isinstance(one, ChunkResult):
                sent += one.registered_units
                _log_failed_upserts(one, log)
    return UpsertsSent(upserts.view().counts(), waves[-1] if waves else None, sent)


def _log_failed_upserts(result: "ChunkResult", log: Log) -> None:
    if result.has_failures:
        log(
            f"upserts {result.chunk.chunk_id}: {counted(result.failed_units, 'unit')} of {result.chunk.units:,} did not get "
            f"the new metadata: {', '.join(f'{count:,} {reason}' for reason, count in sorted(result.reasons.items()))}"
        )


def link_dataset(project: Project, source: SourceSettings, log: Log, *, retry_failed: bool = False) -> DatasetLinked:
    """Link what is registered and not linked yet.

    Args:
        project: the configuration.
        source: which; it has a dataset.
        log: takes a line.
        retry_failed: also what could not be linked before.

    Raises:
        HaltError: nothing more can be linked now.
    """
    from registration_pipeline.project.datasets import link_source
    from registration_pipeline.tracking.links.counts import dataset_counts

    listener = current_listener()
    before = dataset_counts(project.store, project.snapshot(source))
    listener.stage_started(source.name, _DATASET, before.pending + (before.failed if retry_failed else 0), unit="unit")
    totals = link_source(
        project, source, notify=notice_and_log(log), progress=listener.advanced, retry_failed=retry_failed
    )
    if totals is not None:
        failed = f"; {counted(totals.failed, 'unit')} could not be linked" if totals.failed else ""
        log(f"dataset: {counted(totals.linked, 'unit')} linked{failed}")
    counts = before if totals is None else dataset_counts(project.store, project.snapshot(source))
    return DatasetLinked(counts, totals)


@traced("stage", stage="failure log")
def write_failure_log(project: Project, source: SourceSettings, log: Log) -> FailureLogWritten:
    """Write the source's failure log and its report from the state, also when nothing failed.

    Raises:
        StateError: the state can't be read or written.
    """
    from registration_pipeline.inventory.inventory import latest_inventory
    from registration_pipeline.report.gather import breakdown_of
    from registration_pipeline.report.nightly import keep_nightly_report
    from registration_pipeline.state.ahead import both
    from registration_pipeline.tracking.failures.log import write_source_failure_log
    from registration_pipeline.tracking.journal.journal import Journal

    current_listener().stage_started(source.name, "failure log", None)
    breakdown = breakdown_of(source)
    log_id = utc_now().strftime("%Y%m%dT%H%M%S%fZ")
    snapshot, inventory = both(
        project.store, lambda: project.snapshot(source), lambda: latest_inventory(project.store, source.name)
    )
    rows = breakdown.watch(project.failures(source, snapshot, inventory=inventory))
    written = write_source_failure_log(project.store, source.name, log_id, rows)
    tally = breakdown.tally
    unlinked = f"; not linked: {counted(tally.unlinked, 'unit')}" if tally.unlinked else ""
    log(f"not registered: {counted(tally.objects, 'object')}{unlinked}: {project.store.location(written[1])}")
    # Here, because everything else that happens at the end only reads.
    Journal(project.store, source.name).summarise(snapshot.journals)
    status = project.status(source, snapshot, inventory=inventory)
    current_listener().counted(status)
    page = keep_nightly_report(
        project,
        source,
        log_id,
        snapshot=snapshot,
        status=status,
        failures=breakdown.figures(),
        notify=notice_and_log(log),
    )
    return FailureLogWritten(status, tally, (*written, page))
