"""How many bytes a unit adds to the JSON that the SDK sends: counted, not estimated.

The SDK reads a manifest and writes it again, with a blank after every comma and colon and everything but ASCII escaped
(``json.dumps`` as it is by default), so this is the length of that text and not of the file. Tests compare it with what
``manifest/render.py`` writes and the SDK sends, for units of every kind in both forms.

What does not belong here: writing manifests (``manifest``) and where a chunk ends (``chunking.py``).
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

from registration_pipeline.facts.metadata.values import sent_bytes
from registration_pipeline.ids import chunk_id
from registration_pipeline.limits import (
    ENVELOPE_BYTES,
    MAX_CLIENT_METADATA_BYTES,
    MAX_GROWTH,
    MAX_SEQUENCE_IMAGES,
)
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.typed_form import (
    FILE_TYPE,
    MEMBER_URL,
    TYPED_KINDS,
    TYPED_LISTS,
    TYPED_SKIP_DUPLICATE_URLS,
    TYPED_UPSERT_METADATA,
)
from registration_pipeline.settings.metadata import SubmitAs

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
_LONG_CHUNK_ID: Final = "0" * 60
"""At least as long as the id of any chunk, and of a part of one."""
_MOST_OWN_BYTES: Final = 200
"""What the keys that the pipeline writes take at most."""
_BESIDE_MEMBER: Final = len(json.dumps({MEMBER_URL: ""}) + _SEPARATOR)
"""The same in the typed form, which numbers no URLs."""


def _own_keys(spec: KindSpec) -> tuple[str, ...]:
    return _OWN_KEYS_OF_GROUP if spec.is_group else _OWN_KEYS


def _has_metadata(kind: MediaKind, submit_as: SubmitAs) -> bool:
    return submit_as is SubmitAs.DATA_ITEMS or KINDS[kind].has_client_metadata


def _bytes_around(spec: KindSpec, submit_as: SubmitAs) -> int:
    """Return what a unit of a kind takes besides its chunk's id, URLs, title and metadata of its own."""
    item: dict[str, object] = {"title": ""}
    if _has_metadata(spec.kind, submit_as):
        item["clientMetadata"] = dict.fromkeys(_own_keys(spec), _UNIT_ID) | {_OWN_KEYS[0]: ""}
    create_video, lacking = spec.create_video, 0
    if submit_as is SubmitAs.DATA_ITEMS:
        typed = TYPED_KINDS[spec.kind]
        create_video = typed.create_video
        item[FILE_TYPE] = typed.file_type
        if typed.members_key is not None:
            item[typed.members_key] = []
            lacking = len(_SEPARATOR)  # the last one of the members is followed by none
    if create_video is not None:
        item["createVideo"] = create_video
    if not spec.is_group:
        item["objectUrl"] = ""
    # The quotes of the title are counted with it, and the key of a single URL here.
    return len(json.dumps(item) + _SEPARATOR) - len('""') - lacking


_AROUND: Final = {
    submit_as: {kind: _bytes_around(spec, submit_as) for kind, spec in KINDS.items()} for submit_as in SubmitAs
}
_GROUPS: Final = frozenset(kind for kind, spec in KINDS.items() if spec.is_group)


def unit_bytes(
    kind: MediaKind,
    *,
    chunk_id_bytes: int,
    title: str,
    url_bytes: int,
    objects: int = 1,
    client_metadata: str | None = None,
    metadata_bytes: int = 0,
    submit_as: SubmitAs = SubmitAs.JSON,
) -> int:
    """Return the bytes that a unit adds to a manifest as the SDK sends it, with the separator that follows it.

    Args:
        kind: its kind.
        chunk_id_bytes: length of its chunk's id, which is part of its metadata.
        title: its title.
        url_bytes: length of all its URLs; URLs are ASCII, with nothing that JSON escapes.
        objects: how many URLs that are.
        client_metadata: its own, as JSON text of an object; kinds without client metadata ignore it.
        metadata_bytes: the sum of ``media_blocks.media_bytes`` over its objects.
        submit_as: the form in which the manifest would be sent.

    Raises:
        ValueError: the metadata is not JSON.
    """
    beside = extra_bytes(kind, objects=objects, client_metadata=client_metadata, submit_as=submit_as) + metadata_bytes
    return fixed_bytes(kind, chunk_id_bytes, submit_as) + title_bytes(title) + url_bytes + beside


def fixed_bytes(kind: MediaKind, chunk_id_bytes: int, submit_as: SubmitAs = SubmitAs.JSON) -> int:
    """Return what every unit of a kind adds in a chunk: all but its title, its URLs with their keys, and its own metadata.

    A unit of a single kind, without metadata of its own, adds this, ``title_bytes`` and the length of its URL.
    """
    return _AROUND[submit_as][kind] + _has_metadata(kind, submit_as) * chunk_id_bytes


def title_bytes(title: str) -> int:
    """Return the length of a title as JSON, with its quotes."""
    return len(encode_basestring_ascii(title))


def extra_bytes(
    kind: MediaKind, *, objects: int, client_metadata: str | None, submit_as: SubmitAs = SubmitAs.JSON
) -> int:
    """Return what the keys of the URLs of a group and metadata of its own add; 0 for a single unit without any."""
    total = 0
    if kind in _GROUPS:
        is_typed = submit_as is SubmitAs.DATA_ITEMS
        total = objects * _BESIDE_MEMBER if is_typed else objects * _BESIDE_FRAME + _digits_below(objects)
    if client_metadata is not None and _has_metadata(kind, submit_as):
        total += _metadata_bytes(client_metadata, _own_keys(KINDS[kind]))
    return total


def metadata_problem(client_metadata: str | None, *, objects: int = 1) -> str | None:
    """Return why a unit's own client metadata is too much for Encord; None: it is not.

    Args:
        client_metadata: as in ``unit_bytes``.
        objects: of the unit; more than one have a digest beside.

    Raises:
        ValueError: the metadata is not JSON.
    """
    # Spaced out and escaped it is at most six times as long.
    if client_metadata is None or (len(client_metadata) + _MOST_OWN_BYTES) * MAX_GROWTH <= MAX_CLIENT_METADATA_BYTES:
        return None
    own = dict.fromkeys(_OWN_KEYS_OF_GROUP if objects > 1 else _OWN_KEYS, _UNIT_ID) | {_OWN_KEYS[0]: _LONG_CHUNK_ID}
    sent = len(json.dumps(json.loads(client_metadata) | own))
    if sent <= MAX_CLIENT_METADATA_BYTES:
        return None
    return (
        f"its client metadata takes {sent:,} bytes: Encord accepts {MAX_CLIENT_METADATA_BYTES:,} of a unit "
        "(10 MB). Leave columns out, or shorten what they hold"
    )


def _digits_below(count: int) -> int:
    """Return how many digits the whole numbers from 0 to ``count - 1`` have together."""
    total, power = count, 10
    while power < count:
        total += count - power
        power *= 10
    return total


def _metadata_bytes(text: str, own_keys: Sequence[str]) -> int:
    """Return what metadata of its own adds to a unit's."""
    if len(text) > len("{}") and not any(key in text for key in own_keys):
        return sent_bytes(text)  # a comma and a blank take the place of its braces
    own = dict.fromkeys(own_keys, "")
    return len(json.dumps(json.loads(text) | own)) - len(json.dumps(own))


def bytes_around_units(kind: MediaKind, submit_as: SubmitAs = SubmitAs.JSON, *, upsert: bool = False) -> int:
    """Return what a manifest of one kind takes besides what its units add: all of it, also what the SDK sends around it.

    Args:
        kind: of its units.
        submit_as: the form.
        upsert: whether it is to change the metadata of items that are there.
    """
    if submit_as is SubmitAs.DATA_ITEMS:
        flags = {TYPED_SKIP_DUPLICATE_URLS: True, TYPED_UPSERT_METADATA: upsert}
        document: dict[str, object] = {**{key: [] for key in TYPED_LISTS}, **flags}
    else:
        document = {
            KINDS[kind].list_key: [],
            "skip_duplicate_urls": True,
            **({"upsert_metadata": True} if upsert else {}),
        }
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
    metadata_bytes: int = 0,
    submit_as: SubmitAs = SubmitAs.JSON,
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
    if _has_metadata(kind, submit_as) and (problem := metadata_problem(client_metadata, objects=objects)) is not None:
        return problem
    sent = bytes_around_units(kind, submit_as) + unit_bytes(
        kind,
        chunk_id_bytes=len(chunk_id(wave_id, kind, 1)),
        title=title,
        url_bytes=url_bytes,
        objects=objects,
        client_metadata=client_metadata,
        metadata_bytes=metadata_bytes,
        submit_as=submit_as,
    )
    if sent > limits.bytes:
        return f"its manifest alone takes {sent:,} bytes: Encord accepts {limits.bytes:,}"
    return None
