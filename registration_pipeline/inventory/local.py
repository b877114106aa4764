"""Lists a directory tree as if it were a bucket, for the embedded demo and for tests.

What does not belong here: listing real stores.
"""

from __future__ import annotations

import os
import stat
from copy import copy
from typing import TYPE_CHECKING, NamedTuple, Self

from registration_pipeline.errors import HaltError, NotFoundError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.globs import KeyRules
from registration_pipeline.inventory.schema import BATCH_ROWS, NAME_NOT_UTF8, inventory_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa


class _Folder(NamedTuple):
    """A folder below the root, and what of it is still to be listed.

    Args:
        path: on disk.
        shown: the start of the keys in it.
        is_utf8: whether these two are the same.
        names: as keys show them, in order, folders with ``/`` at the end.
        written: the names on disk by how they are shown; empty where all are UTF-8.
    """

    path: bytes
    shown: bytes
    is_utf8: bool
    names: Iterator[bytes]
    written: Mapping[bytes, bytes]

    @classmethod
    def of(cls, path: bytes, shown: bytes, names: list[bytes], *, is_utf8: bool) -> Self:
        """Make it of its sorted names on disk."""
        try:
            b"/".join(names).decode("utf-8")
        except UnicodeDecodeError:
            written = _shown_names(names)
            return cls(path, shown, is_utf8, iter(sorted(written)), written)
        return cls(path, shown, is_utf8, iter(names), {})


class LocalLister:
    r"""``DivisibleLister`` of the files below ``root``; a key is the path below it, with ``/``.

    Hidden files count. A symbolic link to a file is that file; a link to a directory is not followed, because it would
    list the same files under a second key, or for ever if it points upwards. Sockets, devices and broken links are not
    objects. A file that vanishes while the tree is read is left out, as in a bucket.

    A name that is not UTF-8 is listed with ``\xNN`` for each byte that is not, and ``NAME_NOT_UTF8`` as its storage class.
    What can't be read is left out if a rule of the user's leaves it out, with everything below it; else it ends the listing.

    Memory holds the names of one directory per level of the tree, not the tree.

    Args:
        root: the directory.
        source: the source's name, for error texts.
        rules: the user's globs.
        notify: called with texts for people.
        batch_rows: the most rows in a batch.

    Attributes:
        requests: how many directories were read so far.
    """

    def __init__(
        self,
        root: Path,
        *,
        source: str = "<name>",
        rules: KeyRules | None = None,
        notify: Callable[[str], None] = lambda _: None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        # As bytes: names are bytes on disk, and the locale must not change what they decode to.
        self._root = os.fsencode(root.absolute())
        self._source, self._batch_rows = source, batch_rows
        self._rules, self._notify = rules or KeyRules(), notify
        self._said: set[bytes] = set()
        self._after: bytes = b""
        self._until: bytes | None = None
        self.requests = 0

    @property
    def description(self) -> str:
        """The directory and the way it is read."""
        return f"{_text(self._root)} via scandir"

    def boundaries(self, ranges: int) -> Sequence[str]:
        """See ``DivisibleLister.boundaries``: names of the first directory that holds more than one name.

        Raises:
            HaltError: as ``list_objects``.
        """
        folder = self._root_folder()
        names = list(folder.names)
        while len(names) == 1 and names[0].endswith(b"/"):
            path = folder.path + folder.written.get(names[0], names[0])
            folder = self._folder(path, folder.shown + names[0], is_utf8=folder.is_utf8)
            names = list(folder.names)
        places = {len(names) * number // ranges for number in range(1, ranges)} - {0}
        return [(folder.shown + names[place]).decode("utf-8") for place in sorted(places)]

    def between(self, after: str | None, until: str | None) -> Self:
        """See ``DivisibleLister.between``; of directories without such keys not even the names are read."""
        lister = copy(self)
        lister._after = (after or "").encode()  # noqa: SLF001 - of this class
        lister._until = None if until is None else until.encode()  # noqa: SLF001 - of this class
        lister._said, lister.requests = set(), 0  # noqa: SLF001 - of this class
        return lister

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``.

        Raises:
            NotFoundError: there is no such directory.
            PermissionDeniedError: a directory or file that no rule leaves out can't be read.
            ServiceUnavailableError: the file system fails there.
        """
        keys: list[str] = []
        sizes: list[int] = []
        modified: list[int] = []
        strange: list[int] = []
        for key, status, is_utf8 in self._walk():
            if not is_utf8:
                strange.append(len(keys))
            keys.append(key.decode("utf-8"))
            sizes.append(status.st_size)
            modified.append(status.st_mtime_ns // 1000)
            if len(keys) == self._batch_rows:
                yield _batch(keys, sizes, modified, strange)
                keys, sizes, modified, strange = [], [], [], []
        if keys:
            yield _batch(keys, sizes, modified, strange)

    def _walk(self) -> Iterator[tuple[bytes, os.stat_result, bool]]:
        pending = [self._root_folder()]
        while pending:
            folder = pending[-1]
            shown = next(folder.names, None)
            if shown is None:
                pending.pop()
                continue
            name = folder.written.get(shown, shown) if folder.written else shown
            is_utf8 = folder.is_utf8 and name == shown
            key = folder.shown + shown
            if self._until is not None and key > self._until:
                return
            if shown.endswith(b"/"):
                if key < self._after and not self._after.startswith(key):
                    continue
                pending.append(self._folder(folder.path + name, key, is_utf8=is_utf8))
                continue
            if key <= self._after:
                continue
            status = self._status(folder, name, shown)
            if status is not None and stat.S_ISREG(status.st_mode):
                yield key, status, is_utf8

    def _root_folder(self) -> _Folder:
        names = self._names(b"")
        if names is None:
            raise NotFoundError(
                f"{_text(self._root)} is not a directory. Create it, or fix `sources.{self._source}.uri`."
            )
        return _Folder.of(b"", b"", names, is_utf8=True)

    def _folder(self, path: bytes, shown: bytes, *, is_utf8: bool) -> _Folder:
        names: list[bytes] = []
        try:
            names = self._names(path) or []
        except HaltError:
            rule = self._rules.folder_excluded_by(shown.decode("utf-8"))
            if rule is None:
                raise
            self._say_left_out(path, rule)
        return _Folder.of(path, shown, names, is_utf8=is_utf8)

    def _status(self, folder: _Folder, name: bytes, shown: bytes) -> os.stat_result | None:
        path = os.path.join(self._root, folder.path + name)  # noqa: PTH118 - pathlib knows no bytes
        try:
            return _status(path)
        except OSError as error:
            rule = self._rules.excluded_by((folder.shown + shown).decode("utf-8"))
            if rule is None:
                raise self._unreadable(path, error) from error
            self._say_left_out(folder.path, rule)
            return None

    def _say_left_out(self, folder: bytes, rule: str) -> None:
        if folder not in self._said:
            self._said.add(folder)
            path = _text(os.path.join(self._root, folder))  # noqa: PTH118 - pathlib knows no bytes
            self._notify(f"{self._source}: {path} can't be read, so it is not counted; left out anyway ({rule}).")

    def _names(self, folder: bytes) -> list[bytes] | None:
        """Return the sorted names in a folder, directories with ``/`` at the end; None if it is not there (any more).

        With its slash a directory sorts where the keys below it belong: ``a-b`` and ``a.txt`` come before ``a/x``
        or after it just as the bytes of the whole keys say.
        """
        path = os.path.join(self._root, folder)  # noqa: PTH118 - pathlib knows no bytes
        self.requests += 1
        try:
            with os.scandir(path) as entries:
                return sorted(
                    entry.name + b"/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries
                )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: bytes, error: OSError) -> HaltError:
        if isinstance(error, PermissionError):
            return PermissionDeniedError(
                f"{_text(path)} can't be read: permission denied. Give this user read and search permission on it, or "
                f"point `sources.{self._source}.uri` elsewhere."
            )
        return ServiceUnavailableError(
            f"{_text(path)} can't be read: {error.strerror or error}. Fix the file system below "
            f"`sources.{self._source}.uri`, then run again."
        )


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


def _shown_names(written: list[bytes]) -> dict[bytes, bytes]:
    """Return names as they are on disk by how they are shown: the same for UTF-8, else escaped and unlike all others."""
    names, strange = dict[bytes, bytes](), list[bytes]()
    for name in written:
        try:
            name.decode("utf-8")
            names[name] = name
        except UnicodeDecodeError:
            strange.append(name)
    for name in sorted(strange):
        shown, end = name.decode("utf-8", "backslashreplace").encode(), b"/" if name.endswith(b"/") else b""
        while shown in names:
            shown = shown[: len(shown) - len(end)] + b"\\x" + end
        names[shown] = name
    return names


def _batch(keys: list[str], sizes: list[int], modified: list[int], strange: list[int]) -> pa.RecordBatch:
    classes: list[str | None] | None = [None] * len(keys) if strange else None
    for row in strange:
        assert classes is not None
        classes[row] = NAME_NOT_UTF8
    return inventory_batch(keys=keys, sizes=sizes, last_modified=modified, storage_classes=classes)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
