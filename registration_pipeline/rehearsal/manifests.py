"""The manifests of a rehearsal: those that a sync would write, and two that it never would.

What does not belong here: the form itself (``manifest/``) and sending.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import unit_id
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.planning.units import ChunkUnits
from registration_pipeline.rehearsal.observations import url_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.planning.units import PlannedUnit

UNKNOWN_KEY: Final = "registrationRehearsal"
RESPELLED_TITLE: Final = "registration-pipeline rehearsal: another spelling of a URL"
_LAST_LETTER: Final = re.compile(r"[A-Za-z0-9](?=[^A-Za-z0-9]*\Z)")


def plain_manifest(chunk_id: str, units: Sequence[PlannedUnit]) -> bytes:
    """Return the manifest that a sync would write for a chunk of these units."""
    return render_manifest(chunk_id, ChunkUnits.of(unit._replace(unit_index=at) for at, unit in enumerate(units)))


def respelled_unit(unit: PlannedUnit) -> PlannedUnit:
    """Return the unit with its URL in another percent-encoding of the same key, and a title and id of its own."""
    url = _LAST_LETTER.sub(lambda letter: f"%{ord(letter[0]):02X}", url_of(unit))
    (entry,) = unit.objects
    return unit._replace(
        unit_id=unit_id("rehearsal/respelled", unit.kind, unit.title),
        title=RESPELLED_TITLE,
        objects=(entry._replace(object_url=url),),
    )


def with_unknown_key(manifest: bytes) -> bytes:
    """Return the manifest with a key in each entry that Encord's format does not have."""
    document = json.loads(manifest)
    for entries in document.values():
        for entry in entries if isinstance(entries, list) else ():
            entry[UNKNOWN_KEY] = True
    return json.dumps(document).encode()
