"""A process that runs libraries on foreign bytes: ``python -m registration_pipeline.facts.media.worker``.

What does not belong here: reading from a store, for which it has neither credentials nor environment (``workers.py`` does
it), and images and text, whose few lines of code need no process of their own.

FFmpeg is a library in C, and pypdf and pydicom follow what a file says wherever it leads. So they run where they can do no
harm: memory is limited, the processor time of each object is limited, and a process that dies takes one object with it.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.facts.media.messages import (
    ASKED,
    DONE,
    GIVEN,
    RANGE,
    READY,
    REPLY,
    packed,
    read_exactly,
    unpacked,
    write_all,
)
from registration_pipeline.facts.media.probed_file import ProbedFile
from registration_pipeline.facts.media.trouble import NotUnderstoodError
from registration_pipeline.facts.reading.ranged_file import RangedFile

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_BYTES: Final = 512 << 20
"""Of a process. Its libraries take about 100 MB; the header of a movie of ten hours takes as much again."""

CPU_SECONDS: Final = 20
"""Of one object. The most that a sound file took in the tests is below one second."""

MOVIE_BYTES: Final = range(4 << 20, 64 << 20)
"""That may be read of a movie: a twentieth of it, within these bounds. Its table of contents grows with its length."""

AUDIO_BYTES: Final = 128 << 20
"""An MP3 file without a table and with a changing bit rate says how long it is only to those who read all of it."""

PDF_BYTES: Final = 16 << 20
PICTURE_BYTES: Final = 2 << 20


class StoreError(Exception):
    """The other process could not read a range; it knows why."""


def main() -> None:
    """Do one job after the other until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that asks is interrupted, and then goes away
    commands, answers = os.dup(0), os.dup(1)
    _hide_standard_streams()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, MEMORY_BYTES)
    with suppress(EOFError, BrokenPipeError):
        write_all(answers, READY)
        while True:
            job = unpacked(lambda length: os.read(commands, length))
            _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + CPU_SECONDS)
            found = _found(job, _Ranges(commands, answers))
            write_all(answers, DONE + packed(found))
            if found.get("is_last"):
                return


def _hide_standard_streams() -> None:
    """Keep what libraries print out of the answers."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _limit(what: int, value: int) -> None:
    with suppress(ValueError, OSError):  # a system that does not know it, or has a lower one already
        resource.setrlimit(what, (value, resource.getrlimit(what)[1]))


class _Ranges:
    """Asks the other process for bytes."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers

    def __call__(self, start: int, length: int) -> bytes:
        write_all(self._answers, ASKED + RANGE.pack(start, length))
        status, size = REPLY.unpack(self._read(REPLY.size))
        content = self._read(size)
        if status != GIVEN:
            raise StoreError
        return content

    def _read(self, length: int) -> bytes:
        return read_exactly(lambda most: os.read(self._commands, most), length)


def _found(job: dict[str, Any], fetch: Callable[[int, int], bytes]) -> dict[str, Any]:
    """Return the block, or why there is none, in words that quote nothing of the file."""
    try:
        return {"block": _PROBES[job["probe"]](fetch, int(job["size"]), str(job["key"]))}
    except NotUnderstoodError as error:
        return {"why": str(error)}
    except StoreError:
        return {"is_unread": True}
    except MemoryError:
        # What is left of the memory may be in pieces, so the next object gets another process.
        return {"why": f"needs more than {MEMORY_BYTES >> 20} MB of memory to be understood", "is_last": True}
    except Exception as error:  # noqa: BLE001 - foreign bytes make libraries raise anything
        return {"why": f"is damaged ({type(error).__name__})"}


def _video(fetch: Callable[[int, int], bytes], size: int, key: str) -> dict[str, Any]:
    from registration_pipeline.facts.media.videos import probe_video

    most = max(MOVIE_BYTES.start, min(size // 20, MOVIE_BYTES.stop))
    return _probed(ProbedFile(fetch, size, most_bytes=most, piece=64 << 10), probe_video, key)


def _audio(fetch: Callable[[int, int], bytes], size: int, key: str) -> dict[str, Any]:
    from registration_pipeline.facts.media.audio import probe_audio

    return _probed(ProbedFile(fetch, size, most_bytes=AUDIO_BYTES), probe_audio, key)


def _pdf(fetch: Callable[[int, int], bytes], size: int, key: str) -> dict[str, Any]:
    from registration_pipeline.facts.media.pdf import probe_pdf

    return _probed(ProbedFile(fetch, size, most_bytes=PDF_BYTES), probe_pdf, key)


def _picture(fetch: Callable[[int, int], bytes], size: int, key: str) -> dict[str, Any]:
    from registration_pipeline.facts.media.pictures import probe_picture

    return _probed(ProbedFile(fetch, size, most_bytes=PICTURE_BYTES), probe_picture, key)


def _probed(file: ProbedFile, probe: Callable[[ProbedFile, str], dict[str, Any]], key: str) -> dict[str, Any]:
    try:
        return probe(file, key)
    except Exception:
        # Libraries turn what reading raised into something else.
        if file.trouble is not None:
            raise file.trouble from None
        raise


def _dicom(fetch: Callable[[int, int], bytes], size: int, key: str) -> dict[str, Any]:
    from registration_pipeline.facts.media.dicom import probe_dicom

    with RangedFile(fetch, size) as file:
        return probe_dicom(file, key)


_PROBES: Final = {
    "video": _video,
    "audio": _audio,
    "pdf": _pdf,
    "picture": _picture,
    "dicom": _dicom,
}

if __name__ == "__main__":
    main()
