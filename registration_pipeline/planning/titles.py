"""The titles of units: from the templates of a source, unique within it, and never longer than Encord accepts.

What does not belong here: what may stand in a template (``settings/units.py``) and where the key of a shortened title is
kept (the plan's client metadata).
"""

from __future__ import annotations

import json
import unicodedata
from string import Formatter
from typing import TYPE_CHECKING, Final, NamedTuple

from registration_pipeline.globs import NO_INCLUDE_MATCHES, KeyRules
from registration_pipeline.limits import MAX_TITLE_CHARACTERS
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.kinds import suffix_of
from registration_pipeline.settings.units import HEADER_FIELDS, OBJECT_FIELDS, Grouping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.settings.units import GroupRule

KEPT_KEY: Final = "registration.key"
"""Where the client metadata hold the key of a unit whose title was shortened."""

_WHOLE_KEY: Final = "{key}"
_UNIQUE: Final = frozenset({"key", "path"})
"""Fields that no two units have in common: an object is in one unit only."""
_DEFAULTS: Final = {Grouping.DIRECTORY: "{parent}", Grouping.HEADERS: "{series}"}
_JOINER: Final = "\N{ZERO WIDTH JOINER}"


class Title(NamedTuple):
    """The title of a unit.

    Args:
        text: 1 to 300 characters.
        is_shortened: the template gave more than 300, so that the key has to be kept in the client metadata
            ``registration.key``, where the kind has any: Encord's JSON form has none for NIfTI (``kept_key``).
    """

    text: str
    is_shortened: bool = False


class ObjectTitles(NamedTuple):
    """The titles of many units of one object each, in columns: with the default template they are the keys.

    Args:
        texts: one per unit.
        shortened: the rows whose title ``is_shortened``.
    """

    texts: Sequence[str]
    shortened: Sequence[int]


class TitleWriter:
    """Writes the titles of a source's units.

    No two units of one kind have the same title: where a template does not ensure that, the unit's id follows in brackets.

    Args:
        source: its templates, and the rules that ``GroupRules`` has.
    """

    def __init__(self, source: SourceSettings) -> None:
        self._below_prefix = source.location.below_prefix
        self._of_objects = _Template(source.title, _UNIQUE)
        self._keeps_keys = source.title == _WHOLE_KEY
        rules = GroupRules(source).rules
        self._of_rules = [_RuleTemplate(rules, index) for index in range(len(rules))]

    def of_objects(self, keys: Sequence[str], unit_ids: Sequence[str]) -> ObjectTitles:
        """Return the titles of units of one object.

        Args:
            keys: whole keys.
            unit_ids: of the units, in the same order.
        """
        if self._keeps_keys and max(map(len, keys), default=0) <= MAX_TITLE_CHARACTERS:
            return ObjectTitles(keys, ())
        titles = list(map(self._of_object, keys, unit_ids))
        return ObjectTitles(
            [title.text for title in titles], [row for row, title in enumerate(titles) if title.is_shortened]
        )

    def of_group(
        self, rule: int, group_key: str, first_key: str, unit_id: str, header: Mapping[str, str] | None = None
    ) -> Title:
        """Return the title of a unit of several objects.

        Args:
            rule: index in ``GroupRules.rules``; if several rules fill the unit, the first of them.
            group_key: what names the unit.
            first_key: the whole key of its first object.
            unit_id: of the unit.
            header: ``study`` and ``modality`` of its first object, for units that are found by headers; what is missing is
                empty.
        """
        template = self._of_rules[rule]
        values = self._object_values(first_key) | dict(GroupRules.names_of(group_key))
        series = GroupRules.series_of(group_key)
        if series is not None:
            values |= dict.fromkeys(HEADER_FIELDS, "") | dict(header or {}) | {"series": series}
        text = template.render(values)
        return _title(text, unit_id, _name_of(text), is_unique=template.is_unique(text, values))

    def distinguished(self, title: Title, unit_id: str) -> Title:
        """Return the title with the unit's id, for a unit whose title another unit of its chunk has already."""
        if title.is_shortened or title.text.endswith(_suffix(unit_id)):
            return title
        return _title(title.text, unit_id, _name_of(title.text), is_unique=False)

    def _of_object(self, key: str, unit_id: str) -> Title:
        if self._keeps_keys:
            return Title(key) if len(key) <= MAX_TITLE_CHARACTERS else _shortened(_name_of(key), unit_id)
        values = self._object_values(key)
        text = self._of_objects.render(values)
        return _title(text, unit_id, values["name"], is_unique=self._of_objects.is_unique(text, values))

    def _object_values(self, key: str) -> dict[str, str]:
        path = self._below_prefix(key)
        parent, _, name = path.rpartition("/")
        stem = name[: len(name) - len(suffix_of(name))] or name
        return dict(zip(OBJECT_FIELDS, (key, path, name, stem, parent), strict=True))


def kept_key(key: str) -> str:
    """Return the client metadata of a unit whose title was shortened: the key of its (first) object, as canonical JSON."""
    return json.dumps({KEPT_KEY: key}, ensure_ascii=False, separators=(",", ":"))


def template_of(rule: GroupRule) -> str:
    """Return the template of a rule's units: its own, else the directory, the named groups, or the SeriesInstanceUID."""
    own = _DEFAULTS.get(rule.grouping) or "/".join(f"{{{name}}}" for name in rule.names)
    return rule.title if rule.title is not None else own


class _Template:
    """A template taken apart, and what makes its titles unique.

    Args:
        text: of the template.
        alone: fields of which one is enough.
        together: fields that are enough if all are there; none: that is not possible.
    """

    def __init__(self, text: str, alone: frozenset[str], together: Sequence[str] = ()) -> None:
        # Doubled braces have become single ones, in pieces without a field.
        self.literals, self.fields = [""], list[str]()
        for literal, field, _, _ in Formatter().parse(text):
            self.literals[-1] += literal
            if field is not None:
                self.fields.append(field)
                self.literals.append("")
        self._has_unique = not alone.isdisjoint(self.fields)
        self._has_all = bool(together) and set(together) <= set(self.fields)

    def render(self, values: Mapping[str, str]) -> str:
        parts = [self.literals[0]]
        for field, literal in zip(self.fields, self.literals[1:], strict=True):
            parts += (values[field], literal)
        return "".join(parts)

    def is_unique(self, text: str, values: Mapping[str, str]) -> bool:
        """Return whether no other values give the text."""
        return self._has_unique or (self._has_all and self._reads_back(text, values))

    def _reads_back(self, text: str, values: Mapping[str, str]) -> bool:
        """Return whether the values can be read from the text: each ends where the text between begins first.

        All titles that can be read back differ where their values do: reading gives one answer.
        """
        at = len(self.literals[0])
        for field, between in zip(self.fields[:-1], self.literals[1:-1], strict=True):
            end = at + len(values[field])
            if not between or text.find(between, at) != end:
                return False
            at = end + len(between)
        return True


class _RuleTemplate(_Template):
    """The template of a group rule, which must not give what that of another rule of the kind gives."""

    def __init__(self, rules: Sequence[GroupRule], index: int) -> None:
        rule = rules[index]
        own = _DEFAULTS.get(rule.grouping)
        super().__init__(template_of(rule), _UNIQUE | ({own.strip("{}")} if own else set()), rule.names)
        others = [
            (at, other) for at, other in enumerate(rules) if other.kind is rule.kind and not _is_same(rule, other)
        ]
        self._directories = [KeyRules(other.match) for _, other in others if _is_directory(other)]
        self._may_meet = any(
            at < index and self._can_equal(_Template(template_of(other), _UNIQUE))
            for at, other in others
            if not _is_directory(other)
        )
        self._may_meet &= not _is_directory(rule) and rule.grouping is not Grouping.HEADERS

    def is_unique(self, text: str, values: Mapping[str, str]) -> bool:
        if self._may_meet or not super().is_unique(text, values):
            return False
        return all(rules.folder_excluded_by(f"{text}/") == NO_INCLUDE_MATCHES for rules in self._directories)

    def _can_equal(self, other: _Template) -> bool:
        heads, tails = (self.literals[0], other.literals[0]), (self.literals[-1], other.literals[-1])
        return _begins(*heads) and _begins(tails[0][::-1], tails[1][::-1])


def _is_directory(rule: GroupRule) -> bool:
    return template_of(rule) == _DEFAULTS[Grouping.DIRECTORY] and rule.grouping is Grouping.DIRECTORY


def _is_same(rule: GroupRule, other: GroupRule) -> bool:
    """Return whether the same title of both is that of the same unit."""
    return (rule.grouping, set(rule.names), template_of(rule)) == (
        other.grouping,
        set(other.names),
        template_of(other),
    )


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _name_of(key: str) -> str:
    return key.rpartition("/")[2]


def _suffix(unit_id: str) -> str:
    return f" [{unit_id}]"


def _title(text: str, unit_id: str, name: str, *, is_unique: bool) -> Title:
    if not text.strip():
        text, is_unique = "", False
    if not is_unique:
        text = f"{text}{_suffix(unit_id)}".lstrip()
    return Title(text) if len(text) <= MAX_TITLE_CHARACTERS else _shortened(name, unit_id)


def _shortened(name: str, unit_id: str) -> Title:
    """Return the unit's id and the end of a name."""
    room = MAX_TITLE_CHARACTERS - len(unit_id) - 1
    start = max(len(name) - room, 0)
    while 0 < start < len(name) and _continues(name, start):
        start += 1
    tail = name[start:]
    return Title(f"{unit_id} {tail}" if tail else unit_id, is_shortened=True)


def _continues(text: str, at: int) -> bool:
    """Return whether a character is a part of the one before it, e.g. its accent, or the next part of a joined emoji."""
    is_part = unicodedata.category(text[at]).startswith("M") or "\U0001f3fb" <= text[at] <= "\U0001f3ff"
    return is_part or _JOINER in text[at - 1 : at + 1]
