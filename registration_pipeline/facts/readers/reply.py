"""What a ranged read must be answered with, whatever the store: how long and how much, and of which version of the object.

What does not belong here: asking a store (the modules beside this one) and how limits are enforced (``bounds/``).
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from registration_pipeline.bounds.reply import ReplyLimit
from registration_pipeline.errors import ObjectReadError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from registration_pipeline.facts.reader import StoredObject

READ_SECONDS: Final = 60.0
"""For one range, repetitions of its request included: 1 MB passes at 20 kB/s."""

TRIES_OF_A_BODY: Final = 3
"""The providers' clients repeat a request whose reply does not begin; a reply that is cut midway is asked for again here."""

_ROOM_FOR_HEADERS: Final = 1 << 20
"""Bytes of a reply besides its content, or of one that says what went wrong."""

_TOTAL: Final = re.compile(r"bytes \d+-\d+/(?P<total>\d+)")


class RequestCounter:
    """Counts requests of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.made = 0

    def add(self) -> None:
        """Count one."""
        with self._lock:
            self.made += 1


class ReadLimit(ReplyLimit):
    """The limit of one read; on exit, whatever came of exceeding it becomes one error.

    Args:
        what: the object, for people.
        length: bytes that are asked for.
        seconds: for all of it, repetitions included.
    """

    def __init__(self, what: str, length: int, seconds: float) -> None:
        super().__init__(seconds, length + _ROOM_FOR_HEADERS)
        self._what = what

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Put it out of force.

        Raises:
            ObjectReadError: an error came up inside, and the limit was exceeded.
        """
        super().__exit__(kind, error, trace)
        if isinstance(error, Exception) and self.is_broken:
            raise ObjectReadError(
                f"{self._what} can't be read now: {self.problem()}. The next sync tries again", is_silent=True
            ) from None


@contextmanager
def silence_is_of_the_object(what: str) -> Iterator[None]:
    """Say of one object what the provider's errors say of the whole store: others may still be answered.

    Args:
        what: the object, for people.

    Raises:
        ObjectReadError: in the place of a ``ServiceUnavailableError``.
    """
    try:
        yield
    except ServiceUnavailableError as error:
        raise ObjectReadError(f"{what} can't be read now: {error}", is_silent=True) from None


def gone(what: str) -> ObjectReadError:
    """Return the error for an object that is not there any more."""
    return ObjectReadError(f"{what} is gone: it was deleted after the listing. The next inventory will not have it")


def changed(what: str) -> ObjectReadError:
    """Return the error for an object that is another one than was listed; some stores say the same of one that is gone."""
    return ObjectReadError(
        f"{what} has changed since the listing, or is gone. The next sync reads it as it is then", is_changed=True
    )


def denied(what: str, code: object, permission: str, principal: str = "these credentials") -> ObjectReadError:
    """Return the error for an object that may not be read.

    Args:
        what: the object, for people.
        code: what the store said.
        permission: what is lacking, and where it is granted.
        principal: who was refused.
    """
    return ObjectReadError(
        f"Not allowed to read {what} ({code}). Grant {permission} to {principal}; the next sync tries again",
        is_refused=True,
    )


def not_now(what: str, code: object) -> ObjectReadError:
    """Return the error for a store that gave no usable reply, after retries."""
    return ObjectReadError(f"{what} can't be read now: the store said {code}, after retries", is_silent=True)


def refused(what: str, said: object) -> ObjectReadError:
    """Return the error for an object that the store does not give out, for another reason than permission."""
    return ObjectReadError(f"{what} can't be read: the store said {said}. Make it readable, or exclude it by a rule")


def unchanged(item: StoredObject, what: str, *, size: object, version: str | None, expected: str | None) -> None:
    """Refuse a reply that describes another version of an object than was listed.

    Args:
        item: what was asked for.
        what: the object, for people.
        size: of the object in the reply; None where it has none.
        version: the ETag or generation in the reply; None where it has none.
        expected: the same as it was listed; None where the listing gave none.

    Raises:
        ObjectReadError: it is another one.
    """
    if size is not None and str(size) != str(item.size):
        raise changed(what)
    if None not in {version, expected} and version != expected:
        raise changed(what)


def checked(content: bytes, item: StoredObject, what: str, *, content_range: str | None, expected: int) -> bytes:
    """Return the content of a reply if it is the range that was asked for.

    Args:
        content: of the reply.
        item: what was asked for.
        what: the object, for people.
        content_range: of the reply; None where it has none.
        expected: bytes of the range within the object.

    Raises:
        ObjectReadError: the object has another size than it had, or the store does not answer ranges.
    """
    total = _TOTAL.fullmatch(content_range or "")
    if total is not None and int(total["total"]) != item.size:
        raise changed(what)
    if len(content) != expected:
        raise ObjectReadError(
            f"{what} can't be read: {expected:,} bytes were asked for and {len(content):,} came. The store does not answer "
            "ranged reads, or the object has changed"
        )
    return content


def unquoted(e_tag: str | None) -> str | None:
    """Return an ETag in the form that inventories keep it in; None for one that says nothing."""
    return (e_tag or "").strip('"') or None
