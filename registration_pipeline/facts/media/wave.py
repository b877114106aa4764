"""What a WAV file says of its samples: the chunks of RIFF and RF64.

What does not belong here: other audio (``audio.py``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.facts.media.trouble import CUT, NotUnderstoodError

if TYPE_CHECKING:
    from registration_pipeline.facts.media.probed_file import ProbedFile

_CODECS: Final = {
    1: "pcm",
    2: "adpcm_ms",
    3: "pcm",  # of floating point numbers
    6: "pcm_alaw",
    7: "pcm_mulaw",
    17: "adpcm_ima_wav",
    80: "mp2",
    85: "mp3",
}
_EXTENSIBLE: Final = 0xFFFE
_UNKNOWN_SIZE: Final = 0xFFFFFFFF
_MOST_CHUNKS: Final = 64


def wave_values(file: ProbedFile, begin: int) -> dict[str, Any]:
    """Return the block of media metadata, without the size of the file.

    Args:
        file: the object.
        begin: where RIFF begins.

    Raises:
        NotUnderstoodError: a chunk that is needed is missing or damaged.
    """
    form, samples, long_size = b"", None, None
    place = begin + 12
    for _ in range(_MOST_CHUNKS):
        header = file.read_at(place, 8)
        if len(header) < 8:  # noqa: PLR2004
            break
        name, size = struct.unpack("<4sI", header)
        if name == b"fmt ":
            form = file.read_at(place + 8, min(size, 40))
        elif name == b"fact" and size >= 4:  # noqa: PLR2004
            samples = int.from_bytes(file.read_at(place + 8, 4), "little")
        elif name == b"ds64":
            long_size = int.from_bytes(file.read_at(place + 16, 8), "little")
        elif name == b"data":
            rest = file.size - place - 8
            known = long_size if size == _UNKNOWN_SIZE and long_size is not None else size
            return _values(form, samples, rest if known in (0, _UNKNOWN_SIZE) else min(known, rest))
        place += 8 + size + (size & 1)
    raise NotUnderstoodError("is a WAV file without samples in it")


def _values(form: bytes, samples: int | None, data_bytes: int) -> dict[str, Any]:
    if len(form) < 16:  # noqa: PLR2004
        raise NotUnderstoodError(CUT)
    tag, channels, rate, byte_rate, align, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == _EXTENSIBLE and len(form) >= 26:  # noqa: PLR2004
        (tag,) = struct.unpack("<H", form[24:26])
    codec = _CODECS.get(tag)
    if codec is None:
        raise NotUnderstoodError(f"is a WAV file of a codec that is not known: number {tag}")
    is_linear = codec.startswith("pcm")
    seconds = 0.0
    if is_linear and align and rate:
        seconds = data_bytes / (align * rate)
    elif samples and rate:
        seconds = samples / rate
    elif byte_rate:
        seconds = data_bytes / byte_rate
    return {
        "duration": seconds,
        "mime_type": "audio/wav",
        "sample_rate": rate,
        "bit_depth": bits if is_linear and bits else 16,
        "codec": codec,
        "num_channels": channels,
    }
