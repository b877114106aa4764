"""The ``state`` command: what verifying and pruning the state of a source found and did.

Verifying is in ``verification``, and pruning in ``planning/prune.py``.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from registration_pipeline.cli.output import notice, print_json, say
from registration_pipeline.cli.session import DONE, HALTED, open_project, open_source
from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.foreign_text import printable
from registration_pipeline.planning.prune import (
    left_in,
    prunable_inventories,
    prunable_reports,
    prune_inventories,
    prune_reports,
)
from registration_pipeline.project.project import utc_now
from registration_pipeline.state.damage import LEFT_OUT
from registration_pipeline.state.layout import inventory_folder
from registration_pipeline.verification.state import verify_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registration_pipeline.state.store import StateStore


def verify_source(config: Path | None, name: str, *, as_json: bool) -> int:
    """Check every file of a source's state, and list what is damaged or missing."""
    project = open_project(config)
    source, store = project.source(name), project.store
    report = verify_state(store, source.name)
    if as_json:
        print_json(report.to_json(store))
    elif not report.damaged and not report.files:
        say(
            escape(
                f"{source.name}: nothing is stored at {store.location(f'{source.name}/')}, so nothing was verified. If there "
                "should be something, check `state` in registration.yaml, and the environment that leads to its store."
            )
        )
    elif not report.damaged:
        say(f"{source.name}: {counted(report.files, 'file')}, {counted(report.bytes, 'byte')} read: undamaged.")
        if report.leftovers:
            say(
                f"Not named by any other file: {counted(report.leftovers, 'file')}, of a process that died or that is at "
                "work. Such files are never read."
            )
    for foreign in () if as_json else report.foreign:
        say(
            escape(
                printable(f"{_where(store, foreign)} is not a file of the pipeline, and nothing reads it: delete it.")
            )
        )
    for damage in () if as_json else report.damaged.values():
        say(escape(printable(f"{store.location(damage.name)} {damage.problem}. {damage.to_do}.")))
    if report.damaged:
        count = len(report.damaged)
        is_all_there = all(damage.problem.startswith(LEFT_OUT) for damage in report.damaged.values())
        notice(
            f"Error: {counted(count, 'file')} of the state of source {source.name} at "
            f"{store.location(f'{source.name}/')} {'is' if count == 1 else 'are'} "
            f"{'not listed' if is_all_there else 'damaged or missing'}; nothing was changed."
        )
    return HALTED if report.damaged else DONE


def _where(store: "StateStore", name: str) -> str:
    """Return where a file is whose name may be one that no store would accept from us."""
    return f"{store.uri}/{name}"


def prune_source(config: Path | None, name: str, *, days: int, yes: bool, as_json: bool) -> int:
    """Remove what nothing needs of the inventories, failure logs and audits of a source; on a terminal only if agreed to."""
    project, source = open_source(config, name)
    before = utc_now() - timedelta(days=days)
    if not yes and not as_json and sys.stdin.isatty():
        _ask(project.store, source.name, before)
    removed = prune_inventories(project.store, source.name, before=before)
    reports = prune_reports(project.store, source.name, before=before)
    folders = [inventory_folder(source.name, inventory_id) for inventory_id in removed]
    foreign = left_in(project.store, [*folders, *(name for name in reports if name.endswith("/"))])
    if as_json:
        print_json({"source": source.name, "removed": removed, "reports": reports, "foreign": foreign})
        return DONE
    for inventory_id in removed:
        say(escape(f"removed {project.store.location(f'{source.name}/inventory/{inventory_id}/')}"))
    for report in reports:
        say(escape(f"removed {project.store.location(report)}"))
    for theirs in foreign:
        say(escape(printable(f"{_where(project.store, theirs)} stays: it is not a file of the pipeline. Delete it.")))
    say(f"{source.name}: {_counts(len(removed), reports)} removed.")
    return DONE


def _ask(store: "StateStore", source: str, before: "datetime") -> None:
    """List what would be removed, and let a person agree.

    Raises:
        UsageError: the person does not.
    """
    found = prunable_inventories(store, source, before=before)
    reports = prunable_reports(store, source, before=before)
    for name in (*(f"{source}/inventory/{inventory_id}/" for inventory_id in found), *reports):
        say(escape(f"to be removed: {store.location(name)}"))
    question = f"Remove {_counts(len(found), reports)} of source {source}?"
    if (found or reports) and not typer.confirm(question, err=True):
        raise UsageError("Nothing was removed, because it was not agreed to. Answer y, or give --yes.")


def _counts(inventories: int, reports: "Sequence[str]") -> str:
    audits = sum(name.endswith("/") for name in reports)
    others = {"failure log file": len(reports) - audits, "audit": audits}
    parts = [counted(inventories, "inventory"), *(counted(count, noun) for noun, count in others.items() if count)]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if parts[1:] else parts[0]
