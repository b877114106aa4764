"""Rules of ``metadata``, ``metadata_schema``, ``media_metadata`` and ``dataset`` that span several keys of a source.

What does not belong here: what is wrong with one entry by itself (``metadata.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.settings.metadata import MediaMetadata, field_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.settings.models import SourceSettings
    from registration_pipeline.settings.yaml_source import Location


def metadata_problems(source: SourceSettings) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with what a source tells Encord besides, with places relative to it."""
    for index, entry in enumerate(source.metadata):
        if entry.pattern is not None:
            for name in re.compile(entry.pattern).groupindex:
                if (problem := field_name_problem(entry.prefix + name)) is not None:
                    yield ("metadata", index, "pattern"), f"has a named group whose key {problem}"
        if entry.object_metadata and source.location.scheme is SourceScheme.FILE:
            yield (
                ("metadata", index, "object_metadata"),
                "file:/// sources have no metadata of the store; remove the entry",
            )
    if source.upsert_metadata and not source.metadata:
        yield ("upsert_metadata",), "sends metadata that changed, and there is none; add metadata, or remove the key"
    if source.strict_client_only and source.media_metadata is MediaMetadata.OFF:
        text = "needs media metadata of every unit; add media_metadata: probe"
        yield ("strict_client_only",), text
