"""What objects are and which of them become one unit: the keys ``kinds``, ``groups`` and ``title`` of a source.

What does not belong here: applying them to a bucket (``planning``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from registration_pipeline.limits import MAX_URLS
from registration_pipeline.objects import MediaKind
from registration_pipeline.settings.expressions import expression_problem
from registration_pipeline.settings.values import MOST_SECONDS, Glob, WholeNumber, YamlModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OBJECT_FIELDS: Final = ("key", "path", "name", "stem", "parent")
"""What every title may hold: the whole key; the key below the prefix; its last part, with and without suffix; the rest of the
path. In a unit of several objects they are those of the first one."""

HEADER_FIELDS: Final = ("study", "series", "modality")
"""What titles of DICOM series that are grouped by headers may hold besides. Never anything about a patient."""

FRAME: Final = "frame"
"""The named group that orders the objects of a unit; it does not name the unit."""

_MOST_PATTERN: Final = 1_000
"""Characters of a regular expression."""


class ObjectKind(StrEnum):
    """What one object can be, in the words of ``kinds``."""

    IMAGES = "images"
    VIDEOS = "videos"
    AUDIO = "audio"
    PDFS = "pdfs"
    TEXT = "text"
    NIFTI = "nifti"
    DICOM = "dicom"

    @property
    def media_kind(self) -> MediaKind:
        """The kind of the unit that it becomes or is a part of."""
        return MediaKind.DICOM_SERIES if self is ObjectKind.DICOM else MediaKind(self.value)


class GroupKind(StrEnum):
    """What a group rule makes of its objects."""

    IMAGE_GROUP = "image_group"
    IMAGE_SEQUENCE = "image_sequence"
    DICOM_SERIES = "dicom_series"

    @property
    def media_kind(self) -> MediaKind:
        """The kind of the unit."""
        return _MEDIA_KINDS[self]


_MEDIA_KINDS: Final = {
    GroupKind.IMAGE_GROUP: MediaKind.IMAGE_GROUP,
    GroupKind.IMAGE_SEQUENCE: MediaKind.IMAGE_SEQUENCE,
    GroupKind.DICOM_SERIES: MediaKind.DICOM_SERIES,
}


class Grouping(StrEnum):
    """How a rule finds which objects belong together."""

    DIRECTORY = "directory"
    HEADERS = "headers"
    PATTERN = "pattern"


def _by(text: str) -> str:
    if text in {Grouping.DIRECTORY, Grouping.HEADERS}:
        return text
    if "(?P<" not in text:
        raise ValueError(
            "must be directory, headers, or a regular expression with named groups such as '(?P<clip>[^/]+)/'"
        )
    if len(text) > _MOST_PATTERN:
        raise ValueError(f"is a regular expression of more than {_MOST_PATTERN:,} characters; write it shorter")
    if (problem := expression_problem(text)) is not None:
        raise ValueError(problem)
    names = re.compile(text).groupindex
    if not set(names) - {FRAME}:
        raise ValueError("has no named group besides frame; at least one must name the unit, e.g. '(?P<clip>[^/]+)/'")
    reserved = sorted(set(names) & {*OBJECT_FIELDS})
    if reserved:
        raise ValueError(f"has a named group {reserved[0]}, which titles have a meaning for already; rename it")
    return text


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _template(text: str) -> str:
    for name in title_fields(text):
        if not name.isidentifier():
            raise ValueError("has a { or } that is not part of a name such as {key}; write {{ or }} for the character")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def title_fields(template: str) -> tuple[str, ...]:
    """Return the names in a title template, in their order.

    Raises:
        ValueError: it has a lone brace, or more than a name in braces.
    """
    return tuple(_fields(template))


def _fields(template: str) -> Iterator[str]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("has a lone { or }; write {{ or }} for the character itself") from None
    for _, name, form, conversion in parsed:
        if name is None:
            continue
        if form or conversion:
            raise ValueError(f"has more than a name in braces: write {{{name}}}")
        yield name


Template = Annotated[str, AfterValidator(_template)]


class KindRule(YamlModel):
    """What the objects are that a pattern matches.

    Args:
        match: a glob on the key below the prefix.
        kind: what they are, whatever their suffix says.
    """

    match: Glob
    kind: ObjectKind


class GroupRule(YamlModel):
    """Which objects become one unit.

    Args:
        match: globs on the key below the prefix; the first rule that matches an object takes it.
        kind: ``as`` in the file: what the unit is.
        by: ``directory``, ``headers``, or a regular expression on the key below the prefix.
        title: template; None: the directory, the values of the named groups, or the SeriesInstanceUID.
        complete_after_seconds: a unit is planned when its youngest object is this old; None: ``min_age_seconds``.
        expect_objects: a unit is planned with exactly this many objects; None: with any number.
    """

    match: Annotated[tuple[Glob, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
    kind: Annotated[GroupKind, Field(alias="as")]
    by: Annotated[str, AfterValidator(_by)]
    title: Template | None = None
    complete_after_seconds: Annotated[WholeNumber, Field(ge=0, le=MOST_SECONDS)] | None = None
    expect_objects: Annotated[WholeNumber, Field(ge=1, le=MAX_URLS)] | None = None

    @property
    def grouping(self) -> Grouping:
        """How the objects of a unit are found."""
        return Grouping(self.by) if self.by in {Grouping.DIRECTORY, Grouping.HEADERS} else Grouping.PATTERN

    @property
    def names(self) -> tuple[str, ...]:
        """The named groups that name the unit, in the order of the expression; empty unless ``by`` is one."""
        return (
            ()
            if self.grouping is not Grouping.PATTERN
            else tuple(name for name in re.compile(self.by).groupindex if name != FRAME)
        )

    @model_validator(mode="after")
    def _fits_together(self) -> GroupRule:
        if self.grouping is Grouping.HEADERS and self.kind is not GroupKind.DICOM_SERIES:
            raise ValueError("by: headers is for as: dicom_series; use directory or a regular expression")
        known = {*OBJECT_FIELDS, *self.names, *(HEADER_FIELDS if self.grouping is Grouping.HEADERS else ())}
        unknown = [name for name in title_fields(self.title or "") if name not in known]
        if unknown:
            raise ValueError(f"the title has {{{unknown[0]}}}; known here: " + ", ".join(sorted(known)))
        return self


DEFAULT_DICOM_RULE: Final = GroupRule.model_validate({"match": "**", "as": "dicom_series", "by": "headers"})
"""What becomes of DICOM objects that no rule takes."""


def asks_for_headers(rules: Iterable[GroupRule]) -> bool:
    """Return whether a rule says ``by: headers``. Without one, headers are read where DICOM objects turn up."""
    return any(rule.grouping is Grouping.HEADERS for rule in rules)


def source_title(text: str) -> str:
    """Return the title template of units of one object.

    Raises:
        ValueError: it is not a template, or names something that an object does not have.
    """
    unknown = [name for name in title_fields(_template(text)) if name not in OBJECT_FIELDS]
    if unknown:
        raise ValueError(f"has {{{unknown[0]}}}; known here: {', '.join(OBJECT_FIELDS)}")
    return text
