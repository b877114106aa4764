"""Probing media: images and videos a second by ranged reads, beside full downloads that are probed by the same code.

What does not belong here: whether the values are right (tests compare them with ffprobe, exiftool and Pillow).
"""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.servers import file_server
from benchmarks.table import Table, megabytes, rate, ratio, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Measured, Stopwatch
    from registration_pipeline.facts.reader import ObjectReader, StoredObject

IN_FLIGHT = 64
LATENCY = 0.03
"""Seconds a request of the server with latency takes: in the range of a real bucket nearby."""

_IMAGES_OF = 25  # of the objects asked for, one in so many
_VIDEOS_OF = 250
_IMAGE_BYTES = 300_000
_VIDEO_SECONDS = 12


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    files, images, videos = folder / "files", max(objects // _IMAGES_OF, 20), max(objects // _VIDEOS_OF, 4)
    run_stage(write_files, folder=str(files), images=images, videos=videos)
    table = Table(
        f"probing: {images:,} images and {videos:,} videos, {IN_FLIGHT} in flight",
        ("", "files/s", "time", "CPU of the process", "peak memory", "of which libraries", "read", "against download"),
    )
    for kind, count in (("images", images), ("videos", videos)):
        places: list[tuple[str, float | None]] = [("directory", None), ("S3 server", 0.0)]
        places.append((f"S3 server, {LATENCY * 1000:.0f} ms a request", LATENCY))
        for name, latency in places:
            whole, ranged = (_measured(files, kind, latency, whole=whole) for whole in (True, False))
            _add(table, f"{kind}, {name}: full download", count, whole, whole)
            _add(table, f"{kind}, {name}: ranges", count, ranged, whole)
    table.notes.append(
        "Both are probed by the same code in the same number of threads and processes; a download is one request. CPU is that "
        "of the process that reads: FFmpeg's part is in processes of its own, and the S3 server shares the cores."
    )
    return table


def _measured(files: Path, kind: str, latency: float | None, *, whole: bool) -> Measured:
    if latency is None:
        return run_stage(probe, folder=str(files), kind=kind, whole=whole)
    with file_server(files, latency=latency) as server:
        return run_stage(probe, folder=str(files), kind=kind, whole=whole, endpoint_url=server.facts["endpoint_url"])


def _add(table: Table, name: str, count: int, measured: Measured, baseline: Measured) -> None:
    assert measured.facts["blocks"] == count, (name, measured.facts)
    table.add(
        name,
        rate(count, measured.seconds),
        seconds_text(measured.seconds),
        seconds_text(measured.cpu_seconds),
        megabytes(measured.peak_bytes),
        megabytes(measured.libraries_bytes),
        f"{measured.facts['share']:.2%}",
        ratio(baseline.seconds, measured.seconds),
    )


def write_files(watch: Stopwatch, *, folder: str, images: int, videos: int) -> None:
    """Stage: JPEG files of about 300 kB behind EXIF, and movies of about 12 MB, half with ``moov`` at the end."""
    with watch:
        (Path(folder) / "images").mkdir(parents=True)
        (Path(folder) / "videos").mkdir()
        image = _image()
        for number in range(images):
            (Path(folder) / f"images/{number:06}.jpg").write_bytes(image)
        movies = [Path(folder) / name for name in ("end.mp4", "front.mp4")]
        _movie(movies[0], {})
        _movie(movies[1], {"movflags": "faststart"})
        for number in range(videos):
            (Path(folder) / f"videos/{number:06}.mp4").hardlink_to(movies[number % 2])


def _image() -> bytes:
    from PIL import Image

    noise = Image.frombytes("L", (1200, 800), random.Random(1).randbytes(1200 * 800))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    noise.convert("RGB").save(content, "JPEG", quality=30, exif=exif)
    whole = content.getvalue()
    thumbnail = b"\xff\xe2" + struct.pack(">H", 9_000) + bytes(8_998)
    return whole[:2] + thumbnail + whole[2:] + bytes(max(_IMAGE_BYTES - len(whole), 0))


def _movie(path: Path, options: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.bit_rate = 640, 360, 8_000_000
        numbers = random.Random(2)
        for number in range(30 * _VIDEO_SECONDS):
            frame = av.VideoFrame(640, 360, "yuv420p")
            for plane in frame.planes:
                plane.update(numbers.randbytes(plane.buffer_size // 16) * 16)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


class WholeReader:
    """Reads an object whole, in one request, and gives its ranges from memory: what a download would do."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self.bytes_read = 0
        self._objects: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """See ``ObjectReader.read``."""
        content = self._objects.get(item.key)
        if content is None:
            content = self._objects[item.key] = self._reader.read(item, 0, item.size)
            self.bytes_read += len(content)
        return content[start : start + length]

    def forget(self, key: str) -> None:
        """Let an object go."""
        del self._objects[key]


def probe(watch: Stopwatch, *, folder: str, kind: str, whole: bool, endpoint_url: str | None = None) -> None:
    """Stage: probe every file of a kind, ``IN_FLIGHT`` at once."""
    from concurrent.futures import ThreadPoolExecutor

    from registration_pipeline.facts.media.kind import MediaProbing
    from registration_pipeline.objects import MediaKind

    root = Path(folder)
    reader = _reader(root, endpoint_url)
    source: Any = WholeReader(reader) if whole else reader
    items = list(_items(root, kind))
    probing = MediaProbing(lambda _: MediaKind(kind))

    def one(item: StoredObject) -> tuple[bool, int]:
        media = probing.read(source, item)
        if whole:
            source.forget(item.key)
        return media.block is not None, media.bytes_read

    with watch, probing.session(), ThreadPoolExecutor(IN_FLIGHT) as threads:
        found = list(threads.map(one, items))
    read = source.bytes_read if whole else sum(count for _, count in found)
    watch.facts.update(blocks=sum(is_there for is_there, _ in found), share=read / sum(item.size for item in items))


def _reader(root: Path, endpoint_url: str | None) -> ObjectReader:
    from registration_pipeline.facts.readers.local import LocalReader

    if endpoint_url is None:
        return LocalReader(root)
    import boto3
    from botocore.config import Config

    from benchmarks.file_server import BUCKET
    from registration_pipeline.facts.readers.s3 import S3Reader

    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="eu-west-2",
        aws_access_key_id="benchmark",
        aws_secret_access_key="benchmark",
        config=Config(
            max_pool_connections=IN_FLIGHT,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return S3Reader(client, BUCKET)


def _items(root: Path, kind: str) -> Iterator[StoredObject]:
    from datetime import UTC, datetime, timedelta

    from registration_pipeline.facts.reader import StoredObject

    for path in sorted((root / kind).iterdir()):
        found = path.stat()
        modified = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found.st_mtime_ns // 1000)
        yield StoredObject(key=f"{kind}/{path.name}", size=found.st_size, last_modified=modified)
