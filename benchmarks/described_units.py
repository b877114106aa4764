"""Units with client metadata and media metadata, chunk by chunk, the same in every run. No sizes and no clocks belong here."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.units import UNIT_COLUMNS, ChunkUnits

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS: Final = 1_000
"""Of a chunk."""
MEMBERS: Final = 5
"""Objects of a group."""
EMBEDDING: Final = 512
"""Numbers of an embedding."""
MIX: Final = (
    *([MediaKind.IMAGE] * 9),
    *([MediaKind.VIDEO] * 3),
    *([MediaKind.AUDIO] * 2),
    *([MediaKind.PDF] * 2),
    *([MediaKind.TEXT] * 2),
    MediaKind.IMAGE_GROUP,
)
"""Kinds of chunks, in turn; the twentieth chunk is of images with embeddings."""
_SCHEMA: Final = pa.schema([PLAN_SCHEMA.field(name) for name in UNIT_COLUMNS])
_URL: Final = "https://benchmark.s3.eu-west-2.amazonaws.com/"


def chunks(units: int, *, embeddings_only: bool = False) -> Iterator[tuple[str, ChunkUnits]]:
    """Yield id and units of chunks with as many units together."""
    random = Random(12)
    vectors = [[float(f"{random.uniform(-1, 1):.8g}") for _ in range(EMBEDDING)] for _ in range(50)]
    for number in range(max(1, units // UNITS)):
        place = number % (len(MIX) + 1)
        has_embeddings = embeddings_only or place == len(MIX)
        kind = MediaKind.IMAGE if has_embeddings else MIX[place]
        yield f"20261121T020000Z-{kind}-{number:06d}", _units(number, kind, vectors if has_embeddings else None)


def _units(number: int, kind: MediaKind, vectors: list[list[float]] | None) -> ChunkUnits:
    members = MEMBERS if KINDS[kind].is_group else 1
    rows: list[tuple[Any, ...]] = []
    for index in range(UNITS):
        serial = number * UNITS + index
        for position in range(members):
            key = f"raw/2026/11/session-{number:06d}/{serial:09d}-{position}.bin"
            own = _canonical(_client_metadata(serial, vectors)) if position == 0 else None
            unit = (index, position, f"{serial:016x}", f"raw/session-{number:06d}/{serial:09d}")
            rows.append((key, kind.value, *unit, _URL + key, serial, own, _canonical(_media(kind, serial))))
    columns = zip(*rows, strict=True)
    return ChunkUnits(
        pa.Table.from_arrays(
            [pa.array(one, field.type) for one, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
        )
    )


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _client_metadata(serial: int, vectors: list[list[float]] | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        "fleet.camera": f"front-{serial % 7}",
        "fleet.city": "Zürich" if serial % 50 == 0 else "London",
        "fleet.night": serial % 3 == 0,
        "fleet.speed": serial % 1_300 / 10,
        "fleet.weather": ("sun", "rain", "snow")[serial % 3],
        "recorded_at": f"2026-11-21T{serial % 24:02d}:00:00Z",
        "session": serial // 1_000,
        "vehicle": f"vehicle {serial % 90}",
    }
    return values if vectors is None else values | {"fleet.clip": vectors[serial % len(vectors)]}


def _media(kind: MediaKind, serial: int) -> dict[str, Any]:
    size = {"file_size": 100_000 + serial}
    image = {**size, "height": 1_080, "mime_type": "image/jpeg", "width": 1_920}
    others: dict[MediaKind, dict[str, Any]] = {
        MediaKind.VIDEO: {**image, "mime_type": "video/mp4", "fps": 29.97, "duration": serial % 600 / 10 + 0.1},
        MediaKind.AUDIO: {
            **size,
            "bit_depth": 16,
            "codec": "pcm_s16le",
            "duration": 2.5,
            "mime_type": "audio/wav",
            "num_channels": 2,
            "sample_rate": 44_100,
        },
        MediaKind.PDF: {**size, "num_pages": 12},
        MediaKind.TEXT: {**size, "mime_type": "text/plain"},
    }
    return others.get(kind, image)
