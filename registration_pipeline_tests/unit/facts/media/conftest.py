"""Files in a folder, probed through the real reader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.facts.media.kind import MediaProbing
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.readers.local import LocalReader
from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.facts.media.schema import Media


@dataclass
class Shelf:
    """A folder with files; the first part of a key is the kind."""

    root: Path
    probing: MediaProbing

    def listed(self, key: str) -> StoredObject:
        found = (self.root / key).stat()
        modified = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found.st_mtime_ns // 1000)
        return StoredObject(key=key, size=found.st_size, last_modified=modified)

    def probe(self, key: str, content: bytes | None = None) -> Media:
        if content is not None:
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(content)
        return self.probing.read(LocalReader(self.root), self.listed(key))


@pytest.fixture(scope="session")
def session() -> Iterator[MediaProbing]:
    probing = MediaProbing(lambda key: MediaKind(key.partition("/")[0]), 2)
    with probing.session():
        yield probing


@pytest.fixture
def shelf(tmp_path: Path, session: MediaProbing) -> Shelf:
    return Shelf(tmp_path, session)
