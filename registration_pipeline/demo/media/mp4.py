"""A minimal muxer: Motion-JPEG frames in an MP4 or QuickTime file.

What does not belong here: how a frame is drawn. Boxes and fields are those of ISO/IEC 14496-12 (file format) and
14496-14 (MP4); JPEG as object type 0x6C is in 14496-1, table 5; the ``jpeg`` sample entry is QuickTime's.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMESCALE = 600
"""Ticks per second: divides by 24, 25 and 30."""
_MATRIX = pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LANGUAGE_UNDETERMINED = 0x55C4
_JPEG_OBJECT_TYPE = 0x6C
_VISUAL_STREAM = 0x11
_72_DPI = 0x00480000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Frames of one size at one rate.

    Args:
        frames: whole JPEG files, at least one.
        width: pixels.
        height: pixels.
        frames_per_second: a divisor of 600, so that a frame lasts whole ticks.
    """

    frames: Sequence[bytes]
    width: int
    height: int
    frames_per_second: int

    @property
    def ticks_per_frame(self) -> int:
        """Duration of a frame in the file's time scale."""
        return _TIMESCALE // self.frames_per_second

    @property
    def ticks(self) -> int:
        """Duration of the clip in the file's time scale."""
        return self.ticks_per_frame * len(self.frames)


def mux_mp4(clip: Clip) -> bytes:
    """Return a whole MP4 file: ``ftyp``, ``moov`` with one video track, ``mdat``."""
    return _mux(clip, _box("ftyp", b"isom", pack(">I", 0x200), b"isomiso2mp41"), _mp4_sample_entry(clip))


def mux_quicktime(clip: Clip) -> bytes:
    """Return a whole QuickTime (``.mov``) file of the same shape."""
    return _mux(clip, _box("ftyp", b"qt  ", pack(">I", 0x200), b"qt  "), _box("jpeg", _visual_fields(clip)))


def _mux(clip: Clip, brand: bytes, sample_entry: bytes) -> bytes:
    # The header comes before the data and holds the data's offset; its size does not depend on that offset.
    header_bytes = len(brand) + len(_movie(clip, sample_entry, data_offset=0))
    movie = _movie(clip, sample_entry, data_offset=header_bytes + 8)
    return brand + movie + _box("mdat", *clip.frames)


def _box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return pack(">I4s", 8 + len(body), name.encode("ascii")) + body


def _full_box(name: str, *content: bytes, flags: int = 0) -> bytes:
    return _box(name, pack(">I", flags), *content)


def _movie(clip: Clip, sample_entry: bytes, *, data_offset: int) -> bytes:
    header = _full_box(
        "mvhd",
        pack(">4I", 0, 0, _TIMESCALE, clip.ticks),
        pack(">iH10x", 0x10000, 0x100),
        _MATRIX,
        pack(">24xI", 2),
    )
    return _box("moov", header, _track(clip, sample_entry, data_offset))


def _track(clip: Clip, sample_entry: bytes, data_offset: int) -> bytes:
    enabled_in_movie_and_preview = 7
    header = _full_box(
        "tkhd",
        pack(">5I8x", 0, 0, 1, 0, clip.ticks),
        pack(">4H", 0, 0, 0, 0),
        _MATRIX,
        pack(">2I", clip.width << 16, clip.height << 16),
        flags=enabled_in_movie_and_preview,
    )
    media_header = _full_box("mdhd", pack(">4I2H", 0, 0, _TIMESCALE, clip.ticks, _LANGUAGE_UNDETERMINED, 0))
    handler = _full_box("hdlr", pack(">4x4s12x", b"vide"), b"VideoHandler\0")
    same_file = _full_box("url ", flags=1)
    information = _box(
        "minf",
        _full_box("vmhd", bytes(8), flags=1),
        _box("dinf", _full_box("dref", pack(">I", 1), same_file)),
        _sample_table(clip, sample_entry, data_offset),
    )
    return _box("trak", header, _box("mdia", media_header, handler, information))


def _sample_table(clip: Clip, sample_entry: bytes, data_offset: int) -> bytes:
    """One chunk holds all samples; without ``stss`` every sample is a sync sample, as every JPEG is."""
    count = len(clip.frames)
    return _box(
        "stbl",
        _full_box("stsd", pack(">I", 1), sample_entry),
        _full_box("stts", pack(">3I", 1, count, clip.ticks_per_frame)),
        _full_box("stsc", pack(">4I", 1, 1, count, 1)),
        _full_box("stsz", pack(f">2I{count}I", 0, count, *map(len, clip.frames))),
        _full_box("stco", pack(">2I", 1, data_offset)),
    )


def _visual_fields(clip: Clip) -> bytes:
    compressor = b"Motion JPEG"
    return (
        pack(">6xH16x", 1)
        + pack(">2H2I4xH", clip.width, clip.height, _72_DPI, _72_DPI, 1)
        + pack(">32p", compressor)
        + pack(">Hh", 24, -1)
    )


def _mp4_sample_entry(clip: Clip) -> bytes:
    largest = max(map(len, clip.frames))
    bit_rate = sum(map(len, clip.frames)) * 8 * _TIMESCALE // clip.ticks
    decoder = pack(">BB3s2I", _JPEG_OBJECT_TYPE, _VISUAL_STREAM, largest.to_bytes(3, "big"), bit_rate, bit_rate)
    stream = pack(">HB", 1, 0) + _descriptor(4, decoder) + _descriptor(6, b"\x02")
    return _box("mp4v", _visual_fields(clip), _full_box("esds", _descriptor(3, stream)))


def _descriptor(tag: int, body: bytes) -> bytes:
    """Bodies here stay below 128 bytes, where the length is one byte."""
    return pack(">BB", tag, len(body)) + body
