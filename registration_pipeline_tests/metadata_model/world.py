"""A bucket in memory whose metadata are sets of facts that a test writes; the set ``metadata`` and plans are made for real."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from registration_pipeline.facts.metadata.making import make_metadata
from registration_pipeline.facts.metadata.metadata_set import METADATA_SCHEMA
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.metadata.values import canonical
from registration_pipeline.facts.sets import FactSet, facts_schema, read_facts, write_facts
from registration_pipeline.inventory.inventory import Inventory, take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning.fact_needs import objects_with_metadata
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.plan import Plan, plan_source
from registration_pipeline.planning.wave import read_census, read_chunk_units
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.state.store import StateStore

START = datetime(2026, 11, 21, 2, tzinfo=UTC)

MEDIA_SCHEMA = facts_schema(
    pa.field("size", pa.int64(), nullable=False),
    pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    *(pa.field(name, pa.string()) for name in ("media_metadata", "problem", "message")),
    pa.field("bytes_read", pa.int64(), nullable=False),
)


class MetadataBucket:
    """A bucket with a state in ``root``.

    Args:
        root: of the state.
        options: settings of the source.
    """

    def __init__(self, root: Path, **options: Any) -> None:
        self.store: StateStore = LocalStateStore(root)
        self.now = START
        self.objects: dict[str, dict[str, Any]] = {}
        self.sets: list[FactSet | None] = []
        self._readings = 0
        self.configure(**options)

    def configure(self, **options: Any) -> None:
        base = {"name": "cams", "uri": "s3://bucket/raw/", "url_style": "s3", "encord": {"integration": "aws"}}
        self.source = SourceSettings.model_validate(base | options)

    def put(self, *keys: str, **facts: Any) -> None:
        for key in keys:
            default = {"size": 10, "last_modified": self.now, "e_tag": f"tag-{self.now.isoformat()}-{key}"}
            self.objects[key] = default | facts

    def clock(self) -> datetime:
        return self.now

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [{"key": key, **facts} for key, facts in sorted(self.objects.items(), key=lambda one: one[0].encode())]
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)

    requests = 1
    description = "a dictionary"

    def listed(self) -> Inventory:
        self.now += timedelta(seconds=10)
        return take_inventory(lister=self, store=self.store, source="cams", clock=self.clock)

    def write_values(self, index: int, rows: Mapping[str, Mapping[str, Any] | dict[str, Any] | None]) -> FactSet:
        """Write the set of an entry: key -> values, or a row with ``problem`` and ``message``."""
        entry = self.source.metadata[index]
        name = entry_set_name(entry)
        assert name is not None
        return self._write(name, [self._values_row(key, row, entry.object_metadata) for key, row in _sorted(rows)])

    def _values_row(self, key: str, row: Any, of_version: bool) -> dict[str, Any]:  # noqa: FBT001
        version = self.objects[key] if of_version and key in self.objects else {}
        found = {"key": key, **{name: version.get(name) for name in ("e_tag", "size", "last_modified")}}
        if isinstance(row, dict) and "problem" in row:
            return {**found, **row}
        return {**found, "values": None if row is None else canonical(row)}

    def _write(self, name: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema = VALUES_SCHEMA) -> FactSet:
        self._readings += 1
        return write_facts(
            self.store,
            "cams",
            name,
            f"20261120T{self._readings:06d}Z",
            [pa.RecordBatch.from_pylist(list(rows), schema=schema)] if rows else [],
            schema=schema,
            made_at=self.now,
        )

    def make(self, inventory: Inventory, *inputs: FactSet | None, store: StateStore | None = None) -> FactSet:
        store = store or self.store
        history = load_history(store, "cams")
        return make_metadata(
            store=store,
            source=self.source,
            inventory=inventory,
            candidates=lambda: objects_with_metadata(store, self.source, inventory, history),
            inputs=inputs,
            clock=self.clock,
            planned=history.number,
        )

    def write_media(self, rows: Mapping[str, Mapping[str, Any]]) -> FactSet:
        """Write the set ``media``: key -> its columns."""
        names = ("e_tag", "size", "last_modified")
        found = [
            {"key": key, "bytes_read": 1, **{name: self.objects[key][name] for name in names}, **row}
            for key, row in _sorted(rows)
        ]
        return self._write("media", found, MEDIA_SCHEMA)

    def plan(self, inventory: Inventory, **options: Any) -> Plan:
        return plan_source(store=self.store, source=self.source, clock=self.clock, inventory=inventory, **options)

    def units(self, plan: Plan) -> list[PlannedUnit]:
        return [unit for chunk in plan.chunks for unit in read_chunk_units(self.store, "cams", chunk)]

    def rejected(self, plan: Plan) -> dict[str, tuple[str, str]]:
        rows = [row for batch in read_census(self.store, plan.wave, "rejected") for row in batch.to_pylist()]
        return {row["key"]: (row["reason"], row["message"]) for row in rows}


def _sorted(rows: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(rows.items(), key=lambda one: one[0].encode())


def rows_of(store: StateStore, facts: FactSet) -> dict[str, dict[str, Any]]:
    """Return the rows of a set ``metadata`` by key, each with its values parsed."""
    found = {}
    for batch in read_facts(store, facts):
        assert batch.schema.names == METADATA_SCHEMA.names
        for row in batch.to_pylist():
            text = row["client_metadata"]
            found[row["key"]] = {**row, "values": None if text is None else json.loads(text)}
    return found
