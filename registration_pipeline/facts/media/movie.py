"""What the boxes of MP4 and QuickTime say that FFmpeg does not, or only after reading far more: turned pictures, fragments.

What does not belong here: everything else about videos (``videos.py``).

A fragmented movie says how long it is only in its fragments, and FFmpeg reads the head of each of them, from the first to the
last. The last one is enough: its place is in the table at the end (``mfra``), or it is searched for from the end.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from registration_pipeline.facts.media.boxes import Box, boxes, full_box, integer

if TYPE_CHECKING:
    from registration_pipeline.facts.media.probed_file import ProbedFile

_STEP: Final = 64 << 10
_TAIL: Final = 1 << 20
"""How far from the end the last fragment is searched for, at least."""

_LONG_FRAGMENT: Final = 384 << 10
"""From here on, going from one to the next reads less than searching for the last one from the end, a twenty-fourth of it."""

_MOST_STEPS: Final = 100
_NEARLY_ALL: Final = 0.75

_MOST_RUNS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Movie:
    """What its boxes say of a movie's first picture track.

    Args:
        brand: the major brand of the file; empty: none, as in old QuickTime files.
        is_turned: whether it is shown turned by a quarter.
        is_fragmented: whether most of it is in fragments.
        track: number of the track.
        ticks: a second, of the track's times.
        width: of the stored picture, in pixels; 0: the header does not say.
        height: of the stored picture.
        default_ticks: of a sample, unless its fragment says otherwise.
        seconds: of all fragments, if the header says it.
    """

    brand: bytes = b""
    is_turned: bool = False
    is_fragmented: bool = False
    track: int = 0
    ticks: int = 0
    width: int = 0
    height: int = 0
    default_ticks: int = 0
    seconds: float | None = None


class _Span(NamedTuple):
    """When a track's part of a fragment begins and ends, and how long a frame of it is, in the track's ticks."""

    begin: int
    end: int
    frame: float


def movie(file: ProbedFile) -> Movie:
    """Return what the header says; what it does not say is left out."""
    brand, moov, seconds = b"", None, None
    for box in boxes(file, 0, file.size, most=64):
        if box.name == b"ftyp":
            brand = file.read_at(box.begin, 4)
        elif box.name == b"moov":
            moov = box
        elif box.name == b"sidx" and moov is not None and seconds is None:
            seconds = _indexed_seconds(file, box)
        if moov is not None and box.name in (b"moof", b"mdat"):
            break
    if moov is None:
        return Movie(brand)
    parts = list(boxes(file, moov.begin, moov.end))
    track = next((one for box in parts if box.name == b"trak" and (one := _track(file, box))), None)
    found = replace(track or Movie(), brand=brand, seconds=seconds)
    extends = next((box for box in parts if box.name == b"mvex"), None)
    return found if extends is None else _extended(file, found, parts, extends)


def _extended(file: ProbedFile, found: Movie, parts: list[Box], extends: Box) -> Movie:
    """Return it as a fragmented movie, with what the header says of its fragments."""
    header = next((box for box in parts if box.name == b"mvhd"), None)
    default, seconds = 0, found.seconds
    for box in boxes(file, extends.begin, extends.end):
        if box.name == b"trex":
            content = file.read_at(box.begin + 4, 16)
            default = integer(content[8:12]) if integer(content[:4]) == found.track else default
        elif box.name == b"mehd" and header is not None:
            version, _, content = full_box(file, box)
            ticks, length = _ticks(file, header), integer(content[: 8 if version else 4])
            seconds = length / ticks if ticks and length else seconds
    return replace(found, is_fragmented=True, default_ticks=default, seconds=seconds)


def fragmented(file: ProbedFile, found: Movie) -> tuple[float | None, float | None]:
    """Return how long a fragmented movie is, by its last fragment, and its frame rate, by its first one; None: unknown."""
    with file.in_small_pieces():
        first = _first_fragment(file)
        span = None if first is None or not found.ticks else _span(file, first[0], found)
        rate = found.ticks / span.frame if span is not None and span.frame else None
        if first is None or not found.ticks or found.seconds:
            return found.seconds, rate
        last = _last_by_table(file, found.track) or _last_fragment(file, first, found)
        end = None if last is None else _span(file, last, found)
    return (end.end - (span.begin if span else 0)) / found.ticks if end is not None else None, rate


def _first_fragment(file: ProbedFile) -> tuple[Box, int] | None:
    """Return the first fragment, and how long it is together with its content."""
    fragment, begin = None, 0
    for box in boxes(file, 0, file.size, most=64):
        if fragment is not None and box.name == b"mdat":
            return fragment, box.end - begin
        if fragment is None and box.name == b"moof":
            fragment, begin = box, box.begin - 8
    return None if fragment is None else (fragment, file.size - begin)


def _last_fragment(file: ProbedFile, first: tuple[Box, int], found: Movie) -> Box | None:
    """Return the last fragment with the track: by going from one to the next, or from the end, whichever reads less."""
    fragment, length = first
    if length < _LONG_FRAGMENT or file.size // length > _MOST_STEPS:
        return _last_by_search(file, found, max(_TAIL, 2 * length))
    last = None
    for box in boxes(file, fragment.begin - 8, file.size, most=3 * _MOST_STEPS):
        if box.name == b"moof" and _span(file, box, found) is not None:
            last = box
    return last


def _track(file: ProbedFile, track: Box) -> Movie | None:
    """Return what a track of pictures says; None: it is another one."""
    parts = {box.name: box for box in boxes(file, track.begin, track.end)}
    if not {b"tkhd", b"mdia"} <= parts.keys():
        return None
    media = {box.name: box for box in boxes(file, parts[b"mdia"].begin, parts[b"mdia"].end)}
    if not {b"mdhd", b"hdlr"} <= media.keys() or file.read_at(media[b"hdlr"].begin + 8, 4) != b"vide":
        return None
    version, _, content = full_box(file, parts[b"tkhd"])
    number = integer(content[16:20] if version else content[8:12])
    matrix = content[48:84] if version else content[36:72]
    values = struct.unpack(">9i", matrix) if len(matrix) == 36 else (1,) * 9  # noqa: PLR2004
    is_turned = values[0] == values[4] == 0 and bool(values[1] and values[3])
    width, height = _sides(file, media.get(b"minf"))
    return Movie(is_turned=is_turned, track=number, ticks=_ticks(file, media[b"mdhd"]), width=width, height=height)


def _sides(file: ProbedFile, information: Box | None) -> tuple[int, int]:
    """Return width and height of the first kind of samples: FFmpeg waits for the decoder to say those of some codecs."""
    for name in (b"stbl", b"stsd"):
        if information is not None:
            information = next(
                (box for box in boxes(file, information.begin, information.end) if box.name == name), None
            )
    content = b"" if information is None else file.read_at(information.begin + 40, 4)
    return (integer(content[:2]), integer(content[2:])) if len(content) == 4 else (0, 0)  # noqa: PLR2004


def _ticks(file: ProbedFile, header: Box) -> int:
    version, _, content = full_box(file, header)
    return integer(content[16:20] if version else content[8:12])


def _indexed_seconds(file: ProbedFile, box: Box) -> float | None:
    """Return the sum of the segment index, if it is one of media and not of further indexes."""
    version, _, content = full_box(file, box)
    ticks = integer(content[4:8])
    place = 24 if version else 16
    references = [content[at : at + 12] for at in range(place + 4, len(content) - 11, 12)]
    if not ticks or not references or any(reference[0] & 0x80 for reference in references):
        return None
    return sum(integer(reference[4:8]) for reference in references) / ticks


def _last_by_table(file: ProbedFile, track: int) -> Box | None:
    end = file.read_at(max(file.size - 16, 0), 16)
    if end[4:8] != b"mfro":
        return None
    length = integer(end[12:16])
    place = 0
    for box in boxes(file, file.size - length + 8, file.size) if 0 < length <= file.size else ():
        if box.name == b"tfra":
            version, _, content = full_box(file, box)
            sizes = integer(content[4:8])
            entry = (16 if version else 8) + sum((sizes >> shift & 3) + 1 for shift in (4, 2, 0))
            if integer(content[:4]) == track and integer(content[8:12]):
                last = content[-entry:]
                place = integer(last[8:16] if version else last[4:8])
    return _fragment_at(file, place) if place else None


def _fragment_at(file: ProbedFile, place: int) -> Box | None:
    box = next(boxes(file, place, file.size, most=1), None)
    return box if box is not None and box.name == b"moof" else None


def _last_by_search(file: ProbedFile, found: Movie, most: int) -> Box | None:
    end, behind = file.size, b""
    while end > 0 and file.size - end < most:
        begin = max(end - _STEP, 0)
        content = file.read_at(begin, end - begin) + behind
        at = len(content)
        while (at := content.rfind(b"moof", 0, at)) >= 4:  # noqa: PLR2004
            box = _fragment_at(file, begin + at - 4) if content[at + 8 : at + 12] == b"mfhd" else None
            if box is not None and _span(file, box, found) is not None:
                return box
        end, behind = begin, content[:16]
    return None


def _span(file: ProbedFile, fragment: Box, found: Movie) -> _Span | None:
    """Return when the track's part of a fragment begins and ends, and its frame rate; None: the track is not in it."""
    for box in boxes(file, fragment.begin, fragment.end):
        if box.name != b"traf":
            continue
        parts = list(boxes(file, box.begin, box.end))
        header = next((part for part in parts if part.name == b"tfhd"), None)
        start = next((part for part in parts if part.name == b"tfdt"), None)
        if header is None or start is None:
            continue
        _, flags, content = full_box(file, header)
        if integer(content[:4]) != found.track:
            continue
        default = _default_ticks(flags, content) or found.default_ticks
        version, _, times = full_box(file, start)
        begin = integer(times[: 8 if version else 4])
        lengths = sum((_run(file, part, default) for part in parts if part.name == b"trun"), Counter[int]())
        return _Span(begin, begin + sum(ticks * count for ticks, count in lengths.items()), _frame(lengths))
    return None


def _default_ticks(flags: int, content: bytes) -> int:
    place = 4 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
    return integer(content[place : place + 4]) if flags & 8 else 0


def _run(file: ProbedFile, run: Box, default: int) -> Counter[int]:
    """Return the lengths of the samples of a run, in ticks, and how many have each."""
    _, flags, content = full_box(file, run)
    count = min(integer(content[:4]), _MOST_RUNS)
    place = 4 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
    step = 4 * sum(bool(flags & flag) for flag in (0x100, 0x200, 0x400, 0x800))
    if not flags & 0x100:
        return Counter({default: count})
    return Counter(
        integer(content[at : at + 4]) for at in range(place, min(place + count * step, len(content) - 3), step)
    )


def _frame(lengths: Counter[int]) -> float:
    """Return how long a frame is: as nearly all are, for the last one often differs; or on average."""
    total = lengths.total()
    usual, count = lengths.most_common(1)[0] if total else (0, 0)
    return usual if count >= _NEARLY_ALL * total else sum(ticks * number for ticks, number in lengths.items()) / total
