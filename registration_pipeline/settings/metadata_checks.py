"""Rules of ``metadata``, ``metadata_schema``, ``media_metadata`` and ``dataset`` that span several keys of a source.

What does not belong here: what is wrong with one entry by itself (``metadata.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registration_pipeline.limits import MAX_ENUM_VALUES
from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.settings.metadata import FRAME_COLUMN, FieldKind, MediaMetadata, field_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from registration_pipeline.settings.metadata import FieldType, MetadataEntry
    from registration_pipeline.settings.models import SourceSettings
    from registration_pipeline.settings.yaml_source import Location


def metadata_problems(
    source: SourceSettings, doubtful: AbstractSet[str] = frozenset()
) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with what a source tells Encord besides, with places relative to it.

    Args:
        source: every key right in itself.
        doubtful: keys that had problems of their own and were replaced by defaults; what depends on them is not judged.
    """
    for index, entry in enumerate(source.metadata):
        yield from ((("metadata", index, *place), text) for place, text in _name_problems(entry))
        if entry in source.metadata[:index]:
            first = source.metadata.index(entry)
            yield ("metadata", index), f"is the same as metadata[{first}] and changes nothing; remove one of the two"
        if entry.object_metadata and source.location.scheme is SourceScheme.FILE:
            yield (
                ("metadata", index, "object_metadata"),
                "file:/// sources have no metadata of the store; remove the entry",
            )
    if source.upsert_metadata and not source.metadata and "metadata" not in doubtful:
        yield ("upsert_metadata",), "sends metadata that changed, and there is none; add metadata, or remove the key"
    is_off = source.media_metadata is MediaMetadata.OFF and "media_metadata" not in doubtful
    if source.strict_client_only and is_off:
        text = "needs media metadata of every unit; add media_metadata: probe"
        yield ("strict_client_only",), text


def schema_problems(sources: Iterable[SourceSettings]) -> Iterator[tuple[Location, str]]:
    """Yield the fields that two sources declare in ways that one schema can't have: Encord has one for the organisation.

    Args:
        sources: right in themselves.
    """
    declared: dict[str, tuple[str, FieldType]] = {}
    options: dict[str, set[str]] = {}
    for source in sources:
        for name, field in source.metadata_schema.items():
            place: Location = ("sources", source.name, "metadata_schema", name)
            first, other = declared.setdefault(name, (source.name, field))
            if (field.kind, field.size) != (other.kind, other.size):
                text = (
                    f"is {field}, and {other} in source {first!r}: Encord has one schema for the organisation; declare "
                    "the same type in both, or choose another name"
                )
                yield place, text
            elif field.kind is FieldKind.ENUM:
                known = options.setdefault(name, set())
                is_full = len(known) > MAX_ENUM_VALUES
                known |= set(field.values)
                if len(known) > MAX_ENUM_VALUES and not is_full:
                    text = (
                        f"has {len(known):,} options together with the sources above: Encord accepts {MAX_ENUM_VALUES} "
                        "in an enum; declare it as varchar"
                    )
                    yield place, text


def _name_problems(entry: MetadataEntry) -> Iterator[tuple[Location, str]]:
    for name in re.compile(entry.pattern).groupindex if entry.pattern is not None else ():
        if (problem := field_name_problem(entry.prefix + name)) is not None:
            yield ("pattern",), f"has a named group whose key {problem}"
    if entry.config is not None and FRAME_COLUMN in (entry.key, *entry.columns):
        yield ("config",), "is of key frames, and frame is named as another column; remove one of the two"
    for index, name in enumerate(entry.columns):
        if name == entry.key:
            yield ("columns", index), "is also key, which names the object and is not a value; remove it"
        elif name in entry.columns[:index]:
            yield ("columns", index), "is given twice; remove one of the two"
        elif (problem := field_name_problem(entry.prefix + name)) is not None:
            yield ("columns", index), f"names a column whose key {problem}"
