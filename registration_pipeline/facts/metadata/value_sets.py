"""The sets of facts that the entries of ``metadata`` give: their schema and their names.

What does not belong here: reading tables, sidecars and object metadata, and merging what was read (``merging.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from registration_pipeline.facts.sets import facts_schema
from registration_pipeline.ids import rules_digest

if TYPE_CHECKING:
    from registration_pipeline.settings.metadata import MetadataEntry

VALUES_SCHEMA: Final[pa.Schema] = facts_schema(
    pa.field("size", pa.int64()),
    pa.field("last_modified", pa.timestamp("us", tz="UTC")),
    pa.field("values", pa.string()),
    pa.field("problem", pa.string()),
    pa.field("message", pa.string()),
)
"""Rows are sorted by ``key``, the key of the object that the values belong to, each key once.

``e_tag``, ``size`` and ``last_modified`` are those of the object's version where the values belong to a version of it, else
null. ``values`` is canonical JSON (``values.canonical``) of an object, with the prefix of the entry and without nulls; null:
nothing is known. ``problem`` is null, ``invalid_metadata`` or ``metadata_unreadable``; then ``message`` names the object, the
place, the field, the value and the rule, and says what to do. It may also be ``waiting``: what has the values could not be
read for a reason that passes.
"""

ROWS_WITHOUT_OBJECT: Final = "rows_without_object"
"""The note of a table's set that counts the rows of its files that name no object, and so are not in the set: without a key,
with the URL of another bucket, or with a name that no object of the inventory has."""

_DIGEST_CHARACTERS: Final = 8


def entry_set_name(entry: MetadataEntry) -> str | None:
    """Return the name of the set of facts that an entry gives, e.g. ``table-1f3a09c2``; None: a pattern reads nothing.

    The name holds a digest of the whole entry: an entry that was changed has a set of its own.
    """
    if entry.pattern is not None:
        return None
    way = "table" if entry.table is not None else "sidecars" if entry.sidecar is not None else "object-metadata"
    return f"{way}-{rules_digest(entry.model_dump(mode='json'))[:_DIGEST_CHARACTERS]}"
