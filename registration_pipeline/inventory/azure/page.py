"""One page of Azure's List Blobs, from XML to what an inventory needs.

What does not belong here: asking for it (``requests.py``), and the fast way to read pages whose entries are written alike
(``alike.py``). azure-storage-blob's own models of a page cost a third of a millisecond a blob.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pyarrow as pa

from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.tables.columns import int64s, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MONTHS = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)  # noqa: SIM905
}
_MOST_BYTES = (1 << 63) - 1
_TIME_OF_DAY = 17  # where it begins in an RFC 1123 date
_SECOND = 1_000_000


class Blob(NamedTuple):
    """One blob; the fields are those of ``INVENTORY_SCHEMA``, the time in microseconds since 1970 UTC."""

    key: str
    size: int
    last_modified: int
    e_tag: str | None
    storage_class: str | None
    content_type: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class AzurePage:
    """What one answer holds.

    Args:
        columns: of its blobs without directories, in the order of ``Blob``, each as long as the others.
        folders: prefixes, where a delimiter was asked for.
        marker: where the next page starts; None after the last.
        has_directories: there are entries of folders, as in a hierarchical namespace, or directories of Hadoop's.
        is_hierarchical: entries say what they are, which only those of a hierarchical namespace do (REST reference,
            "List Blobs": ``ResourceType``, from version 2020-10-02 on).
    """

    columns: Sequence[Sequence[object]]
    folders: Sequence[str]
    marker: str | None
    has_directories: bool = False
    is_hierarchical: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is in it."""
        return not (self.columns[0] or self.folders or self.has_directories)

    @property
    def blobs(self) -> Iterable[Blob]:
        """Its blobs one by one."""
        return map(Blob._make, zip(*self.columns, strict=True))

    @property
    def batch(self) -> pa.RecordBatch:
        """Its blobs as rows.

        Raises:
            UnicodeEncodeError: a name is not Unicode.
        """
        return batch_of(self.columns)


def batch_of(columns: Sequence[Sequence[object]]) -> pa.RecordBatch:
    """Return rows in ``INVENTORY_SCHEMA`` from columns in the order of ``Blob``."""
    keys, sizes, times, *others = columns
    time = INVENTORY_SCHEMA.field("last_modified").type
    arrays = [texts(keys), int64s(sizes), int64s(times, time), *map(texts, others)]  # type: ignore[arg-type]
    return pa.RecordBatch.from_arrays(arrays, schema=INVENTORY_SCHEMA)


def read_page(content: bytes) -> AzurePage:
    """Read an answer with an XML parser.

    Raises:
        ValueError: it is not a page of a listing, or a blob lacks its name, size or time.
    """
    entries, marker = read_frame(content)
    blobs, folders, has_directories, is_hierarchical = list[Blob](), list[str](), False, False
    for entry in entries:
        name = _name(entry)
        facts = {fact.tag: fact.text for fact in entry.iterfind("Properties/*")}
        is_hierarchical = is_hierarchical or "ResourceType" in facts
        if entry.tag == "BlobPrefix":
            folders.append(name)
        elif _is_directory(entry, facts):
            has_directories = True
        else:
            blobs.append(_blob(name, entry, facts))
    columns = tuple(zip(*blobs, strict=True)) or ((),) * len(Blob._fields)
    return AzurePage(columns, folders, marker, has_directories, is_hierarchical)


def read_frame(content: bytes) -> tuple[ET.Element, str | None]:
    """Return the element of the entries, and where the next page starts.

    Raises:
        ValueError: it is not a page of a listing.
    """
    try:
        root = ET.fromstring(content)  # noqa: S314 - expat itself limits what entities may grow to
    except (ET.ParseError, LookupError) as error:  # no XML, or in an encoding that Python does not know
        raise ValueError(f"not XML: {error}") from None
    entries = root.find("Blobs")
    if root.tag != "EnumerationResults" or entries is None:
        raise ValueError("no EnumerationResults with Blobs")
    markers = root.findall("NextMarker")
    if len(markers) != 1:
        # Azure writes an empty one behind the last page's entries. A page that was cut and closed again on its way has none.
        raise ValueError(f"{len(markers) or 'no'} NextMarker")
    return entries, markers[0].text or None


def _name(entry: ET.Element) -> str:
    element = entry.find("Name")
    if element is None or not element.text:
        raise ValueError("an entry without Name")
    # REST reference, "List Blobs": names with characters that XML can't hold are percent-encoded and say so.
    is_encoded = element.get("Encoded", "").lower() == "true"
    return unquote(element.text, errors="strict") if is_encoded else element.text


def _blob(name: str, entry: ET.Element, facts: dict[str, str | None]) -> Blob:
    size, modified, e_tag = facts.get("Content-Length"), facts.get("Last-Modified"), facts.get("Etag")
    if size is None or modified is None:
        raise ValueError(f"{name!r} without Content-Length or Last-Modified")
    return Blob(
        key=name,
        size=size_of(size),
        last_modified=microseconds(modified),
        e_tag=e_tag.strip('"') if e_tag else None,
        storage_class=facts.get("AccessTier"),
        content_type=facts.get("Content-Type"),
        version=entry.findtext("VersionId"),
    )


def size_of(text: str) -> int:
    """Return a ``Content-Length``.

    Raises:
        ValueError: it is not a number of bytes.
    """
    size = int(text)
    if not 0 <= size <= _MOST_BYTES:
        raise ValueError(f"a blob with Content-Length {size}")
    return size


def microseconds(text: str) -> int:
    """Return the time of an RFC 1123 date, ``Sat, 21 Nov 2026 02:00:00 GMT``; the library takes ten times as long.

    Raises:
        ValueError: it is none.
    """
    if not text.endswith(" GMT"):
        raise ValueError(f"{text!r} is not an RFC 1123 date")
    hour, minute, second = text[_TIME_OF_DAY:25].split(":")
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second)
    if not 0 <= seconds < 24 * 60 * 60:
        raise ValueError(f"{text!r} is not an RFC 1123 date")
    return (_midnight(text[:_TIME_OF_DAY]) + seconds) * _SECOND


@lru_cache(maxsize=4096)
def _midnight(date: str) -> int:
    """Return the seconds since 1970 of the beginning of a day, ``Sat, 21 Nov 2026 ``."""
    month = _MONTHS.get(date[8:11])
    if month is None:
        raise ValueError(f"{date!r} is not the date of RFC 1123")
    return int(datetime(int(date[12:16]), month, int(date[5:7]), tzinfo=UTC).timestamp())


def _is_directory(entry: ET.Element, facts: dict[str, str | None]) -> bool:
    if facts.get("ResourceType") == "directory":
        return True
    metadata = entry.find("Metadata")
    return metadata is not None and any(
        fact.tag.lower() == "hdi_isfolder" and (fact.text or "").lower() == "true" for fact in metadata
    )
