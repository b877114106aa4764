"""The stage that makes client metadata, for a loaded source: every entry read as far as it has to be, and all merged.

What does not belong here: reading one entry, and merging (``facts``); which objects need metadata (``planning``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from registration_pipeline.facts.metadata.making import make_metadata
from registration_pipeline.facts.metadata.metadata_set import METADATA
from registration_pipeline.facts.metadata.value_sets import entry_set_name
from registration_pipeline.facts.object_metadata.reading import read_object_metadata
from registration_pipeline.facts.reading.reading import Reading, ReadingProgress
from registration_pipeline.facts.sets import latest_facts
from registration_pipeline.facts.sidecars.reading import read_sidecars
from registration_pipeline.inventory.inventory import require_inventory
from registration_pipeline.planning.fact_needs import objects_with_metadata
from registration_pipeline.planning.history import load_history
from registration_pipeline.project.facts.current import facts_notes, is_current
from registration_pipeline.project.project import utc_now

if TYPE_CHECKING:
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.project.project import Project
    from registration_pipeline.settings import MetadataEntry, SourceSettings

_Progress = Callable[[ReadingProgress], None] | None


class SourceMetadata:
    """The client metadata of one source.

    Args:
        project: the configuration.
        source: its settings, with ``metadata``.
    """

    def __init__(self, project: "Project", source: "SourceSettings") -> None:
        self._project, self._source = project, source

    def read(self, progress: _Progress = None, *, again: bool = False) -> Reading | None:
        """Read what the entries need and that is not known, and merge it; None: nothing has changed since the last time.

        Args:
            progress: called with how far the reading of objects is.
            again: also if it was read for this inventory; what could not be read is tried once more.

        Raises:
            UsageError: there is no inventory.
            ConfigurationError: a table is not there, or not what its entry says.
            HaltError: a store can't be read.
            StateError: the state can't be read or written.
        """
        store, name = self._project.store, self._source.name
        inventory = require_inventory(store, self._source)
        history, previous = load_history(store, name), latest_facts(store, name, METADATA)
        counted = _Counted(progress)
        inputs = [
            self._input(index, inventory, history, counted, again=again) for index in range(len(self._source.metadata))
        ]
        facts = make_metadata(
            store=store,
            source=self._source,
            inventory=inventory,
            candidates=lambda: objects_with_metadata(store, self._source, inventory, history),
            inputs=inputs,
            clock=utc_now,
            planned=history.number,
        )
        if previous is not None and facts.facts_id == previous.facts_id:
            return None
        notes: Any = facts.notes
        return Reading(facts, counted.total(facts.rows, notes))

    def _input(
        self, index: int, inventory: "Inventory", history: "PlanHistory", counted: "_Counted", *, again: bool
    ) -> "FactSet | None":
        """Return the set of facts of an entry; None for a pattern, which needs none."""
        entry = self._source.metadata[index]
        if entry.pattern is not None:
            return None
        if entry.table is not None:
            return self._table(index, entry, inventory)
        notes = facts_notes(self._source, inventory, history)
        before = latest_facts(self._project.store, self._source.name, entry_set_name(entry) or "")
        if before is not None and not again and is_current(before, notes):
            return before
        if entry.sidecar is not None:
            return read_sidecars(inventory=inventory, **self._reading(entry, counted, notes))
        return read_object_metadata(
            candidates=lambda: objects_with_metadata(self._project.store, self._source, inventory, history),
            **self._reading(entry, counted, notes),
        )

    def _table(self, index: int, entry: "MetadataEntry", inventory: "Inventory") -> "FactSet":
        # Polars and what reads tables take a while to import, and most sources have no table.
        from registration_pipeline.facts.tables.reading import read_table
        from registration_pipeline.project.clients.tables import ClientPlaces

        return read_table(
            store=self._project.store,
            source=self._source,
            index=index,
            entry=entry,
            base_folder=self._project.settings.base_folder,
            places=ClientPlaces(self._project.clients, self._project.environ),
            inventory=inventory,
            clock=utc_now,
        )

    def _reading(self, entry: "MetadataEntry", counted: "_Counted", notes: dict[str, Any]) -> dict[str, Any]:
        return {
            "store": self._project.store,
            "source": self._source.name,
            "entry": entry,
            "reader": self._project.reader(self._source),
            "clock": utc_now,
            "threads": self._source.storage.concurrency,
            "progress": counted.next(),
            "notes": notes,
        }


class _Counted:
    """Adds up the readings of several entries.

    Args:
        progress: called with the progress of each.
    """

    def __init__(self, progress: _Progress) -> None:
        self._progress, self._last = progress, list[ReadingProgress]()

    def next(self) -> Callable[[ReadingProgress], None]:
        """Return what takes the progress of one more reading."""
        place = len(self._last)
        self._last.append(ReadingProgress())

        def take(progress: ReadingProgress) -> None:
            self._last[place] = progress
            if self._progress is not None:
                self._progress(progress)

        return take

    def total(self, rows: int, notes: dict[str, Any]) -> ReadingProgress:
        """Return what all readings came to, with the counts of the merged set."""
        return ReadingProgress(
            objects=rows,
            cached=sum(one.cached for one in self._last),
            read=sum(one.read for one in self._last),
            problems=notes.get("problems", {}),
            waiting=notes.get("counts", {}).get("waiting", 0),
            bytes=sum(one.bytes for one in self._last),
            requests=sum(one.requests for one in self._last),
            seconds=sum(one.seconds for one in self._last),
        )
