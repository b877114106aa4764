"""Why a file has no media metadata, as exceptions of the probes. What a row or a message says of it does not belong here."""

from __future__ import annotations

from typing import Final


class NotUnderstoodError(Exception):
    """The file is not what it should be, or does not say what is needed.

    Args:
        why: continues a sentence that begins with the object, e.g. ``is not an image``. Never text of the file itself.
    """


class TooMuchError(NotUnderstoodError):
    """More of the object would have to be read than may be."""


CUT: Final = "ends within its header: it is cut"
