"""Probes beside ffprobe, exiftool, qpdf and Pillow, which have the whole file, on more than sixty samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.facts.media.kind import MediaProbing
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.readers.local import LocalReader
from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.media_samples import documents, images, sounds, videos
from registration_pipeline_tests.media_samples.expected import expected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.facts.media.schema import Media
    from registration_pipeline_tests.media_samples.sample import Sample

SAMPLES = (*images.SAMPLES, *videos.SAMPLES, *sounds.SAMPLES, *documents.SAMPLES)
BY_NAME = {f"{sample.kind.value}/{sample.name}": sample for sample in SAMPLES}

FPS_OF_LIVE = 0.02
"""Of a file that says neither its frame rate nor its length, FFmpeg estimates one from its first frames."""

LARGE = 10_000_000


def listed(root: Path, key: str) -> StoredObject:
    found = (root / key).stat()
    modified = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found.st_mtime_ns // 1000)
    return StoredObject(key=key, size=found.st_size, last_modified=modified)


@pytest.fixture(scope="module")
def probing() -> Iterator[MediaProbing]:
    found = MediaProbing(lambda key: MediaKind(key.partition("/")[0]), 2)
    with found.session():
        yield found


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


def written(bucket: Path, key: str) -> Path:
    path = bucket / key
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        BY_NAME[key].write(path)
    return path


def probe(probing: MediaProbing, bucket: Path, key: str) -> Media:
    return probing.read(LocalReader(bucket), listed(bucket, key))


def test_there_are_sixty_samples_and_fifteen_odd_ones() -> None:
    assert len(SAMPLES) >= 60
    assert sum(sample.is_odd for sample in SAMPLES) >= 15
    assert len(BY_NAME) == len(SAMPLES)


@pytest.mark.parametrize("key", BY_NAME)
def test_a_probe_says_what_others_say_of_the_whole_file(key: str, probing: MediaProbing, bucket: Path) -> None:
    path = written(bucket, key)

    found = probe(probing, bucket, key)

    assert found.message is None
    assert found.block == approximately(BY_NAME[key], expected(BY_NAME[key], path))


def approximately(sample: Sample, values: dict[str, Any]) -> dict[str, Any]:
    """Return values with what may differ: a frame's length of a movie, and an encoder's padding of MP3."""
    frame = 1 / values["fps"] if "fps" in values else 0.06 if sample.name.endswith(".mp3") else 1e-6
    for name, margin in (("duration", frame), ("fps", 1e-6 if sample.name != "variable.mkv" else 1.0)):
        if name in values:
            values[name] = pytest.approx(values[name], abs=margin)
    return values


@pytest.mark.parametrize("key", [key for key in BY_NAME if key.startswith(("videos/large", "videos/behind"))])
def test_little_of_a_large_video_is_read(key: str, probing: MediaProbing, bucket: Path) -> None:
    size = written(bucket, key).stat().st_size

    found = probe(probing, bucket, key)

    assert found.block is not None
    assert size > LARGE
    assert found.bytes_read < size * 0.05


def test_what_is_read_of_each_format_is_what_it_was(probing: MediaProbing, bucket: Path) -> None:
    """Requests and kibibytes. A library that reads more than it did is noticed here, and not on a bill."""
    found = {}
    for key in READ:
        written(bucket, key)
        reader = LocalReader(bucket)
        media = probing.read(reader, listed(bucket, key))
        found[key] = (reader.requests, -(-media.bytes_read // 1024))

    assert found == READ


READ = {
    "images/long-header.jpg": (4, 260),
    "images/pages.tiff": (1, 32),
    "audio/16-bits.wav": (1, 32),
    "audio/behind-a-picture.mp3": (2, 64),
    "pdfs/many-pages.pdf": (3, 85),
    "videos/behind-a-hole.mp4": (2, 68),
}
"""Of files whose bytes are the same on every machine that has the same FFmpeg, within a block."""


def test_the_folder_is_left_as_it_was(probing: MediaProbing, bucket: Path) -> None:
    key = "images/plain.png"
    before = written(bucket, key).stat()

    probe(probing, bucket, key)

    assert (bucket / key).stat().st_mtime_ns == before.st_mtime_ns
