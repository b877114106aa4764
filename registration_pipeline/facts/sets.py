"""Sets of facts in the state: columns about objects by key and ETag, under a commit marker with the set's digest.

What does not belong here: where facts come from, and joining them with an inventory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
from xxhash import xxh3_128_hexdigest

from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, facts_folder
from registration_pipeline.state.markers import FileSet, read_marker
from registration_pipeline.state.owned import is_own
from registration_pipeline.state.parquet import ParquetPartWriter, Part, read_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from registration_pipeline.state.store import StateStore

FACTS_KEYS: Final[tuple[pa.Field, ...]] = (pa.field("key", pa.string(), nullable=False), pa.field("e_tag", pa.string()))
"""The first columns of every set: which object, and as which version it was read. An object whose ETag is another one now has
to be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSet:
    """One reading of facts about the objects of a source.

    Args:
        name: what was read, e.g. ``headers``; ``[a-z0-9_-]+``.
        facts_id: which reading; later ones sort after earlier ones.
        source: its name.
        parts: rows sorted by key, each key once; ``FACTS_KEYS`` first.
        digest: of the parts' content.
        made_at: UTC.
        notes: what its maker says of it besides, e.g. counts; in JSON's types.
    """

    name: str
    facts_id: str
    source: str
    parts: tuple[Part, ...]
    digest: str
    made_at: datetime
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many objects it has facts about."""
        return sum(part.rows for part in self.parts)


def facts_schema(*columns: pa.Field) -> pa.Schema:
    """Return the schema of a set with these columns beside the key and the ETag."""
    return pa.schema([*FACTS_KEYS, *columns])


class FactsWriter:
    """Writes one reading, which counts when it is committed; a context manager. What is not committed is never read.

    Args:
        store: the state.
        source: its name.
        name: what was read.
        facts_id: which reading.
        schema: as ``facts_schema`` gives it.
        bytes_per_group: for rows that may be large; see ``ParquetPartWriter``.
    """

    def __init__(
        self,
        store: StateStore,
        source: str,
        name: str,
        facts_id: str,
        schema: pa.Schema,
        *,
        bytes_per_group: int | None = None,
    ) -> None:
        self._source, self._name, self._facts_id = source, name, facts_id
        self._files = FileSet(store, facts_folder(source, name, facts_id))
        self._parts = ParquetPartWriter(self._files, schema, distinct=("key", "e_tag"), bytes_per_group=bytes_per_group)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.__exit__()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows of the schema, in the order of their keys, each key once."""
        self._parts.write(batch)

    def commit(self, *, made_at: datetime, notes: Mapping[str, Any]) -> FactSet:
        """Publish what was written and make it count.

        Args:
            made_at: UTC.
            notes: see ``FactSet``.

        Raises:
            StateConflictError: this reading is committed already.
        """
        parts = self._parts.finish()
        facts = FactSet(
            name=self._name,
            facts_id=self._facts_id,
            source=self._source,
            parts=parts,
            digest=xxh3_128_hexdigest("".join(part.digest for part in parts).encode("ascii")),
            made_at=made_at,
            notes=dict(notes),
        )
        self._files.commit(_to_json(facts))
        return facts


def write_facts(
    store: StateStore,
    source: str,
    name: str,
    facts_id: str,
    batches: Iterable[pa.RecordBatch],
    *,
    schema: pa.Schema,
    made_at: datetime,
) -> FactSet:
    """Write and commit a set of facts.

    Args:
        store: the state.
        source: its name.
        name: what was read.
        facts_id: which reading.
        batches: rows of ``schema``, sorted by key, each key once.
        schema: as ``facts_schema`` gives it.
        made_at: UTC.

    Raises:
        StateConflictError: this reading is committed already.
    """
    with FactsWriter(store, source, name, facts_id, schema) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.commit(made_at=made_at, notes={})


def latest_facts(store: StateStore, source: str, name: str) -> FactSet | None:
    """Return the last committed reading of a name, or None.

    Raises:
        StateCorruptError: its commit marker is not one of a set of facts.
    """
    for facts_id in sorted(store.folders(facts_folder(source, name)), reverse=True):
        folder = facts_folder(source, name, facts_id)
        marker = read_marker(store, folder) if is_own(folder + COMMIT_MARKER) else None
        if marker is not None:
            try:
                return _from_json(marker)
            except (KeyError, TypeError, ValueError) as error:
                problem = f"is not a marker of a set of facts ({error!r})"
                raise damaged(store, folder + COMMIT_MARKER, problem) from error
    return None


def read_facts(store: StateStore, facts: FactSet) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a set, sorted by key.

    Raises:
        StateCorruptError: a part is missing or unreadable.
    """
    return read_parts(store, facts.parts)


def _to_json(facts: FactSet) -> dict[str, Any]:
    return {
        "name": facts.name,
        "facts_id": facts.facts_id,
        "source": facts.source,
        "parts": [part.to_json() for part in facts.parts],
        "digest": facts.digest,
        "made_at": facts.made_at.isoformat(),
        **({"notes": dict(facts.notes)} if facts.notes else {}),
    }


def _from_json(value: Mapping[str, Any]) -> FactSet:
    return FactSet(
        name=str(value["name"]),
        facts_id=str(value["facts_id"]),
        source=str(value["source"]),
        parts=tuple(Part.from_json(part) for part in value["parts"]),
        digest=str(value["digest"]),
        made_at=datetime.fromisoformat(value["made_at"]),
        notes=dict(value.get("notes", {})),
    )
