"""The first stage of a source with ``key_ranges``: begun, listed range by range, and committed, each by any process of a run.

What does not belong here: how that is done (``inventory/key_ranges``), and which steps do it (``orchestration``).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.inventory.place import ListedPlace
from registration_pipeline.project.listener import Log, ProgressReporter, current_listener, notice_and_log
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.listing import Listed, listed, warn_of_urls
from registration_pipeline.tracing import traced

if TYPE_CHECKING:
    from registration_pipeline.inventory.key_ranges.division import Division


@traced("stage", stage="inventory")
def begin_inventory(
    project: Project, source: SourceSettings, runs: Sequence[str], is_over: Callable[[str], bool], log: Log
) -> "Division":
    """Fix the key ranges of a new inventory, or return those that the run has fixed already.

    Args:
        project: the configuration.
        source: which.
        runs: ids: the run itself, and those that it goes on with.
        is_over: says of the id of another run that nothing more comes of it.
        log: takes a line.

    Raises:
        HaltError: the store can't be listed.
        StateError: the state can't be read or written.
    """
    from registration_pipeline.inventory.key_ranges.listing import begin_listing

    current_listener().stage_started(source.name, "inventory: key ranges", None)
    warn_of_urls(source, log)
    division = begin_listing(
        place=ListedPlace.of(source),
        lister=project.lister(source, notice_and_log(log)),
        store=project.store,
        source=source.name,
        ranges=source.key_ranges,
        runs=runs,
        clock=utc_now,
        is_over=is_over,
    )
    log(f"{counted(division.ranges, 'key range')} of {division.listing}")
    return division


@traced("stage", stage="inventory")
def list_key_range(project: Project, source: SourceSettings, inventory_id: str, number: int, log: Log) -> None:
    """List one key range; one that was listed already is not listed again.

    Nothing is listed of an inventory that was given up before, or is committed: the step that commits knows what to do then.

    Args:
        project: the configuration.
        source: which.
        inventory_id: of the inventory that was begun.
        number: of the range, from 0.
        log: takes a line.

    Raises:
        ConfigurationError: the inventory was begun in another place than the source is in now.
        HaltError: the store can't be listed; nothing was recorded of this range.
        StateError: the state can't be written, or the inventory was given up meanwhile.
    """
    from registration_pipeline.inventory.key_ranges.division import read_division
    from registration_pipeline.inventory.key_ranges.listing import list_range

    if read_division(project.store, source.name, inventory_id) is None:
        log(f"key range {number + 1}: inventory {inventory_id} is not being listed any more")
        return
    current_listener().stage_started(source.name, f"inventory: key range {number + 1}", None)
    done = list_range(
        listed_in=ListedPlace.of(source).store,
        lister=project.lister(source, notice_and_log(log)),
        store=project.store,
        source=source.name,
        inventory_id=inventory_id,
        number=number,
        progress=ProgressReporter(log),
    )
    keys = f", {done.first_key!r} to {done.last_key!r}" if done.objects else ""
    log(f"key range {number + 1}: {counted(done.objects, 'object')}{keys}, {counted(done.requests, 'request')}")


@traced("stage", stage="inventory")
def commit_inventory(
    project: Project,
    source: SourceSettings,
    runs: Sequence[str],
    log: Log,
    warn: Log,
    *,
    is_over: Callable[[str], bool],
) -> Listed:
    """Commit what a run listed in key ranges, or return what it has committed already.

    A range that no step has listed is listed first: Dagster, when it repeats a run from its failure, does not repeat steps of
    ranges that had not begun. Where the run's inventory was given up meanwhile, that is a whole new one.

    Args:
        project: the configuration.
        source: which.
        runs: as ``begin_inventory``.
        log: takes a line.
        warn: takes a line that a person should know.
        is_over: as ``begin_inventory``.

    Raises:
        ConfigurationError: as ``list_key_range``; nothing is committed.
        HaltError: the store can't be listed; what was listed is recorded.
        StateError: the state can't be read or written.
    """
    from registration_pipeline.inventory.inventory import recent_inventories
    from registration_pipeline.inventory.key_ranges.commit import commit_listing

    _list_what_is_missing(project, source, runs, is_over, log)
    current_listener().stage_started(source.name, "inventory: commit", None)
    inventory = commit_listing(store=project.store, source=source.name, runs=runs, clock=utc_now)
    before = recent_inventories(project.store, source.name, 1, without={inventory.inventory_id})
    expected = (before[0].objects or None) if before else None
    return listed(project, source, inventory, expected=expected, log=log, warn=warn)


def _list_what_is_missing(
    project: Project, source: SourceSettings, runs: Sequence[str], is_over: Callable[[str], bool], log: Log
) -> None:
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.listing import find_listing, missing_ranges

    found = find_listing(project.store, source.name, runs)
    if isinstance(found, Inventory):
        return
    notify = notice_and_log(log)
    if found is None:
        notify(f"{source.name}: what the run began to list was given up meanwhile; this step lists all of it again.")
    division = found or begin_inventory(project, source, runs, is_over, log)
    # Also where no range is missing: what follows in the run makes URLs from the settings of now.
    division.require_same_place(project.lister(source).description, ListedPlace.of(source).store)
    missing = missing_ranges(project.store, division)
    if found is not None and missing:
        count = counted(len(missing), "key range")
        notify(
            f"{source.name}: the run was interrupted before {count} of {division.ranges} had a step, or files were removed; "
            "this step lists what is missing."
        )
    for number in missing:
        list_key_range(project, source, division.inventory_id, number, log)
