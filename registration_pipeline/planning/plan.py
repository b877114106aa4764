"""Plans an inventory: finds what no wave has planned yet, cuts it into chunks and commits that as a new wave.

What does not belong here: the single decisions (``decision.py``), cutting (``chunking.py``) and committing
(``lineage.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateConflictError, StateCorruptError, UsageError
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.planning.decision import digest_rules
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.history import PlanHistory, compact, load_history
from registration_pipeline.planning.lineage import commit_wave, discard_uncommitted, restore_markers
from registration_pipeline.planning.object_facts import PlanFacts
from registration_pipeline.planning.planning_run import PlanningRun
from registration_pipeline.planning.warnings import PlanWarnings
from registration_pipeline.planning.wave import PlannedChunk, Wave, read_chunks
from registration_pipeline.state.ahead import both
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

_MOST_ATTEMPTS: Final = 5
"""How often a plan is made again because another planner committed first. Each time there is one more wave."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planning run comes to.

    Args:
        wave: what it added.
        chunks: the chunks of that wave, in the order of their first keys.
        history: all that was planned so far; for a dry run without the wave.
        created: False if the wave existed already, and for a dry run.
        uri_before: the ``uri`` that the source had in the wave before, if it is another one now.
    """

    wave: Wave
    chunks: tuple[PlannedChunk, ...]
    history: PlanHistory
    created: bool
    uri_before: str | None = None

    @property
    def uri_notice(self) -> str | None:
        """What to know of a ``uri`` that was changed, or None."""
        if self.uri_before is None:
            return None
        return (
            f"The uri of source {self.wave.source} was {self.uri_before} when it was planned last, and is {self.wave.uri} "
            "now. Objects are known by their keys: one that has another key now is planned once more, and its old key counts "
            "as deleted; one with a known key keeps the URL that it was planned with. A new place belongs to a new source: if "
            "it was not meant, set uri back."
        )

    @property
    def warnings(self) -> PlanWarnings:
        """What a person should know of the wave besides its counts."""
        return self.wave.warnings


def plan_source(
    *,
    store: StateStore,
    source: SourceSettings,
    clock: Callable[[], datetime],
    inventory: Inventory | None = None,
    headers: FactSet | None = None,
    metadata: FactSet | None = None,
    media: FactSet | None = None,
    limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
    dry_run: bool = False,
    compacts: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Plan:
    """Put every eligible object of an inventory that is in no chunk yet into exactly one.

    Planning the same inventory again under the same rules returns the wave that is there. A crash at any point leaves either
    nothing that counts or the whole wave; planning again gives the same chunks.

    Args:
        store: the state.
        source: its rules.
        clock: for ``planned_at``.
        inventory: what to plan; the latest one by default.
        headers, metadata, media: what is known of objects beyond their listing; the latest set of each by default.
        limits: what Encord accepts in one manifest.
        dry_run: decide and count, but write nothing.
        compacts: write the compacted ledger afterwards; without, later nights read more files.
        progress: called with the number of objects read so far.

    Raises:
        UsageError: there is no inventory, or it is older than one that is planned already.
        ConfigurationError: the inventory is of another place than the source is in now.
        StateConflictError: other planners committed first, again and again.
        StateCorruptError: a committed file is missing or unreadable.
    """
    read_facts = partial(PlanFacts.of, store, source, headers=headers, metadata=metadata, media=media)
    facts, history, newest = _read_together(store, source.name, read_facts, inventory, restores=not dry_run)
    digest, is_trusted = digest_rules(source, facts), True
    for attempt in range(_MOST_ATTEMPTS):
        if attempt:
            history, newest = _whole_history(store, source.name, is_trusted=is_trusted, restores=not dry_run), None
        planned = inventory or _newest_inventory(store, source.name, history.latest, newest)
        planned.require_place_of(source)
        if (existing := _existing_wave(store, history, planned, digest)) is not None:
            return Plan(existing, tuple(read_chunks(store, existing.chunk_files)), history, created=False)
        run = _run(store, source, planned, history, facts=facts, limits=limits, progress=progress)
        try:
            carried = _carried_over(history, planned, digest, planned_at=clock())
            wave = replace(carried, uri=source.uri) if carried else run.plan(digest, clock, dry_run=dry_run)
        except StateCorruptError:
            if not history.is_compacted:
                raise
            is_trusted = False  # its files are damaged, or two other planners have replaced it meanwhile
            continue
        if dry_run or commit_wave(store, wave, history.number + 1):
            new = history if dry_run else _followed_by(store, history, wave, compacts=compacts)
            return Plan(wave, run.chunks, new, created=not dry_run, uri_before=_other_uri(history.latest, source))
    raise _outpaced(source)


def _read_together(
    store: StateStore, source: str, read_facts: Callable[[], PlanFacts], inventory: Inventory | None, *, restores: bool
) -> tuple[PlanFacts, PlanHistory, Inventory | None]:
    """Return facts, history and, unless an inventory is given, the newest one: of a bucket, read at the same time."""
    (facts, newest), history = both(
        store,
        lambda: both(store, read_facts, lambda: inventory or latest_inventory(store, source)),
        lambda: _whole_history(store, source, is_trusted=True, restores=restores),
    )
    return facts, history, newest


def _followed_by(store: StateStore, history: PlanHistory, wave: Wave, *, compacts: bool) -> PlanHistory:
    followed = history.followed_by(wave)

    def compacted() -> PlanHistory:
        return compact(store, followed, followed.number) if compacts else followed

    return both(store, lambda: discard_uncommitted(store, history, wave), compacted)[1]


def _other_uri(latest: Wave | None, source: SourceSettings) -> str | None:
    before = latest.uri if latest is not None else None
    return None if before == source.uri else before


def _outpaced(source: SourceSettings) -> StateConflictError:
    return StateConflictError(
        f"Other planning runs of source {source.name} committed first, {_MOST_ATTEMPTS} times in a row. Let them finish, "
        "then run again"
    )


def _whole_history(store: StateStore, source: str, *, is_trusted: bool = True, restores: bool) -> PlanHistory:
    history = load_history(store, source, is_trusted=is_trusted)
    if restores:
        restore_markers(store, history)
    return history


def _run(
    store: StateStore,
    source: SourceSettings,
    inventory: Inventory,
    history: PlanHistory,
    *,
    facts: PlanFacts,
    limits: ManifestLimits,
    progress: Callable[[int], None] | None,
) -> PlanningRun:
    today = GroupRules(source).digest()
    before = _groupings(source, history.latest)
    return PlanningRun(
        store,
        source,
        inventory,
        history,
        wave_id=_next_wave_id(history, inventory.inventory_id),
        groupings=[*before, *({today} - {*before})],
        checks_known=bool({*before} - {today}),
        is_regrouped=bool(before) and today not in before,
        facts=facts,
        limits=limits,
        progress=progress,
    )


def _groupings(source: SourceSettings, latest: Wave | None) -> tuple[str, ...]:
    """Return the digests of the rules of grouping that planned a source so far."""
    if latest is None or latest.groupings:
        return () if latest is None else latest.groupings
    # Earlier versions knew neither groups nor kinds, and made no units of DICOM objects: what they planned is what a source
    # without rules of its own plans.
    return (GroupRules(source.model_copy(update={"groups": (), "kinds": ()})).digest(),)


def _newest_inventory(store: StateStore, source: str, latest: Wave | None, found: Inventory | None) -> Inventory:
    """Return the newest inventory; what was found while the waves were read counts unless a wave is of a later one.

    Another sync may commit a later inventory and plan it at any moment. So it is looked up after the waves then.
    """
    if found is not None and (latest is None or found.inventory_id >= latest.inventory_id):
        return found
    inventory = latest_inventory(store, source)
    if latest is not None and (inventory is None or inventory.inventory_id < latest.inventory_id):
        missing = inventory_folder(source, latest.inventory_id) + COMMIT_MARKER
        raise damaged(store, missing, f"is missing, though wave {latest.wave_id} planned its inventory")
    if inventory is None:
        raise UsageError(
            f"Source {source} has no inventory to plan: run `registration-pipeline inventory {source}` first"
        )
    return inventory


def _existing_wave(store: StateStore, history: PlanHistory, inventory: Inventory, digest: str) -> Wave | None:
    """Return the wave that planning this inventory under these rules gave, if it is still the last word."""
    last = history.last_wave_of(store, inventory.inventory_id)
    if last is not None and last.rules_digest == digest:
        return last
    if history.latest is not None and history.latest.inventory_id > inventory.inventory_id:
        raise UsageError(
            f"Inventory {inventory.inventory_id} of source {inventory.source} is older than "
            f"{history.latest.inventory_id}, which is planned already: plan the latest inventory"
        )
    return None


def _carried_over(
    history: PlanHistory, inventory: Inventory, rules_digest: str, *, planned_at: datetime
) -> Wave | None:
    """Return the wave of an inventory that holds the same rows as the one planned last, without reading either.

    Whatever was new then is known now, and nothing else can be another: the same objects meet the same rules. Only those
    that were held back for their age must be checked again. The census files are shared.
    """
    last = history.latest
    if last is None or last.counts.held or last.rules_digest != rules_digest:
        return None
    if last.listing_digest != inventory.digest:
        return None
    return replace(
        last,
        wave_id=_next_wave_id(history, inventory.inventory_id),
        inventory_id=inventory.inventory_id,
        counts=replace(last.counts, known=last.counts.known + last.counts.new, new=0),
        parts=(),
        part_first_keys=(),
        unit_files=(),
        group_files=(),
        chunk_files=(),
        warnings=PlanWarnings(),
        planned_at=planned_at,
    )


def _next_wave_id(history: PlanHistory, inventory_id: str) -> str:
    again = len(history.waves_of(inventory_id))
    return inventory_id if again == 0 else f"{inventory_id}-{again + 1}"
