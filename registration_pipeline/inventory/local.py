"""Lists a directory tree as if it were a bucket, for the embedded demo and for tests.

What does not belong here: listing real stores.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.errors import HaltError, NotFoundError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.globs import KeyRules
from registration_pipeline.inventory.schema import BATCH_ROWS, NAME_NOT_UTF8, inventory_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa


class _Name(NamedTuple):
    """A name in a folder, with ``/`` at the end if it is a folder: as it is on disk, and as keys show it."""

    written: bytes
    shown: bytes
    is_utf8: bool


class _Folder(NamedTuple):
    """A folder below the root: its path on disk, and the start of the keys in it."""

    path: bytes
    shown: bytes
    is_utf8: bool

    def below(self, name: _Name) -> _Folder:
        return _Folder(self.path + name.written, self.shown + name.shown, self.is_utf8 and name.is_utf8)


class _Row(NamedTuple):
    """A file: key, bytes, microseconds since 1970, and whether its key is its name."""

    key: str
    size: int
    modified: int
    is_utf8: bool


class LocalLister:
    r"""``ObjectLister`` of the files below ``root``; a key is the path below it, with ``/``.

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
        self.requests = 0

    @property
    def description(self) -> str:
        """The directory and the way it is read."""
        return f"{_text(self._root)} via scandir"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``.

        Raises:
            NotFoundError: there is no such directory.
            PermissionDeniedError: a directory or file that no rule leaves out can't be read.
            ServiceUnavailableError: the file system fails there.
        """
        rows: list[_Row] = []
        for row in self._walk():
            rows.append(row)
            if len(rows) == self._batch_rows:
                yield _batch(rows)
                rows = []
        if rows:
            yield _batch(rows)

    def _walk(self) -> Iterator[_Row]:
        pending = [(_Folder(b"", b"", is_utf8=True), iter(self._root_names()))]
        while pending:
            folder, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
            elif name.shown.endswith(b"/"):
                below = folder.below(name)
                pending.append((below, iter(self._names_or_none_if_excluded(below))))
            elif (status := self._status_of(folder, name)) is not None and stat.S_ISREG(status.st_mode):
                yield _Row(
                    (folder.shown + name.shown).decode("utf-8"),
                    status.st_size,
                    status.st_mtime_ns // 1000,
                    folder.is_utf8 and name.is_utf8,
                )

    def _root_names(self) -> list[_Name]:
        names = self._names(b"")
        if names is None:
            raise NotFoundError(
                f"{_text(self._root)} is not a directory. Create it, or fix `sources.{self._source}.uri`."
            )
        return names

    def _names_or_none_if_excluded(self, folder: _Folder) -> list[_Name]:
        try:
            return self._names(folder.path) or []
        except HaltError:
            rule = self._rules.folder_excluded_by(folder.shown.decode("utf-8"))
            if rule is None:
                raise
            self._say_left_out(folder, rule)
            return []

    def _status_of(self, folder: _Folder, name: _Name) -> os.stat_result | None:
        path = os.path.join(self._root, folder.path + name.written)  # noqa: PTH118 - pathlib knows no bytes
        try:
            with self._translated(path):
                return _status(path)
        except HaltError:
            rule = self._rules.excluded_by((folder.shown + name.shown).decode("utf-8"))
            if rule is None:
                raise
            self._say_left_out(folder, rule)
            return None

    def _say_left_out(self, folder: _Folder, rule: str) -> None:
        if folder.path not in self._said:
            self._said.add(folder.path)
            path = _text(os.path.join(self._root, folder.path))  # noqa: PTH118 - pathlib knows no bytes
            self._notify(f"{self._source}: {path} can't be read, so it is not counted; left out anyway ({rule}).")

    def _names(self, folder: bytes) -> list[_Name] | None:
        """Return the sorted names in a folder, directories with ``/`` at the end; None if it is not there (any more).

        With its slash a directory sorts where the keys below it belong: ``a-b`` and ``a.txt`` come before ``a/x``
        or after it just as the bytes of the whole keys say.
        """
        path = os.path.join(self._root, folder)  # noqa: PTH118 - pathlib knows no bytes
        self.requests += 1
        with self._translated(path):
            try:
                with os.scandir(path) as entries:
                    return _in_order(
                        [entry.name + b"/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries]
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


def _in_order(written: list[bytes]) -> list[_Name]:
    """Return the names of a folder in the order of keys."""
    try:
        b"/".join(written).decode("utf-8")
        names = {name: name for name in written}
    except UnicodeDecodeError:
        names = _shown_names(written)
    return [_Name(names[shown], shown, names[shown] == shown) for shown in sorted(names)]


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


def _batch(rows: list[_Row]) -> pa.RecordBatch:
    keys, sizes, modified, are_utf8 = zip(*rows, strict=True)
    classes = None if all(are_utf8) else [None if is_utf8 else NAME_NOT_UTF8 for is_utf8 in are_utf8]
    return inventory_batch(keys=keys, sizes=sizes, last_modified=modified, storage_classes=classes)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
