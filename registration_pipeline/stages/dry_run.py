"""What a sync would do: its stages up to the plan, over a state whose changes go to a temporary folder.

Nothing is written to the state or to Encord, which is asked what a sync asks it first. What does not belong here: the stages,
and how the result is shown.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.project.project import Project
from registration_pipeline.project.selection import due_chunks
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.sequence import plan_new_inventory
from registration_pipeline.tracking.due import has_failed, is_quarantined
from registration_pipeline.tracking.status import chunk_statuses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from registration_pipeline.planning.counts import PlanCounts
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.status import ChunkStatus


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Chunks, and what they hold."""

    chunks: int = 0
    units: int = 0
    objects: int = 0


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a sync of one source would do now.

    Args:
        source: its name.
        counts: of the inventory, as a plan of it counts them.
        planned: chunks that the plan would add.
        registered: chunks without a verdict that would be sent or gone on with, the new ones among them.
        retried: chunks with failures that would be sent again, whole: Encord skips what it has.
        left: chunks with failures that would not be sent again while their objects are as they are.
        exhausted: how many of ``left`` were tried as often as ``max_attempts`` allows.
        upserts: registered units whose metadata would be sent again; None: the source does not ask for it.
        warnings: of the plan, the first of them.
        links: registered units that would be linked to the dataset, those of ``registered`` not counted; None: no dataset.
    """

    source: str
    counts: "PlanCounts"
    planned: Amount
    registered: Amount
    retried: Amount
    left: Amount
    exhausted: int
    upserts: Amount | None
    links: int | None
    warnings: tuple[str, ...] = ()


def dry_run(project: Project, source: SourceSettings) -> DryRun:
    """List, read and plan a source as a sync would, and return what the sync would do then.

    The listener is called with how far it is. Takes as long as the listing, and room for an inventory and a plan in the
    temporary folder.

    Raises:
        HaltError: the bucket, the key, the integration or the folder can't be used.
        StateError: the state can't be read, or the temporary folder can't be written.
    """
    from registration_pipeline.state.local import LocalStateStore
    from registration_pipeline.tracking.latest_view import StoreOverlay

    project.ask_encord(source)
    with tempfile.TemporaryDirectory(prefix="registration-dry-run-") as folder:
        trial = replace(project, held={})
        # A cached property: whatever is done with this project reads the state and writes to the folder.
        vars(trial)["store"] = StoreOverlay(project.store, LocalStateStore(Path(folder)))
        return _tried(trial, source)


def _tried(trial: Project, source: SourceSettings) -> DryRun:
    known = trial.snapshot(source).chunks
    planned = plan_new_inventory(trial, source, _unheard)
    tasks = due_chunks(trial, source, failed=False)
    retried = [task.chunk for task in tasks if task.after_attempt is not None]
    left = _left(trial, source, {chunk.chunk_id for chunk in retried})
    links = trial.status(source, planned.snapshot).dataset if source.dataset is not None else None
    return DryRun(
        source=source.name,
        counts=planned.plan.wave.counts,
        planned=_amount(chunk for chunk in planned.plan.chunks if chunk.chunk_id not in known),
        registered=_amount(task.chunk for task in tasks if task.after_attempt is None),
        retried=_amount(retried),
        left=_amount(status.chunk for status in left),
        exhausted=sum(is_quarantined(status, max_attempts=source.max_attempts) for status in left),
        upserts=_upserts(trial, source),
        links=None if links is None else links.pending,
        warnings=planned.plan.warnings.lines(),
    )


def _left(trial: Project, source: SourceSettings, retried: "Collection[str]") -> "list[ChunkStatus]":
    """Return the chunks with failures that are not retried."""
    statuses = chunk_statuses(trial.store, source.name, trial.snapshot(source))
    return [status for chunk_id, status in statuses.items() if has_failed(status) and chunk_id not in retried]


def _unheard(_line: str) -> None:
    """Take a line for the log of a run, which a dry run has not."""


def _amount(chunks: "Iterable[PlannedChunk]") -> Amount:
    found = list(chunks)
    return Amount(
        chunks=len(found), units=sum(chunk.units for chunk in found), objects=sum(chunk.objects for chunk in found)
    )


def _upserts(trial: Project, source: SourceSettings) -> Amount | None:
    if not source.upsert_metadata:
        return None
    plan = trial.upserts(source).preview()
    if plan is None:
        return Amount()
    return Amount(
        chunks=len(plan.chunks),
        units=plan.wave.upserts["units"],
        objects=sum(chunk.objects for chunk in plan.chunks),
    )
