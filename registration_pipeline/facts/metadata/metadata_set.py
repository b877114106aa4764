"""The set of facts ``metadata``: what each row says, whether it is up to date, and what it says of tables.

What does not belong here: making it (``making.py``) and what a plan makes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from registration_pipeline.counted import counted
from registration_pipeline.facts.sets import facts_schema, latest_facts
from registration_pipeline.ids import rules_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

METADATA: Final = "metadata"
"""The name of the set."""

METADATA_SCHEMA: Final[pa.Schema] = facts_schema(
    pa.field("size", pa.int64(), nullable=False),
    pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("client_metadata", pa.string()),
    pa.field("problem", pa.string()),
    pa.field("message", pa.string()),
)
"""Rows are sorted by ``key``, each key once: every object that the set covers, as it was listed, also without values.

``client_metadata`` is canonical JSON, all entries merged; null: there are no values. ``problem`` is null, or a
``RejectionReason``: ``invalid_metadata``, ``metadata_unreadable`` or ``unit_too_large``; then ``message`` says what to do, and
``client_metadata`` is null. An object without a row waits: its sidecar or object metadata could not be read for a reason that
passes.
"""


class TableCounts(NamedTuple):
    """How a table and the objects of a source fit.

    Args:
        entry: which entry of ``metadata``, from 0.
        table: as it is written there.
        rows: of the table.
        without_object: of those, that name no object of the inventory; rows of one object, such as its key frames, count once.
        without_row: objects that the set covers and that the table has no row for.
    """

    entry: int
    table: str
    rows: int
    without_object: int
    without_row: int

    @property
    def name(self) -> str:
        """The table, for people: its file and its entry."""
        return f"{self.table.rsplit('/', 1)[-1]} (metadata[{self.entry}])"

    @property
    def line(self) -> str | None:
        """What a person should know, or None if every row has an object and every object a row."""
        if self.rows and self.without_object == self.rows:
            return f"{self.name}: no row names an object of the source; check `key` and `matches` of the entry"
        parts = []
        if self.without_object:
            verb = "names" if self.without_object == 1 else "name"
            parts.append(f"{counted(self.without_object, 'row')} {verb} no object")
        if self.without_row:
            verb = "has" if self.without_row == 1 else "have"
            parts.append(f"{counted(self.without_row, 'object')} {verb} no row")
        if not parts:
            return None
        return f"{self.name}: {'; '.join(parts)}"


def latest_table_counts(store: StateStore, source: SourceSettings) -> tuple[TableCounts, ...]:
    """Return what the latest set says of each table of a source; nothing if it was made under other settings."""
    facts = latest_facts(store, source.name, METADATA)
    return tuple(table_counts(facts)) if facts is not None and is_of(facts, source) else ()


def table_counts(facts: FactSet) -> Iterator[TableCounts]:
    """Yield what a set ``metadata`` says of each table that it was made of."""
    for note in facts.notes.get("tables", ()):
        yield TableCounts(
            entry=int(note["entry"]),
            table=str(note["table"]),
            rows=int(note["rows"]),
            without_object=int(note["without_object"]),
            without_row=int(note["without_row"]),
        )


def set_notes(
    source: SourceSettings, inventory: Inventory, inputs: Sequence[FactSet | None], planned: int
) -> dict[str, Any]:
    """Return what a set says of how it was made.

    Args:
        source: its settings.
        inventory: whose objects it covers.
        inputs: one for each entry.
        planned: number of the plan's lineage: objects that were planned by then are not covered.
    """
    return {
        "columns": METADATA_SCHEMA.names,
        "inventory_id": inventory.inventory_id,
        "listing_digest": inventory.digest,
        "settings_digest": _settings_digest(source),
        "inputs": [None if facts is None else [facts.name, facts.digest] for facts in inputs],
        "planned": planned,
    }


def is_current(previous: FactSet | None, notes: dict[str, Any]) -> bool:
    """Return whether a set would hold what one that is made now would hold, of every object that needs a row.

    Args:
        previous: the set that is there.
        notes: ``set_notes`` of the one that would be made.
    """
    if previous is None:
        return False
    # What was planned since has rows that nothing needs. With a plan that lost waves, objects are unplanned again.
    same = ("columns", "listing_digest", "settings_digest", "inputs")
    is_same = all(previous.notes.get(name) == notes[name] for name in same)
    return is_same and int(previous.notes.get("planned", 0)) <= notes["planned"]


def is_of(facts: FactSet, source: SourceSettings) -> bool:
    """Return whether a set was made under today's settings: under others it would hold other values, or other objects."""
    return facts.notes.get("settings_digest") == _settings_digest(source)


def _settings_digest(source: SourceSettings) -> str:
    """Return the digest of the settings that decide about values, and about which objects are covered."""
    return rules_digest(
        {
            "metadata": [entry.model_dump(mode="json") for entry in source.metadata],
            "metadata_schema": {name: field.model_dump(mode="json") for name, field in source.metadata_schema.items()},
            "upsert_metadata": source.upsert_metadata,
            "include": list(source.include),
            "exclude": list(source.exclude),
            "uri": source.uri,
            "kinds": [[rule.match, rule.kind.value] for rule in source.kinds],
            "groups": [rule.model_dump(mode="json") for rule in source.groups],
        }
    )
