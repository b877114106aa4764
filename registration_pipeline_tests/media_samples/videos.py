"""Sample videos, written with FFmpeg.

What does not belong here: what is expected of them.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.media_samples.sample import Sample, ffmpeg, output_of

if TYPE_CHECKING:
    from collections.abc import Callable

_PICTURES: Final = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2")
_SOUND: Final = ("-f", "lavfi", "-i", "sine=d=2:r=44100")
_H264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1")
VARIABLE: Final = "setpts='if(lt(N,25),N/25,1+(N-25)/10)/TB'"

MOOV_BEHIND: Final = 200 << 20
"""Bytes of a hole in a file that lie before its ``moov``."""


def _behind_a_hole(path: Path) -> None:
    """Write a movie whose ``moov`` comes after 200 MB: the rest of its ``mdat`` is a hole in the file, which takes no room."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "movie.mp4"
        ffmpeg(*_PICTURES, *_H264)(whole)
        content = whole.read_bytes()
    mdat, moov = content.index(b"mdat") - 4, content.index(b"moov") - 4
    length = MOOV_BEHIND + moov - mdat
    with path.open("wb") as file:
        file.write(content[:mdat] + length.to_bytes(4, "big") + content[mdat + 4 : moov])
        file.seek(MOOV_BEHIND, 1)
        file.write(content[moov:])


def _to_a_pipe(*arguments: str) -> Callable[[Path], object]:
    """Return a writer of what FFmpeg writes where it can't go back: without a length, as recorders do."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            command = ["ffmpeg", "-v", "error", "-nostdin", *arguments, "-"]
            subprocess.run(command, stdout=file, check=True)

    return write


def _without_length(*arguments: str) -> Callable[[Path], object]:
    """Return a writer of WebM as browsers record it: no length, no frame rate, and clusters whose sizes are not known."""

    def write(path: Path) -> None:
        ffmpeg(*arguments)(path)
        content = bytearray(path.read_bytes())
        place = content.find(b"\x44\x89\x88")
        content[place : place + 11] = b"\xec\x89" + bytes(9)
        rate = content.find(b"\x23\xe3\x83\x84")
        content[rate : rate + 8] = b"\xec\x86" + bytes(6)
        place = 0
        while (place := content.find(b"\x1f\x43\xb6\x75", place)) >= 0:
            length = 9 - content[place + 4].bit_length()
            content[place + 4 : place + 4 + length] = ((1 << 7 * length + 1) - 1).to_bytes(length, "big")
            place += 4
        path.write_bytes(content)

    return write


def _turned(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "movie.mp4"
        ffmpeg(*_PICTURES, *_H264)(whole)
        output_of("ffmpeg", "-v", "error", "-y", "-i", whole, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)


def _sample(name: str, *arguments: str, is_odd: bool = False) -> Sample:
    return Sample(name, MediaKind.VIDEO, ffmpeg(*arguments), is_odd)


@functools.cache
def _large() -> bytes:
    """Return a movie of 12 to 20 MB: noise, which no codec makes small."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.mkv"
        noise = "scale=640:360,noise=alls=100:allf=t"
        ffmpeg(*_PICTURES, *_SOUND, "-vf", noise, "-c:v", "mpeg4", "-q:v", "1", "-g", "25", "-c:a", "aac")(path)
        return path.read_bytes()


def _large_as(*arguments: str) -> Callable[[Path], object]:
    """Return a writer of the large movie in another container."""

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "movie.mkv"
            source.write_bytes(_large())
            if "-" in arguments:
                with path.open("wb") as file:
                    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(source), "-c", "copy", *arguments]
                    subprocess.run(command, stdout=file, check=True)
            else:
                output_of("ffmpeg", "-v", "error", "-y", "-nostdin", "-i", source, "-c", "copy", *arguments, path)

    return write


_VP8: Final = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-threads", "1")

SAMPLES: Final = (
    _sample("plain.mp4", *_PICTURES, *_SOUND, *_H264, "-c:a", "aac"),
    _sample("front.mp4", *_PICTURES, *_SOUND, *_H264, "-c:a", "aac", "-movflags", "faststart"),
    _sample("silent.mp4", *_PICTURES, *_H264),
    _sample("hevc.mp4", *_PICTURES, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
    _sample("ntsc.mov", "-f", "lavfi", "-i", "testsrc2=s=640x480:r=30000/1001:d=1", "-c:v", "prores_ks"),
    _sample("plain.mov", *_PICTURES, *_SOUND, *_H264, "-c:a", "aac"),
    _sample("wide-pixels.mp4", *_PICTURES, *_H264, "-vf", "setsar=4/3", is_odd=True),
    Sample("turned.mp4", MediaKind.VIDEO, _turned, is_odd=True),
    _sample("variable.mp4", *_PICTURES, "-vf", VARIABLE, "-vsync", "vfr", *_H264, is_odd=True),
    _sample("variable.mkv", *_PICTURES, "-vf", VARIABLE, "-vsync", "vfr", *_H264, is_odd=True),
    _sample("fragments.mp4", *_PICTURES, *_H264, "-g", "25", "-movflags", "frag_keyframe+empty_moov", is_odd=True),
    _sample(
        "segments.mp4",
        *_PICTURES,
        *_SOUND,
        *_H264,
        "-c:a",
        "aac",
        "-g",
        "25",
        "-movflags",
        "frag_keyframe+empty_moov+default_base_moof+skip_trailer",
        is_odd=True,
    ),
    _sample("dash.mp4", *_PICTURES, *_H264, "-g", "25", "-movflags", "frag_keyframe+dash+global_sidx", is_odd=True),
    Sample("behind-a-hole.mp4", MediaKind.VIDEO, _behind_a_hole, is_odd=True),
    _sample("plain.mkv", *_PICTURES, *_SOUND, *_H264, "-c:a", "aac"),
    _sample("plain.webm", *_PICTURES, *_VP8),
    _sample(
        "vp9.webm",
        *_PICTURES,
        *_SOUND,
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-c:a",
        "libopus",
    ),
    Sample(
        "live.mkv",
        MediaKind.VIDEO,
        _to_a_pipe(*_PICTURES, *_SOUND, *_H264, "-c:a", "aac", "-f", "matroska"),
        is_odd=True,
    ),
    Sample("recorded.webm", MediaKind.VIDEO, _without_length(*_PICTURES, *_VP8), is_odd=True),
    Sample("large-end.mp4", MediaKind.VIDEO, _large_as()),
    Sample("large-front.mov", MediaKind.VIDEO, _large_as("-movflags", "faststart")),
    Sample("large.mkv", MediaKind.VIDEO, _large_as("-cluster_size_limit", "2M")),
    Sample(
        "large-fragments.mp4",
        MediaKind.VIDEO,
        _large_as("-movflags", "frag_keyframe+empty_moov+skip_trailer"),
        is_odd=True,
    ),
    Sample("large-live.mkv", MediaKind.VIDEO, _large_as("-f", "matroska", "-"), is_odd=True),
)
