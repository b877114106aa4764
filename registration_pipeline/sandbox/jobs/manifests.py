"""Reads the ``externalFiles`` form of an upload job strictly: every key, limit and type, the first violation ends it.

The keys are those that Encord's registration pages print for the JSON upload file. A real server may ignore a key that
it does not know, or accept ``null`` for a key that is not there; here both are refused, because what is silently ignored
is a rehearsal that proves nothing. The pipeline's own validation is another reading of the same pages; a test holds
that the two agree.

What does not belong here: duplicates, planted failures, and whether an object exists.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from hashlib import sha256
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

from registration_pipeline.sandbox.jobs.client_metadata import encord_refusal
from registration_pipeline.sandbox.jobs.media_names import MediaNames

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES = 10_000
"""Entries per upload job (Encord's best-practices page, Enterprise)."""
MAX_URLS = 1_000_000
"""URLs per JSON file (Encord's page on registering cloud data)."""
MAX_URL_BYTES = 16_384
"""URL: 16 KB (Encord's page on registering cloud data)."""
MAX_TITLE_CHARACTERS = 300
"""Data file names: 300 characters (Encord's page on registering cloud data)."""
MAX_CLIENT_METADATA_BYTES = 10_000_000
"""Client metadata: 10 MB per item (Encord's page on client metadata)."""
MAX_SEQUENCE_IMAGES = 32_767
"""Images in an image sequence (Encord's page on registering cloud data)."""

_WHOLE_NUMBERS = range(-(2**63), 2**63)
"""What a database column for whole numbers holds."""

_FLAGS = ("skip_duplicate_urls", "upsert_metadata")
_TIFF_SUFFIXES = (".tif", ".tiff")
_FRAME_KEY = re.compile(r"objectUrl_(0|[1-9][0-9]*)")
_SCHEME_CHARACTERS = frozenset(ascii_letters + digits + "+-.")


class ManifestRefusedError(Exception):
    """The ``externalFiles`` object breaks a rule; the text names place and rule."""


@dataclass(frozen=True, slots=True)
class KindRules:
    """What one top-level list may hold: its item keys, its media block, and what its units become."""

    item_type: str
    action: str
    keys: frozenset[str]
    grouped: bool = False
    media_block: str | None = None
    media_fields: dict[str, str] = field(default_factory=dict)
    """Wire name of the item field by every accepted spelling of the metadata field."""


def _spellings(*names: str) -> dict[str, str]:
    # Encord's pages print some blocks in snake_case and some in camelCase, so both are accepted.
    both: dict[str, str] = {}
    for name in names:
        head, *rest = name.split("_")
        camel = head + "".join(word.capitalize() for word in rest)
        both[name] = both[camel] = camel
    return both


_TEXT_FIELDS = frozenset({"mimeType", "codec"})
_FRACTION_FIELDS = frozenset({"fps", "duration", "durationSeconds"})
_SINGLE = frozenset({"objectUrl", "title", "clientMetadata"})
_GROUP = frozenset({"title", "createVideo", "clientMetadata"})
_FILE = ("file_size", "mime_type")

KINDS: dict[str, KindRules] = {
    "videos": KindRules(
        "video", "Registering video", _SINGLE | {"createVideo"}, media_block="videoMetadata",
        media_fields=_spellings("fps", "duration", "width", "height", *_FILE),
    ),
    "images": KindRules(
        "image", "Registering image", _SINGLE | {"createVideo"}, media_block="imageMetadata",
        media_fields=_spellings("width", "height", *_FILE),
    ),
    "audio": KindRules(
        "audio", "Registering audio", _SINGLE, media_block="audioMetadata",
        media_fields=_spellings(
            "duration_seconds", "sample_rate", "bit_depth", "codec", "num_channels", *_FILE
        ),
    ),
    "pdfs": KindRules(
        "pdf", "Registering PDF", _SINGLE, media_block="pdfMetadata", media_fields=_spellings("num_pages", *_FILE[:1])
    ),
    "text": KindRules(
        "plainText", "Registering text", _SINGLE, media_block="textMetadata", media_fields=_spellings(*_FILE)
    ),
    # Encord's page prints no clientMetadata for NIfTI.
    "nifti": KindRules("nifti", "Registering NIfTI", _SINGLE - {"clientMetadata"}),
    "image_groups": KindRules("imageGroup", "Registering image group", _GROUP, grouped=True),
    "dicom_series": KindRules("dicomSeries", "Registering DICOM series", _GROUP, grouped=True),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedUnit:
    """One unit as it was submitted.

    Args:
        kind: top-level key it was listed under.
        item_type: what it becomes.
        title: given, or the last part of the first URL.
        urls: one, or the frames of a group in order.
        client_metadata: JSON text, None if none was given.
        media: media metadata by camelCase name; None if none was given.
        members: of a unit of several objects in the typed form: that of each object.
    """

    kind: str
    item_type: str
    title: str
    urls: list[str]
    client_metadata: str | None = None
    media: dict[str, Any] | None = None
    members: list[dict[str, Any] | None] | None = None

    @property
    def has_media(self) -> bool:
        """Whether Encord need not read any object of it."""
        return self.media is not None or (bool(self.members) and None not in (self.members or ()))

    @property
    def identity(self) -> str:
        """What duplicates are recognised by: the URL, or a digest of all URLs of a group."""
        if not KINDS[self.kind].grouped:
            return self.urls[0]
        return "group:" + sha256("\n".join(self.urls).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalFiles:
    """A valid upload specification. ``notes`` are remarks for the operator of the sandbox."""

    units: list[SubmittedUnit]
    skip_duplicate_urls: bool
    upsert_metadata: bool
    notes: list[str]


def parse_external_files(
    document: dict[str, Any], *, lenient: bool = False, media_names: MediaNames = MediaNames.ANY
) -> ExternalFiles:
    """Validate and read an ``externalFiles`` object.

    Args:
        document: parsed JSON.
        lenient: ignore unknown keys instead of refusing them.
        media_names: which names of media metadata are read; others are checked and then ignored.

    Raises:
        ManifestRefusedError: at the first violation.
    """
    unknown = [key for key in document if key not in KINDS and key not in _FLAGS]
    if unknown and not lenient:
        _refuse(f"unknown key {unknown[0]!r} in externalFiles; known: {', '.join([*KINDS, *_FLAGS])}")
    flags = {name: document.get(name, False) for name in _FLAGS}
    for name, value in flags.items():
        if not isinstance(value, bool):
            _refuse(f"externalFiles.{name} must be true or false")
    listed = {kind: document.get(kind, []) for kind in KINDS}
    for kind, entries in listed.items():
        if not isinstance(entries, list):
            _refuse(f"externalFiles.{kind} must be a list")
    if sum(map(len, listed.values())) > MAX_ENTRIES:
        _refuse(f"{sum(map(len, listed.values()))} entries in one upload job; the limit is {MAX_ENTRIES}")
    notes: list[str] = []
    units = [
        _Entry(kind, index, entry, lenient=lenient, media_names=media_names, notes=notes).unit()
        for kind, entries in listed.items()
        for index, entry in enumerate(entries)
    ]
    urls = sum(len(unit.urls) for unit in units)
    if urls > MAX_URLS:
        _refuse(f"{urls} URLs in one upload job; the limit is {MAX_URLS}")
    return ExternalFiles(units=units, notes=sorted(set(notes)), **flags)


def _refuse(message: str) -> NoReturn:
    raise ManifestRefusedError(message)


def _is_blank_or_control(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cc"


def _is_absolute(url: str) -> bool:
    scheme, colon, rest = url.partition("://")
    return bool(colon and rest and scheme and scheme[0] in ascii_letters) and set(scheme) <= _SCHEME_CHARACTERS


def _texts(value: object) -> Iterator[str]:
    """Every key and text in parsed JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for below in value:
            yield from _texts(below)


def _encodable(where: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        _refuse(f"{where} holds half of a surrogate pair")


def checked_metadata(where: str, metadata: object) -> str:
    """Client metadata as JSON text.

    Raises:
        ManifestRefusedError: it is none that can be kept.
    """
    if not isinstance(metadata, dict):
        _refuse(f"{where} must be an object")
    try:
        text = json.dumps(metadata)
        # Only an escape can hide what jsonb does not accept, so most metadata is not searched.
        texts = list(_texts(metadata)) if "\\u" in text else []
    except RecursionError:
        _refuse(f"{where} is nested too deep")
    if len(text) > MAX_CLIENT_METADATA_BYTES:
        _refuse(f"{where} is longer than {MAX_CLIENT_METADATA_BYTES} bytes")
    for part in texts:
        _encodable(where, part)
        if "\0" in part:
            _refuse(f"{where} holds U+0000, which PostgreSQL's jsonb does not")
    refusal = encord_refusal(metadata)
    if refusal is not None:
        _refuse(f"{where}.{refusal}")
    return text


class _Entry:
    """One entry of one list, with its place for messages."""

    def __init__(
        self, kind: str, index: int, entry: object, *, lenient: bool, media_names: MediaNames, notes: list[str]
    ) -> None:
        self.kind, self.rules, self.where = kind, KINDS[kind], f"externalFiles.{kind}[{index}]"
        if not isinstance(entry, dict):
            _refuse(f"{self.where} must be an object")
        self.entry: dict[str, Any] = entry
        self.lenient, self.media_names, self.notes = lenient, media_names, notes

    def unit(self) -> SubmittedUnit:
        rules, entry = self.rules, self.entry
        self._check_keys()
        urls = self._frames() if rules.grouped else [self._url("objectUrl")]
        if not isinstance(entry.get("createVideo", False), bool):
            _refuse(f"{self.where}.createVideo must be true or false")
        return SubmittedUnit(
            kind=self.kind,
            item_type=self._item_type(urls),
            title=self._title(urls[0]),
            urls=urls,
            client_metadata=self._client_metadata(),
            media=self._media(),
        )

    def _item_type(self, urls: list[str]) -> str:
        if self.kind != "image_groups":
            return self.rules.item_type
        # The pages say that createVideo decides between group and sequence, and that it defaults to true: a group that
        # leaves it out becomes what was not meant, and that is seen only in Encord.
        if "createVideo" not in self.entry and not self.lenient:
            _refuse(f"{self.where}.createVideo is missing: false makes a group of the images, true a sequence")
        if not self.entry.get("createVideo", True):
            return self.rules.item_type
        if len(urls) > MAX_SEQUENCE_IMAGES:
            _refuse(f"{self.where} lists {len(urls)} images; a sequence accepts {MAX_SEQUENCE_IMAGES}")
        for position, url in enumerate(urls):
            if url.partition("?")[0].partition("#")[0].lower().endswith(_TIFF_SUFFIXES):
                _refuse(f"{self.where}.objectUrl_{position} is a TIFF; a sequence accepts none")
        return "imageSequence"

    def _check_keys(self) -> None:
        for key in self.entry:
            if key in self.rules.keys or key == self.rules.media_block:
                continue
            if self.rules.grouped and _FRAME_KEY.fullmatch(key):
                continue
            if not self.lenient:
                _refuse(f"unknown key {key!r} in {self.where}")

    def _url(self, key: str) -> str:
        url = self.entry.get(key)
        if not isinstance(url, str) or not url:
            _refuse(f"{self.where}.{key} must be a URL")
        if len(self._encodable(key, url)) > MAX_URL_BYTES:
            _refuse(f"{self.where}.{key} is longer than {MAX_URL_BYTES} bytes")
        if (" " in url or not url.isprintable()) and any(map(_is_blank_or_control, url)):
            _refuse(f"{self.where}.{key} holds whitespace or a control character; percent-encode it")
        if not _is_absolute(url):
            _refuse(f"{self.where}.{key} must be an absolute URL")
        return url

    def _frames(self) -> list[str]:
        frames = [f"objectUrl_{position}" for position in range(sum(map(bool, map(_FRAME_KEY.fullmatch, self.entry))))]
        if not frames or not all(frame in self.entry for frame in frames):
            _refuse(f"{self.where} needs objectUrl_0, objectUrl_1, … without a gap")
        urls = [self._url(frame) for frame in frames]
        if len(set(urls)) < len(urls):
            seen: dict[str, str] = {}
            for frame, url in zip(frames, urls, strict=True):
                if seen.setdefault(url, frame) != frame:
                    _refuse(f"{self.where}.{frame} is the same URL as {seen[url]}")
        return urls

    def _title(self, url: str) -> str:
        title = self.entry.get("title")
        if "title" not in self.entry:
            if self.rules.grouped:
                _refuse(f"{self.where}.title is missing")
            return unquote(url.rstrip("/").rsplit("/", 1)[-1])[:MAX_TITLE_CHARACTERS]
        if not isinstance(title, str) or not title:
            _refuse(f"{self.where}.title must be a string that is not empty")
        if len(title) > MAX_TITLE_CHARACTERS:
            _refuse(f"{self.where}.title is longer than {MAX_TITLE_CHARACTERS} characters")
        self._encodable("title", title)
        return title

    def _encodable(self, key: str, text: str) -> bytes:
        return _encodable(f"{self.where}.{key}", text)

    def _client_metadata(self) -> str | None:
        if "clientMetadata" not in self.entry:
            return None
        return checked_metadata(f"{self.where}.clientMetadata", self.entry["clientMetadata"])

    def _media(self) -> dict[str, Any] | None:
        block = self.rules.media_block
        if block is None or block not in self.entry:
            return None
        given = self.entry[block]
        if not isinstance(given, dict):
            _refuse(f"{self.where}.{block} must be an object")
        media: dict[str, Any] = {}
        for key, value in given.items():
            name = self.rules.media_fields.get(key)
            if name is not None:
                self._check_media_value(key, name, value)
                if self.media_names.reads(key):
                    media[name] = value
                self._note_casing(key, name)
            elif not self.lenient:
                _refuse(f"unknown key {key!r} in {self.where}.{block}")
        return media if media or not given else None

    def _check_media_value(self, key: str, name: str, value: object) -> None:
        where = f"{self.where}.{self.rules.media_block}.{key}"
        if name in _TEXT_FIELDS:
            if not isinstance(value, str):
                _refuse(f"{where} must be a string")
        elif isinstance(value, bool) or not isinstance(value, (int, float) if name in _FRACTION_FIELDS else int):
            _refuse(f"{where} must be a {'' if name in _FRACTION_FIELDS else 'whole '}number")
        elif isinstance(value, int) and value not in _WHOLE_NUMBERS:
            _refuse(f"{where} is a whole number of more than 64 bits")

    def _note_casing(self, key: str, name: str) -> None:
        if "_" in key or name != key.lower():
            casing = "snake_case" if "_" in key else "camelCase"
            self.notes.append(f"{self.rules.media_block} uses {casing} ({key}); which casing Encord reads is not known")
