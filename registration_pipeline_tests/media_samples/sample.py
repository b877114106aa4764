"""What a sample file is, and the tools that write and measure samples.

What does not belong here: the samples (the modules beside this one).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline.objects import MediaKind

TOOLS: Final = ("ffmpeg", "ffprobe", "exiftool", "qpdf")


@dataclass(frozen=True, slots=True)
class Sample:
    """A file that a test writes.

    Args:
        name: of the file.
        kind: of the object.
        write: writes it to a path.
        is_odd: it is of a sort that probes often get wrong.
    """

    name: str
    kind: MediaKind
    write: Callable[[Path], object]
    is_odd: bool = False


def installed(name: str) -> str:
    """Return a tool's name.

    Raises:
        AssertionError: it is not installed.
    """
    assert shutil.which(name), f"{name} is missing: run `make media-tools`"
    return name


def output_of(*command: str | Path) -> str:
    """Return what a tool prints.

    Raises:
        AssertionError: it is not installed, or failed.
    """
    installed(str(command[0]))
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr[-2000:]}"
    return done.stdout


def ffmpeg(*arguments: str) -> Callable[[Path], object]:
    """Return a writer of what FFmpeg makes of these arguments."""
    return lambda path: output_of("ffmpeg", "-v", "error", "-y", "-nostdin", *arguments, path)
