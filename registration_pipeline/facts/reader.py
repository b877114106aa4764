"""The seam to the content of a source's objects.

What does not belong here: implementations (``readers/``), and what is made of the content (``headers/``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as an inventory has it; a reader refuses to read another version of it.

    Args:
        key: the whole key.
        size: bytes.
        last_modified: UTC.
        e_tag: as ``INVENTORY_SCHEMA`` says; None: the listing gave none.
        version: a version id or generation; None: the listing gave none.
    """

    key: str
    size: int
    last_modified: datetime
    e_tag: str | None = None
    version: str | None = None

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> Iterator[StoredObject]:
        """Yield the objects of rows with columns of ``INVENTORY_SCHEMA``."""
        names = ("key", "size", "last_modified", "e_tag", "version")
        for key, size, modified, e_tag, version in zip(*(rows.column(name).to_pylist() for name in names), strict=True):
            yield cls(key=key, size=size, last_modified=modified, e_tag=e_tag, version=version)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDescription:
    """What a store keeps about an object besides its content, as its users wrote it.

    Args:
        metadata: name -> text; names as the store gives them, which are lower-case in S3.
        tags: name -> text; without those that the provider itself sets, such as ``aws:…``.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Of all names and texts, in UTF-8."""
        pairs = (*self.metadata.items(), *self.tags.items())
        return sum(len(text.encode(errors="replace")) for pair in pairs for text in pair)


class ObjectReader(Protocol):
    """Reads parts of objects of one source, keys byte for byte. Safe to share between threads: many are read at once."""

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """Return the bytes from ``start`` on: ``length`` of them, or fewer where the object ends.

        Args:
            item: the object.
            start: from 0, less than the object's size.
            length: at least 1.

        Raises:
            ObjectReadError: this object can't be read, or is not the one that was listed any more.
            HaltError: no object can be read: bad credentials, no such bucket.
        """

    def describe(self, item: StoredObject) -> ObjectDescription:
        """Return what the store keeps about an object besides its content: its own metadata and tags.

        Raises:
            ObjectReadError: as ``read`` does.
            HaltError: as ``read`` does.
        """

    @property
    def requests(self) -> int:
        """How many requests were made so far."""

    @property
    def description(self) -> str:
        """What is read and how, e.g. ``s3://bucket via GetObject``."""

    @property
    def permission(self) -> str:
        """What reading needs, e.g. ``s3:GetObject``."""

    @property
    def description_permission(self) -> str:
        """What ``describe`` needs, e.g. ``s3:GetObject and s3:GetObjectTagging``."""
