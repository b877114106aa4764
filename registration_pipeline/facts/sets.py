"""Sets of facts in the state: columns about objects by key and ETag, under a commit marker with the set's digest.

What does not belong here: where facts come from, and joining them with an inventory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

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
    """

    name: str
    facts_id: str
    source: str
    parts: tuple[Part, ...]
    digest: str
    made_at: datetime


def facts_schema(*columns: pa.Field) -> pa.Schema:
    """Return the schema of a set with these columns beside the key and the ETag."""
    return pa.schema([*FACTS_KEYS, *columns])


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
    files = FileSet(store, facts_folder(source, name, facts_id))
    with ParquetPartWriter(files, schema) as writer:
        for batch in batches:
            writer.write(batch)
        parts = writer.finish()
    digest = xxh3_128_hexdigest("".join(part.digest for part in parts).encode("ascii"))
    facts = FactSet(name=name, facts_id=facts_id, source=source, parts=parts, digest=digest, made_at=made_at)
    files.commit(_to_json(facts))
    return facts


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
    }


def _from_json(value: Mapping[str, Any]) -> FactSet:
    return FactSet(
        name=str(value["name"]),
        facts_id=str(value["facts_id"]),
        source=str(value["source"]),
        parts=tuple(Part.from_json(part) for part in value["parts"]),
        digest=str(value["digest"]),
        made_at=datetime.fromisoformat(value["made_at"]),
    )
