"""What is sent of whole units besides their objects: the client metadata of all members as one, and the bytes of the rest.

What does not belong here: what becomes of single members (``fact_verdicts.py``) and where a unit goes (``place.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.facts.metadata.values import filled
from registration_pipeline.planning.media_blocks import media_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.grouping.summary import UnitSummary
    from registration_pipeline.settings.metadata import SubmitAs


class UnitFacts(NamedTuple):
    """What is sent of a unit.

    Args:
        client_metadata: canonical JSON: the values of its first object, and those of later ones where it lacks them.
        media_bytes: what the media metadata of its objects add to a manifest as it is sent.
    """

    client_metadata: str | None = None
    media_bytes: int = 0


NO_FACTS = UnitFacts()


def facts_of(kind: MediaKind, rows: pa.Table, unit: UnitSummary, submit_as: SubmitAs) -> UnitFacts:
    """Return what is sent of a unit.

    Args:
        kind: its kind.
        rows: of members, in the order of their positions.
        unit: one of the units that the rows are of.
        submit_as: the form of the manifest.
    """
    if "client_metadata" not in rows.schema.names:
        return NO_FACTS
    texts, media = (
        rows.column(name).slice(unit.first_row, unit.objects) for name in ("client_metadata", "media_metadata")
    )
    return UnitFacts(
        filled(*texts.to_pylist()) if texts.null_count < len(texts) else None,
        sum(media_bytes(kind, text, submit_as) for text in media.to_pylist()) if media.null_count < len(media) else 0,
    )
