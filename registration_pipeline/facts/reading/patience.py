"""Tells objects that can't be read from a store that can't be.

What does not belong here: asking the store (``facts/readers``), and what a row says of an object (its kind).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from registration_pipeline.errors import ObjectReadError, ServiceUnavailableError
from registration_pipeline.facts.reading.spec import T

if TYPE_CHECKING:
    from registration_pipeline.facts.reader import ObjectReader, StoredObject
    from registration_pipeline.facts.reading.spec import FactKind

_MOST_SILENT: Final = 20
"""Objects in a row for which the store gave no usable reply, after retries: then it is the store, and not the objects."""

_MOST_DENIED: Final = 100
"""Objects in a row that may not be read, while no other may: then the rest is not asked for."""


class Patience(Generic[T]):
    """How long a reading goes on with objects that can't be read.

    Args:
        kind: what is read.
        reader: for texts.
        has_read: whether anything of this kind was ever read of the source.

    Attributes:
        is_over: no further object is to be asked for.
        waiting: objects that could not be read for a reason that passes.
    """

    def __init__(self, kind: FactKind[T], reader: ObjectReader, *, has_read: bool) -> None:
        self._kind, self._reader, self._has_read = kind, reader, has_read
        self._silent = self._denied = 0
        self.is_over = False
        self.waiting = 0

    def judged(self, found: T | ObjectReadError) -> T | None:
        """Return what was read, or what is written in its place; None: nothing, the object waits.

        Raises:
            ServiceUnavailableError: too many objects in a row got no usable reply.
        """
        if not isinstance(found, ObjectReadError):
            self._silent, self._has_read = 0, True
            return found
        self._silent = self._silent + 1 if found.is_silent else 0
        self._denied += found.is_refused
        if self._silent >= _MOST_SILENT:
            raise ServiceUnavailableError(
                f"The {self._kind.what} of {self._silent} objects in a row can't be read; the last one: {found}. What was "
                "read is kept. Run again later"
            )
        self.is_over = self._denied >= _MOST_DENIED and not self._has_read
        if found.is_silent or found.is_changed:
            self.waiting += 1
            return None if self._kind.waiting is None else self._kind.waiting(str(found))
        return self._kind.unreadable(str(found))

    def not_asked(self, item: StoredObject) -> T:
        """Return what is said of an object that was not asked for."""
        return self._kind.unreadable(
            f"{item.key!r} was not read: {self._denied} objects before it may not be read, and none may. Grant "
            f"{self._kind.permission(self._reader)}; the next sync tries again"
        )
