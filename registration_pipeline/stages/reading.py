"""The stages that read facts about objects: steps of a sync where a source asks for them, or parts of the plan.

What does not belong here: which facts are needed, and reading them (``project/facts`` and below).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.project.listener import Log, ProgressReporter, current_listener, notice_and_log
from registration_pipeline.project.project import Project
from registration_pipeline.settings import MediaMetadata, SourceSettings
from registration_pipeline.settings.units import asks_for_headers

if TYPE_CHECKING:
    from registration_pipeline.facts.reading.reading import Reading
    from registration_pipeline.facts.sets import FactSet


@dataclass(frozen=True, slots=True, kw_only=True)
class FactStage:
    """A stage between inventory and plan.

    Args:
        name: of its asset, and of its set of facts.
        is_step: whether it is a step of its own; if not, the plan reads what turns out to be needed.
        read: reads what is not known; None: there was nothing to read.
        held: what is held while a part of it can't be read.
        is_divisible: whether it reads each object by itself, so that several processes can each read a key range.
    """

    name: str
    is_step: Callable[[SourceSettings], bool]
    read: "Callable[[Project, SourceSettings, ProgressReporter, bool], Reading | None]"
    held: str
    is_divisible: bool = False


STAGES: tuple[FactStage, ...] = (
    FactStage(
        name="headers",
        is_step=lambda source: asks_for_headers(source.groups),
        read=lambda project, source, report, again: project.read_headers(source, report, again=again),
        held="These objects, and all units that they may be in,",
        is_divisible=True,
    ),
    FactStage(
        name="media",
        is_step=lambda source: source.media_metadata is MediaMetadata.PROBE,
        read=lambda project, source, report, again: project.read_media(source, report, again=again),
        held="These objects, and the units that they are in,",
        is_divisible=True,
    ),
    FactStage(
        name="metadata",
        is_step=lambda source: bool(source.metadata),
        read=lambda project, source, report, again: project.read_metadata(source, report, again=again),
        held="These objects, and the units that they are in,",
    ),
)
"""In the order in which a sync runs them."""


def steps_of(source: SourceSettings) -> tuple[FactStage, ...]:
    """Return the stages that are steps of a source's sync."""
    return tuple(stage for stage in STAGES if stage.is_step(source))


def probed(source: SourceSettings) -> tuple[FactStage, ...]:
    """Return the stages that a probe runs: headers always, because whether they are needed shows in the bucket."""
    return tuple(stage for stage in STAGES if stage.name == "headers" or stage.is_step(source))


@dataclass(frozen=True, slots=True)
class KeyRangeOfInventory:
    """One of several key ranges of an inventory that hold equally many objects.

    Args:
        inventory_id: of the inventory.
        number: of the range, from 0.
        ranges: how many there are.
    """

    inventory_id: str
    number: int
    ranges: int


@dataclass(frozen=True, slots=True)
class FactsRead:
    """What is known after a stage.

    Args:
        facts: the set of facts; None: no object needs any.
        reading: what this stage read; None: there was nothing to read.
    """

    facts: "FactSet | None"
    reading: "Reading | None"


def read_needed(project: Project, source: SourceSettings, log: Log) -> None:
    """Read everything that a plan of the latest inventory needs and that is not known."""
    for stage in STAGES:
        _read(stage, project, source, log, again=False)


def read_stage(
    stage: FactStage, project: Project, source: SourceSettings, log: Log, *, again: bool = False
) -> FactsRead:
    """Read what is not known of one kind of facts.

    Args:
        stage: which.
        project: the configuration.
        source: which.
        log: takes a line.
        again: also if it was read for the latest inventory; what could not be read is tried once more.

    Raises:
        UsageError: there is no inventory.
        HaltError: the store can't be read.
    """
    from registration_pipeline.facts.sets import latest_facts

    current_listener().stage_started(source.name, stage.name, None)
    reading = _read(stage, project, source, log, again=again)
    facts = reading.facts if reading else latest_facts(project.store, source.name, stage.name)
    return FactsRead(facts, reading)


def divide_reading(project: Project, source: SourceSettings) -> "tuple[str, int]":
    """Return the inventory whose objects are read in key ranges, and how many.

    Raises:
        UsageError: there is no inventory.
    """
    from registration_pipeline.inventory.inventory import require_inventory
    from registration_pipeline.inventory.key_ranges.quantiles import ranges_of

    inventory = require_inventory(project.store, source)
    return inventory.inventory_id, ranges_of(inventory, source.key_ranges)


def read_key_range(
    stage: FactStage, project: Project, source: SourceSettings, part: KeyRangeOfInventory, log: Log, *, again: bool
) -> None:
    """Read what is not known of one key range, for the stage itself, which commits it.

    Args:
        stage: which; it is divisible.
        project: the configuration.
        source: which.
        part: which key range.
        log: takes a line.
        again: as ``read_stage``.

    Raises:
        UsageError: the inventory was removed.
        ConfigurationError: it is of another place than the source is in now.
        HaltError: the store can't be read. What was read is kept.
    """
    from registration_pipeline.inventory.inventory import inventory_of
    from registration_pipeline.inventory.key_ranges.reading import bounds_of

    current_listener().stage_started(source.name, f"{stage.name}: key range {part.number + 1} of {part.ranges}", None)
    inventory = inventory_of(project.store, source.name, part.inventory_id)
    if inventory is None:
        raise UsageError(f"The inventory {part.inventory_id} of source {source.name} was removed. Start a new run.")
    inventory.require_place_of(source)
    bounds = bounds_of(project.store, inventory, part.number, part.ranges)
    progress = project.read_facts_between(source, stage.name, bounds, ProgressReporter(log), again=again)
    log(f"{stage.name}: {progress or 'nothing to read'}")


def _read(stage: FactStage, project: Project, source: SourceSettings, log: Log, *, again: bool) -> "Reading | None":
    """Read what is not known, and say what it came to; None: there was nothing to read."""
    reading = stage.read(project, source, ProgressReporter(log), again)
    if reading is None:
        return None
    progress = reading.progress
    if progress.read or progress.problems or progress.waiting:
        log(f"{stage.name}: {progress}")
    unread = sum(count for reason, count in progress.problems.items() if reason.endswith("_unreadable"))
    if unread:
        is_sent = stage.name == "media" and not source.strict_client_only
        why = (
            f"`registration-pipeline probe {source.name}` says why. What is planned before they can be read is sent without "
            "media metadata"
            if is_sent
            else f"`registration-pipeline failures {source.name}` says why"
        )
        notice_and_log(log)(
            f"{source.name}: {stage.name} of {counted(unread, 'object')} could not be read; {why}. The next sync tries again."
        )
    if progress.waiting:
        notice_and_log(log)(
            f"{source.name}: {stage.name} of {counted(progress.waiting, 'object')} could not be read now. {stage.held} are "
            "held until the next sync."
        )
    return reading
