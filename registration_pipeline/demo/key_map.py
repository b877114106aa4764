"""``bucket.json`` beside a demo bucket's folder: what a file system can't say about an object.

That is a key that no file can have (``a//b``, ``folder/``) and a storage class. What does not belong here: uploading.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedKey:
    """One object that is not simply a file under its own path.

    Args:
        key: the object's key, exactly.
        file: ``/``-separated path of its bytes below the folder; None for an object without bytes. A file that is
            named here is uploaded under the mapped keys only.
        storage_class: as S3 spells it; None for the standard one.
    """

    key: str
    file: str | None = None
    storage_class: str | None = None


def key_map_path(folder: Path) -> Path:
    """Return where the key map of ``folder`` is."""
    return folder.parent / "bucket.json"


def write_key_map(folder: Path, entries: Iterable[MappedKey]) -> Path:
    """Write the key map beside ``folder``."""
    path = key_map_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(entry) for entry in entries], indent=1) + "\n", encoding="utf-8")
    return path


def read_key_map(folder: Path) -> tuple[MappedKey, ...]:
    """Read the key map beside ``folder``; empty if there is none.

    Raises:
        UsageError: the file is not a key map.
    """
    path = key_map_path(folder)
    try:
        return tuple(MappedKey(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError) as error:
        message = (
            f"{path} is not a key map of a demo bucket ({error}). Delete the demo's directory and run the demo again."
        )
        raise UsageError(message) from error
