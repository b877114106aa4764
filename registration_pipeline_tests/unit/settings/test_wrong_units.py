"""Wrong values of ``kinds``, ``groups`` and ``title``: each is refused with its line, its key and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.unit.settings.wrong_values import problem_of, sources_of

if TYPE_CHECKING:
    from pathlib import Path

RULE = "{match: 'rigs/**', as: image_group, by: directory}"
CLIPS = "{match: 'clips/**', as: image_sequence, by: '(?P<clip>.+)/'}"
SERIES = "{match: 'pacs/**', as: dicom_series, by: headers}"


def rules(*lines: str) -> str:
    return "groups:\n" + "".join(f"  - {line}\n" for line in lines)


def rule(**keys: str) -> str:
    """A group rule, right but for what is given."""
    whole = {"match": "'rigs/**'", "as": "image_group", "by": "directory"} | keys
    return rules("{" + ", ".join(f"{key}: {value}" for key, value in whole.items() if value) + "}")


def kinds(*lines: str) -> str:
    return "kinds:\n" + "".join(f"  - {line}\n" for line in lines)


WRONG = {
    "kinds is a mapping": (
        "kinds: {match: '*.dat', kind: images}\n",
        6,
        "kinds",
        "must be a list of rules, e.g. - {match: ",
    ),
    "kind without match": (kinds("{kind: images}"), 7, "kinds[0].match", "this key is required"),
    "kind without kind": (kinds("{match: '*.dat'}"), 7, "kinds[0].kind", "this key is required"),
    "kind that there is not": (kinds("{match: '*', kind: image}"), 7, "kinds[0].kind", "must be one of 'images'"),
    "kind of a unit": (kinds("{match: '*', kind: image_group}"), 7, "kinds[0].kind", "must be one of 'images'"),
    "kind with a bad glob": (kinds("{match: '[z-a]', kind: text}"), 7, "kinds[0].match", "glob"),
    "kind with a list of globs": (
        kinds("{match: [a, b], kind: text}"),
        7,
        "kinds[0].match",
        "must be one glob; write an entry for each",
    ),
    "kind with a list of one glob": (kinds("{match: ['*.x'], kind: text}"), 7, "kinds[0].match", "must be one glob"),
    "kind that is a number": (kinds("{match: 7, kind: text}"), 7, "kinds[0].match", "must be text; put a number"),
    "kind with an unknown key": (
        kinds("{match: a, kind: text, as: text}"),
        7,
        "kinds[0].as",
        "known here: match, kind",
    ),
    "kind by a reversed pattern": (kinds("{match: '!*.dat', kind: text}"), 7, "kinds[0].match", "matches nothing"),
    "kind that is decided before": (
        kinds("{match: '*.dat', kind: images}", "{match: '*.dat', kind: videos}"),
        8,
        "kinds[1].match",
        "decides nothing: kinds[0] matches the same objects first",
    ),
    "kind behind one for all": (
        kinds("{match: '**', kind: images}", "{match: 'a/*.dat', kind: videos}"),
        8,
        "kinds[1].match",
        "decides nothing: kinds[0]",
    ),
    "groups is a mapping": (f"groups: {RULE}\n", 6, "groups", "must be a list of rules, e.g. - {match: "),
    "groups is a text": ("groups: rigs\n", 6, "groups", "as: image_group, by: directory}"),
    "group is text": (rules("rigs/**"), 7, "groups[0]", "must be a mapping"),
    "no match": (rule(match=""), 7, "groups[0].match", "this key is required"),
    "no as": (rule(**{"as": ""}), 7, "groups[0].as", "this key is required"),
    "no by": (rule(by=""), 7, "groups[0].by", "this key is required"),
    "match of nothing": (rule(match="[]"), 7, "groups[0].match", "must not be empty"),
    "match of null": (rule(match="null"), 7, "groups[0].match", "has no value"),
    "bad glob": (rule(match="'[z-a]'"), 7, "groups[0].match", "glob"),
    "bad glob of a list": (rule(match="['*.png', '[z-a]']"), 7, "groups[0].match[1]", "glob"),
    "match is a number": (rule(match="7"), 7, "groups[0].match", "must be a list"),
    "only reversed patterns": (rule(match="['!*.tif', '!*.jpg']"), 7, "groups[0].match", "put one without ! first"),
    "as of a single kind": (rule(**{"as": "images"}), 7, "groups[0].as", "must be one of 'image_group'"),
    "as in the plural": (rule(**{"as": "image_groups"}), 7, "groups[0].as", "must be one of 'image_group'"),
    "by another word": (rule(by="folder"), 7, "groups[0].by", "must be directory, headers, or a regular expression"),
    "by null": (rule(by="null"), 7, "groups[0].by", "has no value"),
    "by a number": (rule(by="1"), 7, "groups[0].by", "must be text"),
    "by headers of images": (rule(by="headers"), 7, "groups[0]", "by: headers is for as: dicom_series"),
    "by an expression without names": (rule(by="'([^/]+)/'"), 7, "groups[0].by", "(?P<clip>[^/]+)/"),
    "by nothing but frame": (rule(by=r"'(?P<frame>\d+)'"), 7, "groups[0].by", "no named group besides frame"),
    "by an unfinished expression": (rule(by="'(?P<clip>[^/]+/'"), 7, "groups[0].by", "is not a regular expression"),
    "by two groups of one name": (rule(by="'(?P<a>x)(?P<a>y)'"), 7, "groups[0].by", "is not a regular expression"),
    "by an exponential expression": (rule(by="'(?P<a>(x+)+)y'"), 7, "groups[0].by", "exponential time"),
    "by a name of titles": (rule(by="'(?P<name>x)'"), 7, "groups[0].by", "titles have a meaning for already"),
    "by a long expression": (rule(by=f"'(?P<a>{'x' * 1000})'"), 7, "groups[0].by", "more than 1,000 characters"),
    "title of an unknown name": (rule(title="'{rig}'"), 7, "groups[0]", "the title has {rig}; known here: key, name"),
    "title of the frame": (
        rule(by=r"'(?P<clip>.+)/(?P<frame>\d+)'", title="'{clip} {frame}'"),
        7,
        "groups[0]",
        "the title has {frame}; known here: clip, key",
    ),
    "title of a series of images": (rule(title="'{series}'"), 7, "groups[0]", "the title has {series}"),
    "title of a patient": (
        rules("{match: a, as: dicom_series, by: headers, title: '{patient}'}"),
        7,
        "groups[0]",
        "known here: key, modality, name, parent, path, series, stem, study",
    ),
    "title with a lone brace": (rule(title="'{key'"), 7, "groups[0].title", "a lone { or }"),
    "title with a form": (rule(title="'{key:>10}'"), 7, "groups[0].title", "write {key}"),
    "title with a conversion": (rule(title="'{key!r}'"), 7, "groups[0].title", "write {key}"),
    "title with an attribute": (rule(title="'{key.x}'"), 7, "groups[0].title", "not part of a name"),
    "title with a number": (rule(title="'{0}'"), 7, "groups[0].title", "not part of a name"),
    "title with nothing in braces": (rule(title="'{}'"), 7, "groups[0].title", "not part of a name"),
    "blank title": (rule(title="' '"), 7, "groups[0].title", "must not be blank"),
    "title is a number": (rule(title="7"), 7, "groups[0].title", "must be text"),
    "negative age": (rule(complete_after_seconds="-1"), 7, "groups[0].complete_after_seconds", "must be 0 or more"),
    "half an age": (rule(complete_after_seconds="1.5"), 7, "groups[0].complete_after_seconds", "whole number"),
    "age in minutes": (rule(complete_after_seconds="10m"), 7, "groups[0].complete_after_seconds", "whole number"),
    "no object expected": (rule(expect_objects="0"), 7, "groups[0].expect_objects", "must be 1 or more"),
    "more than Encord accepts": (rule(expect_objects="1000001"), 7, "groups[0].expect_objects", "1000000 or less"),
    "true objects": (rule(expect_objects="true"), 7, "groups[0].expect_objects", "whole number"),
    "a sequence of too many": (
        rule(**{"as": "image_sequence", "expect_objects": "32768"}),
        7,
        "groups[0].expect_objects",
        "must be 32767 or less for a sequence",
    ),
    "an unknown key": (rule(order="natural"), 7, "groups[0].order", "known here: match, as, by"),
    "the name of the attribute": (rule(kind="image_group"), 7, "groups[0].kind", "unknown key"),
    "a misspelt key": (
        rule(complete_after_second="1"),
        7,
        "groups[0].complete_after_second",
        "'complete_after_seconds'",
    ),
    "the same globs again": (
        rules(RULE, CLIPS, "{match: 'rigs/**', as: image_sequence, by: '(?P<a>.)'}"),
        9,
        "groups[2].match",
        "takes nothing: groups[0] matches the same objects first",
    ),
    "some of the globs again": (
        rules("{match: [a/*, b/*], as: image_group, by: directory}", "{match: b/*, as: image_group, by: directory}"),
        8,
        "groups[1].match",
        "takes nothing: groups[0]",
    ),
    "behind a rule for all": (
        rules("{match: '**/*', as: image_group, by: directory}", CLIPS),
        8,
        "groups[1].match",
        "takes nothing: groups[0]",
    ),
    "series again": (rules(SERIES, SERIES), 8, "groups[1].match", "takes nothing: groups[0]"),
    "series by directory behind headers": (
        rules(SERIES, "{match: 'pacs/**', as: dicom_series, by: directory}"),
        8,
        "groups[1].match",
        "takes nothing: groups[0]",
    ),
    "source title of an unknown name": ("title: '{clip}'\n", 6, "title", "has {clip}; known here: key, path, name"),
    "source title of a series": ("title: '{series}'\n", 6, "title", "has {series}"),
    "source title with a lone brace": ("title: '}'\n", 6, "title", "a lone { or }"),
    "blank source title": ("title: '  '\n", 6, "title", "must not be blank"),
    "source title is null": ("title: null\n", 6, "title", "has no value"),
    "chunk of too many groups": ("chunk_size: {image_groups: 10001}\n", 6, "chunk_size.image_groups", "10000 or less"),
}
RIGHT = {
    "one glob": rule(),
    "several globs": rule(match="['rigs/**', '!*.tif']"),
    "images and series under the same globs": rules(RULE, "{match: 'rigs/**', as: dicom_series, by: directory}"),
    "headers take what directories of DICOM leave": rules(
        "{match: 'pacs/**', as: dicom_series, by: directory}", SERIES
    ),
    "what a reversed pattern leaves": rules(
        "{match: ['**', '!raw/**'], as: image_group, by: directory}",
        "{match: 'raw/**', as: image_group, by: directory}",
    ),
    "narrow before wide": rules(RULE, "{match: '**', as: image_group, by: directory}"),
    "narrow kinds before wide": kinds("{match: 'a/*.dat', kind: images}", "{match: '*.dat', kind: videos}"),
    "every key": rule(
        by=r"'(?P<clip>.+)/(?P<frame>\d+)'", title="'{clip} {name}'", complete_after_seconds="0", expect_objects="1"
    ),
    "null for the default": rule(title="null", complete_after_seconds="null", expect_objects="null"),
    "braces as characters": "title: '{{{key}}}'\n",
}


@pytest.mark.parametrize(("lines", "line", "key", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_rule_names_its_line_its_key_and_what_to_do(
    tmp_path: Path, lines: str, line: int, key: str, says: str
) -> None:
    place, said = problem_of(tmp_path, lines)

    assert place == f"{tmp_path}/registration.yaml:{line}"
    assert said.startswith(f"sources.fleet.{key}: ")
    assert len(said.splitlines()) == 1
    assert says in said


@pytest.mark.parametrize("lines", RIGHT.values(), ids=RIGHT)
def test_a_right_rule_is_accepted(tmp_path: Path, lines: str) -> None:
    assert sources_of(tmp_path, lines) == ["fleet"]
