"""Size and MIME type of text, as far as its beginning shows that it is text.

What does not belong here: where the bytes come from.

The suffix decides between the MIME types, as it decides that an object is text at all; only where it says nothing does the
content decide. The encoding is found out to distinguish text from other bytes, and is not said: Encord's field is the MIME
type alone (``application/json``, ``text/plain``).
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.facts.media.probed_file import ProbedFile

SAMPLE_BYTES: Final = 16 << 10
"""Of the beginning."""

MIME_BY_SUFFIX: Final[Mapping[str, str]] = {
    "json": "application/json",
    "xml": "application/xml",
    "html": "text/html",
    "htm": "text/html",
    "md": "text/markdown",
    "txt": "text/plain",
    "csv": "text/csv",
}

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_MOST_CONTROLS: Final = 0.02
"""Of the characters of a text without a mark: terminal sequences and page breaks are text, programs and pictures are not."""

_WHITE: Final = "\t\n\r\f\v\x1b\x08"


def probe_text(file: ProbedFile, key: str) -> dict[str, Any]:
    """Return the block of media metadata.

    Args:
        file: the object.
        key: its key, for the suffix.

    Raises:
        NotUnderstoodError: it is not text.
        ObjectReadError, HaltError: what fetching raises.
    """
    content = file.read_at(0, SAMPLE_BYTES)
    text = _decoded(content, is_whole=len(content) == file.size)
    name = key.rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    return {"file_size": file.size, "mime_type": MIME_BY_SUFFIX.get(suffix) or _mime_type(text)}


def _decoded(content: bytes, *, is_whole: bool) -> str:
    """Return the beginning as text.

    Raises:
        NotUnderstoodError: it is not text.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content[len(mark) :], encoding, is_whole=is_whole)
    wide = _wide_encoding(content)
    if wide is not None:
        return _strictly(content, wide, is_whole=is_whole)
    try:
        text = _strictly(content, "utf-8", is_whole=is_whole)
    except NotUnderstoodError:
        text = content.decode("latin-1")  # one of the encodings with a byte for each character
    controls = sum(character < " " and character not in _WHITE for character in text)
    if controls > len(text) * _MOST_CONTROLS:
        raise NotUnderstoodError("is not text: it holds bytes that no text has")
    return text


def _strictly(content: bytes, encoding: str, *, is_whole: bool) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content, final=is_whole)
    except UnicodeDecodeError:
        raise NotUnderstoodError(f"is not text: it begins like {encoding.upper()}, and is not") from None


def _wide_encoding(content: bytes) -> str | None:
    """Return which UTF-16 it is without a mark: Latin letters have a zero byte in every second place, and in no other."""
    zeros = (content[0::2].count(0), content[1::2].count(0))
    half = max(len(content) // 2, 1)
    for few, many, encoding in ((0, 1, "utf-16-le"), (1, 0, "utf-16-be")):
        if zeros[few] == 0 and zeros[many] > half * 0.5:
            return encoding
    return None


def _mime_type(text: str) -> str:
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html")):
        return "text/html"
    if start.startswith("<?xml"):
        return "application/xml"
    return "application/json" if start.startswith(("{", "[")) and not start.startswith("[[") else "text/plain"
