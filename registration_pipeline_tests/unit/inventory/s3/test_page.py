"""Reading a page's XML: the fast way and the general way say the same, for every store's way to write an entry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.s3 import page as s3_page
from registration_pipeline.inventory.s3.page import KeyBytesError, PageError, contents_by_parser, take_contents

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    Reader = Callable[[bytes], tuple[s3_page.Contents, bytes] | None]

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>bucket</Name><Prefix></Prefix><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
)
TAIL = "<KeyCount>2</KeyCount></ListBucketResult>"
TIME = "<LastModified>2026-11-21T02:00:00.000Z</LastModified>"
OWNER = "<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf</ID><DisplayName>x y</DisplayName></Owner>"
ETAG = "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>"
COLUMNS = ("keys", "times", "e_tags", "sizes", "storage_classes")
CLASS = "<StorageClass>GLACIER</StorageClass>"
ENTRIES = {
    "amazon": f"<Key>KEY</Key>{TIME}{ETAG}<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA1"
    f"</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>SIZE</Size>{OWNER}{CLASS}"
    "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>",
    "moto": f"<Key>KEY</Key>{TIME}{ETAG}<Size>SIZE</Size>{CLASS}",
    "minio": f"<Key>KEY</Key>{TIME}{ETAG}<Size>SIZE</Size>{OWNER}{CLASS}",
    "ceph": f"<Key>KEY</Key>{TIME}{ETAG}<Size>SIZE</Size>{CLASS}{OWNER}<Type>Normal</Type>",
    "size first": f"<Size>SIZE</Size>{CLASS}<Key>KEY</Key>{TIME}",
    "plain quotes": f'<Key>KEY</Key>{TIME}<ETag>"0123456789abcdef0123456789abcdef"</ETag><Size>SIZE</Size>',
    "no quotes": f"<Key>KEY</Key>{TIME}<ETag>0123456789abcdef0123456789abcdef-7</ETag><Size>SIZE</Size>",
    "numeric entity": f"<Key>KEY</Key>{TIME}<ETag>&#34;0123&#34;</ETag><Size>SIZE</Size>{CLASS}",
}


def page_of(*entries: str, head: str = HEAD, tail: str = TAIL, between: str = "") -> bytes:
    inner = between.join(f"<Contents>{entry}</Contents>" for entry in entries)
    return f"{head}{inner}{tail}".encode()


def rows_of(
    body: bytes, take: Callable[[bytes], tuple[s3_page.Contents, bytes]], *, is_url_encoded: bool = True
) -> pa.RecordBatch:
    contents, rest = take(body)
    assert b"Contents" not in rest
    assert b"Name>bucket<" in rest
    return contents.to_batch(is_url_encoded=is_url_encoded)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
@pytest.mark.parametrize(
    ("read", "between"),
    [(s3_page._by_cutting, ""), (s3_page._by_expression, ""), (s3_page._by_expression, "\n  ")],
    ids=["cut", "expression", "expression, space between entries"],
)
def test_the_usual_ways_to_write_an_entry_need_no_parser(entry: str, read: Reader, between: str) -> None:
    body = page_of(
        *(entry.replace("KEY", f"a/{number}.jpg").replace("SIZE", str(number)) for number in range(3)), between=between
    )

    found = read(body)
    assert found is not None
    rows = found[0].to_batch(is_url_encoded=True)

    assert rows.equals(rows_of(body, contents_by_parser))
    assert rows.column("key").to_pylist() == ["a/0.jpg", "a/1.jpg", "a/2.jpg"]
    assert rows.column("size").to_pylist() == [0, 1, 2]
    assert rows.column("last_modified").to_pylist() == [datetime(2026, 11, 21, 2, tzinfo=UTC)] * 3
    assert set(rows.column("storage_class").to_pylist()) == ({"GLACIER"} if CLASS in entry else {None})
    assert ('"' in str(rows.column("e_tag").to_pylist())) is False


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=["Cc", "Cs"]), max_size=12)
CONTENT = st.one_of(TEXT.map(escape), TEXT.map(lambda text: f"<![CDATA[{text.replace(']]>', '')}]]>"))
OTHER = st.one_of(
    st.builds("<ChecksumAlgorithm>{}</ChecksumAlgorithm>".format, TEXT.map(escape)),
    st.just(OWNER),
    st.just("<Owner></Owner>"),
    st.just("<Owner/>"),
    st.just("<!-- <Key>no</Key> -->"),
    st.just("<Deep><Deeper><Key>no</Key></Deeper></Deep>"),
    st.just("\n  "),
    st.builds('<Later kind="{}">{}</Later>'.format, st.just("new"), TEXT.map(escape)),
)


@st.composite
def entries(draw: st.DrawFn) -> str:
    key = draw(st.one_of(CONTENT, TEXT.map(quote), TEXT.map(quote_plus)))
    optional = [
        *draw(st.sampled_from([[], [ETAG], ["<ETag>abc</ETag>"], ["<ETag/>"], ["<ETag>&quot;a&amp;b&quot;</ETag>"]])),
        *draw(st.sampled_from([[], [CLASS], ["<StorageClass/>"], ["<StorageClass></StorageClass>"]])),
        *draw(st.lists(OTHER, max_size=3)),
    ]
    fields = [f"<Key>{key}</Key>", TIME, f"<Size>{draw(st.integers(0, 2**62))}</Size>", *optional]
    return "".join(draw(st.permutations(fields)) if draw(st.booleans()) else fields)


@given(st.lists(entries(), max_size=4), st.sampled_from(["", " ", "\n"]), st.booleans())
def test_both_ways_to_read_a_page_say_the_same(drawn: list[str], between: str, is_url_encoded: bool) -> None:  # noqa: FBT001
    body = page_of(*drawn, between=between)
    try:
        expected: pa.RecordBatch | str = rows_of(body, contents_by_parser, is_url_encoded=is_url_encoded)
    except PageError as error:
        expected = str(error)
    try:
        taken: pa.RecordBatch | str = rows_of(body, take_contents, is_url_encoded=is_url_encoded)
    except PageError as error:
        taken = str(error)

    assert (taken.to_pylist() if not isinstance(taken, str) else taken) == (
        expected.to_pylist() if not isinstance(expected, str) else expected
    )


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
PIECES = st.one_of(
    st.sampled_from(
        ["<", ">", "&", '"', "\n", "\x01", "\x7f", "\u20ac", "&quot;", "&amp;", "]]>", "<!--", "</Key><Key>"]
    ),
    st.sampled_from(["<Contents>", "</Contents>", "<Size>7</Size>", "<Owner/>", "</Contents><Contents>", CLASS, TIME]),
    PRINTABLE,
)


@st.composite
def edited_pages(draw: st.DrawFn) -> bytes:
    """Draw a page whose entries are all written alike, or all but for an edit somewhere among them."""
    entry = draw(st.one_of(st.sampled_from(list(ENTRIES.values())), entries()))
    keys = draw(st.lists(st.one_of(TEXT.map(quote), TEXT.map(quote_plus), PRINTABLE), min_size=1, max_size=4))
    sizes = draw(st.lists(st.integers(0, 2**62), min_size=len(keys), max_size=len(keys)))
    filled = [entry.replace("KEY", key).replace("SIZE", str(size)) for key, size in zip(keys, sizes, strict=True)]
    body = page_of(*filled).decode()
    if draw(st.booleans()):
        begin, end = body.index("<Contents>"), body.rindex("</Contents>") + len("</Contents>")
        place = draw(st.integers(begin, end))
        body = body[:place] + draw(PIECES) + body[min(end, place + draw(st.integers(0, 12))) :]
    return body.encode()


@given(edited_pages(), st.booleans())
def test_what_is_cut_into_columns_is_what_the_parser_reads(body: bytes, is_url_encoded: bool) -> None:  # noqa: FBT001
    cut = s3_page._by_cutting(body)
    if cut is None:
        return
    try:
        expected, rest = contents_by_parser(body)
    except PageError:
        with pytest.raises(ET.ParseError):  # what is wrong is in the part that botocore parses
            ET.fromstring(cut[1])
        return

    assert [getattr(cut[0], name).to_pylist() for name in COLUMNS] == [
        getattr(expected, name).to_pylist() for name in COLUMNS
    ]
    assert ET.fromstring(cut[1]).tag == ET.fromstring(rest).tag
    try:
        rows = expected.to_batch(is_url_encoded=is_url_encoded)
    except PageError as error:
        with pytest.raises(type(error)):
            cut[0].to_batch(is_url_encoded=is_url_encoded)
    else:
        assert cut[0].to_batch(is_url_encoded=is_url_encoded).equals(rows)


@pytest.mark.parametrize("rows", [1, 1000, 1024, 1025, 3000])
def test_pages_of_any_length_are_cut(rows: int) -> None:
    keys = [f"a/{number:05d}" for number in range(rows)]
    cut = s3_page._by_cutting(page_of(*(ENTRIES["amazon"].replace("KEY", key).replace("SIZE", "1") for key in keys)))

    assert cut is not None
    assert cut[0].to_batch(is_url_encoded=True).column("key").to_pylist() == keys


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=5), st.booleans())
def test_every_key_comes_back_from_both_url_encodings(keys: list[str], has_plus: bool) -> None:  # noqa: FBT001
    encode = quote_plus if has_plus else quote
    body = page_of(*(ENTRIES["moto"].replace("KEY", encode(key)).replace("SIZE", "1") for key in keys))

    for read in (s3_page._by_cutting, s3_page._by_expression):
        found = read(body)
        assert found is not None
        assert found[0].to_batch(is_url_encoded=True).column("key").to_pylist() == keys


def test_a_page_without_entries_has_no_rows() -> None:
    assert rows_of(page_of(), take_contents).num_rows == 0


@pytest.mark.parametrize(
    "body",
    [
        page_of(ENTRIES["moto"].replace("KEY", "a").replace("SIZE", "1")).replace(b"Contents>", b"s3:Contents>"),
        page_of(ENTRIES["moto"].replace("KEY", "a").replace("SIZE", "1")).replace(b"<Contents>", b'<Contents x="1">'),
    ],
    ids=["undeclared namespace", "attribute"],
)
def test_entries_in_another_dress_are_not_overlooked(body: bytes) -> None:
    declared = body.replace(b"<ListBucketResult ", b'<ListBucketResult xmlns:s3="urn:x" ')

    assert rows_of(declared, take_contents).column("key").to_pylist() == ["a"]


def test_a_page_in_another_encoding_is_read_in_it() -> None:
    entry = ENTRIES["moto"].replace("KEY", "caf\u00e9").replace("SIZE", "1")
    body = page_of(entry, head=HEAD.replace("UTF-8", "ISO-8859-1")).decode().encode("latin-1")

    assert rows_of(body, take_contents, is_url_encoded=False).column("key").to_pylist() == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-21T02:00:00Z", datetime(2026, 11, 21, 2, tzinfo=UTC)),
        ("2026-11-21T02:00:00.123456Z", datetime(2026, 11, 21, 2, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-21T03:00:00.5+01:00", datetime(2026, 11, 21, 2, 0, 0, 500000, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 02:00:00 GMT", datetime(2026, 11, 21, 2, tzinfo=UTC)),
        ("2026-11-21T02:00:00.123456789Z", datetime(2026, 11, 21, 2, 0, 0, 123456, tzinfo=UTC)),
    ],
    ids=["seconds", "microseconds", "zone", "http date", "nanoseconds"],
)
def test_times_are_read_in_every_form_that_stores_use(time: str, expected: datetime) -> None:
    body = page_of(f"<Key>a</Key><LastModified>{time}</LastModified><Size>1</Size>")

    assert rows_of(body, take_contents).column("last_modified").to_pylist() == [expected]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (f"{TIME}<Size>1</Size>", "has no Key"),
        (f"<Key>a</Key>{TIME}", "has no Size"),
        ("<Key>a</Key><Size>1</Size>", "has no LastModified"),
        (f"<Key>a</Key>{TIME}<Size>many</Size>", "size is not a number"),
        (f"<Key>a</Key>{TIME}<Size>99999999999999999999</Size>", "size is not a number"),
        ("<Key>a</Key><LastModified>yesterday</LastModified><Size>1</Size>", "time can't be read"),
        (f"<Key>a\x01b</Key>{TIME}<Size>1</Size>", "not XML"),
        (f"<Key>a & b</Key>{TIME}<Size>1</Size>", "not XML"),
    ],
    ids=["no key", "no size", "no time", "size", "large size", "time", "control character", "ampersand"],
)
def test_what_cannot_be_read_is_refused(entry: str, words: str) -> None:
    with pytest.raises(PageError, match=words):
        rows_of(page_of(entry), take_contents)


@pytest.mark.parametrize("key", ["caf%E9.jpg", "%ED%A0%80", "%ff"], ids=["latin-1", "surrogate", "ff"])
def test_a_key_that_is_not_utf8_is_named_as_written(key: str) -> None:
    entries = [ENTRIES["moto"].replace("KEY", name).replace("SIZE", "1") for name in ("good", key)]

    with pytest.raises(KeyBytesError) as caught:
        rows_of(page_of(*entries), take_contents)

    assert caught.value.key == key
