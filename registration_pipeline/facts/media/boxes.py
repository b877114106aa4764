"""The boxes of MP4, QuickTime and AVIF files (ISO/IEC 14496-12): where they are, and the numbers in them.

What does not belong here: what a box means (``images.py``, ``movie.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.facts.media.probed_file import ProbedFile

_MOST_BOXES: Final = 1_000
"""Within one: more are a loop, or not boxes at all."""

_MOST_CONTENT: Final = 4 << 20


class Box(NamedTuple):
    """A box: its name and where its content is."""

    name: bytes
    begin: int
    end: int


def boxes(file: ProbedFile, begin: int, end: int, *, most: int = _MOST_BOXES) -> Iterator[Box]:
    """Yield the boxes between two places, one after the other; what does not fit in there ends them.

    Args:
        file: the object.
        begin: of the first one.
        end: of the last one.
        most: yielded.
    """
    for _ in range(most):
        if begin + 8 > end:
            return
        header = file.read_at(begin, 8)
        if len(header) < 8:  # noqa: PLR2004
            return
        length, name, start = integer(header[:4]), header[4:], begin + 8
        if length == 1:
            length, start = integer(file.read_at(start, 8)), start + 8
        elif length == 0:
            length = end - begin  # to the end
        if length < start - begin:
            return
        yield Box(name, start, min(begin + length, end))
        begin += length


def full_box(file: ProbedFile, box: Box) -> tuple[int, int, bytes]:
    """Return version, flags and the rest of the content.

    Raises:
        NotUnderstoodError: it is too long to be one that is of interest here.
    """
    if box.end - box.begin > _MOST_CONTENT:
        raise NotUnderstoodError("has a box in its header that is too long for what it holds")
    content = file.read_at(box.begin, box.end - box.begin)
    return content[0], integer(content[1:4]), content[4:]


def integer(content: bytes) -> int:
    """Return a number, most significant byte first."""
    return int.from_bytes(content, "big")
