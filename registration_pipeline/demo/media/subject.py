"""What a generated file is of: derived from its path and the seed alone, so that a path always gets the same bytes.

What does not belong here: any encoding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from random import Random

_NUMBER = re.compile(r"\d+", re.ASCII)
_SIX_DIGITS = 1_000_000


@dataclass(frozen=True, slots=True)
class Subject:
    """The content of one file.

    Args:
        path: ``/``-separated path below the generated folder.
        seed: of the whole generation.
    """

    path: str
    seed: int

    def random(self) -> Random:
        """Return a fresh generator; every call starts the same sequence."""
        return Random(f"{self.seed}:{self.path}")  # noqa: S311  # decoration, not secrets

    def place_random(self) -> Random:
        """Return a fresh generator that starts the same sequence for all files of a folder."""
        return Random(f"{self.seed}:{PurePosixPath(self.path).parent}/")  # noqa: S311  # decoration, not secrets

    @property
    def number(self) -> int:
        """The last number in the file name, at most six digits of it; a made-up one if the name has none."""
        numbers = _NUMBER.findall(PurePosixPath(self.path).name)
        return int(numbers[-1]) % _SIX_DIGITS if numbers else self.random().randrange(_SIX_DIGITS)

    @property
    def label(self) -> str:
        """Where the file lies, in printable ASCII, which every font and PDF encoding has."""
        folder = str(PurePosixPath(self.path).parent)
        return folder.encode("ascii", "replace").decode("ascii")[:28]
