"""Metadata and tags of objects, as stores send them: what HTTP does to names and texts, and whether tags have to be asked for.

What does not belong here: asking a store (the modules beside this one), and what Encord accepts (``facts/object_metadata``).
"""

from __future__ import annotations

import re
import threading
from email.errors import HeaderParseError
from email.header import decode_header
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENCODED: Final = re.compile(r"\s*=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=(?:\s+=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)*\s*")
"""A text that is nothing but words as RFC 2047 encodes them, which is how Amazon sends what is not ASCII."""


def header_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata that came as HTTP headers: names in lower case, texts decoded.

    Names of headers have no case, and stores that speak S3 give them in different ones; Amazon gives lower case.

    Args:
        metadata: by names without the prefix of the provider.
    """
    return {name.lower(): header_text(text) for name, text in metadata.items()}


def header_text(text: str) -> str:
    """Return a text that came as the value of an HTTP header.

    Amazon encodes what is not ASCII as RFC 2047 says; others send the bytes of UTF-8, which HTTP libraries read as Latin-1.
    What is neither is left as it is.
    """
    if _ENCODED.fullmatch(text):
        try:
            return "".join(
                part if isinstance(part, str) else part.decode(charset or "ascii")
                for part, charset in decode_header(text)
            )
        except (HeaderParseError, LookupError, UnicodeError):
            return text
    try:
        return text if text.isascii() else text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


class TagCounts:
    """Whether the tags of an object have to be asked for: Amazon counts them in the reply to HeadObject.

    Without the permission to read tags it does not count them, and not every store that speaks S3 counts. So a reply without a
    count says that there are no tags only once the store gave a count, or, at Amazon, once tags could be read.

    Args:
        is_reliable: the store counts the tags of every object for those who may read them.
    """

    def __init__(self, *, is_reliable: bool) -> None:
        self._is_reliable = is_reliable
        self._lock = threading.Lock()
        self._is_settled = False

    def ask(self, count: int | None) -> bool:
        """Return whether the tags of an object must be asked for.

        Args:
            count: of the reply; None where it has none.
        """
        with self._lock:
            if count is not None:
                self._is_settled = True
                return count > 0
            return not self._is_settled

    def answered(self) -> None:
        """Note that tags may be read."""
        with self._lock:
            self._is_settled = self._is_settled or self._is_reliable

    def has_none(self) -> None:
        """Note that the store has no tags at all."""
        with self._lock:
            self._is_settled = True
