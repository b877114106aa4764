"""Whether a state, or a folder, can really be written: found by writing a small file and removing it again.

Permission bits do not say it: of ``/proc``, of a file system that is mounted read-only, or of a bucket's policy. What does not
belong here: whether a store creates a name only once (``exclusive.py``).
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateError
from registration_pipeline.state.layout import probe_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.state.store import StateStore

_CONTENT = b"registration-pipeline was here\n"


def try_writing(store: StateStore) -> None:
    """Create a file in the state, read it, list it, and remove it; folders that were made for it go, too.

    Costs five small requests in a bucket.

    Raises:
        StateError: one of the five is refused, or what was written is not there, or not listed.
    """
    name = probe_name(secrets.token_hex(8))
    place = Path(store.location(name)) if "://" not in store.uri else None
    with _without_new_folders(place.parent if place else None):
        try:
            store.create(name, _CONTENT)
            is_there = store.read(name) == _CONTENT
            is_listed = _is_listed(store, name)
        except BaseException:
            with suppress(StateError):  # the first problem matters more
                store.delete(name)
            raise
        store.delete(name)
    if not is_there:
        raise StateError(
            f"{store.location(name)} was written, and the store does not show it. Set `state` in registration.yaml to a store "
            "that shows a file as soon as it is written."
        )
    if not is_listed:
        raise StateError(
            f"{store.location(name)} was written and can be read, and the store does not list it: every command would take "
            "the state for empty. Find out what answers instead of the store, e.g. a proxy, or set `state` in "
            "registration.yaml to a store that lists a file as soon as it is written."
        )


def _is_listed(store: StateStore, name: str) -> bool:
    """Return whether both ways of listing show a file: all names of a folder, and the folders of one."""
    folder = name.partition("/")[0]
    return name in set(store.names(f"{folder}/")) and folder in store.folders("")


def try_folder(folder: Path) -> None:
    """Make a folder if it is missing, write a file into it, and remove what was made.

    Raises:
        OSError: one of them is refused.
    """
    with _without_new_folders(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f".{secrets.token_hex(8)}"
        try:
            file.write_bytes(_CONTENT)
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)


@contextmanager
def _without_new_folders(folder: Path | None) -> Iterator[None]:
    """Remove the folders on the way to this one that the block makes, if nothing else was put into them meanwhile."""
    missing = [] if folder is None else [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        yield
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
