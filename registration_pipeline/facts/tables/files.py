"""The files of a table: found by their pattern on disk or in a bucket, and each at hand as a local file while it is read.

What does not belong here: what is in them. A file in a bucket is copied into a temporary folder by ranged reads of one
version, a few pieces at a time; the copy is there only while that file is read, so the folder needs room for the largest one.
"""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from xxhash import xxh3_128

from registration_pipeline.errors import (
    ConfigurationError,
    HaltError,
    ObjectReadError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.tables.address import ANY, TableAddress
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.state.parquet import file_digest
from registration_pipeline.state.temporary import temporary_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.inventory.lister import ObjectLister

_PIECE_BYTES: Final = 4 << 20
_PIECES: Final = 4
"""Read at the same time: 16 MB in memory."""


class TablePlaces(Protocol):
    """Gives what lists and reads the bucket of a table, which need not be the one of the source."""

    def lister(self, source: SourceSettings) -> ObjectLister:
        """Return the lister of the bucket and prefix that ``source.uri`` names, made with ``source.storage``."""

    def reader(self, source: SourceSettings) -> ObjectReader:
        """Return the reader of objects of that bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """One file of a table.

    Args:
        name: for people, and what files are sorted by.
        size: bytes.
        version: another one when the content is another one: of an object its ETag, of a file its time and inode.
        path: on disk; None: in a bucket.
        item: in a bucket; None: on disk.
    """

    name: str
    size: int
    version: str
    path: Path | None = None
    item: StoredObject | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What notes keep of it; as long as it is the same, the file is not read again."""
        return {"name": self.name, "size": self.size, "version": self.version}


class TableFiles:
    """The files of one table.

    Args:
        address: where they are.
        source: whose table it is.
        places: give what reads its bucket.
    """

    def __init__(self, address: TableAddress, source: SourceSettings, places: TablePlaces) -> None:
        self._address, self._places = address, places
        self._bucket = None if address.location is None else _bucket_of(address, source)
        self._reader: ObjectReader | None = None

    @property
    def key(self) -> str:
        """The setting that names them, for errors."""
        return self._address.key

    def find(self) -> list[TableFile]:
        """Return the files, sorted by name.

        Raises:
            ConfigurationError: there is none.
            HaltError: the folder or bucket can't be listed.
        """
        try:
            found = self._on_disk() if self._bucket is None else self._in_bucket(self._bucket)
        except OSError as error:
            raise _unreadable(self._address, error) from None
        if not found:
            what = "no file matches it" if self._address.is_pattern else "there is no such file"
            raise self._address.problem(f"{what}. Correct the address, or put the file there")
        return sorted(found, key=lambda file: os.fsencode(file.name))

    def part(self, file: TableFile, start: int, length: int) -> bytes:
        """Return a few bytes of a file, without a copy of it.

        Args:
            file: as it was found.
            start: the first byte.
            length: bytes; fewer at its end.

        Raises:
            HaltError: it can't be read, or is gone.
        """
        if file.path is not None:
            with self._reading(file), file.path.open("rb") as opened:
                opened.seek(start)
                return opened.read(length)
        assert file.item is not None
        with self._translated():
            return self._reader_of_bucket().read(file.item, start, length)

    @contextmanager
    def local(self, file: TableFile, folder: Path) -> Iterator[tuple[Path, str]]:
        """Have a file at hand on disk; give its path and the digest of its content.

        Args:
            file: as it was found.
            folder: where a copy of an object goes.

        Raises:
            HaltError: it can't be read, or is another one than was found.
            StateError: there is no room for the copy.
        """
        if file.path is not None:
            with self._reading(file):
                _, digest = file_digest(file.path)
            yield file.path, digest
            with self._reading(file):
                if _version(file.path.stat()) != file.version:
                    raise self._changed(file)
            return
        copy = folder / "table"
        try:
            yield copy, self._copied(file, copy)
        finally:
            copy.unlink(missing_ok=True)

    def _on_disk(self) -> list[TableFile]:
        found = []
        for path in _matching(Path("/"), list(Path(self._address.pattern).parts[1:])):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found.append(
                    TableFile(name=self._address.shown(path), size=status.st_size, version=_version(status), path=path)
                )
            elif not self._address.is_pattern:
                raise self._address.problem("is not a file. Write the path of a file")
        return found

    def _in_bucket(self, bucket: SourceSettings) -> list[TableFile]:
        matches, start = self._address.matcher(), self._address.text[: -len(self._address.pattern)]
        found = []
        with self._translated():
            for batch in self._places.lister(bucket).list_objects():
                for item in StoredObject.of(batch):
                    if matches(item.key):
                        version = item.e_tag or f"{item.version} {item.last_modified.isoformat()}"
                        found.append(TableFile(name=start + item.key, size=item.size, version=version, item=item))
                    if not self._address.is_pattern:
                        return found  # the key itself sorts before all that only begin with it
        return found

    def _copied(self, file: TableFile, copy: Path) -> str:
        assert file.item is not None
        item, digest = file.item, xxh3_128()
        with self._translated():
            reader = self._reader_of_bucket()
        starts = range(0, item.size, _PIECE_BYTES)

        def read(start: int) -> bytes:
            return reader.read(item, start, _PIECE_BYTES)

        with (
            ThreadPoolExecutor(_PIECES, "table") as pool,
            temporary_space("A copy of a table", copy),
            copy.open("wb") as target,
        ):
            for first in range(0, len(starts), _PIECES):
                with self._translated():
                    pieces = list(pool.map(read, starts[first : first + _PIECES]))
                for piece in pieces:
                    digest.update(piece)
                    target.write(piece)
        return digest.hexdigest()

    def _reader_of_bucket(self) -> ObjectReader:
        assert self._bucket is not None
        self._reader = self._reader or self._places.reader(self._bucket)
        return self._reader

    @contextmanager
    def _reading(self, file: TableFile) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise self._changed(file) from None
        except OSError as error:
            raise _unreadable(self._address, error) from None

    def _changed(self, file: TableFile) -> HaltError:
        return HaltError(
            f"{file.name}, a table of `{self._address.key}`, changed while it was read. Nothing was recorded; run again when "
            "it is written. Writing a new file and renaming it avoids this"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Name the setting in what readers and listers raise: to them the bucket is that of the source."""
        uri = "" if self._bucket is None else f"sources.{self._bucket.name}.uri"
        try:
            yield
        except ConfigurationError as error:
            raise ConfigurationError(f"table {self._address.text}: {error.problem}", key=error.key) from None
        except ObjectReadError as error:
            kind = (
                PermissionDeniedError if error.is_refused else ServiceUnavailableError if error.is_silent else HaltError
            )
            raise kind(f"A table of `{self._address.key}` can't be read: {error}. Then run again") from None
        except HaltError as error:
            text = f"A table of `{self._address.key}` can't be read: {error}".replace(uri, self._address.key)
            kind = type(error) if type(error).__init__ is HaltError.__init__ else HaltError
            raise kind(text) from None


def _bucket_of(address: TableAddress, source: SourceSettings) -> SourceSettings:
    """Return the bucket as a source, with the options of the source's own store where it is a store of the same kind."""
    there, own, storage = address.location, source.location, StorageSettings()
    assert there is not None
    if there.scheme is own.scheme:
        of_reports = {"inventory_report": None, "top_up": False, "versions": False}
        storage = source.storage.model_copy(update=of_reports)
        if there.account != own.account:
            storage = storage.model_copy(update={"endpoint_url": None})
    place = f"{there.bucket}@{there.account}" if there.scheme is SourceScheme.AZ else there.bucket
    uri = f"{there.scheme}://{place}/{there.prefix.partition(ANY)[0]}"
    return SourceSettings.model_validate({"name": source.name, "uri": uri, "storage": storage})


def _matching(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Yield what exists below a folder, part by part of a pattern."""
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if ANY not in first:
        if (folder / first).exists():
            yield from _matching(folder / first, rest)
        return
    matches = TableAddress(text="", key="", path=Path(first)).matcher()
    for name in sorted(folder.iterdir()) if folder.is_dir() else ():
        if matches(name.name):
            yield from _matching(name, rest)


def _unreadable(address: TableAddress, error: OSError) -> HaltError:
    what = f"{error.filename or address.text}, a table of `{address.key}`, can't be read: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{what}. Give this user read permission on it, then run again")
    return HaltError(f"{what}. Fix the file system, then run again")


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns} {status.st_ino}"
