"""Length, sample rate, bit depth, codec and channels of audio: mutagen for MP3 and FLAC, FFmpeg's demuxers for the rest.

What does not belong here: WAV's chunks (``wave.py``). Runs in a worker process (``worker.py``).

``codec`` is FFmpeg's name, but ``pcm`` for all linear samples: the SDK gives "mp3, pcm" as its examples. ``bit_depth`` is that
of the samples. Lossy codecs have none, and Encord's field must be a number: they get 16, which their decoders give.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.facts.media.trouble import CUT, NotUnderstoodError
from registration_pipeline.facts.media.videos import demuxer_of, opened
from registration_pipeline.facts.media.wave import wave_values

if TYPE_CHECKING:
    from typing import BinaryIO

    from registration_pipeline.facts.media.probed_file import ProbedFile

LOSSY_BITS: Final = 16

_MIME: Final = {"mov": "audio/mp4", "ogg": "audio/ogg", "matroska": "audio/webm"}
_MOST_TAGS: Final = 16
_SAMPLED_BYTES: Final = 16 << 10
"""At several places of an MP3 file without a table of contents, to find out whether its bit rate changes."""

_FRAME_SYNC: Final = 0x7FF
"""Eleven ones begin a frame."""

_WALKED_BYTES: Final = 64 << 10


def probe_audio(file: ProbedFile, key: str) -> dict[str, Any]:  # noqa: ARG001 - all probes are called alike
    """Return the block of media metadata.

    Raises:
        NotUnderstoodError: it is not audio, is damaged, or does not say what is needed.
    """
    begin = _behind_tags(file)
    start = file.read_at(begin, 16)
    if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
        values = wave_values(file, begin)
    elif start.startswith(b"fLaC"):
        values = _flac(file, begin)
    elif (demuxer := demuxer_of(start)) is not None:
        values = _container(file, demuxer)
    elif begin or int.from_bytes(start[:2], "big") >> 5 == _FRAME_SYNC:
        values = _mpeg(file, begin)
    else:
        raise NotUnderstoodError("is not audio: its first bytes are those of no format that is known")
    lacking = [name for name in ("duration", "sample_rate", "num_channels") if not values[name] or values[name] < 0]
    if lacking:
        raise NotUnderstoodError(f"is audio that does not say its {', '.join(lacking).replace('_', ' ')}")
    return {**values, "file_size": file.size}


def _behind_tags(file: ProbedFile) -> int:
    """Return where the audio begins: ID3 tags come before it."""
    place = 0
    for _ in range(_MOST_TAGS):
        header = file.read_at(place, 10)
        if header[:3] != b"ID3" or len(header) < 10 or any(byte & 0x80 for byte in header[6:10]):  # noqa: PLR2004
            return place
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        place += 10 + size + (10 if header[5] & 0x10 else 0)
    raise NotUnderstoodError("is audio with too many tags before it")


def _flac(file: ProbedFile, begin: int) -> dict[str, Any]:
    from mutagen.flac import StreamInfo

    header = file.read_at(begin + 4, 4)
    if len(header) < 4 or header[0] & 0x7F:  # noqa: PLR2004
        raise NotUnderstoodError("begins like a FLAC file, but its header is damaged")
    content = file.read_at(begin + 8, 34)
    if len(content) < 34:  # noqa: PLR2004
        raise NotUnderstoodError(CUT)
    read_info: Any = StreamInfo
    info: Any = read_info(content)
    return {
        "duration": info.total_samples / info.sample_rate if info.sample_rate else 0,
        "mime_type": "audio/flac",
        "sample_rate": info.sample_rate,
        "bit_depth": info.bits_per_sample,
        "codec": "flac",
        "num_channels": info.channels,
    }


def _mpeg(file: ProbedFile, begin: int) -> dict[str, Any]:
    from mutagen import MutagenError
    from mutagen.mp3 import BitrateMode, MPEGInfo

    try:
        info: Any = MPEGInfo(cast("BinaryIO", file), begin)
    except (MutagenError, EOFError, AssertionError):
        if file.trouble is not None:
            raise file.trouble from None
        raise NotUnderstoodError("is not audio: there are no MPEG frames in it") from None
    seconds = float(info.length)
    if info.bitrate_mode is BitrateMode.UNKNOWN and _bit_rate_changes(file, info.frame_offset):
        seconds = _walked_seconds(file, info.frame_offset)
    return {
        "duration": seconds,
        "mime_type": "audio/mpeg",
        "sample_rate": info.sample_rate,
        "bit_depth": LOSSY_BITS,
        "codec": f"mp{info.layer}",
        "num_channels": info.channels,
    }


def _bit_rate_changes(file: ProbedFile, begin: int) -> bool:
    """Return whether frames at the beginning, in the middle and near the end have several bit rates."""
    rates = set()
    for place in (begin, (begin + file.size) // 2, max(file.size - _SAMPLED_BYTES - 128, begin)):
        content = file.read_at(place, _SAMPLED_BYTES)
        at = _aligned(content)
        while at is not None and (frame := _frame(content, at)) is not None:
            rates.add(content[at + 2] >> 4)
            at += frame[0]
    return len(rates) > 1


def _aligned(content: bytes) -> int | None:
    """Return where the first of three frames in a row begins."""
    at = -1
    while (at := content.find(b"\xff", at + 1)) >= 0:
        place, count = at, 0
        while count < 3 and (frame := _frame(content, place)) is not None:  # noqa: PLR2004
            place, count = place + frame[0], count + 1
        if count == 3:  # noqa: PLR2004
            return at
    return None


def _walked_seconds(file: ProbedFile, begin: int) -> float:
    """Return the length by adding up all frames: nothing shorter is right for a bit rate that changes and no table."""
    seconds, place = 0.0, begin
    while place < file.size:
        content = file.read_at(place, _WALKED_BYTES)
        at = 0
        while (frame := _frame(content, at)) is not None:
            at, seconds = at + frame[0], seconds + frame[1]
        if not at:
            next_frame = _aligned(content)
            if next_frame is None:
                break  # tags at the end
            at = next_frame
        place += at
    return seconds


_RATES: Final = (44_100, 48_000, 32_000)
_KBITS: Final = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Of layer III, by version of MPEG."""


def _frame(content: bytes, at: int) -> tuple[int, float] | None:
    """Return bytes and seconds of the layer III frame at a place; None: there is none."""
    if at + 4 > len(content) or content[at] != 0xFF or content[at + 1] & 0xE6 != 0xE2:  # noqa: PLR2004
        return None
    version, rate, bits = content[at + 1] >> 3 & 3, content[at + 2] >> 2 & 3, content[at + 2] >> 4
    if version == 1 or rate == 3 or bits in (0, 15):  # noqa: PLR2004
        return None
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if version == 3 else 576  # noqa: PLR2004
    kbits = _KBITS[1 if version == 3 else 2][bits]  # noqa: PLR2004
    return samples // 8 * kbits * 1000 // hertz + (content[at + 2] >> 1 & 1), samples / hertz


def _container(file: ProbedFile, demuxer: str) -> dict[str, Any]:
    with closing(opened(file, demuxer, 256 << 10)) as container:
        if not container.streams.audio:
            raise NotUnderstoodError("has no sound: there is no audio track in it")
        stream = container.streams.audio[0]
        context = stream.codec_context
        seconds: float = container.duration / 1_000_000 if container.duration else 0.0
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        name = context.name
        return {
            "duration": seconds,
            "mime_type": _MIME.get(demuxer, "application/octet-stream"),
            "sample_rate": context.sample_rate,
            "bit_depth": LOSSY_BITS,
            "codec": "pcm" if name.startswith(("pcm_s", "pcm_u", "pcm_f")) else name,
            "num_channels": context.channels,
        }
