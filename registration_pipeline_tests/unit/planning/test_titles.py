"""Titles: what the templates give, never two the same, never longer than Encord accepts."""

from __future__ import annotations

import json
import unicodedata
from itertools import starmap
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.ids import unit_id
from registration_pipeline.limits import MAX_TITLE_CHARACTERS
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.kinds import KindFinder
from registration_pipeline.planning.titles import Title, TitleWriter, kept_key
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

RIGS = {"match": "rigs/**", "as": "image_group", "by": "directory"}
SCENES = {"match": "scenes/**", "as": "image_group", "by": "^scenes/(?P<scene>[^/]+)/(?P<cam>[^/]+)/"}
SERIES = {"match": "pacs/**", "as": "dicom_series", "by": "headers"}
UNIT = "0123456789abcdef"


def source(*groups: dict[str, Any], **options: Any) -> SourceSettings:
    base: dict[str, Any] = {"name": "cams", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
    return SourceSettings.model_validate(base | {"groups": list(groups)} | options)


def title_of(template: str, key: str = "raw/day 1/cam.2/f.nii.gz") -> Title:
    titles = TitleWriter(source(title=template)).of_objects([key], [UNIT])
    return Title(titles.texts[0], is_shortened=list(titles.shortened) == [0])


def group_title(settings: SourceSettings, key: str, **header: str) -> Title:
    """Return the title of the unit that an object is in; its id is always the same here."""
    (kind,) = KindFinder(settings.kinds, settings.location.below_prefix).kinds([key])
    (member,) = GroupRules(settings).members([key], [kind])
    assert member is not None
    group_key = member.group_key or GroupRules.headers_key(header.pop("series"))
    return TitleWriter(settings).of_group(member.rule, group_key, key, UNIT, header)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{key}", "raw/day 1/cam.2/f.nii.gz"),
        ("{path}", "day 1/cam.2/f.nii.gz"),
        ("fleet: {path} ({stem})", "fleet: day 1/cam.2/f.nii.gz (f)"),
        ("{{{key}}}", "{raw/day 1/cam.2/f.nii.gz}"),
        ("{name}", f"f.nii.gz [{UNIT}]"),
        ("{stem}", f"f [{UNIT}]"),
        ("{parent}/{name}", f"day 1/cam.2/f.nii.gz [{UNIT}]"),
        ("frame", f"frame [{UNIT}]"),
    ],
)
def test_the_template_of_objects_is_filled_and_the_unit_id_follows_where_others_could_have_the_title(
    template: str, text: str
) -> None:
    assert title_of(template) == Title(text)


@pytest.mark.parametrize(
    ("key", "template", "text"),
    [
        ("raw/.jpg", "{stem}", f".jpg [{UNIT}]"),
        ("raw/noextension", "{stem}", f"noextension [{UNIT}]"),
        ("raw/a.JPG", "{stem}", f"a [{UNIT}]"),
        ("raw/a.jpg", "{parent}", f"[{UNIT}]"),
        ("raw//a.jpg", "{parent}", f"[{UNIT}]"),
        ("raw/  /a.jpg", "{parent}", f"[{UNIT}]"),
    ],
    ids=["nothing but a suffix", "no suffix", "capitals", "top of the prefix", "directory without name", "blanks"],
)
def test_a_title_is_never_blank(key: str, template: str, text: str) -> None:
    assert title_of(template, key) == Title(text)


@pytest.mark.parametrize(
    ("groups", "key", "text"),
    [
        ([RIGS], "raw/rigs/7/a.png", "rigs/7"),
        ([RIGS | {"title": "rig {parent}"}], "raw/rigs/7/a.png", "rig rigs/7"),
        ([RIGS | {"title": "{name}"}], "raw/rigs/7/a.png", f"a.png [{UNIT}]"),
        ([RIGS | {"title": "{path}"}], "raw/rigs/7/a.png", "rigs/7/a.png"),
        ([SCENES], "raw/scenes/s1/left/1.png", "s1/left"),
        ([SCENES | {"title": "{cam} of {scene}"}], "raw/scenes/s1/left/1.png", "left of s1"),
        ([SCENES | {"title": "{scene}"}], "raw/scenes/s1/left/1.png", f"s1 [{UNIT}]"),
        ([SCENES | {"title": "{scene}-{cam}"}], "raw/scenes/s-1/left/1.png", f"s-1-left [{UNIT}]"),
        ([SCENES | {"title": "{scene}{cam}"}], "raw/scenes/s1/left/1.png", f"s1left [{UNIT}]"),
        ([RIGS | {"match": "**"}], "raw/a.png", f"[{UNIT}]"),
    ],
    ids=[
        "directory",
        "own template that holds it",
        "own template that does not",
        "path of the first object",
        "named groups",
        "named groups in another order",
        "one is missing",
        "a value holds the text between",
        "nothing between",
        "top of the prefix",
    ],
)
def test_the_template_of_a_rule_is_filled(groups: list[dict[str, Any]], key: str, text: str) -> None:
    assert group_title(source(*groups), key) == Title(text)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (None, "1.2.3"),
        ("{modality} {series}", "CT 1.2.3"),
        ("{study}/{modality}", f"1.2/CT [{UNIT}]"),
        ("{name}", f"IM1 [{UNIT}]"),
    ],
    ids=["default", "with modality", "without the series", "of the first object"],
)
def test_titles_of_series_know_study_series_and_modality(template: str | None, text: str) -> None:
    title = {} if template is None else {"title": template}

    assert group_title(source(SERIES | title), "raw/pacs/IM1", series="1.2.3", study="1.2", modality="CT").text == text


def test_what_a_header_does_not_say_is_empty() -> None:
    assert group_title(source(SERIES | {"title": "{modality}/{series}"}), "raw/pacs/IM1", series="1.2").text == "/1.2"


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"match": "scenes2/**", "as": "image_group", "by": "directory"}, "s1/left"),
        ({"match": "s1/**", "as": "image_group", "by": "directory"}, f"s1/left [{UNIT}]"),
        ({"match": "*.tif", "as": "image_group", "by": "directory"}, f"s1/left [{UNIT}]"),
        ({"match": "s1/**", "as": "image_sequence", "by": "directory"}, "s1/left"),
        ({"match": "x/**", "as": "image_group", "by": "x/(?P<clip>.*)/"}, f"s1/left [{UNIT}]"),
        ({"match": "x/**", "as": "image_group", "by": "x/(?P<clip>.*)/", "title": "clip {clip}"}, f"s1/left [{UNIT}]"),
        ({"match": "x/**", "as": "image_group", "by": "x/(?P<clip>.*)/", "title": "{clip}."}, f"s1/left [{UNIT}]"),
        ({"match": "x/**", "as": "image_group", "by": "x/(?P<cam>.*)/(?P<scene>.*)/.*"}, f"s1/left [{UNIT}]"),
        (SCENES | {"match": "x/**"}, "s1/left"),
    ],
    ids=[
        "directories elsewhere",
        "directories that may have the name",
        "directories anywhere",
        "another kind",
        "other names",
        "other names with a text in front",
        "other names with a text behind",
        "the same names in another order",
        "the same rule elsewhere is the same unit",
    ],
)
def test_two_rules_of_one_kind_never_give_the_same_title(other: dict[str, Any], text: str) -> None:
    assert group_title(source(other, SCENES), "raw/scenes/s1/left/1.png") == Title(text)


def test_a_word_of_its_own_keeps_the_titles_of_two_rules_apart() -> None:
    clips = {"match": "x/**", "as": "image_group", "by": "x/(?P<clip>.*)/", "title": "clip {clip}"}

    settings = source(clips, SCENES | {"title": "scene {scene}/{cam}"})
    assert group_title(settings, "raw/scenes/s1/left/1.png") == Title("scene s1/left")


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("frame_1.jpg", "frame_1.jpg"),
        ("x" * 283, "x" * 283),
        ("y" + "x" * 283, "x" * 283),
        ("ab" + "e\N{COMBINING ACUTE ACCENT}" + "x" * 282, "x" * 282),
        ("a\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}" + "x" * 281, "x" * 281),
        ("a\N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-6}" + "x" * 282, "x" * 282),
    ],
    ids=["whole name", "exactly what fits", "one too many", "accent", "joined emoji", "skin tone"],
)
def test_a_long_title_becomes_the_unit_id_and_the_end_of_the_file_name(name: str, tail: str) -> None:
    key = "raw/" + "deep/" * 60 + name

    assert title_of("{key}", key) == Title(f"{UNIT} {tail}", is_shortened=True)
    assert title_of("{path}", key) == Title(f"{UNIT} {tail}", is_shortened=True)


def test_three_hundred_characters_are_not_shortened() -> None:
    key = "raw/" + "é" * 292 + ".jpg"

    assert title_of("{key}", key) == Title(key)
    assert title_of("{key}", key.replace("é", "éé", 1)).is_shortened


def test_a_long_title_of_a_group_ends_with_the_last_part_of_its_name() -> None:
    key = "raw/rigs/" + "deep/" * 60 + "left/1.png"

    assert group_title(source(RIGS), key) == Title(f"{UNIT} left", is_shortened=True)


def test_the_key_of_a_shortened_title_is_kept_as_canonical_json() -> None:
    kept = kept_key('raw/é "1"/\t.jpg')

    assert kept == '{"registration.key":"raw/é \\"1\\"/\\t.jpg"}'
    assert json.loads(kept) == {"registration.key": 'raw/é "1"/\t.jpg'}


def test_a_unit_whose_title_is_there_already_gets_its_id() -> None:
    writer = TitleWriter(source())
    other = writer.distinguished(Title("s1/left"), UNIT)

    assert other == Title(f"s1/left [{UNIT}]")
    assert writer.distinguished(other, UNIT) == other
    assert writer.distinguished(Title("x/" + "y" * 298), UNIT) == Title(f"{UNIT} " + "y" * 283, is_shortened=True)


FIELDS = st.sampled_from(["{key}", "{path}", "{name}", "{stem}", "{parent}", "-", "/", " of ", "{{x}}", "é"])
TEMPLATES = st.lists(FIELDS, min_size=1, max_size=4).map("".join)
TEXTS = st.text(alphabet=st.sampled_from("ab-/. [é\u0301\U0001f600"), max_size=8) | st.text(max_size=4)
KEYS = st.builds("raw/{}{}".format, TEXTS, st.sampled_from([".jpg", "", "/x.png", "x" * 310, "e\u0301" * 160]))


def check(titles: Sequence[Title], units: Sequence[str]) -> None:
    assert len({title.text for title in titles}) == len(set(units))
    for title, unit in zip(titles, units, strict=True):
        assert 1 <= len(title.text) <= MAX_TITLE_CHARACTERS
        assert title.text.strip()
        title.text.encode()
        if title.is_shortened:
            assert title.text.startswith(unit)
            assert not unicodedata.combining(title.text[len(unit) + 1 :][:1] or "x")


@given(TEMPLATES, st.lists(KEYS, unique=True, max_size=20))
def test_titles_of_objects_are_short_and_never_the_same(template: str, keys: list[str]) -> None:
    settings = source(title=template)
    (found,) = {kind for kind in KindFinder((), settings.location.below_prefix).kinds(["a.jpg"]) if kind}
    units = [unit_id("cams", found, key) for key in keys]
    titles = TitleWriter(settings).of_objects(keys, units)

    assert len(titles.texts) == len(keys)
    if template != "{key}":  # which gives keys as they are, blank ones too
        check([Title(text, row in titles.shortened) for row, text in enumerate(titles.texts)], units)
    assert titles == TitleWriter(settings).of_objects(keys, units)


VALUES = st.text(alphabet=st.sampled_from("ab-/ "), min_size=1, max_size=3)
GROUP_TEMPLATES = st.sampled_from([None, "{a}-{b}", "{a}{b}", "{b} {a} {b}", "{a}", "x", "{a}/{b}/{name}"])


@given(GROUP_TEMPLATES, st.lists(st.tuples(VALUES, VALUES), unique=True, max_size=30))
def test_titles_of_groups_are_never_the_same_whatever_the_values_are(
    template: str | None, pairs: list[tuple[str, str]]
) -> None:
    rule = {"match": "**", "as": "image_group", "by": "(?P<a>.+)#(?P<b>.+)#"}
    settings = source(rule if template is None else rule | {"title": template})
    rules, writer = GroupRules(settings), TitleWriter(settings)
    keys = list(starmap("raw/{}#{}#1.png".format, pairs))
    kinds = KindFinder((), settings.location.below_prefix).kinds(keys)
    named = [member for member in rules.members(keys, kinds) if member]
    units = [unit_id("cams", kinds[0], member.group_key or "") for member in named if kinds[0]]

    titles = [
        writer.of_group(0, member.group_key or "", key, unit)
        for member, key, unit in zip(named, keys, units, strict=True)
    ]
    check(titles, units)
