"""Metadata and tags of objects as a kind of reading: which of them become values, and what a row says.

What does not belong here: asking a store (``facts/readers``) and reading many objects (``facts/reading``).

All values are texts. A tag wins over metadata of the same name: it can be changed while the object stays as it is, so it is
the later word. A name of metadata that Encord does not accept is a problem of the object: the program that writes the objects
can use another one. A tag with such a name is left out: many are set for a whole organisation, and a user of the bucket can't
change them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from registration_pipeline.facts.metadata.read_values import UNREADABLE, ReadValues, checked_values, unreadable
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.reading.spec import FactKind
from registration_pipeline.settings.metadata import field_name_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.facts.reader import ObjectDescription, ObjectReader, StoredObject
    from registration_pipeline.settings.metadata import MetadataEntry

_OF_TOOLS: Final = ("goog-reserved-", "firebaseStorageDownloadTokens")
"""Begin the names of metadata that Google's own tools write; the second one holds tokens that open the object to anyone."""


def object_metadata_kind(entry: MetadataEntry) -> FactKind[ReadValues]:
    """Return the kind of reading that an entry ``object_metadata: true`` is.

    Args:
        entry: with ``object_metadata``.
    """
    name = entry_set_name(entry)
    assert entry.object_metadata
    assert name is not None

    def read(reader: ObjectReader, item: StoredObject) -> ReadValues:
        return described_values(reader.describe(item), item.key, entry.prefix)

    return FactKind(
        name=name,
        what="metadata and tags",
        schema=VALUES_SCHEMA,
        read=read,
        unreadable=unreadable,
        rows=_rows,
        retried=frozenset({UNREADABLE}),
        is_timed=True,
        permission=_permission,
    )


def described_values(description: ObjectDescription, key: str, prefix: str) -> ReadValues:
    """Return what a description says of an object as values.

    Args:
        description: as the store gave it.
        key: of the object.
        prefix: of the entry.
    """
    values = {name: text for name, text in description.metadata.items() if not name.startswith(_OF_TOOLS)}
    values |= _taken(description.tags, prefix)
    return checked_values(values, prefix, key=key, place="the object's own metadata", bytes_read=description.bytes)


def _taken(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name: text for name, text in tags.items() if field_name_problem(prefix + name) is None}


def _permission(reader: ObjectReader) -> str:
    return reader.description_permission


def _rows(objects: Sequence[StoredObject], found: Sequence[ReadValues]) -> pa.RecordBatch:
    columns = [
        [item.key for item in objects],
        [item.e_tag for item in objects],
        [item.size for item in objects],
        [item.last_modified for item in objects],
        [one.values for one in found],
        [one.problem for one in found],
        [one.message for one in found],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, VALUES_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=VALUES_SCHEMA)
