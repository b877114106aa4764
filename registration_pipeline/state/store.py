"""The seam to the state: whole files, create-only, listed by prefix.

What does not belong here: what the names mean (``layout.py``) and what the files hold.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class StateStore(Protocol):
    """Files that are written whole and never changed. Names are relative, ``/``-separated and start at the source.

    Every method raises ``StateError`` (or a subclass) for trouble of the store itself: no permission, disk full,
    no answer.
    """

    @property
    def uri(self) -> str:
        """Where the state lives, for people."""

    def create(self, name: str, data: bytes) -> None:
        """Write ``data`` durably under ``name``; nothing is visible until all of it is.

        Raises:
            StateConflictError: the name exists already, whatever it holds.
        """

    def create_from_file(self, name: str, path: Path) -> None:
        """Like ``create``, from a finished local file of any size, without reading it into memory.

        Raises:
            StateConflictError: the name exists already.
        """

    def read(self, name: str) -> bytes:
        """Return the whole file.

        Raises:
            StateNotFoundError: no such name.
        """

    def exists(self, name: str) -> bool:
        """Return whether the name exists."""

    def names(self, prefix: str) -> Iterator[str]:
        """Yield every name below the folder ``prefix`` (which ends in ``/``), recursively, sorted."""

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly below ``prefix``, sorted, without slashes; none that is not legal."""

    def delete(self, name: str) -> None:
        """Remove a leftover that no commit marker vouches for; silent when it is gone already."""

    def open(self, name: str) -> IO[bytes]:
        """Open for random reads, for Parquet readers.

        Raises:
            StateNotFoundError: no such name.
        """

    def local_file(self, name: str) -> AbstractContextManager[Path]:
        """Give a local path with the same base name and the same bytes, valid inside the ``with`` block."""

    def require_exclusive_create(self) -> None:
        """Find out by trying whether a name is created only once when several try it at the same time.

        Raises:
            ConfigurationError: it is not.
        """

    def location(self, name: str) -> str:
        """Return where the file, or the folder when the name ends in ``/``, is, for people: a path or a URL."""
