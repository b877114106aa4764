"""The stages that read facts about objects, as the shell runs them: assets where a source asks for them, or parts of the plan.

What does not belong here: which facts are needed, and reading them (``project/facts`` and below).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.counted import counted
from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.asset_specs import declared
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import current_listener, errors_as_failures, notice_and_log
from registration_pipeline.orchestration.stages import CheckReport, Log, ProgressReporter, StageReport
from registration_pipeline.project.project import Project
from registration_pipeline.settings import MediaMetadata, SourceSettings
from registration_pipeline.settings.units import asks_for_headers

if TYPE_CHECKING:
    from registration_pipeline.facts.reading.reading import Reading
    from registration_pipeline.facts.sets import FactSet


@dataclass(frozen=True, slots=True, kw_only=True)
class FactStage:
    """A stage between inventory and plan.

    Args:
        name: of its asset, and of its set of facts.
        is_step: whether it is an asset and a step of its own; if not, the plan reads what turns out to be needed.
        read: reads what is not known; None: there was nothing to read.
        held: what is held while a part of it can't be read.
        check: what is checked of its set of facts; None: nothing.
    """

    name: str
    is_step: Callable[[SourceSettings], bool]
    read: "Callable[[Project, SourceSettings, ProgressReporter, bool], Reading | None]"
    held: str
    check: "Callable[[SourceNames, FactSet], CheckReport] | None" = None


def _has_metadata(own: SourceNames, facts: "FactSet") -> CheckReport:
    """Check whether the entries of ``metadata`` say something of every object: a table may not be complete yet."""
    notes: Any = facts.notes
    counts = notes.get("counts", {})
    objects, described = counts.get("objects", 0), counts.get("with_values", 0)
    problems = sum(notes.get("problems", {}).values())
    return CheckReport(
        names.EVERY_OBJECT_HAS_METADATA,
        own.facts(facts.name),
        passed=described == objects and not counts.get("waiting", 0),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "objects": objects,
            "objects_with_metadata": described,
            "objects_without": objects - described - problems,
            "objects_with_problems": problems,
            "objects_waiting": counts.get("waiting", 0),
            "tables": dg.MetadataValue.json(notes.get("tables", [])),
        },
    )


STAGES: tuple[FactStage, ...] = (
    FactStage(
        name="headers",
        is_step=lambda source: asks_for_headers(source.groups),
        read=lambda project, source, report, again: project.read_headers(source, report, again=again),
        held="These objects, and all units that they may be in,",
    ),
    FactStage(
        name="media",
        is_step=lambda source: source.media_metadata is MediaMetadata.PROBE,
        read=lambda project, source, report, again: project.read_media(source, report, again=again),
        held="These objects, and the units that they are in,",
    ),
    FactStage(
        name="metadata",
        is_step=lambda source: bool(source.metadata),
        read=lambda project, source, report, again: project.read_metadata(source, report, again=again),
        held="These objects, and the units that they are in,",
        check=_has_metadata,
    ),
)
"""In the order in which a sync runs them."""


def steps_of(source: SourceSettings) -> tuple[FactStage, ...]:
    """Return the stages that are steps of a source's sync."""
    return tuple(stage for stage in STAGES if stage.is_step(source))


def asset_keys(source: SourceSettings, own: SourceNames) -> list[dg.AssetKey]:
    """Return the assets of a source's facts."""
    return [own.facts(stage.name) for stage in steps_of(source)]


def read_facts(project: Project, source: SourceSettings, log: Log) -> None:
    """Read everything that a plan of the latest inventory needs and that is not known."""
    for stage in STAGES:
        _read(stage, project, source, log, again=False)


def fact_stage(
    stage: FactStage, project: Project, source: SourceSettings, own: SourceNames, log: Log, *, again: bool = False
) -> StageReport:
    """Read what is not known, and describe what is known.

    Args:
        stage: which.
        project: the configuration.
        source: which.
        own: its names.
        log: takes a line.
        again: also if it was read for the latest inventory; what could not be read is tried once more.
    """
    from registration_pipeline.facts.sets import latest_facts

    current_listener().stage_started(source.name, stage.name, None)
    reading = _read(stage, project, source, log, again=again)
    facts = reading.facts if reading else latest_facts(project.store, source.name, stage.name)
    shown = metadata.facts_metadata(project.store, facts, reading.progress if reading else None)
    return StageReport(shown, (stage.check(own, facts),) if stage.check and facts else ())


def _read(stage: FactStage, project: Project, source: SourceSettings, log: Log, *, again: bool) -> "Reading | None":
    """Read what is not known, and say what it came to; None: there was nothing to read."""
    reading = stage.read(project, source, ProgressReporter(log), again)
    if reading is None:
        return None
    progress = reading.progress
    if progress.read or progress.problems or progress.waiting:
        log(f"{stage.name}: {progress}")
    unread = sum(count for reason, count in progress.problems.items() if reason.endswith("_unreadable"))
    if unread:
        is_sent = stage.name == "media" and not source.strict_client_only
        why = (
            f"`registration-pipeline probe {source.name}` says why. What is planned before they can be read is sent without "
            "media metadata"
            if is_sent
            else f"`registration-pipeline failures {source.name}` says why"
        )
        notice_and_log(log)(
            f"{source.name}: {stage.name} of {counted(unread, 'object')} could not be read; {why}. The next sync tries again."
        )
    if progress.waiting:
        notice_and_log(log)(
            f"{source.name}: {stage.name} of {counted(progress.waiting, 'object')} could not be read now. {stage.held} are "
            "held until the next sync."
        )
    return reading


def build_fact_assets(source: SourceSettings, own: SourceNames) -> list[dg.AssetsDefinition]:
    """Return the assets of the facts that a source asks for."""
    return [_asset(stage, own) for stage in steps_of(source)]


def _asset(stage: FactStage, own: SourceNames) -> dg.AssetsDefinition:
    key = own.facts(stage.name)
    text = "Each object that a plan needs has values from some entry; a warning, with counts for each table."

    @dg.asset(
        **declared(own, stage.name, own.inventory),
        check_specs=[dg.AssetCheckSpec(names.EVERY_OBJECT_HAS_METADATA, asset=key, description=text)]
        if stage.check
        else None,
        pool=own.listing_pool,
    )
    def facts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with errors_as_failures():
            report = fact_stage(stage, *load_source(context, own), own, context.log.info, again=True)
        return dg.MaterializeResult(
            metadata=report.metadata, check_results=[check.as_result() for check in report.checks]
        )

    return facts


def build_fact_ops(source: SourceSettings, own: SourceNames) -> list[dg.OpDefinition]:
    """Return the steps of a sync between inventory and plan."""
    before = {"listed": dg.In(dg.Nothing)}
    return [_op(stage, source, own, f"read_{stage.name}", again=False, ins=before) for stage in steps_of(source)]


def build_probe_job(source: SourceSettings, own: SourceNames, tags: dict[str, str]) -> dg.JobDefinition:
    """Return the job that reads facts and does nothing else; every source has it."""
    # Headers always: whether they are needed shows in the bucket.
    stages = [stage for stage in STAGES if stage.name == "headers" or stage.is_step(source)]
    first, *others = (
        _op(stage, source, own, f"probe_{stage.name}", again=True, ins={"listed": dg.In(dg.Nothing)} if place else {})
        for place, stage in enumerate(stages)
    )

    @dg.job(
        name=own.probe_job,
        tags=tags,
        description=f"Headers, media and metadata of the objects of {source.uri}.",
        executor_def=dg.in_process_executor,
    )
    def probe() -> None:
        done = first()
        for read in others:
            done = read(listed=done)

    return probe


def _op(
    stage: FactStage, source: SourceSettings, own: SourceNames, name: str, *, again: bool, ins: dict[str, Any]
) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_{name}",
        description=own.specs[stage.name].description,
        pool=own.listing_pool,
        ins=ins,
        out=dg.Out(dg.Nothing),
        required_resource_keys={own.resource},
    )
    def read(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        with errors_as_failures():
            report = fact_stage(stage, *load_source(context, own), own, context.log.info, again=again)
        if stage.is_step(source):
            for check in report.checks:
                event: Any = check.as_event()  # Dagster takes it, and its annotation lacks it
                context.log_event(event)
            yield dg.AssetMaterialization(own.facts(stage.name), metadata=report.metadata)

    return read
