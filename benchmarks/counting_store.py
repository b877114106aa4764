"""A state in memory that counts the requests that it would make of a bucket; for ``nights.py`` and for tests."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from obstore.store import MemoryStore

from registration_pipeline.state.bucket import BucketStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE_NAMES = 1000
"""Names, or folders, in one reply of S3, Google Cloud Storage or Azure."""


class CountingStore(BucketStateStore):
    """``BucketStateStore`` in memory.

    Args:
        shares: another one, whose files this one has too.

    Attributes:
        files: what it holds.
        requests: by method; a listing counts once for each of its pages.
        listed: requests for listings, by folder without the source's name.
    """

    def __init__(self, shares: CountingStore | None = None) -> None:
        self.files: MemoryStore = shares.files if shares else MemoryStore()
        super().__init__(self.files, "memory://state")
        self.requests: Counter[str] = Counter()
        self.listed: Counter[str] = Counter()

    def reset(self) -> None:
        """Count from zero."""
        self.requests.clear()
        self.listed.clear()

    def create(self, name: str, data: bytes) -> None:
        """See ``StateStore.create``."""
        self.requests["PUT"] += 1
        super().create(name, data)

    def create_from_file(self, name: str, path: Path) -> None:
        """See ``StateStore.create_from_file``."""
        self.requests["PUT"] += 1
        super().create_from_file(name, path)

    def read(self, name: str) -> bytes:
        """See ``StateStore.read``."""
        self.requests["GET"] += 1
        return super().read(name)

    def exists(self, name: str) -> bool:
        """See ``StateStore.exists``."""
        self.requests["HEAD"] += 1
        return super().exists(name)

    def names(self, prefix: str) -> Iterator[str]:
        """See ``StateStore.names``; a page is asked for when its first name is."""
        names = super().names(prefix)
        self._count_page(prefix)
        while page := list(islice(names, PAGE_NAMES)):
            yield from page
            if len(page) < PAGE_NAMES:
                return
            self._count_page(prefix)

    def folders(self, prefix: str) -> list[str]:
        """See ``StateStore.folders``."""
        found = super().folders(prefix)
        for _ in range(0, max(len(found), 1), PAGE_NAMES):
            self._count_page(prefix)
        return found

    def delete(self, name: str) -> None:
        """See ``StateStore.delete``."""
        self.requests["DELETE"] += 1
        super().delete(name)

    def open(self, name: str) -> Any:
        """See ``StateStore.open``."""
        self.requests["HEAD"] += self._written.get(name) is None
        return super().open(name)

    def read_range(self, name: str, start: int, end: int) -> memoryview:
        """See ``BucketStateStore.read_range``."""
        self.requests["GET"] += 1
        return super().read_range(name, start, end)

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """See ``StateStore.local_file``."""
        self.requests["GET"] += self._written.get(name) is None
        with super().local_file(name) as path:
            yield path

    def _count_page(self, prefix: str) -> None:
        self.requests["LIST"] += 1
        self.listed[prefix.partition("/")[2]] += 1
