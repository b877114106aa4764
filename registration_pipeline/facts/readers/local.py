"""Reads ranges of files, as ``LocalLister`` lists them, for the embedded demo and for tests.

What does not belong here: reading real stores.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import ObjectReadError
from registration_pipeline.facts.reader import ObjectDescription
from registration_pipeline.facts.readers.reply import RequestCounter, changed, denied, gone

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.facts.reader import StoredObject

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LocalReader:
    """``ObjectReader`` of the files below ``root``. There are no ETags: size and time say whether a file has changed.

    Args:
        root: the directory.
    """

    permission: str = "read permission"
    description_permission: str = permission

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root.absolute())
        self._counter = RequestCounter()

    @property
    def requests(self) -> int:
        """How many reads were made so far."""
        return self._counter.made

    @property
    def description(self) -> str:
        """The directory and the way it is read."""
        return f"{self._root.decode('utf-8', 'backslashreplace')} via read"

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """See ``ObjectReader.read``."""
        path = self._root + b"/" + item.key.encode()
        what = path.decode("utf-8", "backslashreplace")
        self._counter.add()
        try:
            # Not waiting: what was a file when it was listed may be a pipe without a writer now.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                seen = (item.size, _microseconds(item))
                if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns // 1000) != seen:
                    raise changed(what)
                return os.pread(descriptor, min(length, item.size - start), start)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            raise gone(what) from None
        except PermissionError:
            raise denied(what, "permission denied", self.permission, "this user") from None
        except OSError as error:
            raise ObjectReadError(
                f"{what} can't be read: {error.strerror or error}. Fix the file system; the next sync tries again",
                is_silent=True,
            ) from None

    def describe(self, item: StoredObject) -> ObjectDescription:  # noqa: ARG002 - as ``ObjectReader`` has it
        """Return nothing: files have no metadata of a store. Settings refuse to ask for it."""
        return ObjectDescription()


def _microseconds(item: StoredObject) -> int:
    return (item.last_modified - _EPOCH) // timedelta(microseconds=1)
