"""The command ``runs``: what removing old runs from Dagster's storage did.

What does not belong here: which runs may go (``orchestration/runs/pruning.py``).
"""

import sys
from datetime import timedelta
from pathlib import Path

import typer

from registration_pipeline.cli.output import print_json, say
from registration_pipeline.cli.session import DONE, open_project
from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.project.project import utc_now


def prune_runs(config: Path | None, names: list[str], *, days: int, yes: bool, as_json: bool) -> int:
    """Remove the runs of sources that ended some days ago and that nothing shown needs; on a terminal only if agreed to."""
    from registration_pipeline.orchestration.names import SourceNames
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.pruning import delete_runs, old_runs

    project = open_project(config)
    sources = [SourceNames(source.name) for source in project.chosen(names)]
    before = utc_now() - timedelta(days=days)
    with open_instance(project.settings, project.environ, is_capturing=True) as instance:
        found = old_runs(instance, sources, before=before)
        if found.prunable and not yes and not as_json and sys.stdin.isatty():
            count, age = counted(len(found.prunable), "run"), counted(days, "day")
            question = f"Remove {count} that ended more than {age} ago from Dagster?"
            if not typer.confirm(question, err=True):
                raise UsageError("Nothing was removed, because it was not agreed to. Answer y, or give --yes.")
        removed = list(delete_runs(instance, found.prunable))
    if as_json:
        print_json({"removed": removed, "needed": found.needed, "waiting": found.waiting})
        return DONE
    say(f"{counted(len(removed), 'run')} of Dagster's history removed; the state was not changed.")
    if shown := found.needed - found.waiting:
        say(f"{counted(shown, 'old run')} kept: what Dagster shows of an asset or of a chunk is from there.")
    if found.waiting:
        say(
            f"{counted(found.waiting, 'old run')} kept: what they were to register waits to be continued, which the sensor "
            "continue_waiting_runs of Dagster's daemon does; or that daemon will repeat them, because they have crashed; or a "
            "run that has not ended goes on with them. `dagster run delete RUN_ID` gives one up."
        )
    return DONE
