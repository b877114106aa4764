"""Reads pages of List Blobs whose entries are written alike, by a regular expression made from the entries themselves.

What the expression does not explain to the last byte goes to the XML parser (``page.py``), which is some ten times slower.
What does not belong here: asking for pages (``requests.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from registration_pipeline.inventory.azure.page import AzurePage, microseconds, read_frame, read_page, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_SHAPES = 8  # a blob that is copied, archived or leased has fields that others lack
_WANTED = (b"Content-Length", b"Last-Modified", b"Etag", b"AccessTier", b"Content-Type", b"VersionId", b"ResourceType")
_REQUIRED = (b"Content-Length", b"Last-Modified")
_TAG = rb"[A-Za-z_][\w.-]*"
_EMPTY_OR = rb"(?:<%b ?/>|<%b>%b</%b>)?"
_NAME = rb'<Name(?P<encoded> Encoded="true"| Encoded="false")?>(?P<name>[^<]+)</Name>'
_METADATA = rb"(?:<Metadata ?/>|<Metadata>(?:<(?P<%b>" + _TAG + rb")>[^<]*</(?P=%b)>|<" + _TAG + rb" ?/>)*</Metadata>)?"
_FOLDER = re.compile(
    rb"<BlobPrefix>"
    + _NAME
    + rb"(?:<Properties>(?:<(?P<field>"
    + _TAG
    + rb")>[^<]*</(?P=field)>|<"
    + _TAG
    + rb" ?/>)*</Properties>)?"
    + rb"</BlobPrefix>\s*"
)
_ANY_METADATA = re.compile(_METADATA % (b"key", b"key"))
_FOLDERS = re.compile(rb"(?:" + _FOLDER.pattern + rb")*")
_ENTRY = re.compile(rb"<Blob><Name[^>]*>[^<]*</Name>(.*?)<Properties>(.*?)</Properties>(.*?)</Blob>", re.DOTALL)
_FIELD = re.compile(rb"<(" + _TAG + rb")(?: ?/>|>([^<]*)</\1>)")
_START = re.compile(rb"<Blob(?:Prefix)?>")
# What an XML parser refuses, reads in another way, or takes for the beginning of something else than text.
_DECLARATION = re.compile(rb"""<\?xml version=["']1\.0["'](?: encoding=["']utf-8["'])? ?\?>""", re.IGNORECASE)
_CONTROLS = bytes({*range(0x20)} - set(b"\t\n"))
_NOT_PLAIN = (b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"<!")
_STRANGE_ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)")
_DIRECTORY = b"isfolder"  # in a name of metadata, in any case
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}
_ENTITY = re.compile("&[^;]*;?")
_BOM = b"\xef\xbb\xbf"

Shape = tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]
"""The fields of an entry: between its name and its properties, these, and those after them."""


class PageReader:
    """Reads pages, one after the other, of one container: it remembers how their entries are written."""

    def __init__(self) -> None:
        self._shape: Shape = ((), (), ())
        self._expression: re.Pattern[bytes] | None = None

    def read(self, content: bytes) -> AzurePage:
        """Read an answer.

        Raises:
            ValueError: it is not a page of a listing, or a blob lacks its name, size or time.
        """
        content = content.removeprefix(_BOM)
        try:
            return self._read(content) or read_page(content)
        except (UnicodeDecodeError, KeyError):
            return read_page(content)

    def _read(self, content: bytes) -> AzurePage | None:
        first = _START.search(content)
        end = max(content.rfind(b"</Blob>") + len(b"</Blob>"), content.rfind(b"</BlobPrefix>") + len(b"</BlobPrefix>"))
        if first is None or end < first.start() or not _is_plain(content):
            return None
        head, body, tail = content[: first.start()], content[first.start() : end], content[end:]
        if content.count(b"<?") != (_DECLARATION.match(content) is not None):
            return None
        entries, marker = read_frame(head + tail)
        if len(entries) or (entries.text or "").strip():
            return None
        pieces = self._pieces(body)
        return None if pieces is None else self._page(pieces, marker)

    def _pieces(self, body: bytes) -> list[bytes] | None:
        """Return what is between the entries, each followed by what an entry's groups hold; None if they are not alike."""
        for _ in range(_MOST_SHAPES):
            if self._expression is not None:
                pieces: list[bytes] = self._expression.split(body)
                step = self._expression.groups + 1
                strange = next((between for between in pieces[::step] if not _FOLDERS.fullmatch(between)), None)
                if strange is None:
                    return pieces
            else:
                strange = body
            if not self._learn(strange):
                return None
        return None

    def _learn(self, strange: bytes) -> bool:
        """Take an entry that was not explained into the shape; return whether that was possible."""
        start = strange.find(b"<Blob>")
        found = _ENTRY.match(strange, start) if start >= 0 else None
        if found is None:
            if self._expression is None and start < 0:  # folders alone
                self._compile()
                return True
            return False
        parts = []
        for known, written in zip(self._shape, found.groups(), strict=True):
            fields = _fields_of(_ANY_METADATA.sub(b"", written))
            merged = None if fields is None else _merged(known, fields)
            if merged is None:
                return False
            parts.append(merged)
        before, properties, after = parts
        shape = (before, properties, after)
        names = [*before, *properties, *after]
        if len(set(names)) < len(names) or (shape == self._shape and self._expression is not None):
            return False
        self._shape = shape
        self._compile()
        return True

    def _compile(self) -> None:
        before, properties, after = (b"".join(map(_pattern, part)) for part in self._shape)
        metadata, more_metadata = (_METADATA % (group, group) for group in (b"key", b"other_key"))
        self._expression = re.compile(
            rb"<Blob>"
            + _NAME
            + before
            + metadata
            + rb"<Properties>"
            + properties
            + rb"</Properties>"
            + more_metadata
            + after
            + rb"</Blob>\s*"
        )

    def _page(self, pieces: Sequence[bytes], marker: str | None) -> AzurePage | None:
        assert self._expression is not None
        step, places = self._expression.groups + 1, self._expression.groupindex
        betweens = [between for between in pieces[::step] if between]
        folders = [
            _text_of(found["encoded"], found["name"]) for between in betweens for found in _FOLDER.finditer(between)
        ]
        names = (pieces[places[group] :: step] for group in ("encoded", "name"))
        keys = [_text_of(encoded, name) for encoded, name in zip(*names, strict=True)]
        raw = {field: pieces[places[_group(field)] :: step] for field in _WANTED if _group(field) in places}
        if any(not value or b"&" in value for field in _REQUIRED for value in raw.get(field, [b""] * len(keys))):
            return None  # the XML parser says what is wrong
        nothing = (None,) * len(keys)
        kinds = set(raw.get(b"ResourceType", ())) - {None}
        if b"directory" in kinds:
            return None
        e_tags = [tag.strip('"') if tag else None for tag in _texts(raw.get(b"Etag", nothing))]
        columns: list[Sequence[object]] = [
            keys,
            [size_of(size.decode()) for size in raw.get(b"Content-Length", ())],
            [microseconds(time.decode()) for time in raw.get(b"Last-Modified", ())],
            e_tags,
            *(_texts(raw.get(field, nothing)) for field in (b"AccessTier", b"Content-Type", b"VersionId")),
        ]
        is_hierarchical = bool(kinds) or any(b"<ResourceType>" in between for between in betweens)
        return AzurePage(columns, folders, marker, is_hierarchical=is_hierarchical)


def _is_plain(content: bytes) -> bool:
    if any(strange in content for strange in _NOT_PLAIN) or _DIRECTORY in content.lower():
        return False
    if _STRANGE_ENTITY.search(content):
        return False
    return len(content.translate(None, _CONTROLS)) == len(content)


def _group(field: bytes) -> str:
    return field.decode().replace("-", "_")


def _pattern(field: bytes) -> bytes:
    text = rb"(?P<%b>[^<]*)" % _group(field).encode() if field in _WANTED else rb"[^<]*"
    return _EMPTY_OR % (field, field, text, field)


def _fields_of(written: bytes) -> tuple[bytes, ...] | None:
    """Return the names of plain elements in a row, each once; None if it is not that."""
    names: list[bytes] = []
    position = 0
    while position < len(written):
        found = _FIELD.match(written, position)
        if found is None or found[1] in names:
            return None
        names.append(found[1])
        position = found.end()
    return tuple(names)


def _merged(known: tuple[bytes, ...], fields: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
    """Return an order that both rows of fields are in; None if there is none or it is not plain to see."""
    merged, place = list(known), 0
    for field in fields:
        if field in merged:
            if merged.index(field) < place:
                return None
            place = merged.index(field) + 1
        else:
            merged.insert(place, field)
            place += 1
    return tuple(merged)


def _texts(values: Sequence[bytes | None]) -> list[str | None]:
    return [None if not value else _plain(value.decode()) for value in values]


def _text_of(encoded: bytes | None, name: bytes) -> str:
    text = _plain(name.decode())
    return unquote(text, errors="strict") if encoded and b"true" in encoded else text


def _plain(text: str) -> str:
    """Return text without XML's entities.

    Raises:
        KeyError: an entity that XML has not of itself.
    """
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text) if "&" in text else text
