"""The sensor that continues runs which waited a minute for another host and gave up (``runs/handed_on.py``).

All that it needs is in Dagster's runs: which of them wait, and which run continues them. So a daemon that is restarted, or a
tick that is repeated, starts nothing twice and forgets nothing. It starts no run while the other host beats, so that none has
to wait again.
"""

import hashlib
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster import RunsFilter

from registration_pipeline.counted import counted
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.orchestration.names import REGISTER_OP, SOURCE_TAG, ConfigurationNames, SourceNames
from registration_pipeline.orchestration.runs.handed_on import (
    CONTINUES_TAG,
    RUNS_TAG,
    WAITS_TAG,
    Work,
    continued_runs,
    work_of,
)
from registration_pipeline.project.project import Project
from registration_pipeline.project.turns import occupied_by

_SILENT_SECONDS = 75.0
"""Without a beat: more than the time of a lease. The run that is started then watches for itself before it sends."""
_MOST_RUNS = 1_000
_EVERY_SECONDS = 30


def build_continuing_sensor(
    project: Callable[[], Project],
    sources: Sequence[SourceNames],
    shared: ConfigurationNames,
    jobs: Sequence[Any],
    *,
    clock: Callable[[], float] = time.time,
) -> dg.SensorDefinition:
    """Return the sensor of all sources of a configuration.

    Args:
        project: gives the configuration, in a tick that needs it.
        sources: the names of the sources.
        shared: the names of what the configuration has once.
        jobs: all of the configuration; the sensor starts those named ``submit``.
        clock: seconds; one that jumps starts a run sooner or later, which then waits for itself.
    """
    submits = {own.submit_job for own in sources}

    def continuing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = _parsed(context.cursor)
        requests, said = list[dg.RunRequest](), list[str]()
        for own in sources:
            waiting = _waiting(context.instance, own)
            if not waiting:
                seen.pop(own.ident, None)
                continue
            why_not = _why_not_yet(project(), own, waiting, seen, clock())
            if why_not is None:
                requests += _requests(own, waiting)
            else:
                said.append(f"{counted(len(waiting), 'run')} of source {own.source}: {why_not}")
        skip = None if requests else ("; ".join(said) or "No run waits for another host.")
        return dg.SensorResult(run_requests=requests, skip_reason=skip, cursor=json.dumps(seen))

    return _Sensor(
        name=shared.sensor("continue_waiting_runs"),
        evaluation_fn=continuing,
        jobs=[job for job in jobs if job.name in submits],
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a run that goes on with what other runs were to register that gave up waiting for another host, "
        "when it is its turn.",
    )


class _Sensor(dg.SensorDefinition):
    """A sensor of jobs. Dagster copies these when it binds resources, and warns of a parameter that it passes itself."""

    def with_attributes(self, *arguments: Any, **named: Any) -> dg.SensorDefinition:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            return super().with_attributes(*arguments, **named)


def _parsed(cursor: str | None) -> dict[str, list[Any]]:
    """Read what was seen of each holder, and since when; nothing is lost with it."""
    try:
        value = json.loads(cursor or "{}")
        return {str(ident): [str(sight), float(since)] for ident, (sight, since) in value.items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def _waiting(instance: dg.DagsterInstance, own: SourceNames) -> dict[str, Work]:
    """Return the ended runs of a source that wait to be continued; those that a run continues are marked so, once."""
    found = instance.get_runs(RunsFilter(tags={WAITS_TAG: own.ident}), limit=_MOST_RUNS)
    if not found:
        return {}
    by_run = {
        run_id: run.run_id
        for run in instance.get_runs(RunsFilter(tags={CONTINUES_TAG: own.ident}), limit=_MOST_RUNS)
        for run_id in continued_runs(run)
    }
    waiting = {}
    for run in found:
        work = work_of(run)
        if work is None or run.run_id in by_run:
            instance.add_run_tags(run.run_id, {WAITS_TAG: f"continued by run {by_run.get(run.run_id, '')}"})
            if work is not None:  # not a tag that people see: a run that is executed again would have it, too
                instance.report_engine_event(
                    f"Run {by_run[run.run_id]} goes on with what this run was to register.", run
                )
        elif run.is_finished:
            waiting[run.run_id] = work
    return waiting


def _why_not_yet(
    project: Project, own: SourceNames, waiting: Mapping[str, Work], seen: dict[str, list[Any]], now: float
) -> str | None:
    """Return why no run would get its turn now; None: it would."""
    try:
        folder = next((work.folder for work in waiting.values() if work.folder is not None), None)
        sight = occupied_by(project, own.source, folder)
    except RegistrationPipelineError as error:
        return f"the state can't be asked whose turn it is: {error}"
    if sight is None:
        seen.pop(own.ident, None)
        return None
    if seen.get(own.ident, [None])[0] != sight:
        seen[own.ident] = [sight, now]
    elif now - seen[own.ident][1] >= _SILENT_SECONDS:
        return None
    return f"another process submits source {sight.partition('/')[0]}"


def _requests(own: SourceNames, waiting: Mapping[str, Work]) -> Iterator[dg.RunRequest]:
    """Yield one run for all that chose chunks in the same way, and one for all that named them."""
    groups = defaultdict[tuple[bool, ...], dict[str, Work]](dict)
    for run_id, work in sorted(waiting.items()):
        kind = (True, work.force) if work.chunks else (False, work.failed, work.force, work.due)
        groups[kind][run_id] = work
    for works in groups.values():
        chunks = sorted({chunk for work in works.values() for chunk in work.chunks})
        config = {**next(iter(works.values())).config, "chunks": chunks}
        run_ids = json.dumps(list(works))
        yield dg.RunRequest(
            run_key=f"{own.ident}/{hashlib.sha256(run_ids.encode()).hexdigest()[:32]}",
            job_name=own.submit_job,
            run_config={"ops": {f"{own.ident}_{REGISTER_OP}": {"config": config}}},
            tags={SOURCE_TAG: own.source, CONTINUES_TAG: own.ident, RUNS_TAG: run_ids},
        )
