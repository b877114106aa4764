"""Reading a page's XML: the fast way and the XML parser say the same, for every way to write an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.inventory.azure.alike import PageReader
from registration_pipeline.inventory.azure.page import read_page

if TYPE_CHECKING:
    from registration_pipeline.inventory.azure.page import AzurePage

HEAD = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x/" ContainerName="box">'
    "<Prefix>a&lt;b</Prefix><Blobs>"
)
TAIL = "</Blobs><NextMarker>2!80!MDAw</NextMarker></EnumerationResults>"
TIME = "<Last-Modified>Sat, 21 Nov 2026 02:00:00 GMT</Last-Modified>"
USUAL = (
    f"<Creation-Time>Fri, 20 Nov 2026 02:00:00 GMT</Creation-Time>{TIME}<Etag>0x8D1</Etag><Content-Length>5</Content-Length>"
    "<Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-MD5>1B2M2Y8=</Content-MD5><BlobType>BlockBlob"
    "</BlobType><AccessTier>Hot</AccessTier><LeaseStatus>unlocked</LeaseStatus>"
)
ARCHIVED = USUAL.replace("<LeaseStatus>", "<ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus><LeaseStatus>")
COPIED = f"{USUAL}<CopyId>1</CopyId><CopySource>http://x/?a&amp;b</CopySource>"
VERSIONED = "<VersionId>2026-11-21T02:00:00Z</VersionId><IsCurrentVersion>true</IsCurrentVersion>"
METADATA = "<Metadata><Etag>not this</Etag><camera>one</camera><empty /></Metadata>"
FOLDER = "<BlobPrefix><Name>a/&amp;/</Name></BlobPrefix>"
HIERARCHICAL_FOLDER = (
    f"<BlobPrefix><Name>b/</Name><Properties>{TIME}<ResourceType>directory</ResourceType></Properties></BlobPrefix>"
)
SHAPES = {
    "usual": (USUAL, "", "<Metadata />"),
    "archived": (ARCHIVED, "", "<Metadata/>"),
    "copied": (COPIED, "", METADATA),
    "versioned": (USUAL, VERSIONED, "<Metadata /><OrMetadata />"),
    "hierarchical": (f"{USUAL}<ResourceType>file</ResourceType>", "", "<Metadata />"),
    "short": (f"{TIME}<Content-Length>7</Content-Length>", "", ""),
    "quoted": (f'{TIME}<Etag>"0x8D1"</Etag><Content-Length>7</Content-Length>', "", ""),
}


def entry(name: str, shape: str) -> str:
    properties, before, after = SHAPES[shape]
    needs_encoding = any(letter < " " or letter in "\ufffe\uffff" for letter in name)
    written = f' Encoded="true">{quote(name)}' if needs_encoding else f">{escape(name)}"
    return f"<Blob><Name{written}</Name>{before}<Properties>{properties}</Properties>{after}</Blob>"


def page_of(*entries: str, between: str = "") -> bytes:
    return f"{HEAD}{between.join(entries)}{TAIL}".encode()


def said(page: AzurePage) -> tuple[object, ...]:
    columns = [list(column) for column in page.columns]
    return columns, list(page.folders), page.marker, page.has_directories, page.is_hierarchical


def by_parser(content: bytes) -> tuple[object, ...] | str:
    try:
        return said(read_page(content.removeprefix(b"\xef\xbb\xbf")))
    except ValueError:
        return "refused"


def by_reader(reader: PageReader, content: bytes) -> tuple[object, ...] | str:
    try:
        return said(reader.read(content))
    except ValueError:
        return "refused"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("between", ["", "\n  "], ids=["close", "lines"])
def test_the_usual_ways_to_write_an_entry_need_no_parser(shape: str, between: str) -> None:
    content = page_of(*(entry(f"a/{number} & b.jpg", shape) for number in range(3)), between=between)

    fast = PageReader()._read(content.removeprefix(b"\xef\xbb\xbf"))

    assert fast is not None
    assert said(fast) == by_parser(content)
    assert fast.columns[0] == ["a/0 & b.jpg", "a/1 & b.jpg", "a/2 & b.jpg"]


def test_entries_of_different_shapes_and_folders_among_them_need_no_parser() -> None:
    mixed = page_of(*(entry(shape, shape) for shape in SHAPES), FOLDER, HIERARCHICAL_FOLDER, entry("z", "usual"))
    folders = page_of(FOLDER, HIERARCHICAL_FOLDER)
    reader = PageReader()

    for content in (folders, mixed, folders):
        fast = reader._read(content.removeprefix(b"\xef\xbb\xbf"))

        assert fast is not None
        assert said(fast) == by_parser(content)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
PAGES = st.lists(st.tuples(NAMES, st.sampled_from(list(SHAPES))), max_size=4)
PARTS = (
    *(
        "<Blob>",
        "</Blob>",
        "<Name>",
        "</Properties>",
        "<Properties>",
        "&",
        "&amp;",
        "&#65;",
        "<![CDATA[x]]>",
        "<!-- -->",
    ),
    *("\x01", "\r", "\t", "<Metadata>", "<hdi_isFolder>true</hdi_isFolder>", "<ResourceType>directory</ResourceType>"),
    *("<Content-Length>1</Content-Length>", "\uffff", "\ufffe", "é", "<BlobPrefix>", "<Etag/>", ' x="y"', "-"),
)


@given(
    pages=st.lists(PAGES, min_size=1, max_size=3),
    part=st.sampled_from(PARTS),
    where=st.floats(0, 1),
    cut=st.integers(0, 3),
)
@example(pages=[[("a", "usual")]], part="<ResourceType>directory</ResourceType>", where=0.6, cut=0)
@example(pages=[[("a", "hierarchical"), ("b", "usual")], [("c", "short")]], part="-", where=0.99, cut=0)
def test_pages_edited_anywhere_are_read_as_the_parser_reads_them(
    pages: list[list[tuple[str, str]]], part: str, where: float, cut: int
) -> None:
    reader = PageReader()
    for entries in pages:
        text = page_of(*(entry(name, shape) for name, shape in entries)).decode()
        place = int(where * len(text))
        for content in (text, text[:place] + part + text[place + cut :]):
            assert by_reader(reader, content.encode()) == by_parser(content.encode())
