"""The state on a local or mounted file system.

What does not belong here: what the names mean (``layout.py``), and buckets (``bucket.py``).
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from registration_pipeline.errors import StateConflictError, StateError, StateNotFoundError
from registration_pipeline.state.names import TEMPORARY_PREFIX, check_name, check_prefix, is_legal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WAY_OUT = {
    errno.ENOSPC: "free space there, or set `state` in registration.yaml to a place with room",
    errno.EDQUOT: "raise the quota, or set `state` in registration.yaml to a place with room",
    errno.EACCES: "give this user read and write access to it, or set `state` in registration.yaml to another place",
    errno.EPERM: "give this user read and write access to it (the file system must allow hard links), or set `state` "
    "in registration.yaml to another place",
    errno.EROFS: "mount it writable, or set `state` in registration.yaml to another place",
    errno.ENOTDIR: "remove the file that is in the place of a folder, or set `state` in registration.yaml to "
    "another place",
    errno.EEXIST: "remove the file that is in the place of a folder, or set `state` in registration.yaml to "
    "another place",
    errno.EOPNOTSUPP: "this file system has no hard links, which the state needs for create-only writes: set `state` "
    "in registration.yaml to a local disk or a bucket",
}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


class LocalStateStore:
    """``StateStore`` below a folder, which is made when the first file is written.

    A file is written beside its final place and then linked to it: ``link`` fails if the name exists, so that of
    many writers exactly one wins and no reader ever sees half a file. The file and its folder are flushed to disk
    before ``create`` returns.

    Args:
        root: the folder; relative paths start at the working directory of the construction.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        """The folder as a path."""
        return str(self._root)

    def create(self, name: str, data: bytes) -> None:
        """See ``StateStore.create``."""
        self._publish(name, lambda file: file.write(data))

    def create_from_file(self, name: str, path: Path) -> None:
        """See ``StateStore.create_from_file``."""

        def copy(file: BinaryIO) -> None:
            with path.open("rb") as finished:
                shutil.copyfileobj(finished, file, 1 << 20)

        self._publish(name, copy)

    def read(self, name: str) -> bytes:
        """See ``StateStore.read``."""
        path = self._path(name)
        with _reading(path):
            return path.read_bytes()

    def exists(self, name: str) -> bool:
        """See ``StateStore.exists``."""
        path = self._path(name)
        try:
            with _reading(path):
                path.stat()
        except StateNotFoundError:
            return False
        return path.is_file()

    def names(self, prefix: str) -> Iterator[str]:
        """See ``StateStore.names``."""
        check_prefix(prefix)
        return _walk(f"{self._root}/{prefix}", prefix)

    def folders(self, prefix: str) -> list[str]:
        """See ``StateStore.folders``. A folder without files counts as absent, as it does in a bucket."""
        check_prefix(prefix)
        folder = f"{self._root}/{prefix}"
        below = [name for name in _entries(folder) if name.endswith("/") and is_legal(name[:-1])]
        return sorted(name[:-1] for name in below if any(_walk(folder + name, name)))

    def delete(self, name: str) -> None:
        """See ``StateStore.delete``."""
        path = self._path(name)
        with _translated(path):
            path.unlink(missing_ok=True)

    def open(self, name: str) -> IO[bytes]:
        """See ``StateStore.open``."""
        path = self._path(name)
        if path.is_dir():
            raise StateNotFoundError(_missing_text(path))
        with _reading(path):
            # Arrow's own file: its threads then hold nothing of Python's when the interpreter ends (see ``open_part``).
            native: Any = pa.OSFile(str(path), "rb")
            return cast("IO[bytes]", native)

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """See ``StateStore.local_file``; the file itself, no copy."""
        path = self._path(name)
        if not self.exists(name):
            raise StateNotFoundError(_missing_text(path))
        yield path

    def require_exclusive_create(self) -> None:
        """See ``StateStore.require_exclusive_create``; nothing to try: ``link`` fails where the name exists."""

    def location(self, name: str) -> str:
        """See ``StateStore.location``."""
        return f"{self._root / check_prefix(name)}/" if name.endswith("/") else str(self._path(name))

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    def _publish(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        path = self._path(name)
        with _translated(path):
            _make_folder(path.parent)
            temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
            try:
                with temporary.open("xb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                _link(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            _flush_folder(path.parent)


def _link(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        # open(2): on NFS the reply to a link that worked can be lost, and the repetition says "exists"; the second
        # link of our own file shows that it was us.
        if temporary.stat().st_nlink > 1:
            return
        raise StateConflictError(
            f"{path} exists already: another process wrote it first. Let it finish, then run again."
        ) from None


def _make_folder(folder: Path) -> None:
    """Make a folder with its parents; each new name is flushed to disk, or a power cut could lose what is below."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(folder: str) -> list[str]:
    """Return what a folder holds in the order of the whole names below it, folders with a slash: ``a`` sorts as ``a/``."""
    try:
        with os.scandir(folder) as found:
            names = [entry.name + "/" if entry.is_dir() else entry.name for entry in found]
    except OSError as error:
        if error.errno in _MISSING:
            return []
        with _translated(Path(folder)):
            raise
    return sorted(name for name in names if not name.startswith(TEMPORARY_PREFIX))


def _walk(folder: str, prefix: str) -> Iterator[str]:
    # Paths as text: a night lists the tens of thousands of small folders of the journal several times.
    for name in _entries(folder):
        if name.endswith("/"):
            yield from _walk(folder + name, prefix + name)
        else:
            yield prefix + name


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what the file system says into ``StateError`` with the way out."""
    try:
        yield
    except OSError as error:
        way_out = _WAY_OUT.get(error.errno or 0, "fix it, or set `state` in registration.yaml to another place")
        raise StateError(f"The state at {path}: {error.strerror or error}. To go on, {way_out}.") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    with _translated(path):
        try:
            yield
        except OSError as error:
            if error.errno in _MISSING:
                raise StateNotFoundError(_missing_text(path)) from None
            raise


def _missing_text(path: Path) -> str:
    return f"The state has no {path}. If it was moved or deleted, restore it from a backup."
