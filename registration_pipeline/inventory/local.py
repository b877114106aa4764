"""Lists a directory tree as if it were a bucket, for the embedded demo and for tests.

What does not belong here: listing real stores.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.errors import ListingError, NotFoundError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.inventory.schema import BATCH_ROWS, inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


class LocalLister:
    """``ObjectLister`` of the files below ``root``; a key is the path below it, with ``/``.

    Hidden files count. A symbolic link to a file is that file; a link to a directory is not followed, because it would
    list the same files under a second key, or for ever if it points upwards. Sockets, devices and broken links are not
    objects. A file that vanishes while the tree is read is left out, as in a bucket.

    Memory holds the names of one directory per level of the tree, not the tree.

    Args:
        root: the directory.
        source: the source's name, for error texts.
        batch_rows: the most rows in a batch.

    Attributes:
        requests: how many directories were read so far.
    """

    def __init__(self, root: Path, *, source: str = "<name>", batch_rows: int = BATCH_ROWS) -> None:
        # As bytes: names are bytes on disk, and the locale must not change what they decode to.
        self._root = os.fsencode(root.absolute())
        self._source, self._batch_rows = source, batch_rows
        self.requests = 0

    @property
    def description(self) -> str:
        """The directory and the way it is read."""
        return f"{_text(self._root)} via scandir"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``.

        Raises:
            NotFoundError: there is no such directory.
            PermissionDeniedError: a directory can't be read.
            ListingError: a name is not UTF-8.
            ServiceUnavailableError: the file system fails.
        """
        keys: list[str] = []
        sizes: list[int] = []
        modified: list[int] = []
        for key, status in self._walk():
            keys.append(_decoded(self._root, key))
            sizes.append(status.st_size)
            modified.append(status.st_mtime_ns // 1000)
            if len(keys) == self._batch_rows:
                yield inventory_batch(keys=keys, sizes=sizes, last_modified=modified)
                keys, sizes, modified = [], [], []
        if keys:
            yield inventory_batch(keys=keys, sizes=sizes, last_modified=modified)

    def _walk(self) -> Iterator[tuple[bytes, os.stat_result]]:
        pending = [(b"", iter(self._root_names()))]
        while pending:
            folder, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
            elif name.endswith(b"/"):
                below = folder + name
                pending.append((below, iter(self._names(below) or [])))
            else:
                key = folder + name
                with self._translated(os.path.join(self._root, key)):  # noqa: PTH118 - pathlib knows no bytes
                    status = _status(os.path.join(self._root, key))  # noqa: PTH118 - pathlib knows no bytes
                if status is not None and stat.S_ISREG(status.st_mode):
                    yield key, status

    def _root_names(self) -> list[bytes]:
        names = self._names(b"")
        if names is None:
            raise NotFoundError(
                f"{_text(self._root)} is not a directory. Create it, or fix `sources.{self._source}.uri`."
            )
        return names

    def _names(self, folder: bytes) -> list[bytes] | None:
        """Return the sorted names in a folder, directories with ``/`` at the end; None if it is not there (any more).

        With its slash a directory sorts where the keys below it belong: ``a-b`` and ``a.txt`` come before ``a/x``
        or after it just as the bytes of the whole keys say.
        """
        path = os.path.join(self._root, folder)  # noqa: PTH118 - pathlib knows no bytes
        self.requests += 1
        with self._translated(path):
            try:
                with os.scandir(path) as entries:
                    return sorted(
                        entry.name + b"/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries
                    )
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextmanager
    def _translated(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise PermissionDeniedError(
                f"{_text(path)} can't be read: permission denied. Give this user read and search permission on it, or "
                f"point `sources.{self._source}.uri` elsewhere."
            ) from None
        except OSError as error:
            raise ServiceUnavailableError(
                f"{_text(path)} can't be read: {error.strerror or error}. Fix the file system below "
                f"`sources.{self._source}.uri`, then run again."
            ) from error


def _status(path: bytes) -> os.stat_result | None:
    """Return what a path leads to; None for what vanished, and for links that lead nowhere."""
    try:
        return os.stat(path)  # noqa: PTH116 - pathlib knows no bytes
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # A link that leads to itself is an error only to stat, not a fault of the file system.
        if os.path.islink(path):  # noqa: PTH114 - pathlib knows no bytes
            return None
        raise


def _decoded(root: bytes, key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        raise ListingError(
            f"The name of {_text(os.path.join(root, key))} is not UTF-8: no URL can name it. "  # noqa: PTH118 - bytes
            "Rename it, e.g. `convmv -f latin1 -t utf8 --notest`, then run again."
        ) from None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
