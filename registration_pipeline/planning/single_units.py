"""The plan's rows of units of one object: their titles and places.

What does not belong here: which objects are eligible (``decision.py``) and units of several objects (``grouping``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from registration_pipeline.facts.metadata.values import merged
from registration_pipeline.ids import unit_id
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.media_blocks import media_bytes
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.titles import TitleWriter, kept_key
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.planning.chunking import ChunkCutter
    from registration_pipeline.planning.decision import Decision
    from registration_pipeline.settings import SourceSettings


class SingleUnits:
    """Places eligible objects, one by one; they come in the order of their keys.

    Args:
        source: its title template.
        cutter: of the wave.
    """

    def __init__(self, source: SourceSettings, cutter: ChunkCutter) -> None:
        self._source, self._place, self._submit_as = source.name, cutter.place, source.submit_as
        self._titles = TitleWriter(source)

    def rows(self, decision: Decision) -> pa.RecordBatch:
        """Return the eligible objects of a batch, as ``PLAN_SCHEMA``."""
        rows, name = decision.eligible, self._source
        keys: list[str] = rows.column("key").to_pylist()
        unit_ids = [unit_id(name, kind, key) for kind, key in zip(decision.kinds, keys, strict=True)]
        titles = self._titles.of_objects(keys, unit_ids)
        metadata: list[str | None] = [None] * len(keys) if decision.sent is None else decision.sent.client_metadata
        for row in titles.shortened:
            if decision.kinds[row] is not MediaKind.NIFTI or self._submit_as is SubmitAs.DATA_ITEMS:
                metadata[row] = merged((metadata[row], kept_key(keys[row])))
        places = self._places(decision, keys, titles.texts, metadata)
        media = pa.nulls(len(keys), pa.string())
        return pa.RecordBatch.from_arrays(
            [
                rows.column("key"),
                pa.array([chunk_id for chunk_id, _ in places], pa.string()),
                pa.array(decision.kinds, pa.string()),
                pa.array([unit_index for _, unit_index in places], pa.int32()),
                pa.repeat(pa.scalar(0, pa.int32()), len(keys)),
                pa.array(unit_ids, pa.string()),
                pa.array(titles.texts, pa.string()),
                pa.array(decision.urls, pa.string()),
                rows.column("size"),
                rows.column("last_modified"),
                rows.column("e_tag"),
                rows.column("version"),
                pa.nulls(len(keys), pa.string()),
                pa.array(metadata, pa.string()),
                media if decision.sent is None else pa.array(decision.sent.media_metadata, pa.string()),
            ],
            schema=PLAN_SCHEMA,
        )

    def _places(
        self, decision: Decision, keys: Sequence[str], titles: Sequence[str], metadata: Sequence[str | None]
    ) -> list[tuple[str, int]]:
        place, form = self._place, self._submit_as
        media = [0] * len(keys)
        if decision.sent is not None:
            texts = decision.sent.media_metadata
            media = [media_bytes(kind, text, form) for kind, text in zip(decision.kinds, texts, strict=True)]
        return [
            place(
                kind,
                key,
                key,
                size=size,
                url_bytes=len(url),
                title=title,
                client_metadata=kept,
                metadata_bytes=added,
            )
            for kind, key, size, url, title, kept, added in zip(
                decision.kinds,
                keys,
                decision.eligible.column("size").to_pylist(),
                decision.urls,
                titles,
                metadata,
                media,
                strict=True,
            )
        ]
