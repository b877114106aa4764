"""Sample sound files, written with FFmpeg.

What does not belong here: what is expected of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.media_samples.sample import Sample, ffmpeg

if TYPE_CHECKING:
    from pathlib import Path

_SINE: Final = ("-f", "lavfi", "-i", "sine=d=7.5:r=44100")
_CHANGING: Final = ("-f", "lavfi", "-i", "aevalsrc='if(lt(t,10),0,random(0)-0.5)':d=30:s=44100")
"""Silence, then noise: its bit rate changes much."""


def _sample(name: str, *arguments: str, source: tuple[str, ...] = _SINE, is_odd: bool = False) -> Sample:
    return Sample(name, MediaKind.AUDIO, ffmpeg(*source, *arguments), is_odd)


def _with_a_picture(path: Path) -> None:
    """Write an MP3 file behind a tag of 400 KB, as one with the picture of an album has it."""
    ffmpeg(*_SINE, "-c:a", "libmp3lame", "-id3v2_version", "0")(path)
    size = 400_000
    header = b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(header + bytes(size) + path.read_bytes())


SAMPLES: Final = (
    _sample("constant.mp3", "-c:a", "libmp3lame", "-b:a", "128k"),
    _sample("variable.mp3", "-c:a", "libmp3lame", "-q:a", "4"),
    _sample("constant-without-table.mp3", "-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0", is_odd=True),
    _sample(
        "variable-without-table.mp3",
        "-c:a",
        "libmp3lame",
        "-q:a",
        "2",
        "-write_xing",
        "0",
        source=_CHANGING,
        is_odd=True,
    ),
    _sample("half-rate.mp3", "-c:a", "libmp3lame", "-ar", "22050", "-ac", "1"),
    Sample("behind-a-picture.mp3", MediaKind.AUDIO, _with_a_picture, is_odd=True),
    _sample("16-bits.wav", "-c:a", "pcm_s16le"),
    _sample("24-bits.wav", "-c:a", "pcm_s24le", "-ac", "2", is_odd=True),
    _sample("float.wav", "-c:a", "pcm_f32le", is_odd=True),
    _sample("telephone.wav", "-c:a", "pcm_mulaw", "-ar", "8000"),
    _sample("long-format.wav", "-c:a", "pcm_s16le", "-rf64", "always", is_odd=True),
    _sample("six-channels.wav", "-c:a", "pcm_s16le", "-ac", "6"),
    _sample("plain.flac", "-c:a", "flac"),
    _sample("24-bits.flac", "-c:a", "flac", "-sample_fmt", "s32", "-ar", "96000", is_odd=True),
    _sample("unlisted.ogg", "-c:a", "libvorbis"),
    _sample("unlisted.m4a", "-c:a", "aac"),
)
