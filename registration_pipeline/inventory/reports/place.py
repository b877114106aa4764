"""Where report files lie, as a seam: folders, sizes and bytes; and the place that is a local directory.

What does not belong here: buckets (``bucket_places.py``) and what the files say (``amazon.py`` and its neighbours).
Reading only: nothing here can write.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from registration_pipeline.errors import NotFoundError, PermissionDeniedError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES = 4 << 20
"""Bytes that are in memory of a file that is being fetched."""


@dataclass(frozen=True, slots=True)
class Level:
    """What lies directly in a folder, as whole names.

    Args:
        folders: ending in ``/``.
        names: files.
    """

    folders: tuple[str, ...]
    names: tuple[str, ...]


class ReportPlace(Protocol):
    """A bucket or directory that reports are delivered to. Names are whole keys, with ``/``."""

    @property
    def start(self) -> str:
        """The folder to search: empty, or ending in ``/``."""

    @property
    def requests(self) -> int:
        """How many reads were made so far."""

    def location(self, name: str) -> str:
        """Return a name as people find it."""

    def level(self, folder: str) -> Level:
        """Return what lies directly in a folder; nothing if it does not exist.

        Raises:
            HaltError: it can't be listed.
        """

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, or None if there is no such file.

        Raises:
            HaltError: it can't be asked for.
        """

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes.

        Raises:
            NotFoundError: there is no such file.
            HaltError: it can't be read.
        """


class LocalPlace:
    """A directory, such as a copy of a report.

    Args:
        root: the directory.
        source: the source's name, for error texts.
    """

    def __init__(self, root: Path, *, source: str = "<name>") -> None:
        self._root, self._setting = root.absolute(), setting(source)
        self.start, self.requests = "", 0

    def location(self, name: str) -> str:
        """See ``ReportPlace.location``."""
        return f"{self._root}/{name}"

    def level(self, folder: str) -> Level:
        """See ``ReportPlace.level``."""
        self.requests += 1
        with self._translated(folder):
            try:
                entries = sorted((self._root / folder).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return Level((), ())
            folders = tuple(f"{folder}{entry.name}/" for entry in entries if entry.is_dir())
            return Level(folders, tuple(f"{folder}{entry.name}" for entry in entries if entry.is_file()))

    def size(self, name: str) -> int | None:
        """See ``ReportPlace.size``."""
        self.requests += 1
        with self._translated(name):
            path = self._root / name
            return path.stat().st_size if path.is_file() else None

    def chunks(self, name: str) -> Iterator[bytes]:
        """See ``ReportPlace.chunks``."""
        self.requests += 1
        with self._translated(name), (self._root / name).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise missing_file(self.location(name), self._setting) from None
        except PermissionError:
            raise PermissionDeniedError(
                f"{self.location(name)} can't be read: permission denied. Give this user read and search permission on "
                f"it, or point `{self._setting}` elsewhere."
            ) from None
        except OSError as error:
            raise ServiceUnavailableError(
                f"{self.location(name)} can't be read: {error.strerror or error}. Fix the file system below "
                f"`{self._setting}`, then run again."
            ) from error


def setting(source: str) -> str:
    """Return the path of the setting that names a source's report."""
    return f"sources.{source}.storage.inventory_report"


def missing_file(location: str, key: str) -> NotFoundError:
    """Return the error for a file of a report that is not there.

    Args:
        location: the file.
        key: the setting.
    """
    return NotFoundError(
        f"The report's file {location} is not there. Reports are often expired by a lifecycle rule: keep them for longer "
        f"than the time between two, copy the whole report if `{key}` names a copy, or remove the setting to list instead."
    )
