"""Probing media as a kind of reading: see ``facts/reading``.

What does not belong here: what a file says (the modules beside this one) and which objects are probed.
"""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registration_pipeline.errors import ConfigurationError, ObjectReadError
from registration_pipeline.facts.media.images import picture
from registration_pipeline.facts.media.probed_file import ProbedFile
from registration_pipeline.facts.media.schema import (
    MEDIA,
    MEDIA_SCHEMA,
    NO_MEDIA,
    NO_PROBE,
    UNREADABLE,
    Media,
    media_rows,
)
from registration_pipeline.facts.media.text import SAMPLE_BYTES, probe_text
from registration_pipeline.facts.media.trouble import NotUnderstoodError
from registration_pipeline.facts.media.workers import PROCESSES, WorkerPool
from registration_pipeline.facts.reading.spec import FactKind
from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.facts.reader import ObjectReader, StoredObject

LIBRARIES: Final = ("av", "mutagen", "PIL", "pydicom", "pypdf")
"""The modules of the extra ``media``."""

INSTALL: Final = "pip install 'registration-pipeline[media]'"

IMAGE_BYTES: Final = 4 << 20
"""That may be read of an image. Sides come within the first 64 KB nearly always; a TIFF file has them at its end too."""

OBJECT_SECONDS: Final = 300.0
"""For all ranges of one object together; each has a limit of its own (``facts/readers/reply.py``)."""

_IMAGE, _TEXT = "image", "text"

_PROBES: Final = {
    MediaKind.IMAGE: _IMAGE,
    MediaKind.IMAGE_GROUP: _IMAGE,
    MediaKind.IMAGE_SEQUENCE: _IMAGE,
    MediaKind.VIDEO: "video",
    MediaKind.AUDIO: "audio",
    MediaKind.PDF: "pdf",
    MediaKind.TEXT: _TEXT,
    MediaKind.DICOM_SERIES: "dicom",
}


def missing_library() -> str | None:
    """Return what has to be installed so that media can be probed; None: it is there."""
    return None if all(find_spec(name) for name in LIBRARIES) else INSTALL


def media_kind(kind_of: Callable[[str], MediaKind | None], *, processes: int = PROCESSES) -> FactKind[Media]:
    """Return the reading of media metadata.

    Args:
        kind_of: what an object is, by its key; None: not a medium.
        processes: that run libraries on foreign bytes, at most.
    """
    probing = MediaProbing(kind_of, processes)
    return FactKind(
        name=MEDIA,
        what="media headers",
        schema=MEDIA_SCHEMA,
        read=probing.read,
        unreadable=lambda message: Media(problem=UNREADABLE, message=message),
        rows=media_rows,
        retried=frozenset({UNREADABLE}),
        still_counts=probing.still_counts,
        session=probing.session,
    )


class MediaProbing:
    """Probes objects, many at once, within a session.

    Args:
        kind_of: see ``media_kind``.
        processes: see ``media_kind``.
        monotonic: seconds that never go back.

    Attributes:
        pool: the processes.
    """

    def __init__(
        self,
        kind_of: Callable[[str], MediaKind | None],
        processes: int = PROCESSES,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind_of, self._processes, self._monotonic = kind_of, processes, monotonic
        self.pool = WorkerPool(processes)

    @contextmanager
    def session(self) -> Iterator[None]:
        """End the processes at the end.

        Raises:
            ConfigurationError: a library is not installed.
        """
        if (command := missing_library()) is not None:
            raise ConfigurationError(
                f"media_metadata: probe needs libraries that are not installed. Run {command}, or set media_metadata: off"
            )
        try:
            with warnings.catch_warnings():
                # What is wrong with a file is said of the file, and not once for each directory that Pillow finds damaged.
                warnings.filterwarnings("ignore", module=r"PIL\.")
                yield
        finally:
            self.pool.close()

    def read(self, reader: ObjectReader, item: StoredObject) -> Media:
        """Return what one object says of itself.

        Raises:
            ObjectReadError, HaltError: what the reader raises.
        """
        ranges = _Ranges(reader, item, self._monotonic)
        probe = self._probe_of(item.key)
        try:
            block = self._block(probe, ranges, item)
        except NotUnderstoodError as error:
            return _without(item, str(error), ranges.bytes_read, probe)
        except EOFError:
            return _without(item, "ends earlier than its size says", ranges.bytes_read, probe)
        return Media(block=block, bytes_read=ranges.bytes_read, probe=probe)

    def still_counts(self, known: pa.RecordBatch) -> pa.BooleanArray:
        """Return which rows were probed as what their objects are now: a setting may have changed that."""
        probes = zip(known.column("key").to_pylist(), known.column("probe").to_pylist(), strict=True)
        return pa.array([key is not None and self._probe_of(key) == probe for key, probe in probes], pa.bool_())

    def _probe_of(self, key: str) -> str:
        kind = self._kind_of(key)
        return NO_PROBE if kind is None else _PROBES.get(kind, NO_PROBE)

    def _block(self, probe: str, ranges: _Ranges, item: StoredObject) -> dict[str, Any]:
        if probe == NO_PROBE:
            raise NotUnderstoodError("is of a kind for which Encord accepts no media metadata")
        if not item.size:
            raise NotUnderstoodError("is empty")
        if probe == _TEXT:
            return probe_text(ProbedFile(ranges, item.size, most_bytes=SAMPLE_BYTES, piece=SAMPLE_BYTES), item.key)
        if probe == _IMAGE:
            found = picture(ProbedFile(ranges, item.size, most_bytes=IMAGE_BYTES))
            if found is not None:
                return found.block(item.size)
            probe = "picture"  # of a format that Encord's page does not name
        return self.pool.probe(probe, item.key, item.size, ranges)


class _Ranges:
    """Reads of one object, and counts."""

    def __init__(self, reader: ObjectReader, item: StoredObject, monotonic: Callable[[], float]) -> None:
        self._reader, self._item, self._monotonic = reader, item, monotonic
        self._end = monotonic() + OBJECT_SECONDS
        self.bytes_read = 0

    def __call__(self, start: int, length: int) -> bytes:
        if self._monotonic() > self._end:
            raise ObjectReadError(
                f"{self._item.key!r} can't be probed now: its ranges took longer than {OBJECT_SECONDS:.0f} seconds. The next "
                "sync tries again",
                is_silent=True,
            )
        content = self._reader.read(self._item, start, length)
        self.bytes_read += len(content)
        return content


def _without(item: StoredObject, why: str, bytes_read: int, probe: str) -> Media:
    message = (
        f"{item.key!r} {why}. Without strict_client_only it is sent without media metadata; with it, write the file again, or "
        "exclude it by a rule"
    )
    return Media(problem=NO_MEDIA, message=message, bytes_read=bytes_read, probe=probe)
