"""A launched run that has waited a minute for another host: it gives worker and slot back, and its work is queued again.

The run says in its tags what it was to register. It ends as canceled, because it did not do that: a failed one would mark its
chunks as failed, send messages, and a successful one would say that they are registered. A sensor starts one run for all that
wait in this way when it is their turn (``automation/continuing.py``). Why not ``RetryRequested``, and what was measured:
docs/decisions/057-several-hosts.md.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.foreign_text import printable
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.private_dagster import (
    BACKFILL_ID_TAG,
    HIDDEN_TAG_PREFIX,
    DagsterExecutionInterruptedError,
)

WAITS_TAG = f"{HIDDEN_TAG_PREFIX}registration_waits"
"""The ident of the source for which a run waits to be continued; something else once it is."""

CONTINUES_TAG = f"{HIDDEN_TAG_PREFIX}registration_continues"
"""The ident of the source whose waiting runs a run continues."""
RUNS_TAG = f"{HIDDEN_TAG_PREFIX}registration_continued_runs"
"""Their ids, as JSON."""

_WORK_TAG = f"{HIDDEN_TAG_PREFIX}registration_handed_on"
_SHOWN_TAG = "registration/waited_for"

_ONE_PROCESS = "in_process"


class HandedOnError(DagsterExecutionInterruptedError):
    """Ends the run of one of a source's own jobs, which is canceled."""


@dataclass(frozen=True)
class Work:
    """What a run was to register.

    Args:
        chunks: only these; empty: what ``due`` and ``failed`` choose.
        failed: see ``ChunkSelection``, as for the other switches.
        folder: the Encord folder that it waited for; None: it waited for the source.
    """

    chunks: tuple[str, ...] = ()
    failed: bool = False
    force: bool = False
    due: bool = True
    folder: str | None = field(default=None)

    @property
    def config(self) -> dict[str, Any]:
        """The same as the config of a run of the job ``submit``."""
        return {"chunks": list(self.chunks), "failed": self.failed, "force": self.force, "due": self.due}


def hand_on(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, own: SourceNames, work: Work, busy: LeaseBusyError
) -> None:
    """Record what is to be continued, and end the run: as canceled if it is one of the source's jobs in one process.

    It returns in runs that may have steps of others, or whose executor can't be ended from a step: then the step ends and has
    nothing to show.

    Raises:
        HandedOnError: ends the run.
    """
    said = printable(
        f"{busy} This run gives its worker back. Its chunks are as they were, and the sensor {sensor_name(own)} starts a run "
        "that goes on when it is their turn; where no daemon runs, the next sync does."
    )
    if BACKFILL_ID_TAG in context.run.tags:
        said += " Dagster calls its backfill failed, because that asks only its own runs; nothing has failed."
    run_id = context.run.run_id
    document = json.dumps({"run": run_id, **asdict(work)})
    waited_for = printable(f"{busy.holder}")
    context.instance.add_run_tags(run_id, {_WORK_TAG: document, _SHOWN_TAG: waited_for, WAITS_TAG: own.ident})
    context.log.warning(said)
    is_own_job = context.job_name in (*own.sync_jobs, own.submit_job, own.retry_job)
    if not is_own_job or context.job_def.executor_def.name != _ONE_PROCESS:
        return
    run = context.instance.get_run_by_id(run_id)
    if run is not None and run.status is not DagsterRunStatus.CANCELING:
        context.instance.report_run_canceling(run, message=said)
    raise HandedOnError(said)


def work_of(run: dg.DagsterRun) -> Work | None:
    """Return what a run has handed on; None: nothing. The tags of a run that was executed again are copies."""
    try:
        value: Mapping[str, Any] = json.loads(run.tags[_WORK_TAG])
        if value["run"] != run.run_id:
            return None
        return Work(
            tuple(map(str, value["chunks"])),
            failed=bool(value["failed"]),
            force=bool(value["force"]),
            due=bool(value["due"]),
            folder=value["folder"],
        )
    except (KeyError, TypeError, ValueError):
        return None


def waiting_runs(instance: dg.DagsterInstance, own: SourceNames) -> list[dg.DagsterRun]:
    """Return the runs of a source that are to be continued, also those that a run continues already and that do not say so."""
    found = instance.get_runs(RunsFilter(tags={WAITS_TAG: own.ident}))
    return [run for run in found if work_of(run) is not None]


def continuing_runs(instance: dg.DagsterInstance, own: SourceNames, waiting: Collection[str]) -> set[str]:
    """Return the ids of the runs that continue one of some runs: without them, it would be continued once more."""
    found = instance.get_runs(RunsFilter(tags={CONTINUES_TAG: own.ident}))
    return {run.run_id for run in found if not {*waiting}.isdisjoint(continued_runs(run))}


def continued_runs(run: dg.DagsterRun) -> list[str]:
    """Return the ids of the runs that a run continues."""
    return [str(run_id) for run_id in json.loads(run.tags.get(RUNS_TAG, "[]"))]


def sensor_name(own: SourceNames) -> str:
    """Return the name of the sensor that continues runs of the source's configuration."""
    return own.shared.sensor("continue_waiting_runs")
