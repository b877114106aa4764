"""The stage that reads headers, as the shell runs it: an asset where rules ask for headers, else a part of planning.

What does not belong here: which headers are needed, and reading them (``project/headers.py`` and below).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import ProjectResource
from registration_pipeline.orchestration.runs.listener import current_listener, errors_as_failures, notice_and_log
from registration_pipeline.orchestration.stages import Log, ProgressReporter, StageReport
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.settings.units import asks_for_headers

if TYPE_CHECKING:
    from registration_pipeline.facts.reading.reading import Reading

_STAGE = "headers"


def has_headers_asset(source: SourceSettings) -> bool:
    """Return whether reading headers is a step of its own: where a rule asks for them (decision 034)."""
    return asks_for_headers(source.groups)


def headers_stage(project: Project, source: SourceSettings, log: Log, *, again: bool = False) -> StageReport:
    """Read the headers that are not known, and describe what is known.

    Args:
        project: the configuration.
        source: which.
        log: takes a line.
        again: also if they were read for the latest inventory; what could not be read is tried once more.
    """
    from registration_pipeline.facts.headers.schema import latest_headers

    current_listener().stage_started(source.name, _STAGE, None)
    reading = read_headers(project, source, log, again=again)
    facts = reading.facts if reading else latest_headers(project.store, source.name)
    return StageReport(metadata.headers_metadata(project.store, facts, reading.progress if reading else None))


def read_headers(project: Project, source: SourceSettings, log: Log, *, again: bool = False) -> "Reading | None":
    """Read the headers that are not known, and say what it came to; None: there was nothing to read."""
    report = ProgressReporter(log)
    reading = project.read_headers(source, report, again=again)
    if reading is not None and (reading.progress.read or reading.progress.problems or reading.progress.waiting):
        log(f"headers: {reading.progress}")
        if unread := reading.progress.problems.get("header_unreadable"):
            notice_and_log(log)(
                f"{source.name}: {unread:,} headers could not be read; `registration-pipeline failures {source.name}` says "
                "why. The next sync tries again."
            )
        if waiting := reading.progress.waiting:
            notice_and_log(log)(
                f"{source.name}: {waiting:,} headers could not be read now. These objects, and all units that they may be in, "
                "are held until the next sync."
            )
    return reading


def build_headers_asset(source: SourceSettings) -> dg.AssetsDefinition:
    """Return the asset of a source whose rules ask for headers."""
    own = SourceNames(source.name)

    @dg.asset(
        key=own.headers,
        group_name=own.ident,
        tags={names.SOURCE_TAG: source.name},
        deps=[own.inventory],
        kinds={"parquet"},
        pool=own.listing_pool,
        description="Which DICOM series each new object is in, read from its header. What is known is not read again.",
    )
    def headers(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        with errors_as_failures():
            report = headers_stage(*project.load_source(source.name), context.log.info, again=True)
        return dg.MaterializeResult(metadata=report.metadata)

    return headers


def build_headers_op(source: SourceSettings) -> dg.OpDefinition:
    """Return the step of a sync between inventory and plan."""
    return _op(source, "read_headers", again=False, ins={"listed": dg.In(dg.Nothing)})


def build_probe_job(source: SourceSettings, tags: dict[str, str]) -> dg.JobDefinition:
    """Return the job that reads headers and does nothing else; every source has it."""
    own = SourceNames(source.name)
    read = _op(source, "probe_headers", again=True, ins={})

    @dg.job(name=own.probe_job, tags=tags, description=f"Headers of the DICOM objects of {source.uri}.")
    def probe() -> None:
        read()

    return probe


def _op(source: SourceSettings, name: str, *, again: bool, ins: dict[str, Any]) -> dg.OpDefinition:
    own = SourceNames(source.name)

    @dg.op(name=f"{own.ident}_{name}", pool=own.listing_pool, ins=ins, out=dg.Out(dg.Nothing))
    def read(context: dg.OpExecutionContext, project: ProjectResource) -> Iterator[dg.AssetMaterialization]:
        with errors_as_failures():
            report = headers_stage(*project.load_source(source.name), context.log.info, again=again)
        if has_headers_asset(source):
            yield dg.AssetMaterialization(own.headers, metadata=report.metadata)

    return read
