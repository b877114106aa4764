"""How long a Matroska or WebM file is that does not say so, as recorders and live streams write them: by its last cluster.

What does not belong here: everything else about videos (``videos.py``). The elements are those of RFC 8794 and RFC 9559.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.facts.media.probed_file import ProbedFile

_STEP: Final = 64 << 10
_TAIL: Final = 6 << 20
"""How far from the end the last cluster is searched for: FFmpeg's have 5 MB at the most."""

_MOST_STEPS: Final = 100
_MOST_CLUSTERS: Final = 8
"""From the end: the last ones may hold sound only."""

_HEAD: Final = 32 << 10
_MOST_BLOCKS: Final = 2_000

_SEGMENT, _TRACKS, _TRACK_NUMBER, _TRACK_TYPE = 0x18538067, 0x1654AE6B, 0xD7, 0x83
_CLUSTER, _TIMESTAMP, _CRC = 0x1F43B675, 0xE7, 0xBF
_SIMPLE_BLOCK, _GROUP, _BLOCK, _DURATION = 0xA3, 0xA0, 0xA1, 0x9B
_TOP: Final = frozenset({_CLUSTER, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469, 0x114D9B74})
"""Elements that end a cluster whose size is not known: the next one, cues, tags, chapters, attachments, seek heads."""

_CLUSTER_MARK: Final = _CLUSTER.to_bytes(4, "big")
_BEFORE_BLOCKS: Final = (0xEC, 0xA7, 0xAB)
"""Elements that may come before a cluster's time: void, position and previous size."""

_SCALE: Final = bytes.fromhex("2AD7B1")
_DEFAULT_SCALE: Final = 1_000_000
_NANOSECONDS: Final = 1_000_000_000


class _Cluster(NamedTuple):
    """A cluster: where its blocks begin, where it ends, its time, and whether its end is not known."""

    begin: int
    end: int
    base: int
    is_open: bool


class _Element(NamedTuple):
    name: int
    begin: int
    end: int
    is_open: bool


def last_moment(file: ProbedFile) -> float | None:
    """Return when the last picture begins, or ends if it says so, in seconds; None: there is none near the end."""
    start = file.read_at(0, _HEAD)
    track = _pictures(start)
    if track is None:
        return None
    with file.in_small_pieces():
        for cluster in islice(_from_the_end(file, start), _MOST_CLUSTERS):
            ticks = _last_ticks(file, cluster, track)
            if ticks is not None:
                return ticks * _scale(start) / _NANOSECONDS
    return None


def _pictures(start: bytes) -> int | None:
    """Return the number of the first track of pictures."""
    place = start.find(_SEGMENT.to_bytes(4, "big"))
    segment = _element(start, place, len(start)) if place >= 0 else None
    for part in () if segment is None else _elements(start, segment.begin, segment.end):
        for entry in _elements(start, part.begin, part.end) if part.name == _TRACKS else ():
            values = {
                one.name: int.from_bytes(start[one.begin : one.end], "big") for one in _elements(start, *entry[1:3])
            }
            if values.get(_TRACK_TYPE) == 1:
                return values.get(_TRACK_NUMBER)
    return None


def _from_the_end(file: ProbedFile, start: bytes) -> Iterator[_Cluster]:
    """Yield clusters, the last one first."""
    by_steps = _by_steps(file, start)
    yield from reversed(by_steps) if by_steps else _by_search(file)


def _by_steps(file: ProbedFile, start: bytes) -> list[_Cluster]:
    """Return all clusters, by going from one to the next; none if a size is not known, or there are too many."""
    place, found = start.find(_CLUSTER_MARK), list[_Cluster]()
    while 0 <= place < file.size and len(found) <= _MOST_STEPS:
        cluster = _cluster_at(file, place)
        if cluster is None:
            break
        if cluster.is_open or (
            len(found) == 1 and file.size // (cluster.end - place) > _MOST_STEPS
        ):  # the first is often short
            return []
        found.append(cluster)
        place = cluster.end
    return found if len(found) <= _MOST_STEPS else []


def _by_search(file: ProbedFile) -> Iterator[_Cluster]:
    end, behind = file.size, b""
    while end > 0 and file.size - end < _TAIL:
        begin = max(end - _STEP, 0)
        content = file.read_at(begin, end - begin) + behind
        at = len(content)
        while (at := content.rfind(_CLUSTER_MARK, 0, at)) >= 0:
            found = _cluster_at(file, begin + at)
            if found is not None:
                yield found
        end, behind = begin, content[:32]


def _cluster_at(file: ProbedFile, place: int) -> _Cluster | None:
    """Return the cluster at a place; None: these bytes are not one."""
    content = file.read_at(place, 64)
    head = _element(content, 0, file.size - place)
    if head is None or head.name != _CLUSTER:
        return None
    for part in _elements(content, head.begin, len(content)):
        if part.name == _TIMESTAMP:
            base = int.from_bytes(content[part.begin : part.end], "big")
            return _Cluster(place + part.end, place + head.end, base, head.is_open)
        if part.name not in (_CRC, *_BEFORE_BLOCKS):
            return None
    return None


def _last_ticks(file: ProbedFile, cluster: _Cluster, track: int) -> int | None:
    """Return the last moment of a track in a cluster: of the block that ends where the cluster does, or of one before it."""
    end = cluster.end
    begin = max(cluster.begin, end - _STEP)
    while begin < end:
        content = file.read_at(begin, end - begin)
        stop = len(content)
        while (place := _block_before(content, stop)) is not None:
            ticks = _ticks_at(content, place, stop, track)
            if ticks is not None:
                return cluster.base + ticks
            stop = place
        if begin == cluster.begin or cluster.end - begin >= _TAIL:
            break
        begin, end = max(cluster.begin, begin - _STEP), begin + stop
    return _last_forward(file, cluster, track)


def _block_before(content: bytes, stop: int) -> int | None:
    """Return where the block, or group of one, begins that ends at a place."""
    for place in range(stop - 2, -1, -1):
        if content[place] in (_SIMPLE_BLOCK, _GROUP):
            size = _size(content, place + 1)
            if size is not None and size[1] + size[0] == stop and size[0] > 3:  # noqa: PLR2004
                return place
    return None


def _last_forward(file: ProbedFile, cluster: _Cluster, track: int) -> int | None:
    """Return the last moment of a track in a cluster by going from block to block, as far as may be read."""
    place, last = cluster.begin, None
    for _ in range(_MOST_BLOCKS):
        content = file.read_at(place, 64)
        part = _element(content, 0, cluster.end - place)
        if part is None or part.name in _TOP:
            break
        if part.name in (_SIMPLE_BLOCK, _GROUP):
            ticks = _ticks_at(content, 0, min(part.end, len(content)), track)
            last = ticks if ticks is not None and (last is None or ticks > last) else last
        place += part.end
    return None if last is None else cluster.base + last


def _ticks_at(content: bytes, place: int, stop: int, track: int) -> int | None:
    """Return when a block of the track begins, or ends if it says so, since its cluster; None: it is of another track."""
    part = _element(content, place, stop)
    if part is None or part.name == _SIMPLE_BLOCK:
        return None if part is None else _block_ticks(content, part, track)
    inner = {one.name: one for one in _elements(content, part.begin, part.end)}
    ticks = _block_ticks(content, inner[_BLOCK], track) if _BLOCK in inner else None
    long = inner.get(_DURATION)
    length = 0 if long is None else int.from_bytes(content[long.begin : long.end], "big")
    return None if ticks is None else ticks + length


def _scale(start: bytes) -> int:
    """Return nanoseconds a tick."""
    at = start.find(_SCALE)
    size = start[at + 3] & 0x7F if 0 <= at < len(start) - 12 else 0
    return int.from_bytes(start[at + 4 : at + 4 + size], "big") if 0 < size <= 8 else _DEFAULT_SCALE  # noqa: PLR2004


def _block_ticks(content: bytes, block: _Element, track: int) -> int | None:
    number = _size(content, block.begin)
    if number is None or number[0] != track:
        return None
    return int.from_bytes(content[number[1] : number[1] + 2], "big", signed=True)


def _elements(content: bytes, begin: int, end: int) -> Iterator[_Element]:
    while begin < end and (found := _element(content, begin, end)) is not None:
        yield found
        begin = found.end


def _element(content: bytes, place: int, limit: int) -> _Element | None:
    """Return the element at a place; None: there is none. One that is cut ends where the content does."""
    length = 9 - content[place].bit_length() if place < limit else 9
    if length > 4:  # noqa: PLR2004 - the longest name
        return None
    size = _size(content, place + length)
    if size is None:
        return None
    name = int.from_bytes(content[place : place + length], "big")
    value, begin = size
    is_open = value == (1 << 7 * (begin - place - length)) - 1
    return _Element(name, begin, limit if is_open else min(begin + value, limit), is_open)


def _size(content: bytes, place: int) -> tuple[int, int] | None:
    """Return a number of variable length, and the place behind it."""
    if place >= len(content) or not content[place]:
        return None
    length = 9 - content[place].bit_length()
    value = int.from_bytes(content[place : place + length], "big") & (1 << 7 * length) - 1
    return value, place + length
