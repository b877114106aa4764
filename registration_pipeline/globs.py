"""The user's include and exclude globs, matched against the key below the prefix.

What does not belong here: why Encord would not accept an object (planning).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Pieces of the library's expressions.
_ANY_START: Final = "^(?:.+/)?"
_ANY_BETWEEN: Final = "(?:/.+)?/"
_STAR: Final = "[^/]*"
_SLASH: Final = re.compile(r"/(?!\])")  # and not that of "[^/]"
_RANGE: Final = re.compile(r"\\.|(?P<range>\[\^?\]?[^\]]*\])", re.DOTALL)
_ENDS: Final = {"(?:(?P<ps_d>/)|$)": r"(?:(?P<ps_d>/)|\Z)", "(?P<ps_d>/)": "(?P<ps_d>/)", "/": "/"}
"""How they end, and how ours do."""

NO_INCLUDE_MATCHES = "no include pattern matches"

_ANY_NAMES = ("\ue000", "\ue000\ue001.\ue002", ".\ue000", "\ue000/\ue001")
"""Names that no pattern means; a pattern that matches all of them below a folder matches everything there."""


def glob_problem(pattern: str) -> str | None:
    """Return what is wrong with a glob, or None."""
    try:
        regex, _ = _OpaqueKeyPattern.pattern_to_regex(pattern)
        if regex is not None:
            re.compile(regex)
    except (GitIgnorePatternError, re.error):
        return "not a glob that gitignore understands; check for a lone backslash or '!'"
    if regex is not None:
        return None
    if pattern.startswith("#"):
        return "gitignore reads a leading '#' as a comment; write \\# for the character itself"
    return "it can never match: it is blank, a lone '/', or has an unfinished or reversed [range]"


def matcher(patterns: Sequence[str]) -> Callable[[str], object]:
    """Return a test of whether a key below the prefix matches globs: true or false, as ``bool`` reads the answer.

    Raises:
        ValueError: a pattern is not a glob; ``glob_problem`` says why.
    """
    return _Globs("match", patterns).matcher()


def is_include_rule(rule: str) -> bool:
    """Return whether a rule, as ``KeyRules`` says it, leaves out what ``include`` does not choose."""
    return rule == NO_INCLUDE_MATCHES or rule.startswith('include "')


class KeyRules:
    """Globs compiled once, asked for every key of a bucket.

    Matching is gitignore's: the last pattern that matches decides, ``!`` reverses, a pattern without an inner slash
    matches at any depth, letter case counts. A key is one opaque string: it is not normalised, and ``//`` holds a
    directory with an empty name.

    Args:
        include: patterns of what to register; empty means everything.
        exclude: patterns of what to leave out; they win over ``include``.

    Raises:
        ValueError: a pattern is not a glob; ``glob_problem`` says why.
    """

    __slots__ = ("_exclude", "_include")

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _Globs("include", include) if include else None
        self._exclude = _Globs("exclude", exclude) if exclude else None

    def excluded_by(self, key_below_prefix: str) -> str | None:
        """Return the rule that leaves the object out, e.g. ``exclude "**/thumbnails/**"``, or None if none does."""
        if self._exclude is not None:
            matched, rule = self._exclude.decide(key_below_prefix)
            if matched:
                return rule
        if self._include is not None:
            matched, rule = self._include.decide(key_below_prefix)
            if not matched:
                return rule or NO_INCLUDE_MATCHES
        return None

    def folder_excluded_by(self, folder_below_prefix: str) -> str | None:
        """Return a rule that leaves out every key below a folder, or None if that can't be said of all of them.

        Args:
            folder_below_prefix: ending in ``/``.
        """
        if self._exclude is not None and (rule := self._exclude.decide_folder(folder_below_prefix)) is not None:
            return rule
        if self._include is not None and not self._include.may_match_below(folder_below_prefix):
            return NO_INCLUDE_MATCHES
        return None


class _Globs:
    __slots__ = ("_any_matches", "_is_reversing", "_names_rule_of_match", "_patterns", "_rules", "_spec")

    def __init__(self, setting: str, patterns: Sequence[str]) -> None:
        for pattern in patterns:
            if (problem := glob_problem(pattern)) is not None:
                raise ValueError(f"{setting} pattern {pattern!r}: {problem}")
        self._patterns = tuple(patterns)
        self._rules = tuple(f'{setting} "{pattern}"' for pattern in patterns)
        self._spec = GitIgnoreSpec.from_lines(patterns, _OpaqueKeyPattern)
        # One expression for all patterns answers the common case (nothing is excluded, everything is included) in one
        # step; the library is asked only when order or the rule's name matters.
        self._any_matches = re.compile("|".join(_whole(pattern) for pattern in patterns)).match
        self._is_reversing = any(pattern.startswith("!") for pattern in patterns)
        self._names_rule_of_match = setting == "exclude" or self._is_reversing

    def decide(self, key: str) -> tuple[bool, str | None]:
        """Return whether the key matches, and the rule that decided, where it is needed."""
        if self._any_matches(key) is None:
            return False, None
        if not self._names_rule_of_match:
            return True, None
        # The library strips one leading slash (and a leading "./"): it gets a slash of ours to strip.
        result = self._spec.check_file(f"/{key}", separators=())
        rule = None if result.index is None else self._rules[result.index]
        return bool(result.include), rule

    def matcher(self) -> Callable[[str], object]:
        """Return ``decide`` without the rule."""
        return (lambda key: self.decide(key)[0]) if self._is_reversing else self._any_matches

    def decide_folder(self, folder: str) -> str | None:
        """Return the rule that matches everything below a folder; None if there may be a key that it does not match."""
        if self._is_reversing:
            return None
        decided = {self.decide(f"{folder}{name}")[1] for name in _ANY_NAMES}
        rule = decided.pop()
        # A set of characters may match these names and not another.
        return None if decided or rule is None or "[" in rule else rule

    def may_match_below(self, folder: str) -> bool:
        """Return False if no key below a folder matches, whatever its name is."""
        return any(_may_match_below(pattern, folder) for pattern in self._patterns if not pattern.startswith("!"))


def _may_match_below(pattern: str, folder: str) -> bool:
    if "/" not in pattern.rstrip("/"):
        return True  # it matches at any depth
    parts = pattern.strip("/").split("/")
    for part, name in zip(parts, folder.rstrip("/").split("/"), strict=False):
        if part != name:
            return any(sign in part for sign in "*?[\\")
    return True


class _OpaqueKeyPattern(GitIgnoreSpecPattern):
    """Gitignore for keys instead of paths: a dot matches a newline, the end is the end, and segments may be empty.

    The library's expression is read piece by piece, and written again so that no key takes longer than its length:
    pieces of ``**/a/**/b`` and of ``*a*b`` that were found are never given back. That changes no answer: a part that is found
    earlier leaves more room for the parts behind it, and the last part is searched for from the end, as the library does.
    """

    __slots__ = ()

    # A plan reads the globs of its rules several times, and each of them three times.
    @classmethod
    @lru_cache(maxsize=1_000)
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        """Return the regular expression and whether a match includes."""
        regex, include = super().pattern_to_regex(pattern)
        return (None if regex is None else f"(?s:{_linear(regex)})"), include


def _linear(regex: str) -> str:
    """Return the library's expression for one pattern as one that takes linear time.

    A segment of a pattern can't hold a slash. So wherever there is one, the piece around it is the library's own.
    """
    if not regex.startswith("^"):
        return regex  # a single character: for "**", "*", "*/" and "**/"
    is_floating = regex.startswith(_ANY_START)
    *inner, last = regex.removeprefix(_ANY_START if is_floating else "^").split(_ANY_BETWEEN)
    end = next(end for end in _ENDS if last.endswith(end))
    parts = ["^"]
    for number, group in enumerate(inner):
        # The slash behind a group is a part of it: the next one begins there, or behind any later slash.
        skipped = "(?:[^/]*+/)*?" if is_floating or number else ""
        parts.append(f"(?>{skipped}{_segments(group)}/)")
    skipped = "(?:.*/)?" if is_floating or inner else ""
    return "".join([*parts, skipped, _segments(last.removesuffix(end)), _ENDS[end]])


def _segments(text: str) -> str:
    return "/".join(map(_segment, _SLASH.split(text)))


def _segment(text: str) -> str:
    """Return the expression for one segment: its pieces between stars, each found once and not searched for again."""
    first, *others = [_RANGE.sub(_without_slash, piece) for piece in text.split(_STAR)]
    if not others:
        return first
    *middle, last = others
    found = [f"(?>[^/]*?{piece})" for piece in middle if piece]
    if found and not last:  # anything may follow, so the last place of it is as good as the first, and faster to find
        found[-1] = found[-1].replace("*?", "*", 1)
    return f"{first}{''.join(found)}[^/]*{last}"


def _without_slash(match: re.Match[str]) -> str:
    """Return a range, or an escaped character, that is never a slash: that is what git says of ranges."""
    is_safe = match["range"] is None or re.fullmatch(match["range"], "/") is None
    return match[0] if is_safe else f"(?!/){match[0]}"


def _whole(pattern: str) -> str:
    """Return the expression without the library's group names, which may not repeat, anchored where it may float."""
    regex, _ = _OpaqueKeyPattern.pattern_to_regex(pattern)
    assert regex is not None
    regex = regex.replace("(?P<ps_d>", "(?:")
    return regex if regex.startswith("(?s:^") else f"(?s:.*){regex}"
