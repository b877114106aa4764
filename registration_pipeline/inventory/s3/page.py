"""One page of ListObjectsV2 as columns: the ``<Contents>`` part of its XML is read here, everything else by botocore.

What does not belong here: asking for pages (``requests.py``) and which are asked for (``ranges/``).

botocore makes Python objects of every field, which takes over twenty times as long as the request. Entries that are all
written alike are cut out as columns (``entries.py``). Where some lack a field, one regular expression reads those that
have the fields of the first, in its order; a page that it does not explain to the last byte is read by an XML parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.compute as pc
from botocore.utils import parse_timestamp

from registration_pipeline.inventory.s3.entries import FIELDS, REQUIRED, cut_columns
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.tables.columns import binaries, int32s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Text that means the same to an XML parser: no markup, no entities, no control characters (line ends are normalised).
_TEXT = rb"[^<>&\x00-\x1f]*"
_CAPTURES = {
    "Key": rb"(" + _TEXT + rb")",
    "LastModified": rb"(" + _TEXT + rb")",
    "ETag": rb'([^<>&"\x00-\x1f]*)',
    "Size": rb"([0-9]+)",
    "StorageClass": rb"(" + _TEXT + rb")",
}
_LINE_END = binaries([b"\n"])[0]
_ENTRY = re.compile(rb"<Contents>(.*?)</Contents>", re.DOTALL)
_CHILDREN = rb"(?:<[A-Za-z0-9]+>[^<>]*</[A-Za-z0-9]+>)+"
_FIELD = re.compile(rb"<([A-Za-z0-9]+)>((&quot;|&#34;|\")?[^<>]*|" + _CHILDREN + rb")</\1>")


class PageError(ValueError):
    """A page can't be read exactly. The text is a clause that says why."""


class KeyBytesError(PageError):
    """A key is not UTF-8.

    Args:
        key: as the page has it.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key.decode("ascii", "backslashreplace")
        super().__init__(f"the key {self.key!r} is not UTF-8")


@dataclass(frozen=True, slots=True)
class Contents:
    """The entries of a page, column by column, as Arrow's binary: text that has no XML left but is not decoded further.

    Args:
        keys: as written, perhaps URL-encoded.
        times: as written.
        e_tags: without quotes; null where an entry has none.
        sizes: decimal digits.
        storage_classes: null where an entry has none.
    """

    keys: pa.Array
    times: pa.Array
    e_tags: pa.Array
    sizes: pa.Array
    storage_classes: pa.Array

    @classmethod
    def of(cls, columns: Iterable[Sequence[bytes | None]]) -> Self:
        """Make it from the values of ``FIELDS``."""
        return cls(*map(binaries, columns))

    def to_batch(self, *, is_url_encoded: bool) -> pa.RecordBatch:
        """Return the rows in ``INVENTORY_SCHEMA``.

        Raises:
            PageError: a key, size or time can't be read.
        """
        nothing = pa.nulls(len(self.keys), pa.string())
        columns = [
            _key_column(_decoded(self.keys) if is_url_encoded else self.keys, self.keys),
            _numbers(self.sizes),
            _times(self.times),
            self.e_tags.cast(pa.string()),
            self.storage_classes.cast(pa.string()),
            nothing,
            nothing,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=INVENTORY_SCHEMA)


def take_contents(body: bytes) -> tuple[Contents, bytes]:
    """Return the entries of a page, and the page without them, for botocore's parser.

    Raises:
        PageError: it is not XML, or an entry lacks a required field.
    """
    return _by_cutting(body) or _by_expression(body) or contents_by_parser(body)


def _by_cutting(body: bytes) -> tuple[Contents, bytes] | None:
    """Return what ``take_contents`` does, or None for a page whose entries are not all written alike."""
    start, end = body.find(b"<Contents>"), body.rfind(b"</Contents>") + len(b"</Contents>")
    if not 0 <= start < end:
        return None
    head, rest = body[:start], body[:start] + body[end:]
    if not _is_nothing_but_entries_left_out(head, rest) or (columns := cut_columns(body, start, end)) is None:
        return None
    return Contents(*columns), rest


def _by_expression(body: bytes) -> tuple[Contents, bytes] | None:
    """Return what ``take_contents`` does, or None for a page that is not explained to the last byte."""
    first = _ENTRY.search(body)
    if first is None:
        return None if b"Contents" in body else (Contents.of([()] * len(FIELDS)), body)
    shape = _shape_of(first[1])
    if shape is None or not {field.name for field in shape} >= REQUIRED:
        return None
    expression, captured = _expression(shape)
    # Head, then for each entry its captures and what is between it and the next one; the last of these is the tail.
    pieces = expression.split(body)
    step = len(captured) + 1
    rest = pieces[0] + pieces[-1]
    if any(pieces[step:-1:step]) or not _is_nothing_but_entries_left_out(pieces[0], rest):
        return None
    columns = {name: pieces[place + 1 :: step] for place, name in enumerate(captured)}
    nothing = (None,) * len(columns["Key"])
    return Contents.of(columns.get(name, nothing) for name in FIELDS), rest


def _is_nothing_but_entries_left_out(head: bytes, rest: bytes) -> bool:
    # A comment, a DOCTYPE or a declared encoding could change what the text of the entries means.
    return b"Contents" not in rest and b"<!" not in rest and _is_utf8_document(head)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an entry: its name, what an ETag is quoted with, and whether it holds elements (``<Owner>``)."""

    name: str
    quote: bytes
    has_children: bool

    def pattern(self) -> bytes:
        """Return what matches the field; all but the required ones may be missing, and others may be repeated."""
        tag = self.name.encode("ascii")
        quote = self.quote if self.name == "ETag" else b""
        inner = quote + _CAPTURES[self.name] + quote if self.name in _CAPTURES else self._inner()
        field = b"<" + tag + b">" + inner + b"</" + tag + b">"
        if self.name in _CAPTURES:
            return field if self.name in REQUIRED else b"(?:" + field + b")?"
        return b"(?:" + field + b")*"

    def _inner(self) -> bytes:
        return _CHILDREN if self.has_children else b"[^<>]*"


def _shape_of(entry: bytes) -> tuple[_Field, ...] | None:
    """Return an entry's fields in their order, each once, or None if they are not plain elements in a row."""
    fields: list[_Field] = []
    position = 0
    while position < len(entry):
        found = _FIELD.match(entry, position)
        if found is None:
            return None
        field = _Field(found[1].decode("ascii"), found[3] or b"", found[2].startswith(b"<"))
        position = found.end()
        if fields and field.name == fields[-1].name and field.name not in _CAPTURES:
            continue
        if any(field.name == known.name for known in fields):
            return None
        fields.append(field)
    return tuple(fields)


@lru_cache(maxsize=64)
def _expression(shape: tuple[_Field, ...]) -> tuple[re.Pattern[bytes], tuple[str, ...]]:
    """Return what matches one entry with these fields, and the names of what it captures."""
    pattern = b"<Contents>" + b"".join(field.pattern() for field in shape) + rb"</Contents>\s*"
    return re.compile(pattern), tuple(field.name for field in shape if field.name in _CAPTURES)


def _is_utf8_document(head: bytes) -> bool:
    declaration = head[: head.find(b"?>") + 1].lower() if head.lstrip().startswith(b"<?xml") else b""
    return b"encoding" not in declaration or b"utf-8" in declaration


def contents_by_parser(body: bytes) -> tuple[Contents, bytes]:
    """Return what ``take_contents`` does, for any XML; some ten times slower than the expression.

    Raises:
        PageError: as ``take_contents``.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - botocore parses the same bytes with the same parser
    except ET.ParseError as error:
        raise PageError(f"it is not XML ({error})") from None
    entries = [child for child in root if _local(child.tag) == "Contents"]
    rows = [_row(entry) for entry in entries]
    for entry in entries:
        root.remove(entry)
    columns = zip(*rows, strict=True) if rows else ((),) * len(FIELDS)
    return Contents.of(columns), ET.tostring(root)


def _row(entry: ET.Element) -> tuple[bytes | None, ...]:
    fields = {_local(child.tag): (child.text or "").encode() for child in entry}
    if missing := REQUIRED - set(fields):
        raise PageError(f"an entry has no {min(missing)}")
    if "ETag" in fields:
        fields["ETag"] = fields["ETag"].removeprefix(b'"').removesuffix(b'"')
    return tuple(fields.get(name) for name in FIELDS)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _decoded(keys: pa.Array) -> pa.Array:
    """Return keys without their URL encoding, all of them joined with line ends meanwhile, which no URL has."""
    rows = len(keys)
    if not rows:
        return keys
    together = pa.ListArray.from_arrays(int32s([0, rows]), keys)
    # S3 writes a space as "+" and a plus sign as "%2B"; others write a space as "%20".
    joined = pc.binary_join(together, _LINE_END)[0].as_py().replace(b"+", b" ")
    if b"%" in joined:
        joined = unquote_to_bytes(joined)
    elif b" " not in joined:
        return keys
    if joined.count(b"\n") != rows - 1:  # a key has one itself
        return binaries([unquote_to_bytes(key.as_py().replace(b"+", b" ")) for key in keys])
    return pc.split_pattern(binaries([joined]), pattern=b"\n").flatten()


def _key_column(keys: pa.Array, written: pa.Array) -> pa.Array:
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        for key, original in zip(keys.to_pylist(), written.to_pylist(), strict=True):
            try:
                key.decode("utf-8")
            except UnicodeDecodeError:
                raise KeyBytesError(original) from None
        raise


def _numbers(column: pa.Array) -> pa.Array:
    try:
        return pc.utf8_trim_whitespace(column.cast(pa.string())).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise PageError(f"a size is not a number ({error})") from None


def _times(column: pa.Array) -> pa.Array:
    kind = INVENTORY_SCHEMA.field("last_modified").type
    try:
        return column.cast(pa.string()).cast(kind)
    except pa.ArrowInvalid:
        # Not ISO 8601 with a zone and at most microseconds: as botocore would read it.
        try:
            return pa.array([parse_timestamp(text.decode()) for text in column.to_pylist()], kind)
        except ValueError as error:
            raise PageError(f"a time can't be read ({error})") from None
