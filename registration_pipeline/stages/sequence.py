"""The first half of a sync: from the bucket to the plan, in its order. The second half is ``submission.py``.

What does not belong here: the stages themselves. Dagster's jobs have a step for each, which run the same functions.
"""

from registration_pipeline.project.listener import Log
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.listing import list_source
from registration_pipeline.stages.planning import Planned, plan_latest
from registration_pipeline.stages.reading import read_stage, steps_of


def plan_new_inventory(project: Project, source: SourceSettings, log: Log, warn: Log | None = None) -> Planned:
    """List the source, read what it asks for of new objects, and plan.

    Args:
        project: the configuration.
        source: which.
        log: takes a line.
        warn: takes a line that a person should know; by default ``log``.

    Raises:
        HaltError: the store can't be listed or read.
        StateError: the state can't be read or written.
    """
    list_source(project, source, log, warn)
    for stage in steps_of(source):
        read_stage(stage, project, source, log)
    return plan_latest(project, source, log)
