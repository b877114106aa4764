"""Which names a state file may have: those that a file system and every bucket keep unchanged.

What does not belong here: which files there are (``layout.py``).
"""

from __future__ import annotations

TEMPORARY_PREFIX = ".tmp-"
"""Base names that start so belong to writes in progress; no listing shows them."""


def check_name(name: str) -> str:
    """Return ``name`` if it is legal.

    Raises:
        ValueError: empty, absolute, with an empty, ``.`` or ``..`` segment, with control characters or a backslash,
            or with a base name reserved for writes in progress. object_store refuses or rewrites such paths, and some
            would leave the state's folder.
    """
    segments = name.split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise ValueError(f"{name!r} is not a name in the state: segments must not be empty, '.' or '..'")
    if "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} is not a name in the state: control characters and backslashes are not allowed")
    if segments[-1].startswith(TEMPORARY_PREFIX):
        raise ValueError(f"{name!r} is not a name in the state: {TEMPORARY_PREFIX}* is for writes in progress")
    return name


def is_legal(name: str) -> bool:
    """Return whether ``check_name`` accepts a name; others are of files that something else put into the state."""
    try:
        check_name(name)
    except ValueError:
        return False
    return True


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if it names a folder: empty for the whole state, else a legal name and a ``/``.

    Raises:
        ValueError: anything else.
    """
    if prefix:
        if not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} is not a folder of the state: it must end in '/'")
        check_name(prefix[:-1])
    return prefix
