"""A set of files that counts only from the moment its commit marker names them.

What does not belong here: what the files hold (``parquet.py``, inventory, planning) and where a folder lies (``layout.py``).

Files get names that were never used before, the marker is written last and create-only, and readers open just what it names.
So a crash leaves files that are never read, and of two writers in one folder exactly one is believed.
"""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import StateConflictError, StateError, StateNotFoundError
from registration_pipeline.state.layout import COMMIT_MARKER
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import read_sealed, sealed_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from registration_pipeline.state.store import StateStore


class FileSet:
    """The files one writer puts into ``folder``; they are not trusted before ``commit``.

    Args:
        store: the state.
        folder: a folder of the state, ending in ``/``.
    """

    def __init__(self, store: StateStore, folder: str) -> None:
        self.store, self.folder = store, folder
        self._nonce = secrets.token_hex(4)
        self._numbers: Counter[str] = Counter()
        self._names: list[str] = []

    def new_name(self, stem: str, suffix: str) -> str:
        """Return a name that was never used before: ``<folder><stem>-<nonce>-00000.<suffix>``, counting up per stem.

        ``commit`` expects a file under every name that was given out.
        """
        name = f"{self.folder}{stem}-{self._nonce}-{self._numbers[stem]:05d}.{suffix}"
        self._numbers[stem] += 1
        self._names.append(name)
        return name

    @contextmanager
    def given_up_on_error(self) -> Iterator[None]:
        """Remove the files again if the block fails: nothing will name them."""
        try:
            yield
        except BaseException:
            with suppress(StateError):  # what went wrong first matters more
                for name in self._names:
                    self.store.delete(name)
            raise

    def commit(self, payload: Mapping[str, Any]) -> None:
        """Make the set count, by writing ``payload``, which names its files, as the marker.

        Raises:
            StateConflictError: the folder is committed already, or another process took this writer for dead and removed
                its files.
        """
        if self._names:
            missing = set(self._names).difference(self.store.names(self.folder))
            if missing:
                raise StateConflictError(
                    f"{self.store.location(min(missing))} was removed before it was committed: another run of the same "
                    "source cleared it away. Let that run finish, then run again."
                )
        self.store.create(self.folder + COMMIT_MARKER, sealed_json(payload))


def read_marker(store: StateStore, folder: str) -> dict[str, Any] | None:
    """Return what the commit marker of ``folder`` says, or None where nothing is committed.

    Raises:
        StateCorruptError: the marker is not what was written.
    """
    try:
        return read_sealed(store, folder + COMMIT_MARKER)
    except StateNotFoundError:
        return None


def discard_leftovers(store: StateStore, folder: str) -> int:
    """Remove what a writer that died left in ``folder``, and nothing that others put there; a committed one is not changed.

    Returns:
        how many files were removed.
    """
    removed = 0
    for name in list(own_names(store, folder)):
        if store.exists(folder + COMMIT_MARKER):
            break
        store.delete(name)
        removed += 1
    return removed


def discard_unnamed(store: StateStore, folder: str, named: Collection[str]) -> int:
    """Remove what writers left in a committed folder that its marker does not name.

    Args:
        store: the state.
        folder: ending in ``/``.
        named: the whole names of the files that the marker names.

    Returns:
        how many files were removed.
    """
    leftovers = {*own_names(store, folder)}.difference(named) - {folder + COMMIT_MARKER}
    for name in sorted(leftovers):
        store.delete(name)
    return len(leftovers)
