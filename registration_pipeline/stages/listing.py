"""The first stage: a new inventory of a source, and what a person should know of it.

What does not belong here: how a store is listed (``inventory``), and what is shown of it (``orchestration``).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.project.listener import Log, ProgressReporter, current_listener, notice_and_log
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.tracing import traced
from registration_pipeline.urls import url_warning

if TYPE_CHECKING:
    from registration_pipeline.inventory.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Listed:
    """A new inventory.

    Args:
        inventory: what was committed.
        objects_before: how many objects the inventory before it had; for an empty one, or else how many were planned. None:
            there were none.
    """

    inventory: "Inventory"
    objects_before: int | None

    @property
    def is_emptied(self) -> bool:
        """Whether a source that held objects before holds none now."""
        return not self.inventory.objects and bool(self.objects_before)


@traced("stage", stage="inventory")
def list_source(project: Project, source: SourceSettings, log: Log, warn: Log | None = None) -> Listed:
    """List a source into a new inventory.

    Args:
        project: the configuration.
        source: which.
        log: takes a line.
        warn: takes a line that a person should know; by default ``log``.

    Raises:
        HaltError: the store can't be listed; nothing was recorded.
        StateError: the state can't be written.
    """
    from registration_pipeline.inventory.inventory import latest_inventory

    warn = warn or log
    previous = latest_inventory(project.store, source.name)
    expected = (previous.objects or None) if previous else None
    current_listener().stage_started(source.name, "inventory", expected, unit="expected object")
    warn_of_urls(source, warn)
    inventory = project.take_inventory(source, ProgressReporter(log), notice_and_log(log), expected=expected)
    return listed(project, source, inventory, expected=expected, log=log, warn=warn)


def warn_of_urls(source: SourceSettings, warn: Log) -> None:
    """Say what Encord may not be able to read under the URLs of a source."""
    if warning := url_warning(source):
        notice_and_log(warn)(f"{source.name}: {warning}.")


def listed(
    project: Project,
    source: SourceSettings,
    inventory: "Inventory",
    *,
    expected: int | None,
    log: Log,
    warn: Log,
) -> Listed:
    """Say what a new inventory holds, and return it with what the source held before.

    Args:
        project: the configuration.
        source: which.
        inventory: what was committed.
        expected: objects of the inventory before it; None: there was none, or it was empty.
        log: takes a line.
        warn: takes a line that a person should know.
    """
    log(f"{counted(inventory.objects, 'object')}, {counted(inventory.bytes, 'byte')} from {inventory.listing}")
    before = expected if inventory.objects else _objects_before(project, source, expected)
    if not inventory.objects:
        notice_and_log(warn)(_emptied(source, inventory, before))
    return Listed(inventory, before)


def _objects_before(project: Project, source: SourceSettings, expected: int | None) -> int | None:
    """Return how many objects a source that is empty held before: as it was listed last, or else as it was planned.

    The inventory before may be empty, too, and the source is emptied all the same.
    """
    from registration_pipeline.planning.history import load_history

    latest = None if expected else load_history(project.store, source.name).latest
    return expected or (latest.counts.objects or latest.counts.deleted or None if latest else None)


def _emptied(source: SourceSettings, inventory: "Inventory", before: int | None) -> str:
    if before is None:
        return (
            f"{source.name}: no objects in {inventory.listing}. Check `sources.{source.name}.uri` (keys are "
            "case-sensitive), or put objects there."
        )
    return (
        f"{source.name}: nothing is left in {inventory.listing}, which held {before:,} objects before. Nothing is removed "
        f"from Encord; `status` will count what was registered as deleted. If the bucket is not really empty, check "
        f"`sources.{source.name}.uri` (keys are case-sensitive) and take another inventory."
    )
