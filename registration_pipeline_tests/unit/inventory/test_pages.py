"""What pages of S3, Google and Azure say of their end, and of objects: what they leave open is refused, and not guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registration_pipeline.inventory.azure.alike import PageReader
from registration_pipeline.inventory.azure.page import read_page
from registration_pipeline.inventory.gcs.page import NotGoogleError, read_answer, rows_of
from registration_pipeline.inventory.s3.ends import KeyCountError, UnclearEndError, read_frame
from registration_pipeline.inventory.s3.plain.page import plain_page

TOKEN = "<NextContinuationToken>20</NextContinuationToken>"
ENTRY = "<Contents><Key>a</Key><LastModified>2026-11-21T02:00:00.000Z</LastModified><Size>1</Size></Contents>"
CLEAR = {
    "last": ("<IsTruncated>false</IsTruncated>", None),
    "last, with an empty token": ("<IsTruncated>false</IsTruncated><NextContinuationToken/>", None),
    "more": (f"<IsTruncated>true</IsTruncated>{TOKEN}", "20"),
    "more, behind the token": (f"{TOKEN}<IsTruncated>true</IsTruncated>", "20"),
}
UNCLEAR = {
    "nothing": "",
    "a token alone": TOKEN,
    "empty": f"<IsTruncated></IsTruncated>{TOKEN}",
    "empty, without a token": "<IsTruncated/>",
    "another writing": f"<IsTruncated>True</IsTruncated>{TOKEN}",
    "another writing of the end": "<IsTruncated>False</IsTruncated>",
    "a number": f"<IsTruncated>1</IsTruncated>{TOKEN}",
    "a number for the end": "<IsTruncated>0</IsTruncated>",
    "the end and a token": f"<IsTruncated>false</IsTruncated>{TOKEN}",
    "more and no token": "<IsTruncated>true</IsTruncated>",
    "more and an empty token": "<IsTruncated>true</IsTruncated><NextContinuationToken/>",
    "both": f"<IsTruncated>true</IsTruncated><IsTruncated>false</IsTruncated>{TOKEN}",
    "two tokens": f"<IsTruncated>true</IsTruncated>{TOKEN}{TOKEN.replace('20', '40')}",
    "elsewhere": "<Other><IsTruncated>false</IsTruncated></Other>",
}


def s3_page(said: str, entries: str = "", space: str = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') -> bytes:
    return f"<ListBucketResult{space}><Name>b</Name>{entries}{said}</ListBucketResult>".encode()


@pytest.mark.parametrize(("said", "following"), CLEAR.values(), ids=CLEAR)
@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'], ids=["bare", "named"])
def test_a_page_of_s3_that_says_so_is_the_last_or_has_a_next_one(said: str, following: str | None, space: str) -> None:
    plain = plain_page(s3_page(said, ENTRY, space))

    assert read_frame(s3_page(said, space=space)).following == following
    assert plain is not None
    assert (plain.first, plain.following) == ("a", following)


@pytest.mark.parametrize("said", UNCLEAR.values(), ids=UNCLEAR)
def test_a_page_of_s3_that_leaves_open_whether_there_is_more_is_not_read(said: str) -> None:
    assert plain_page(s3_page(said, ENTRY)) is None
    with pytest.raises(UnclearEndError):
        read_frame(s3_page(said))


FOLDER = "<CommonPrefixes><Prefix>f/</Prefix></CommonPrefixes>"
COUNTED = {
    "nothing": "",
    "an empty one, which says nothing": "<KeyCount/>",
    "the objects": "<KeyCount>1</KeyCount>",
    "the objects, in another writing": "<KeyCount> 01 </KeyCount>",
    "objects and folders": f"{FOLDER}<KeyCount>2</KeyCount>",
    "the objects without the folders": f"{FOLDER}<KeyCount>1</KeyCount>",
}
MISCOUNTED = {
    "more than there are": "<KeyCount>2</KeyCount>",
    "fewer than there are": "<KeyCount>0</KeyCount>",
    "more than objects and folders": f"{FOLDER}<KeyCount>3</KeyCount>",
    "no number": "<KeyCount>one</KeyCount>",
    "less than nothing": "<KeyCount>-1</KeyCount>",
    "two numbers": "<KeyCount>1</KeyCount><KeyCount>2</KeyCount>",
}


@pytest.mark.parametrize("said", COUNTED.values(), ids=COUNTED)
def test_a_page_of_s3_that_holds_as_many_entries_as_it_says_is_read(said: str) -> None:
    assert plain_page(s3_page(f"<IsTruncated>false</IsTruncated>{said}", ENTRY)) is not None


@pytest.mark.parametrize("said", MISCOUNTED.values(), ids=MISCOUNTED)
def test_a_page_of_s3_that_holds_another_number_of_entries_than_it_says_is_not_read(said: str) -> None:
    assert plain_page(s3_page(f"<IsTruncated>false</IsTruncated>{said}", ENTRY)) is None


def test_entries_of_a_store_that_counts_wrongly_are_read_where_the_user_says_so() -> None:
    page = s3_page("<IsTruncated>false</IsTruncated><KeyCount>7</KeyCount>", ENTRY)

    assert plain_page(page, is_counted=False) is not None


def test_a_wrong_count_is_named_with_what_is_there() -> None:
    frame = read_frame(s3_page(f"<IsTruncated>false</IsTruncated>{FOLDER}<KeyCount>1000</KeyCount>"))

    with pytest.raises(KeyCountError, match=r"holds 998 entries, and its KeyCount says 1000"):
        frame.require_count(997)


BLOB = (
    "<Blob><Name>a</Name><Properties><Last-Modified>Sat, 21 Nov 2026 02:00:00 GMT</Last-Modified>"
    "<Content-Length>5</Content-Length></Properties></Blob>"
)
READERS = {"expression": PageReader().read, "parser": read_page}


def azure_page(said: str) -> bytes:
    return f"<EnumerationResults><Blobs>{BLOB}</Blobs>{said}</EnumerationResults>".encode()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("said", "marker"),
    [("<NextMarker />", None), ("<NextMarker></NextMarker>", None), ("<NextMarker>2!</NextMarker>", "2!")],
    ids=["last", "last, in another writing", "more"],
)
def test_a_page_of_azure_says_where_the_next_one_begins(read: Any, said: str, marker: str | None) -> None:
    assert read(azure_page(said)).marker == marker


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "said", ["", "<nextMarker/>", "<NextMarker/><NextMarker>2!</NextMarker>"], ids=["nothing", "another name", "both"]
)
def test_a_page_of_azure_that_leaves_open_whether_there_is_more_is_not_read(read: Any, said: str) -> None:
    with pytest.raises(ValueError, match="NextMarker"):
        read(azure_page(said))


@pytest.mark.parametrize(
    ("said", "token"),
    [({}, None), ({"nextPageToken": ""}, None), ({"nextPageToken": "t"}, "t")],
    ids=["last", "last, with an empty token", "more"],
)
def test_a_page_of_google_says_where_the_next_one_begins(said: dict[str, object], token: str | None) -> None:
    assert read_answer(json.dumps({"kind": "storage#objects", **said}).encode()).token == token


@pytest.mark.parametrize("token", [None, 5, True, ["t"], {"t": 1}], ids=repr)
def test_a_page_of_google_whose_token_is_not_text_is_not_read(token: object) -> None:
    with pytest.raises(NotGoogleError):
        read_answer(json.dumps({"kind": "storage#objects", "nextPageToken": token}).encode())


ITEM = {"name": "a", "size": "5", "updated": "2026-11-21T02:00:00.000Z"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", value) for value in (None, 5, True)),
        *(("updated", value) for value in (None, 5, "yesterday")),
        *(("size", value) for value in (None, "5_0", True, 5.9, " 5 ", "\N{ARABIC-INDIC DIGIT FIVE}", "-1", -1, "")),
    ],
    ids=repr,
)
def test_an_object_of_google_that_is_not_described_exactly_is_not_read(field: str, value: object) -> None:
    assert rows_of([ITEM, {**ITEM, "size": 5}]).column("size").to_pylist() == [5, 5]
    with pytest.raises((TypeError, ValueError)):
        rows_of([ITEM, {**ITEM, field: value}])
