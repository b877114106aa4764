"""A page that leaves no question: read from its bytes, checked for itself, and passed on between processes.

What does not belong here: what is wrong with a page that leaves one. It is asked for again through boto3's client and read
in ``requests.py``, which has the words for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from registration_pipeline.inventory.key_order import disorder
from registration_pipeline.inventory.s3.ends import read_frame
from registration_pipeline.inventory.s3.page import PageError, take_contents
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

_END = b"</ListBucketResult>"


@dataclass(frozen=True, slots=True)
class PlainPage:
    """A page, keys strictly increasing.

    Args:
        batch: its objects.
        first: the first key; None without objects.
        last: the last key; None without objects.
        following: the token of the next page; None if this is the last.
    """

    batch: pa.RecordBatch
    first: str | None
    last: str | None
    following: str | None

    def facts(self) -> dict[str, Any]:
        """Return what ``of`` needs beside ``rows``."""
        return {"first": self.first, "last": self.last, "following": self.following}

    def rows(self) -> pa.Buffer:
        """Return the objects as a message of Arrow's IPC, without the schema that both sides know."""
        return self.batch.serialize()

    @classmethod
    def of(cls, facts: Mapping[str, Any], rows: bytes) -> Self:
        """Return the page that ``facts`` and ``rows`` describe; the rows stay where they are in memory."""
        batch = pa.ipc.read_record_batch(pa.py_buffer(rows), INVENTORY_SCHEMA)
        return cls(batch, facts["first"], facts["last"], facts["following"])


def plain_page(body: bytes, *, is_counted: bool = True) -> PlainPage | None:
    """Return what is in the body of an answer with status 200; None for whatever is not a plain page.

    A page that is cut, out of order, has keys that are not UTF-8, does not say how it goes on or has another number of
    entries than it says is not plain.

    Args:
        body: all of it.
        is_counted: the number of entries that a page says counts.
    """
    if not body.rstrip().endswith(_END):
        return None
    try:
        contents, rest = take_contents(body)
        frame = read_frame(rest)
        batch = contents.to_batch(is_url_encoded=frame.is_url_encoded)
        if is_counted:
            frame.require_count(batch.num_rows)
    except PageError:
        return None
    keys = batch.column("key")
    if not len(keys):
        return PlainPage(batch, None, None, frame.following)
    if disorder(keys) is not None:
        return None
    return PlainPage(batch, keys[0].as_py(), keys[-1].as_py(), frame.following)
