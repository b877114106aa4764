"""Frame rate, length, sides and MIME type of videos: FFmpeg's demuxers, by way of PyAV, with every decoder switched off.

What does not belong here: what FFmpeg would read too much for (``movie.py``, ``clusters.py``). Runs in a worker process.

``fps`` is the average: for a variable frame rate, frames through seconds. ``duration`` is that of the picture track where the
container gives it (MP4, QuickTime), so that it and the frame rate count frames; else that of the file. Sides are those of the
picture as it is shown, as in ``images.py``; pixels that are not square are not stretched.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.facts.media.clusters import last_moment
from registration_pipeline.facts.media.movie import Movie, fragmented, movie
from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from typing import BinaryIO

    import av.container
    from av.video.stream import VideoStream

    from registration_pipeline.facts.media.probed_file import ProbedFile

_DEMUXERS: Final[tuple[tuple[int, tuple[bytes, ...], str], ...]] = (
    (4, (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"), "mov"),
    (0, (b"\x1a\x45\xdf\xa3",), "matroska"),
    (8, (b"AVI ",), "avi"),
    (0, (b"OggS",), "ogg"),
)
"""Place and first bytes of a container, and FFmpeg's name of it. It is named, not guessed: among FFmpeg's formats are
playlists, which open other files and addresses."""

_MIME: Final = {"avi": "video/x-msvideo", "ogg": "video/ogg"}

PROBE_BYTES: Final = (64 << 10, 1 << 20, 4 << 20)
"""Of coded content that FFmpeg may read to find out what the header does not say, one try after the other."""

_MICROSECONDS: Final = 1_000_000


def probe_video(file: ProbedFile, key: str) -> dict[str, Any]:  # noqa: ARG001 - all probes are called alike
    """Return the block of media metadata.

    Raises:
        NotUnderstoodError: it is not a video, is damaged, or does not say what is needed.
    """
    demuxer = demuxer_of(file.read_at(0, 16))
    if demuxer is None:
        raise NotUnderstoodError("is not a video: its first bytes are those of no container that is known")
    found = movie(file) if demuxer == "mov" else Movie()
    values: dict[str, Any] = {}
    for probe_bytes in PROBE_BYTES:
        with closing(opened(file, demuxer, probe_bytes)) as container:
            values = _values(container, _pictures(container), demuxer, found)
        if values["fps"] and values["width"]:
            break
        if probe_bytes >= file.size:
            break
    if found.is_fragmented:
        seconds, rate = fragmented(file, found)
        values |= {"duration": seconds, "fps": rate or values["fps"]}
    elif demuxer == "matroska" and not values["duration"]:
        values["duration"] = _recorded(file, values["fps"])
    _check(values)
    if found.is_turned:
        values["width"], values["height"] = values["height"], values["width"]
    return {**values, "file_size": file.size, "mime_type": _mime_type(file, demuxer, found)}


def demuxer_of(start: bytes) -> str | None:
    """Return FFmpeg's name of the container that begins with these bytes."""
    return next((name for at, marks, name in _DEMUXERS if start[at:].startswith(marks)), None)


def opened(file: ProbedFile, demuxer: str, probe_bytes: int) -> av.container.InputContainer:
    """Return the container, with its header read and nothing decoded.

    Raises:
        NotUnderstoodError: FFmpeg does not understand it.
    """
    import av
    from av.error import FFmpegError

    options = {
        "codec_whitelist": "none",  # no decoder is opened: they are the larger part of what can go wrong, and of the time
        "protocol_whitelist": "",
        "probesize": str(probe_bytes),
        "fflags": "+ignidx",  # the header ends where the content begins: fragments are read in movie.py
    }
    file.seek(0)
    try:
        return av.open(cast("BinaryIO", file), mode="r", format=demuxer, options=options, metadata_errors="ignore")
    except (FFmpegError, ValueError) as error:
        if file.trouble is not None:
            raise file.trouble from None
        raise NotUnderstoodError(f"is damaged or cut: FFmpeg can't read its header ({type(error).__name__})") from None


def _pictures(container: av.container.InputContainer) -> VideoStream:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise NotUnderstoodError("has no pictures: there is no video track in it")
    return streams[0]


def _is_cover(stream: VideoStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _values(container: av.container.InputContainer, stream: VideoStream, demuxer: str, found: Movie) -> dict[str, Any]:
    average, guessed = stream.average_rate, stream.guessed_rate
    # Of fragments only the first was read: its average is that of a few frames.
    rate = (guessed or average) if found.is_fragmented else (average or guessed)
    seconds = None
    if demuxer == "mov" and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / _MICROSECONDS
    return {
        "fps": float(rate) if rate else None,
        "duration": seconds,
        "width": stream.codec_context.width or found.width,
        "height": stream.codec_context.height or found.height,
    }


def _recorded(file: ProbedFile, fps: float | None) -> float | None:
    last = last_moment(file)
    return None if last is None else last + (1 / fps if fps else 0)


def _check(values: dict[str, Any]) -> None:
    lacking = [name for name, value in values.items() if not (value and 0 < value < 1e9)]  # noqa: PLR2004
    if lacking:
        names = {"fps": "frame rate", "duration": "duration"}
        raise NotUnderstoodError(
            f"is a video that does not say its {', '.join(names.get(name, name) for name in lacking)}"
        )


def _mime_type(file: ProbedFile, demuxer: str, found: Movie) -> str:
    if demuxer == "mov":
        return "video/quicktime" if found.brand in (b"qt  ", b"") else "video/mp4"
    if demuxer == "matroska":
        return "video/webm" if b"\x42\x82\x84webm" in file.read_at(0, 4096) else "video/x-matroska"
    return _MIME[demuxer]
