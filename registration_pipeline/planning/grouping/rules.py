"""Which objects the group rules of a source take, which unit each belongs to, and its place in the unit's order.

What does not belong here: whether the unit can be planned, and where it goes; titles (``titles.py``); reading headers
(``facts``).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.globs import matcher
from registration_pipeline.ids import rules_digest
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.grouping.natural import comparable_number, natural
from registration_pipeline.planning.kinds import is_unplanned
from registration_pipeline.planning.warnings import Noted
from registration_pipeline.settings.units import DEFAULT_DICOM_RULE, FRAME, Grouping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.settings.units import GroupRule

_DIRECTORY: Final = "directory:"
_HEADERS: Final = "headers:"
_REGEX: Final = "regex:"

_MOST_FRAME_DIGITS: Final = 18
"""A whole number of as many digits fits 64 bits."""
_MOST_REMEMBERED: Final = 65_536
"""Units whose key is remembered for their next object."""
_FRAME: Final = re.compile("[0-9]+")
_NO_NAMES: Final[Mapping[str, str]] = {}


class Member(NamedTuple):
    """What a rule says of an object that it takes.

    Args:
        rule: index in ``GroupRules.rules``.
        group_key: what names the unit, together with its kind; None: only the header says it, or ``is_unnamed``.
        order: sorts bytewise as the objects of the unit do; those that give the same are sorted by key.
        frame: the number in the named group ``frame``; None: the rule has none, it is not a whole number in ASCII digits, or
            it has more than 18 digits.
        names: the named groups without ``frame``; one that took no part in the match is empty.
        is_unnamed: the rule's expression does not match the key: no unit can have the object.
    """

    rule: int
    group_key: str | None
    order: str
    frame: int | None = None
    names: Mapping[str, str] = _NO_NAMES
    is_unnamed: bool = False


class GroupRules:
    """The group rules of a source, compiled once, asked for every key of a bucket.

    The first rule decides whose ``match`` takes the object and whose kind fits: rules of images take images, rules of DICOM
    series take DICOM objects, and with ``by: headers`` also objects of which nothing else says what they are.

    Args:
        source: its rules.
    """

    def __init__(self, source: SourceSettings) -> None:
        self._source = source
        self._below_prefix = source.location.below_prefix
        self._rules = (*source.groups, DEFAULT_DICOM_RULE)
        takers = [_Taker(index, rule) for index, rule in enumerate(self._rules)]
        of_dicom = [taker for taker in takers if taker.kind is MediaKind.DICOM_SERIES]
        # The built-in rule takes DICOM objects only: it is not asked for objects of no known kind.
        self._takers: dict[MediaKind | None, list[_Taker]] = {
            MediaKind.IMAGE: [taker for taker in takers if taker.kind is not MediaKind.DICOM_SERIES],
            MediaKind.DICOM_SERIES: of_dicom,
            None: [taker for taker in of_dicom[:-1] if taker.rule.grouping is Grouping.HEADERS],
        }

    @property
    def rules(self) -> tuple[GroupRule, ...]:
        """The source's rules in their order; the last one is the built-in one for DICOM objects that no other takes."""
        return self._rules

    def applies(self) -> bool:
        """Return whether the source has rules of its own; if not, DICOM objects are the only members there can be."""
        return bool(self._source.groups)

    def members(
        self,
        keys: Sequence[str],
        kinds: Sequence[MediaKind | None],
        *,
        missed: dict[int, Noted] | None = None,
    ) -> list[Member | None]:
        """Return what the rules say of each object; None: it is a unit by itself, or nothing that can be planned.

        Args:
            keys: whole keys, in any order; neighbours of one directory are fastest.
            kinds: of the objects, in the same order, by ``kinds.KindFinder``.
            missed: gets, by rule, the images that its globs match and its expression does not: each is a unit by itself.
        """
        if not self._source.groups and MediaKind.DICOM_SERIES not in kinds:
            return [None] * len(keys)
        takers, below = self._takers, self._below_prefix
        found: list[Member | None] = []
        for key, kind in zip(keys, kinds, strict=True):
            candidates = takers.get(kind)
            member = _first(candidates, below(key), kind) if candidates else None
            if member is not None and member.is_unnamed and kind is MediaKind.IMAGE:
                if missed is not None:
                    missed.setdefault(member.rule, Noted()).add(key)
                member = None
            found.append(member)
        return found

    def needs_headers(self, member: Member) -> bool:
        """Return whether the object's header has to be read to know its unit."""
        return self._rules[member.rule].grouping is Grouping.HEADERS

    def digest(self) -> str:
        """Return the digest of the settings that decide about members, their units and their order, and of no others.

        The tables of suffixes are not in it: they only grow, and an object of a type that was unknown was never planned.
        """
        has_rules = bool(self._source.groups)
        # Without rules of the user's only what makes an object DICOM counts.
        kinds = self._source.kinds if has_rules or any(rule.kind == "dicom" for rule in self._source.kinds) else ()
        return rules_digest(
            {
                "directory_of_prefix": self._source.location.prefix[: self._source.location.prefix.rfind("/") + 1],
                "rules": [[list(rule.match), rule.kind.value, rule.by] for rule in self._rules],
                "kinds": [[rule.match, rule.kind.value] for rule in kinds],
            }
        )

    def digests(self) -> tuple[str, ...]:
        """Return a digest of each of the source's own rules: of what decides which objects it takes, and into which units."""
        return tuple(
            rules_digest({"rule": [list(rule.match), rule.kind.value, rule.by]}) for rule in self._source.groups
        )

    @staticmethod
    def headers_key(series: str) -> str:
        """Return what names a DICOM series that is found by headers.

        Args:
            series: its SeriesInstanceUID.
        """
        return f"{_HEADERS}{series}"

    @staticmethod
    def directory_of(group_key: str) -> str | None:
        """Return the directory that a unit is named by, below the prefix and ending in ``/``; None: it is not one of those."""
        return group_key.removeprefix(_DIRECTORY) if group_key.startswith(_DIRECTORY) else None

    @staticmethod
    def series_of(group_key: str) -> str | None:
        """Return the SeriesInstanceUID that a unit is named by; None: it is not one of those."""
        return group_key.removeprefix(_HEADERS) if group_key.startswith(_HEADERS) else None

    @staticmethod
    def names_of(group_key: str) -> Mapping[str, str]:
        """Return the named groups that name a unit; none if it is named otherwise."""
        if not group_key.startswith(_REGEX):
            return _NO_NAMES
        names: dict[str, str] = json.loads(group_key.removeprefix(_REGEX))
        return names

    def unnamed_message(self, member: Member, key: str) -> str:
        """Return why an object that ``is_unnamed`` can't be in a unit, and what to do."""
        return (
            f"{key!r} is a DICOM object that groups[{member.rule}] of source {self._source.name} takes, but its expression in "
            "`by` does not match the key: no series is named. Correct the expression or `match`, or exclude the object by a "
            "rule"
        )


def _first(takers: Sequence[_Taker], key: str, kind: MediaKind | None) -> Member | None:
    if key[-1:] == "/" or (kind is None and is_unplanned(key)):
        return None
    for taker in takers:
        if taker.takes(key):
            return taker.member(key)
    return None


class _Taker:
    """One rule: its globs and its way to a unit's name, compiled."""

    __slots__ = (
        "_by",
        "_directory",
        "_index",
        "_memory",
        "_names",
        "_natural_directory",
        "kind",
        "member",
        "rule",
        "takes",
    )

    def __init__(self, index: int, rule: GroupRule) -> None:
        self.rule = rule
        self.kind = rule.kind.media_kind
        self._index = index
        self.takes: Callable[[str], Any] = matcher(rule.match)
        self._memory: dict[Any, Any] = {}
        self._directory = self._natural_directory = ""
        self._names = tuple(sorted(rule.names))
        self._by = re.compile(rule.by) if rule.grouping is Grouping.PATTERN else None
        self.member: Callable[[str], Member] = {
            Grouping.DIRECTORY: self._by_directory,
            Grouping.HEADERS: self._by_headers,
            Grouping.PATTERN: self._by_pattern,
        }[rule.grouping]

    def _by_directory(self, key: str) -> Member:
        # All of a unit have the directory, so that only their names have to be compared.
        end = key.rfind("/") + 1
        return Member(self._index, f"{_DIRECTORY}{key[:end]}", natural(key[end:]))

    def _by_headers(self, key: str) -> Member:
        end = key.rfind("/") + 1
        directory = key[:end]
        if directory != self._directory:
            self._directory, self._natural_directory = directory, natural(directory)
        # The slash ends a number, so that the two parts can be compared one after the other.
        return Member(self._index, None, self._natural_directory + natural(key[end:]))

    def _by_pattern(self, key: str) -> Member:
        assert self._by is not None
        match = self._by.search(key)
        if match is None:
            return Member(self._index, None, natural(key), is_unnamed=True)
        group_key, names = self._named(match)
        frame = match[FRAME] if FRAME in self._by.groupindex else None
        if frame is None or not _FRAME.fullmatch(frame):
            # Behind all numbers, which begin with a digit.
            return Member(self._index, group_key, f":{natural(key)}", None, names)
        number = int(frame) if len(frame.lstrip("0")) <= _MOST_FRAME_DIGITS else None
        return Member(self._index, group_key, comparable_number(frame), number, names)

    def _named(self, match: re.Match[str]) -> tuple[str, Mapping[str, str]]:
        values = match.group(*self._names)  # a text for one name, a tuple for several
        found: tuple[str, Mapping[str, str]] | None = self._memory.get(values)
        if found is None:
            names = {name: match[name] or "" for name in self._names}
            found = (_REGEX + json.dumps(names, ensure_ascii=False, separators=(",", ":")), names)
            if len(self._memory) >= _MOST_REMEMBERED:
                self._memory.clear()
            self._memory[values] = found
        return found
