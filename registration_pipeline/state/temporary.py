"""The system's temporary folder, where files are prepared before they go to the state. Only its troubles belong here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def temporary_space(what: str, path: Path) -> Iterator[None]:
    """Say of ``what`` is being prepared in the system's temporary folder that there is no room for it.

    Raises:
        StateError: in the place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{what} can't be prepared at {path}: {error.strerror or error}. Free space in the temporary folder, or "
            "set TMPDIR to a folder with room."
        ) from error
