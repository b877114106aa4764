"""What Encord is told of units besides where they are: the keys ``metadata``, ``metadata_schema`` and ``dataset`` of a source.

What does not belong here: reading tables and objects (``facts``), comparing with Encord's schema (``submission``), and rules
that span several keys of a source (``metadata_checks.py``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from registration_pipeline.limits import EMBEDDING_SIZES, MAX_ENUM_VALUES
from registration_pipeline.settings.addresses import parse_location
from registration_pipeline.settings.expressions import expression_problem
from registration_pipeline.settings.values import Name, Switch, WholeNumber, YamlModel

OWN_PREFIX: Final = "registration."
"""Of the client metadata that the pipeline writes itself: where a unit comes from. No other entry may write such keys."""

ENCORD_KEY: Final = "$encord"
"""Of the client metadata with embeddings and key frames of a video."""

TABLE_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
"""Of tables; the suffix says how one is read."""

FRAME_COLUMN: Final = "frame"
"""The column of a table of key frames that numbers them, unless the entry names it as its key or among its columns."""

MEDIA_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tiff", ".tif"),
    *(".mp4", ".mov", ".webm", ".mkv", ".mp3", ".wav", ".flac"),
    *(".pdf", ".nii", ".nii.gz", ".dcm", ".dicom"),
)
"""Of media that can't be JSON: a sidecar with one of them would leave all such objects out. A test compares them with the
table of kinds."""

TEXT_SUFFIXES: Final = (".txt", ".html", ".htm", ".json", ".xml", ".md")
"""Of media that are text; a sidecar may have one of them."""

_FIELD_NAME: Final = re.compile(r"[A-Za-z0-9 ._-]+")
"""Encord's metadata schema: letters, digits, space, ``-``, ``_``, ``.``; checked by the SDK."""

_SEPARATORS: Final = re.compile(r"[ ._-]+")

_RESERVED: Final = frozenset({"", "keyframes"})
"""What the SDK refuses as a key of the schema; it compares without separators, so that ``key-frames`` is refused as well."""

_MOST_PATTERN: Final = 1_000
"""Characters of a regular expression."""


class TableMatch(StrEnum):
    """How a table's column names an object."""

    KEY = "key"
    PATH = "path"
    URL = "url"
    NAME = "name"


class KeyframeMode(StrEnum):
    """What the numbers of key frames count."""

    FRAME = "frame"
    SECONDS = "seconds"


class MediaMetadata(StrEnum):
    """Whether headers of media are read."""

    OFF = "off"
    PROBE = "probe"


class SubmitAs(StrEnum):
    """In which of Encord's two forms manifests are sent."""

    JSON = "json"
    DATA_ITEMS = "data_items"


class FieldKind(StrEnum):
    """The type of a field of the metadata schema, in the words of ``metadata_schema``."""

    BOOLEAN = "boolean"
    DATETIME = "datetime"
    NUMBER = "number"
    UUID = "uuid"
    VARCHAR = "varchar"
    TEXT = "text"
    GEOSPATIAL = "geospatial"
    ENUM = "enum"
    EMBEDDING = "embedding"


def field_name_problem(name: str) -> str | None:
    """Return why Encord does not accept a name as a key of its metadata schema, or None."""
    if name.startswith(OWN_PREFIX):
        return f"begins with {OWN_PREFIX}, which is kept for what the pipeline writes itself; choose another name"
    if not _FIELD_NAME.fullmatch(name) or _SEPARATORS.sub("", name) in _RESERVED:
        return "is not a name that Encord accepts: letters, digits, space, '-', '_' and '.', and not keyframes"
    return None


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would read true as 1
        raise ValueError("must be a number, 0 or more")  # noqa: TRY004 - pydantic wants a ValueError
    return value


class KeyframeConfig(YamlModel):
    """``$encord.config``: what the frames of a table of key frames mean.

    Args:
        sampling_rate: key frames a second that Encord takes itself; 0 and more.
        keyframe_mode: what the column ``frame`` counts.
    """

    sampling_rate: Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)] = 1.0
    keyframe_mode: KeyframeMode = KeyframeMode.FRAME


def _pattern(text: str) -> str:
    if "(?P<" not in text:
        raise ValueError("must be a regular expression with named groups, e.g. 'site-(?P<site>[a-z]+)/'")
    if len(text) > _MOST_PATTERN:
        raise ValueError(f"is a regular expression of more than {_MOST_PATTERN:,} characters; write it shorter")
    if (problem := expression_problem(text)) is not None:
        raise ValueError(problem)
    return text


def _table(text: str) -> str:
    if not text.endswith(TABLE_SUFFIXES):
        raise ValueError(f"must end in {', '.join(TABLE_SUFFIXES[:-1])} or {TABLE_SUFFIXES[-1]}")
    if "**" in text:
        raise ValueError("holds **, which has no meaning here: * means any text without a slash")
    if "\0" in text:
        raise ValueError("a path can't hold a zero byte")
    if "://" in text:
        _table_address(text)
    return text


def _table_address(text: str) -> None:
    location = parse_location(text)
    name = location.prefix or (location.path.name if location.path is not None else "")
    if not name or name in TABLE_SUFFIXES:
        raise ValueError("names a bucket without a file; write scheme://bucket/folder/labels.parquet")


def _sidecar(text: str) -> str:
    if "/" in text:
        raise ValueError("is added to the key of an object, and can't hold a slash")
    taken = [suffix for suffix in MEDIA_SUFFIXES if suffix.endswith(text.lower())]
    taken += [suffix for suffix in TEXT_SUFFIXES if suffix.endswith(text.lower()) and suffix != text.lower()]
    if taken:
        raise ValueError(
            f"is also the end of {taken[0]}: objects of that type would count as sidecars; use e.g. .metadata.json"
        )
    return text


def _prefix(text: str) -> str:
    if text and (problem := field_name_problem(text + "x")) is not None:
        raise ValueError(f"makes names of which each {problem}")
    return text


_WAYS: Final = ("pattern", "table", "sidecar", "object_metadata")
_OF_TABLES: Final = ("key", "matches", "columns", "config")


class MetadataEntry(YamlModel):
    """One source of client metadata: exactly one of ``pattern``, ``table``, ``sidecar`` and ``object_metadata``.

    Args:
        pattern: regular expression searched in the key below the prefix; its named groups become values.
        table: path or URL of one or several files (``*`` stands for any text without a slash); relative to registration.yaml.
        key: of a table: the column that names the object.
        matches: of a table: what that column holds.
        columns: of a table: which columns are values; empty: all but ``key`` (and ``frame``). With ``frame`` among them the
            table is not one of key frames.
        config: of a table of key frames.
        sidecar: the suffix of the object that holds another object's values as JSON.
        object_metadata: true: the store's own metadata and tags.
        prefix: written before the names of all values.
    """

    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    table: Annotated[str, Field(min_length=1), AfterValidator(_table)] | None = None
    key: Name | None = None
    matches: TableMatch = TableMatch.KEY
    columns: tuple[Name, ...] = ()
    config: KeyframeConfig | None = None
    sidecar: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_sidecar)] | None = None
    object_metadata: Switch = False
    prefix: Annotated[str, AfterValidator(_prefix)] = ""

    @model_validator(mode="after")
    def _is_one_thing(self) -> MetadataEntry:
        given = [name for name in _WAYS if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"must have one of {', '.join(_WAYS)}, and has {' and '.join(given) or 'none'}")
        if self.table is None and (extra := [name for name in _OF_TABLES if name in self.model_fields_set]):
            raise ValueError(f"has {extra[0]}, which belongs to a table; remove it")
        if self.table is not None and self.key is None:
            raise ValueError("lacks key: the column of the table that names the object")
        return self


class FieldType(YamlModel):
    """The type of one field of the metadata schema: in the file a word, ``{enum: [a, b]}`` or ``{embedding: 512}``.

    Args:
        kind: which type.
        values: of an enum: its options.
        size: of an embedding: how many numbers it has.
    """

    kind: FieldKind
    values: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    size: WholeNumber | None = None

    def __str__(self) -> str:
        """As messages and tables name it: ``number``, ``enum of 2`` or ``embedding of 512``."""
        count = {FieldKind.ENUM: len(self.values), FieldKind.EMBEDDING: self.size}.get(self.kind)
        return self.kind.value if count is None else f"{self.kind} of {count}"

    @model_validator(mode="before")
    @classmethod
    def _from_the_file(cls, written: Any) -> Any:
        if isinstance(written, dict) and isinstance(written.get("kind"), FieldKind):
            return written  # made in Python; what is in a file never is of that class
        if isinstance(written, str) and written in _WORDS:
            return {"kind": written}
        if isinstance(written, dict) and len(written) == 1:
            if "enum" in written:
                return {"kind": FieldKind.ENUM, "values": _options(written["enum"])}
            if "embedding" in written:
                return {"kind": FieldKind.EMBEDDING, "size": _size(written["embedding"])}
        raise ValueError(f"must be {', '.join(_WORDS)}, {{enum: [one, two]}} or {{embedding: 512}}")


_WORDS: Final = tuple(kind.value for kind in FieldKind if kind not in {FieldKind.ENUM, FieldKind.EMBEDDING})


def _options(written: Any) -> list[str]:
    if not isinstance(written, list) or not written or not all(isinstance(one, str) and one for one in written):
        raise ValueError("must have a list of texts as its enum; put options such as 1, true and 2026-01-31 in quotes")
    if not all(map(_is_storable, written)):
        raise ValueError("has an option with a zero byte or half a character, which no database takes; remove it")
    if len(written) > MAX_ENUM_VALUES:
        raise ValueError(f"has {len(written):,} options: Encord accepts {MAX_ENUM_VALUES} in an enum")
    if len(set(written)) != len(written):
        raise ValueError("has an option twice")
    return written


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _size(written: Any) -> int:
    if isinstance(written, str) and re.fullmatch(r"[1-9][0-9]{0,3}", written):
        return _size(int(written))  # in quotes, or from the environment
    if isinstance(written, bool) or not isinstance(written, int) or written not in EMBEDDING_SIZES:
        raise ValueError(
            f"must have a size from {EMBEDDING_SIZES[0]} to {EMBEDDING_SIZES[-1]:,}, e.g. {{embedding: 512}}"
        )
    return written


def _schema_name(name: str) -> str:
    if (problem := field_name_problem(name)) is not None:
        raise ValueError(f"{name!r} {problem}")
    return name


MetadataSchema = dict[Annotated[str, AfterValidator(_schema_name)], FieldType]


def _title(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError("must be a line of text without spaces at its ends")
    return text


class DatasetSettings(YamlModel):
    """The dataset in Encord that registered items are linked to.

    Args:
        title: of the first one; the next are ``<title> 2``, ``<title> 3``…
        max_items: of one dataset, after which the next one is begun.
    """

    title: Annotated[str, Field(min_length=1, max_length=250), AfterValidator(_title)]
    max_items: Annotated[WholeNumber, Field(ge=1)] = 100_000
