"""Sampled data: sine tones as WAV and small volumes as NIfTI-1.

What does not belong here: pictures and videos.
"""

from __future__ import annotations

import gzip
import math
import wave
from array import array
from io import BytesIO
from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registration_pipeline.demo.media.subject import Subject

_SAMPLES_PER_SECOND = 8000
_FADE_SAMPLES = 400
_LOUDNESS = 9000
_NOTES_HERTZ = (220.0, 261.6, 293.7, 329.6, 392.0, 440.0, 523.3)

VOLUME_SHAPE = (20, 24, 20)
_VOXEL_MILLIMETRES = (8.0, 8.0, 8.0)
_NIFTI_HEADER_BYTES = 348
_NIFTI_DATA_OFFSET = 352
_NIFTI_INT16 = 4
_MILLIMETRES_AND_SECONDS = 2 | 8
_SCANNER_COORDINATES = 1


def render_wav(subject: Subject) -> bytes:
    """Write one second of a sine tone: mono, 16 bit, 8 kHz."""
    hertz = subject.random().choice(_NOTES_HERTZ)
    step = 2 * math.pi * hertz / _SAMPLES_PER_SECOND
    samples = array("h")
    for index in range(_SAMPLES_PER_SECOND):
        # Fading in and out avoids the click of a tone that starts in the middle of a wave.
        fade = min(1.0, index / _FADE_SAMPLES, (_SAMPLES_PER_SECOND - index) / _FADE_SAMPLES)
        samples.append(int(_LOUDNESS * fade * math.sin(step * index)))
    buffer = BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLES_PER_SECOND)
        sound.writeframes(pack(f"<{len(samples)}h", *samples))
    return buffer.getvalue()


def render_nifti(subject: Subject) -> bytes:
    """Write a single-file NIfTI-1 volume (``.nii``) of 16-bit integers: an ellipsoid with a bright core."""
    return _nifti_header() + bytes(_NIFTI_DATA_OFFSET - _NIFTI_HEADER_BYTES) + _phantom(subject)


def render_nifti_gz(subject: Subject) -> bytes:
    """Write the volume compressed, without a time stamp, so that the bytes repeat."""
    return gzip.compress(render_nifti(subject), mtime=0)


def _nifti_header() -> bytes:
    """Little-endian header, in the order of the fields of ``nifti1.h``."""
    across, along, up = VOLUME_SHAPE
    size_x, size_y, size_z = _VOXEL_MILLIMETRES
    origin = tuple(-size * (count - 1) / 2 for size, count in zip(_VOXEL_MILLIMETRES, VOLUME_SHAPE, strict=True))
    return b"".join(
        (
            pack("<i10s18sihcB", _NIFTI_HEADER_BYTES, b"", b"", 0, 0, b"r", 0),
            pack("<8h", 3, across, along, up, 1, 1, 1, 1),
            pack("<3f4h", 0, 0, 0, 0, _NIFTI_INT16, 16, 0),
            pack("<8f", 1, size_x, size_y, size_z, 0, 0, 0, 0),
            pack("<3fhBB", _NIFTI_DATA_OFFSET, 1, 0, 0, 0, _MILLIMETRES_AND_SECONDS),
            pack("<4f2i", 1000, 0, 0, 0, 0, 0),
            pack("<80s24s", b"generated volume", b""),
            pack("<2h", _SCANNER_COORDINATES, _SCANNER_COORDINATES),
            pack("<6f", 0, 0, 0, *origin),
            pack("<12f", size_x, 0, 0, origin[0], 0, size_y, 0, origin[1], 0, 0, size_z, origin[2]),
            pack("<16s4s", b"", b"n+1\0"),
        )
    )


def _phantom(subject: Subject) -> bytes:
    random = subject.random()
    radii = [count / 2 * random.uniform(0.75, 0.95) for count in VOLUME_SHAPE]
    axes = [
        [((index - (count - 1) / 2) / radius) ** 2 for index in range(count)]
        for count, radius in zip(VOLUME_SHAPE, radii, strict=True)
    ]
    across, along, up = axes
    # The first axis varies fastest (NIfTI-1, "data storage").
    voxels = [
        int(1000 * (1 - distance)) if (distance := x + y + z) < 1 else 0 for z in up for y in along for x in across
    ]
    return pack(f"<{len(voxels)}h", *voxels)
