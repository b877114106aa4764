"""Gitignore's matching on keys, which are not paths."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from registration_pipeline.globs import NO_INCLUDE_MATCHES, KeyRules, glob_problem

HOSTILE_KEYS = [
    "",
    "/",
    "//",
    "/a.jpg",
    "//a.jpg",
    "a//b.jpg",
    "./a.jpg",
    "../a.jpg",
    "a/../b.jpg",
    "a.jpg ",
    "a.jpg\n",
]

keys = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from("ab/.*[]!#\\ \n\r\x00é")),
    st.sampled_from(HOSTILE_KEYS),
)
ordinary_keys = st.lists(st.sampled_from(["a", "b", "foo", "x.jpg", "y.mp4", "thumbs"]), min_size=1).map("/".join)
patterns = st.sampled_from(
    ["*.jpg", "**/*.jpg", "/*.jpg", "foo/", "foo", "/foo", "foo/**", "a/**/b", "**", "*", "*/", "**/", "a/*", "x.*"]
)
signed_patterns = st.builds("{}{}".format, st.sampled_from(["", "", "!"]), patterns)


@pytest.mark.parametrize(
    ("include", "exclude", "key", "rule"),
    [
        pytest.param([], [], "any/thing.bin", None, id="no patterns take everything"),
        pytest.param(["**/*.jpg"], [], "a/b.jpg", None, id="included below a folder"),
        pytest.param(["**/*.jpg"], [], "b.jpg", None, id="included at the top"),
        pytest.param(["*.jpg", "*.mp4"], [], "a/b.mp4", None, id="second pattern"),
        pytest.param(["**/*.jpg"], [], "a/b.JPG", NO_INCLUDE_MATCHES, id="letter case counts"),
        pytest.param(["**/*.jpg"], [], "a/b.jpg2", NO_INCLUDE_MATCHES, id="whole names only"),
        pytest.param(["/*.jpg"], [], "a/b.jpg", NO_INCLUDE_MATCHES, id="anchored"),
        pytest.param([], ["**/thumbnails/**"], "a/thumbnails/b.jpg", 'exclude "**/thumbnails/**"', id="excluded"),
        pytest.param([], ["thumbnails/"], "a/thumbnails/b/c.jpg", 'exclude "thumbnails/"', id="folder pattern"),
        pytest.param([], ["thumbnails/"], "a/thumbnails", None, id="folder pattern and an object of that name"),
        pytest.param(["*.jpg"], ["x*"], "a/x.jpg", 'exclude "x*"', id="exclude wins over include"),
        pytest.param(["*.jpg"], ["x*"], "a/x.png", 'exclude "x*"', id="exclude is named first"),
        pytest.param([], ["*.jpg", "!keep.jpg"], "a/keep.jpg", None, id="reversed by a later pattern"),
        pytest.param([], ["*.jpg", "!keep.jpg"], "a/x.jpg", 'exclude "*.jpg"', id="not reversed"),
        pytest.param([], ["a*", "*.jpg"], "ab.jpg", 'exclude "*.jpg"', id="the last that matches is named"),
        pytest.param(["*.jpg", "!/raw/**"], [], "raw/x.jpg", 'include "!/raw/**"', id="include reversed"),
        pytest.param(["*.jpg", "!/raw/**"], [], "x.png", NO_INCLUDE_MATCHES, id="include with reversal, no match"),
        pytest.param([r"\#*"], [], "#1.jpg", None, id="escaped hash"),
        pytest.param(["f?o[0-9].jpg"], [], "fzo7.jpg", None, id="question mark and range"),
        pytest.param(["*.jpg"], [], "a\nb/c\nd.jpg", None, id="newlines inside"),
        pytest.param(["**/*.jpg"], [], "a\nb/c.jpg", None, id="newline in a folder's name"),
        pytest.param(["**/*.jpg"], [], "a.jpg\n", NO_INCLUDE_MATCHES, id="newline at the end is part of the name"),
        pytest.param(["**/*.jpg"], [], "a.jpg ", NO_INCLUDE_MATCHES, id="space at the end is part of the name"),
        pytest.param(["**/*.jpg"], [], "/a.jpg", None, id="leading slash"),
        pytest.param(["**/*.jpg"], [], "//a.jpg", None, id="two leading slashes"),
        pytest.param(["/*.jpg"], [], "/a.jpg", NO_INCLUDE_MATCHES, id="leading slash is a folder with an empty name"),
        pytest.param(["a/**/b.jpg"], [], "a//b.jpg", None, id="empty folder name inside"),
        pytest.param(["a/b.jpg"], [], "a/./b.jpg", NO_INCLUDE_MATCHES, id="dot is not resolved"),
        pytest.param(["/a.jpg"], [], "./a.jpg", NO_INCLUDE_MATCHES, id="leading dot is not dropped"),
        pytest.param([], ["/a.jpg", "!z"], "./a.jpg", None, id="leading dot is not dropped by the library either"),
        pytest.param([], ["secret/**"], "public/../secret/a", None, id="parent folder is not resolved"),
        pytest.param(["*é.jpg"], [], "cafe\u0301.jpg", NO_INCLUDE_MATCHES, id="Unicode twins differ"),
    ],
)
def test_the_rule_that_leaves_a_key_out_is_named(
    include: list[str], exclude: list[str], key: str, rule: str | None
) -> None:
    assert KeyRules(include, exclude).excluded_by(key) == rule


@given(key=keys, include=st.lists(signed_patterns, max_size=3), exclude=st.lists(signed_patterns, max_size=3))
def test_every_key_gets_an_answer_that_names_one_of_the_rules(key: str, include: list[str], exclude: list[str]) -> None:
    answers = {None, NO_INCLUDE_MATCHES}
    answers |= {f'include "{pattern}"' for pattern in include} | {f'exclude "{pattern}"' for pattern in exclude}
    assert KeyRules(include, exclude).excluded_by(key) in answers


@given(key=ordinary_keys, given_patterns=st.lists(signed_patterns, min_size=1, max_size=4))
@example(key="foo/x.jpg", given_patterns=["foo/", "!x.jpg"])
@example(key="x.jpg", given_patterns=["!x.jpg", "*.jpg"])
def test_ordinary_keys_match_as_the_library_says(key: str, given_patterns: list[str]) -> None:
    matches = GitIgnoreSpec.from_lines(given_patterns).match_file(key)
    assert (KeyRules(exclude=given_patterns).excluded_by(key) is not None) == matches
    assert (KeyRules(include=given_patterns).excluded_by(key) is None) == matches


class Backtracking(GitIgnoreSpecPattern):
    """The library's expressions, adapted to keys and else as they are: what they answer is right, however long they take."""

    __slots__ = ()

    @classmethod
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        regex, include = super().pattern_to_regex(pattern)
        if regex is None:
            return None, include
        regex = regex.replace("^(?:.+/)?", "^(?:.*/)?").replace("(?:/.+)?", "(?:/.*)?").replace("/)|$)", r"/)|\Z)")
        return f"(?s:{regex})", include


segments = st.sampled_from(
    [
        "**",
        "*",
        "a",
        "b",
        "ab",
        "*a",
        "a*",
        "*a*b",
        "?",
        "?a",
        "[ab]",
        "a*b*a",
        "**a",
        "",
        "\\*",
        "*?*",
        "[]a]",
        "*.b",
        "^",
        "]",
    ]
)
hostile_patterns = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(segments, min_size=1, max_size=6).map("/".join),
    st.sampled_from(["", "", "/", "/**"]),
).filter(lambda pattern: glob_problem(pattern) is None)


@given(
    key=st.one_of(st.text(st.sampled_from("ab/.^]*\n"), max_size=14), keys),
    given_patterns=st.lists(hostile_patterns, min_size=1, max_size=3),
)
@example(key="a/a/", given_patterns=["a/", "!a"])
@example(key="a/b/a", given_patterns=["**/a/**/a", "!a"])
def test_no_answer_differs_from_the_librarys_own_expressions(key: str, given_patterns: list[str]) -> None:
    matches = (
        GitIgnoreSpec.from_lines(given_patterns, Backtracking).check_file(f"/{key}", separators=()).include or False
    )
    assert (KeyRules(exclude=given_patterns).excluded_by(key) is not None) == matches
    assert (KeyRules(include=given_patterns).excluded_by(key) is None) == matches


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        pytest.param("**/a/" * 12 + "x", "a/" * 2_000 + "y", id="twelve double stars"),
        pytest.param("/" + "**/a/" * 12, "a/" * 2_000 + "y", id="a folder behind twelve double stars, found"),
        pytest.param("**/*a*/" * 12 + "x", "aaa/" * 2_000, id="stars between double stars"),
        pytest.param("*a" * 40 + "b", "a" * 10_000, id="forty stars in a segment"),
        pytest.param("?*" * 40 + "b", "a" * 10_000, id="forty stars and any character"),
        pytest.param("[!b]*" * 40 + "b", "a/" * 5_000, id="stars and ranges"),
        pytest.param("a/**/" * 30 + "b", "a/" * 5_000 + "c", id="anchored double stars"),
        pytest.param("**/" + "a/" * 50 + "b", "a/" * 2_000, id="a long row of folders"),
    ],
)
@pytest.mark.timeout(60)
def test_no_key_takes_longer_than_its_length(pattern: str, key: str) -> None:
    rules = KeyRules(exclude=[pattern, "!none"], include=[pattern])
    began = time.process_time()
    rules.excluded_by(key)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("pattern", "key", "is_match"),
    [("a[!b]c", "a/c", False), ("a[+-9]c", "a/c", False), ("a[!b]c", "axc", True), ("a[!b]c", "x/a.c", True)],
)
def test_a_range_never_holds_a_slash(pattern: str, key: str, *, is_match: bool) -> None:
    assert (KeyRules(exclude=[pattern]).excluded_by(key) is not None) == is_match


@given(key=keys.filter(bool))
def test_two_stars_match_every_key(key: str) -> None:
    assert KeyRules(include=["**"]).excluded_by(key) is None


@pytest.mark.parametrize("pattern", ["", "   ", "/", "#*.jpg", "[z-a].jpg", "a\\", "!"])
def test_a_pattern_that_can_not_work_is_refused(pattern: str) -> None:
    assert glob_problem(pattern) is not None
    with pytest.raises(ValueError, match="pattern"):
        KeyRules(include=[pattern])


@given(pattern=st.text(st.sampled_from("ab*?[]!-^\\/#. {}()|$+\n"), max_size=12), key=keys)
def test_a_pattern_is_either_refused_or_usable(pattern: str, key: str) -> None:
    if glob_problem(pattern) is None:
        KeyRules(include=[pattern], exclude=[pattern]).excluded_by(key)
