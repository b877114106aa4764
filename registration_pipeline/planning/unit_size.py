"""How many bytes a unit adds to the JSON that the SDK sends: counted, not estimated.

The SDK reads a manifest and writes it again, with a blank after every comma and colon and everything but ASCII escaped
(``json.dumps`` as it is by default), so this is the length of that text and not of the file. A test compares it with what
``manifest/render.py`` writes, for units of every kind.

What does not belong here: writing manifests (``manifest``) and where a chunk ends (``chunking.py``).
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import chunk_id
from registration_pipeline.limits import ENVELOPE_BYTES, MAX_SEQUENCE_IMAGES
from registration_pipeline.objects import KINDS, MediaKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.objects import KindSpec

_UNIT_ID: Final = "0" * 16
_SEPARATOR: Final = ", "
_OWN_KEYS: Final = ("registration.chunk", "registration.unit")
"""What the pipeline writes into the client metadata of each unit; it wins over keys of the same name."""
_OWN_KEYS_OF_GROUP: Final = (*_OWN_KEYS, "registration.objects")
"""The same of a unit of several objects. All values but that of the chunk have the length of ``_UNIT_ID``."""
_BESIDE_FRAME: Final = len('"objectUrl_": "", ')
"""What one URL of a group adds besides itself and the digits of its position."""


def _own_keys(spec: KindSpec) -> tuple[str, ...]:
    return _OWN_KEYS_OF_GROUP if spec.is_group else _OWN_KEYS


def _bytes_around(spec: KindSpec) -> int:
    """Return what a unit of a kind takes besides its chunk's id, URLs, title and metadata of its own."""
    item: dict[str, object] = {"title": ""}
    if spec.has_client_metadata:
        item["clientMetadata"] = dict.fromkeys(_own_keys(spec), _UNIT_ID) | {_OWN_KEYS[0]: ""}
    if spec.create_video is not None:
        item["createVideo"] = spec.create_video
    if not spec.is_group:
        item["objectUrl"] = ""
    # The quotes of the title are counted with it, and the key of a single URL here.
    return len(json.dumps(item) + _SEPARATOR) - len('""')


_AROUND: Final = {kind: _bytes_around(spec) for kind, spec in KINDS.items()}
_NAMES_CHUNK: Final = {kind: int(spec.has_client_metadata) for kind, spec in KINDS.items()}
_GROUPS: Final = frozenset(kind for kind, spec in KINDS.items() if spec.is_group)


def unit_bytes(
    kind: MediaKind,
    *,
    chunk_id_bytes: int,
    title: str,
    url_bytes: int,
    objects: int = 1,
    client_metadata: str | None = None,
) -> int:
    """Return the bytes that a unit adds to a manifest as the SDK sends it, with the separator that follows it.

    Args:
        kind: its kind.
        chunk_id_bytes: length of its chunk's id, which is part of its metadata.
        title: its title.
        url_bytes: length of all its URLs; URLs are ASCII, with nothing that JSON escapes.
        objects: how many URLs that are.
        client_metadata: its own, as JSON text of an object; kinds without client metadata ignore it.

    Raises:
        ValueError: the metadata is not JSON.
    """
    beside = extra_bytes(kind, objects=objects, client_metadata=client_metadata)
    return fixed_bytes(kind, chunk_id_bytes) + title_bytes(title) + url_bytes + beside


def fixed_bytes(kind: MediaKind, chunk_id_bytes: int) -> int:
    """Return what every unit of a kind adds in a chunk: all but its title, its URLs with their keys, and its own metadata.

    A unit of a single kind, without metadata of its own, adds this, ``title_bytes`` and the length of its URL.
    """
    return _AROUND[kind] + _NAMES_CHUNK[kind] * chunk_id_bytes


def title_bytes(title: str) -> int:
    """Return the length of a title as JSON, with its quotes."""
    return len(encode_basestring_ascii(title))


def extra_bytes(kind: MediaKind, *, objects: int, client_metadata: str | None) -> int:
    """Return what the keys of the URLs of a group and metadata of its own add; 0 for a single unit without any."""
    total = objects * _BESIDE_FRAME + _digits_below(objects) if kind in _GROUPS else 0
    if client_metadata is not None and KINDS[kind].has_client_metadata:
        total += _metadata_bytes(client_metadata, _own_keys(KINDS[kind]))
    return total


def _digits_below(count: int) -> int:
    """Return how many digits the whole numbers from 0 to ``count - 1`` have together."""
    total, power = count, 10
    while power < count:
        total += count - power
        power *= 10
    return total


def _metadata_bytes(text: str, own_keys: Sequence[str]) -> int:
    """Return what metadata of its own adds to a unit's."""
    own = dict.fromkeys(own_keys, "")
    return len(json.dumps(json.loads(text) | own)) - len(json.dumps(own))


def bytes_around_units(kind: MediaKind) -> int:
    """Return what a manifest of one kind takes besides what its units add: all of it, also what the SDK sends around it."""
    document = {KINDS[kind].list_key: [], "skip_duplicate_urls": True}
    return len(json.dumps(document)) - len(_SEPARATOR) + ENVELOPE_BYTES


def exceeded_limit(
    kind: MediaKind,
    limits: ManifestLimits,
    *,
    wave_id: str,
    title: str,
    url_bytes: int,
    objects: int = 1,
    client_metadata: str | None = None,
) -> str | None:
    """Return which of Encord's limits a unit exceeds though it has a manifest of its own; None: none of them.

    Args:
        kind: its kind.
        limits: those of the plan that was bought from Encord.
        wave_id: the wave that would plan it.
        title: see ``unit_bytes``, as all that follow.
    """
    if kind is MediaKind.IMAGE_SEQUENCE and objects > MAX_SEQUENCE_IMAGES:
        return f"it has {objects:,} images: Encord accepts {MAX_SEQUENCE_IMAGES:,} in an image sequence"
    if objects > limits.urls:
        return f"it has {objects:,} objects: Encord accepts {limits.urls:,} URLs in a manifest"
    sent = bytes_around_units(kind) + unit_bytes(
        kind,
        chunk_id_bytes=len(chunk_id(wave_id, kind, 1)),
        title=title,
        url_bytes=url_bytes,
        objects=objects,
        client_metadata=client_metadata,
    )
    if sent > limits.bytes:
        return f"its manifest alone takes {sent:,} bytes: Encord accepts {limits.bytes:,}"
    return None
