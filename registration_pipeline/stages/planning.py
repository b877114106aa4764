"""The stage that plans the latest inventory, after reading what the plan needs and nothing has read yet.

What does not belong here: what a plan decides (``planning``), and the partitions that Dagster shows of it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.project.listener import Log, current_listener, notice_and_log
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.reading import read_needed
from registration_pipeline.tracing import traced

if TYPE_CHECKING:
    from registration_pipeline.planning.plan import Plan
    from registration_pipeline.tracking.snapshot import SourceSnapshot


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and all that is planned with it.

    Args:
        plan: what it added; for an inventory that was planned before, what was added then.
        snapshot: of the source with it.
    """

    plan: "Plan"
    snapshot: "SourceSnapshot"


@traced("stage", stage="plan")
def plan_latest(project: Project, source: SourceSettings, log: Log) -> Planned:
    """Plan the latest inventory of a source.

    Facts that are needed and not known are read first, however the plan was started: without them objects would wait.

    Raises:
        UsageError: there is no inventory.
        HaltError: facts can't be read.
        StateError: the state can't be read or written.
    """
    current_listener().stage_started(source.name, "plan", None)
    read_needed(project, source, log)
    plan = project.plan(source)
    if plan.uri_notice:
        notice_and_log(log)(plan.uri_notice)
    added = f"{counted(plan.wave.counts.new, 'new object')} in {counted(len(plan.chunks), 'chunk')}"
    log(f"{added} of wave {plan.wave.wave_id}")
    for warning in plan.warnings.lines():
        notice_and_log(log)(f"{source.name}: warning: {warning}")
    return Planned(plan, project.snapshot(source, plan.history))
