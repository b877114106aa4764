"""The stages that read facts about objects, as the shell runs them: assets where a source asks for them, or parts of the plan.

What does not belong here: which facts are needed, and reading them (``project/facts`` and below).
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.asset_specs import declared
from registration_pipeline.orchestration.fact_ranges import divide_op, range_op
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.provenance import made_now
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.runs.planned_events import announce
from registration_pipeline.orchestration.stages import CheckReport, StageReport
from registration_pipeline.project.listener import Log
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.reading import FactStage, probed, read_stage, steps_of

if TYPE_CHECKING:
    from registration_pipeline.facts.sets import FactSet


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


_CHECKS = {"metadata": _has_metadata}
"""What is checked of a set of facts, by its name."""


def asset_keys(source: SourceSettings, own: SourceNames) -> list[dg.AssetKey]:
    """Return the assets of a source's facts."""
    return [own.facts(stage.name) for stage in steps_of(source)]


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
    read = read_stage(stage, project, source, log, again=again)
    shown = metadata.facts_metadata(project.store, read.facts, read.reading.progress if read.reading else None)
    check = _CHECKS.get(stage.name)
    return StageReport(shown, (check(own, read.facts),) if check and read.facts else ())


def build_fact_assets(source: SourceSettings, own: SourceNames) -> list[dg.AssetsDefinition]:
    """Return the assets of the facts that a source asks for."""
    return [_asset(stage, own) for stage in steps_of(source)]


def _asset(stage: FactStage, own: SourceNames) -> dg.AssetsDefinition:
    key = own.facts(stage.name)
    text = "Each object that a plan needs has values from some entry; a warning, with counts for each table."

    @dg.asset(
        **declared(own, stage.name),
        check_specs=[dg.AssetCheckSpec(names.EVERY_OBJECT_HAS_METADATA, asset=key, description=text)]
        if stage.name in _CHECKS
        else None,
        pool=own.listing_pool,
    )
    @hosted(own, stage.name)
    def facts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with errors_as_failures():
            report = fact_stage(stage, *load_source(context, own), own, context.log.info, again=True)
        return dg.MaterializeResult(
            metadata=report.metadata, check_results=[check.as_result() for check in report.checks]
        )

    return facts


Compose = Callable[..., Any]
"""Adds the steps of a stage to the graph in whose body it is called, and returns the output of the last; takes ``listed``, the
output of the step before them, unless they are the first."""


def build_fact_ops(source: SourceSettings, own: SourceNames) -> list[Compose]:
    """Return what composes the steps of a sync between inventory and plan."""
    return [_steps(stage, source, own, "read", again=False, is_first=False) for stage in steps_of(source)]


def build_probe_job(
    source: SourceSettings, own: SourceNames, tags: dict[str, str], executor: dg.ExecutorDefinition
) -> dg.JobDefinition:
    """Return the job that reads facts and does nothing else; every source has it."""
    first, *others = (
        _steps(stage, source, own, "probe", again=True, is_first=not place)
        for place, stage in enumerate(probed(source))
    )

    @dg.job(
        name=own.probe_job,
        tags=tags,
        description=f"Headers, media and metadata of the objects of {source.uri}.",
        executor_def=executor,
    )
    def probe() -> None:
        done = first()
        for read in others:
            done = read(listed=done)

    return probe


def _steps(
    stage: FactStage, source: SourceSettings, own: SourceNames, verb: str, *, again: bool, is_first: bool
) -> Compose:
    """Return what composes the steps of one stage: a step for each key range before the one that commits, or that alone."""
    ins = {} if is_first else {"listed": dg.In(dg.Nothing)}
    name = f"{verb}_{stage.name}"
    if source.key_ranges == 1 or not stage.is_divisible:
        return _op(stage, source, own, name, again=again, ins=ins)
    begin = divide_op(own, stage.name, f"divide_{name}", ins)
    one = range_op(own, stage, f"{name}_of_key_range", again=again)
    commit = _op(stage, source, own, name, again=again, ins={"listed": dg.In(dg.Nothing)})
    return lambda **listed: commit(listed=begin(**listed).map(lambda part: one(key_range=part)).collect())


def _op(
    stage: FactStage, source: SourceSettings, own: SourceNames, name: str, *, again: bool, ins: dict[str, Any]
) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_{name}",
        description=own.specs[stage.name].description,
        pool=own.listing_pool,
        ins=ins,
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        tags=own.op_tags,
    )
    @hosted(own, stage.name)
    def read(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        with errors_as_failures():
            loaded = load_source(context, own)
            if stage.is_step(source):
                announce(context, own.facts(stage.name))
            report = fact_stage(stage, *loaded, own, context.log.info, again=again)
        if stage.is_step(source):
            for check in report.checks:
                event: Any = check.as_event(context.instance)  # Dagster takes it, and its annotation lacks it
                context.log_event(event)
            tags = made_now(context.instance, own.specs.get(stage.name), report.version)
            yield dg.AssetMaterialization(own.facts(stage.name), metadata=report.metadata, tags=tags)

    return read
