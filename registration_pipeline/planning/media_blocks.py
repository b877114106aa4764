"""The table of media metadata: what Encord may be told of a file itself, with the names of both forms of a manifest.

The plan holds it in neutral names (canonical JSON in the column ``media_metadata``); here is how it is written for Encord. A
name that Encord changes is changed here and nowhere else. In the JSON form the names are those that the examples of Encord's
registration pages print, where an example and a field list differ (PDF and text) those of the example; the SDK's typed form
has camel case throughout.

What does not belong here: reading files (``facts``), the document around a block (``manifest``) and where a chunk ends
(``chunking.py``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Mapping


class JsonType(StrEnum):
    """The JSON type that a key holds; the value is the word used in messages."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "whole number"
    BOOLEAN = "boolean"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockField:
    """One field of a block.

    Args:
        of: its type, that of the SDK's typed form.
        json: its name in the JSON form; None: the kind has no block there.
        typed: its name in the typed form.
    """

    of: JsonType
    json: str | None
    typed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaBlock:
    """What there is to say of the files of a kind.

    Args:
        key: of the block beside the object, the same in both forms.
        fields: neutral name -> field, sorted; every one must be there.
    """

    key: str
    fields: Mapping[str, BlockField]

    def names(self, submit_as: SubmitAs) -> dict[str, str]:
        """Return neutral name -> the name in a form; empty where the form has no such block."""
        if submit_as is SubmitAs.DATA_ITEMS:
            return {neutral: one.typed for neutral, one in self.fields.items()}
        return {neutral: one.json for neutral, one in self.fields.items() if one.json is not None}


def _block(key: str, **fields: tuple[JsonType, str] | tuple[JsonType, str, str]) -> MediaBlock:
    """Return a block of fields that are given as type, name in the JSON form and, if it is another, in the typed form."""
    made = {
        neutral: BlockField(of=given[0], json=given[1], typed=given[-1]) for neutral, given in sorted(fields.items())
    }
    return MediaBlock(key=key, fields=MappingProxyType(made))


_SEPARATOR: Final = ", "

_TEXT, _NUMBER, _WHOLE = JsonType.STRING, JsonType.NUMBER, JsonType.INTEGER

_IMAGE_BLOCK: Final = _block(
    "imageMetadata",
    mime_type=(_TEXT, "mimeType"),
    file_size=(_WHOLE, "fileSize"),
    width=(_WHOLE, "width"),
    height=(_WHOLE, "height"),
)
_BLOCKS: Final[Mapping[MediaKind, MediaBlock]] = MappingProxyType(
    {
        MediaKind.IMAGE: _IMAGE_BLOCK,
        MediaKind.VIDEO: _block(
            "videoMetadata",
            fps=(_NUMBER, "fps"),
            duration=(_NUMBER, "duration"),
            width=(_WHOLE, "width"),
            height=(_WHOLE, "height"),
            file_size=(_WHOLE, "file_size", "fileSize"),
            mime_type=(_TEXT, "mime_type", "mimeType"),
        ),
        MediaKind.AUDIO: _block(
            "audioMetadata",
            duration=(_NUMBER, "duration_seconds", "duration"),
            file_size=(_WHOLE, "file_size", "fileSize"),
            mime_type=(_TEXT, "mime_type", "mimeType"),
            sample_rate=(_WHOLE, "sample_rate", "sampleRate"),
            bit_depth=(_WHOLE, "bit_depth", "bitDepth"),
            codec=(_TEXT, "codec"),
            num_channels=(_WHOLE, "num_channels", "numChannels"),
        ),
        MediaKind.PDF: _block("pdfMetadata", file_size=(_WHOLE, "fileSize"), num_pages=(_WHOLE, "numPages")),
        MediaKind.TEXT: _block(
            "textMetadata", file_size=(_WHOLE, "fileSize"), mime_type=(_TEXT, "mime_type", "mimeType")
        ),
    }
)
_BLOCKS_OF_MEMBERS: Final[Mapping[MediaKind, MediaBlock]] = MappingProxyType(
    {
        MediaKind.IMAGE_GROUP: _IMAGE_BLOCK,
        MediaKind.IMAGE_SEQUENCE: _IMAGE_BLOCK,
        MediaKind.DICOM_SERIES: MediaBlock(
            key="dicomMetadata",
            fields=MappingProxyType({"tags": BlockField(of=JsonType.OBJECT, json=None, typed="tags")}),
        ),
    }
)
"""Of each object of a unit of several: only the typed form has a place for them."""


def media_block(kind: MediaKind, submit_as: SubmitAs = SubmitAs.JSON) -> MediaBlock | None:
    """Return the block that objects of units of a kind have in a form; None: the form has none (NIfTI in both)."""
    block = _BLOCKS.get(kind)
    if block is None and submit_as is SubmitAs.DATA_ITEMS:
        return _BLOCKS_OF_MEMBERS.get(kind)
    return block


def media_remedy(kind: MediaKind, submit_as: SubmitAs) -> str:
    """Return what helps units of a kind that has no block in a form, where none is sent without one."""
    if submit_as is SubmitAs.JSON and media_block(kind, SubmitAs.DATA_ITEMS) is not None:
        return f"{kind.value} carry media metadata only in the typed form: set submit_as: data_items"
    return f"Encord accepts no media metadata of {kind.value}: exclude them, or set strict_client_only: false"


def written_block(kind: MediaKind, text: str, submit_as: SubmitAs = SubmitAs.JSON) -> str | None:
    """Return a block as JSON text with the names of a form; None if the form has no such block.

    Args:
        kind: of the unit.
        text: canonical JSON text in neutral names, which is not checked here.
        submit_as: the form.
    """
    if media_block(kind, submit_as) is None:
        return None
    # A quote within a string is escaped, so '"file_size":' can only be a key: a tenth of the time of parsing.
    for neutral, written in _renamed(kind, submit_as):
        text = text.replace(neutral, written)
    return text


def typed_content(block: MediaBlock, text: str) -> dict[str, object]:
    """Return a block in the typed form as the SDK sends it: it makes whole numbers fractional where its field is.

    Raises:
        ValueError: the text is not JSON.
    """
    names = block.names(SubmitAs.DATA_ITEMS)
    content: dict[str, object] = {}
    for key, value in json.loads(text).items():
        is_number = key in block.fields and block.fields[key].of is JsonType.NUMBER and type(value) is int
        content[names.get(key, key)] = float(value) if is_number else value
    return content


def media_bytes(kind: MediaKind, media_metadata: str | None, submit_as: SubmitAs = SubmitAs.JSON) -> int:
    """Return what the media metadata of ONE object adds to a manifest as it is sent, exactly; of a unit, take the sum.

    Args:
        kind: of the object's unit.
        media_metadata: its canonical JSON text in neutral names, as in the plan; None: nothing is known of it.
        submit_as: the form in which it would be sent.

    Raises:
        ValueError: it is not JSON.
    """
    block = media_block(kind, submit_as)
    if block is None or media_metadata is None:
        return 0
    pattern, added = _plain(kind, submit_as)
    found = pattern.fullmatch(media_metadata)
    if found is not None:
        is_typed = submit_as is SubmitAs.DATA_ITEMS
        return len(media_metadata) + added + sum(_growth(number, is_typed=is_typed) for number in found.groups())
    content = typed_content(block, media_metadata) if submit_as is SubmitAs.DATA_ITEMS else None
    if content is None:
        names = block.names(submit_as)
        content = {names.get(key, key): value for key, value in json.loads(media_metadata).items()}
    return len(json.dumps({block.key: content})) - len("{}") + len(_SEPARATOR)


@cache
def _renamed(kind: MediaKind, submit_as: SubmitAs) -> tuple[tuple[str, str], ...]:
    block = media_block(kind, submit_as)
    assert block is not None
    names = block.names(submit_as)
    return tuple((f'"{neutral}":', f'"{name}":') for neutral, name in names.items() if neutral != name)


_WHOLE_NUMBER: Final = "(?:0|[1-9][0-9]{0,17})"
_PLAIN_VALUES: Final = {
    JsonType.NUMBER: rf"({_WHOLE_NUMBER}(?:\.[0-9]+)?)",
    JsonType.INTEGER: _WHOLE_NUMBER,
    JsonType.STRING: r'"[ !#-\[\]-~]*"',
}


@cache
def _plain(kind: MediaKind, submit_as: SubmitAs) -> tuple[re.Pattern[str], int]:
    """Return how a plain block is recognised, and how much longer it is when it is sent, besides the growth of its numbers.

    The groups of the pattern are those numbers that may be fractional.
    """
    block = media_block(kind, submit_as)
    assert block is not None
    if any(one.of not in _PLAIN_VALUES for one in block.fields.values()):
        return re.compile(r"(?!)"), 0
    pairs = (f'"{neutral}":{_PLAIN_VALUES[one.of]}' for neutral, one in block.fields.items())
    names = block.names(submit_as)
    longer = sum(len(name) - len(neutral) for neutral, name in names.items())
    blanks = 2 * len(names) - 1
    return re.compile(rf"\{{{','.join(pairs)}\}}"), longer + blanks + len(f'"{block.key}": , ')


def _growth(number: str, *, is_typed: bool) -> int:
    """Return how much longer a number is when Python has read and written it."""
    return len(repr(float(number))) - len(number) if is_typed or "." in number else 0
