"""The entries of a page as Arrow columns, cut out of its bytes all at once where they are all written alike.

What does not belong here: pages whose entries differ, and what their text means (``page.py``).

A page has a thousand entries with the same tags in the same order. So it is cut into pieces at the places where the tags of
the first entry must be, and what should be a tag is compared with what it should be, byte by byte, for all entries in
one go. No Python object is made per entry, and Arrow holds the interpreter's lock for none of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.tables.columns import binaries, byte_scalar, int32s

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = ("Key", "LastModified", "ETag", "Size", "StorageClass")
REQUIRED = frozenset({"Key", "LastModified", "Size"})

_CLOSE = b"</Contents>"
_TAG = re.compile(rb"(</?[A-Za-z0-9]+>)")
_QUOTES = (b"&quot;", b"&#34;", b'"')
_LESS_THAN = byte_scalar("<")
_SPACE = ord(" ")
_OF_A_FIELD = 2  # elements that are open in front of the closing tag of an entry's field: the entry and the field
_LEAST_ROWS = 1024  # layouts are made for this many and cut for fewer


@dataclass(frozen=True, slots=True)
class Shape:
    """How an entry is written: what is before, between and after its values.

    Args:
        constants: one more than there are values.
        tags: in each constant, how many tags it holds.
        values: for each of ``FIELDS``, which value it is; None where the entries have no such field.
    """

    constants: tuple[bytes, ...]
    tags: tuple[int, ...]
    values: tuple[int | None, ...]


def cut_columns(body: bytes, start: int, end: int) -> tuple[pa.Array, ...] | None:
    """Return the values of ``FIELDS`` as columns of bytes, null for a field that no entry has.

    Args:
        body: a page.
        start: where its first ``<Contents>`` is.
        end: behind its last ``</Contents>``.

    Returns:
        nothing if the entries are not all written like the first, or if a value is not its own text: an entity, for one.
    """
    if not body.isascii():
        return None
    numbers = pa.Array.from_buffers(pa.uint8(), end - start, [None, pa.py_buffer(body)], offset=start)
    shape = shape_of(body[start : body.find(_CLOSE, start) + len(_CLOSE)])
    # Line ends are normalised by XML parsers, and other control characters are not XML.
    if shape is None or pc.min(numbers).as_py() < _SPACE:
        return None
    marks = pc.indices_nonzero(pc.equal(numbers, _LESS_THAN))
    rows, odd = divmod(len(marks), sum(shape.tags))
    if odd:
        return None
    layout = _layout(shape, _LEAST_ROWS << max(0, (rows - 1) // _LEAST_ROWS).bit_length())
    pieces = _pieces(layout, rows, marks, memoryview(body)[start:end])
    if pieces is None or not pieces.take(layout.constant_places(rows)).equals(layout.expected_constants(rows)):
        return None
    values = [pieces.take(places.slice(0, rows)) for places in layout.values]
    if not all(map(_is_plain, values)):
        return None
    return tuple(pa.nulls(rows, pa.binary()) if value is None else values[value] for value in shape.values)


def shape_of(entry: bytes) -> Shape | None:
    """Return the shape of an entry from ``<Contents>`` to ``</Contents>``, or None if it is not made of plain elements."""
    parts = _TAG.split(entry)
    tags, texts = parts[1::2], parts[2:-1:2]
    if parts[0] or parts[-1] or not _is_nested(tags):
        return None
    constants, counts, values, depth = [tags[0]], [1], dict[str, int](), 1
    for before, text, tag in zip(tags, texts, tags[1:], strict=False):
        is_value = before == b"<" + tag[2:]
        field = tag[2:-1].decode() if depth == _OF_A_FIELD and tag.startswith(b"</") else ""
        if (field in values or not is_value) and (field in FIELDS or text):
            return None
        depth += -1 if tag.startswith(b"</") else 1
        if not is_value:
            constants[-1], counts[-1] = constants[-1] + tag, counts[-1] + 1
            continue
        if field in FIELDS:
            values[field] = len(counts) - 1
        quote = next(filter(text.startswith, _QUOTES), b"") if field == "ETag" else b""
        constants[-1] += quote
        constants.append(quote + tag)
        counts.append(1)
    return Shape(tuple(constants), tuple(counts), tuple(map(values.get, FIELDS))) if values.keys() >= REQUIRED else None


def _is_nested(tags: Sequence[bytes]) -> bool:
    open_names = []
    for tag in tags:
        if not tag.startswith(b"</"):
            open_names.append(tag[1:])
        elif not open_names or open_names.pop() != tag[2:]:
            return False
    return not open_names


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where to cut pages of a shape with up to ``rows`` entries; all of it is constant, so it is made once.

    Args:
        shape: how each entry is written.
        marks: for each cut, which ``<`` it is reckoned from.
        shifts: and how far from there.
        constants: which pieces are not values.
        expected: what these are.
        values: for each value, which pieces are its.
    """

    shape: Shape
    marks: pa.Array
    shifts: pa.Array
    constants: pa.Array
    expected: pa.Array
    values: tuple[pa.Array, ...]

    def constant_places(self, rows: int) -> pa.Array:
        return self.constants.slice(0, rows * len(self.shape.constants))

    def expected_constants(self, rows: int) -> pa.Array:
        return self.expected.slice(0, rows * len(self.shape.constants))


@lru_cache(maxsize=16)
def _layout(shape: Shape, rows: int) -> _Layout:
    constants = shape.constants
    step, tags_per_row = 2 * len(constants) - 1, sum(shape.tags)
    first_tags = list(accumulate(shape.tags, initial=0))
    marks, shifts = [0], [0]
    for place, constant in enumerate(constants[:-1]):
        # A value begins where the constant before it ends, which is reckoned from that constant's last tag; and it ends
        # where the next constant begins: at its first tag, or at the quote before it.
        last = constant.rfind(b"<")
        following = constants[place + 1]
        marks += [first_tags[place + 1] - 1, first_tags[place + 1]]
        shifts += [len(constant) - last, -following.find(b"<")]
    every = range(rows)
    return _Layout(
        shape=shape,
        marks=int32s(chain.from_iterable((row * tags_per_row + mark for mark in marks) for row in every)),
        shifts=int32s(shifts * rows),
        constants=int32s(chain.from_iterable(range(row * step, (row + 1) * step, 2) for row in every)),
        expected=binaries(constants * rows),
        values=tuple(int32s(range(2 * value + 1, rows * step, step)) for value in range(len(constants) - 1)),
    )


def _pieces(layout: _Layout, rows: int, marks: pa.Array, data: memoryview) -> pa.Array | None:
    """Return constants and values in turn, or None if the cuts are not in order."""
    cuts = rows * (2 * len(layout.shape.constants) - 1)
    places = pc.add(marks.take(layout.marks.slice(0, cuts)).cast(pa.int32()), layout.shifts.slice(0, cuts))
    offsets = pa.concat_arrays([places, int32s([len(data)])])
    if not pc.all(pc.less_equal(offsets.slice(0, cuts), offsets.slice(1))).as_py():
        return None
    return pa.Array.from_buffers(pa.binary(), cuts, [None, offsets.buffers()[1], pa.py_buffer(data)])


def _is_plain(column: pa.Array) -> bool:
    text = bytes(column.buffers()[2] or b"")
    return not any(mark in text for mark in (b"&", b">", b'"'))
