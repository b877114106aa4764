"""What others say of a whole file: ffprobe, exiftool, qpdf and Pillow.

What does not belong here: how this package probes, of which nothing is used here.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageOps

from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.media_samples.sample import installed, output_of

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.media_samples.sample import Sample

_LOSSY_BITS: Final = 16


def expected(sample: Sample, path: Path) -> dict[str, Any]:
    """Return the block that the whole file calls for."""
    size = path.stat().st_size
    if sample.kind is MediaKind.IMAGE:
        return {**_image(path), "file_size": size}
    if sample.kind is MediaKind.PDF:
        return {"num_pages": int(output_of("qpdf", "--warning-exit-0", "--show-npages", path)), "file_size": size}
    if sample.kind is MediaKind.TEXT:
        return {"mime_type": _mime_type(path), "file_size": size}
    return {**(_video(path) if sample.kind is MediaKind.VIDEO else _audio(path)), "file_size": size}


@functools.cache
def _exiftool() -> subprocess.Popen[str]:
    """Start exiftool once for all files: to start Perl takes longer than what it is asked for."""
    command = [installed("exiftool"), "-stay_open", "True", "-@", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate, "-stay_open\nFalse\n")
    return process


def _mime_type(path: Path) -> str:
    process = _exiftool()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"-j\n-MIMEType\n{path}\n-execute\n")
    process.stdin.flush()
    said = "".join(iter(process.stdout.readline, "{ready}\n"))
    found = str(json.loads(said)[0]["MIMEType"])
    return {"audio/x-wav": "audio/wav", "image/apng": "image/png", "image/x-tiff-big": "image/tiff"}.get(found, found)


def _image(path: Path) -> dict[str, Any]:
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        image.load()
        turned = ImageOps.exif_transpose(image)
        width, height = turned.size
    return {"width": width, "height": height, "mime_type": _mime_type(path)}


def _probed(path: Path, what: str) -> dict[str, Any]:
    return dict(json.loads(output_of("ffprobe", "-v", "error", "-of", "json", *what.split(), path)))


def _video(path: Path) -> dict[str, Any]:
    found = _probed(path, "-select_streams v:0 -show_streams -show_format")
    stream, form = found["streams"][0], found["format"]
    packets = _probed(path, "-select_streams v:0 -show_entries packet=pts_time,duration_time")["packets"]
    sides = stream["width"], stream["height"]
    turns = [data["rotation"] for data in stream.get("side_data_list", []) if "rotation" in data]
    is_movie = "mov" in form["format_name"]
    has_table = stream.get("nb_frames") is not None  # not in fragments
    length = stream["duration"] if is_movie and has_table else form.get("duration")
    last = max(packets, key=lambda packet: float(packet["pts_time"]))
    if length is None or (is_movie and not has_table):
        length = float(last["pts_time"]) + float(last.get("duration_time", 0))
    rate = Fraction(stream["avg_frame_rate" if has_table or not is_movie else "r_frame_rate"])
    return {
        "width": sides[::-1][0] if turns and turns[0] % 180 else sides[0],
        "height": sides[::-1][1] if turns and turns[0] % 180 else sides[1],
        "fps": float(rate),
        "duration": float(length),
        "mime_type": _mime_type(path),
    }


def _audio(path: Path) -> dict[str, Any]:
    stream = _probed(path, "-select_streams a:0 -show_streams")["streams"][0]
    packets = _probed(path, "-select_streams a:0 -show_entries packet=duration_time")["packets"]
    codec = stream["codec_name"]
    bits = int(stream.get("bits_per_raw_sample") or stream["bits_per_sample"] or _LOSSY_BITS)
    # Of MP3 without a table ffprobe guesses; its packets are counted.
    seconds = sum(float(packet["duration_time"]) for packet in packets) if codec == "mp3" else float(stream["duration"])
    return {
        "sample_rate": int(stream["sample_rate"]),
        "num_channels": stream["channels"],
        "codec": "pcm" if codec.startswith(("pcm_s", "pcm_u", "pcm_f")) else codec,
        "bit_depth": bits,
        "duration": seconds,
        "mime_type": _mime_type(path),
    }
