"""Which objects the rules take, which unit they belong to and in which order they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.planning.grouping.natural import natural
from registration_pipeline.planning.grouping.rules import GroupRules, Member
from registration_pipeline.planning.kinds import KindFinder
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

RIGS = {"match": "rigs/**", "as": "image_group", "by": "directory"}
CLIPS = {
    "match": "clips/**",
    "as": "image_sequence",
    "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$",
}
SERIES = {"match": "pacs/**", "as": "dicom_series", "by": "headers"}


def source(*groups: dict[str, Any], **options: Any) -> SourceSettings:
    base: dict[str, Any] = {"name": "cams", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
    return SourceSettings.model_validate(base | {"groups": list(groups)} | options)


def members_of(settings: SourceSettings, keys: Sequence[str]) -> list[Member | None]:
    """Return what the rules say of keys below the prefix."""
    prefix = settings.location.prefix
    whole = [f"{prefix}{key}" for key in keys]
    kinds = KindFinder(settings.kinds, settings.location.below_prefix).kinds(whole)
    return GroupRules(settings).members(whole, kinds)


def member_of(settings: SourceSettings, key: str) -> Member | None:
    return members_of(settings, [key])[0]


def taken_by(settings: SourceSettings, key: str) -> int | None:
    member = member_of(settings, key)
    return None if member is None else member.rule


@pytest.mark.parametrize(
    ("key", "group_key"),
    [
        ("rigs/7/left.png", "directory:rigs/7/"),
        ("rigs/7/deep/left.png", "directory:rigs/7/deep/"),
        ("rigs//left.png", "directory:rigs//"),
        ("rigs/left.png", "directory:rigs/"),
    ],
)
def test_a_directory_holds_the_objects_directly_in_it(key: str, group_key: str) -> None:
    member = member_of(source(RIGS), key)

    assert member is not None
    assert (member.group_key, member.frame, dict(member.names)) == (group_key, None, {})
    assert GroupRules.directory_of(group_key) == group_key.removeprefix("directory:")


def test_the_top_of_the_prefix_and_a_directory_without_name_are_two() -> None:
    everything = source(RIGS | {"match": "**"})

    assert [member and member.group_key for member in members_of(everything, ["a.png", "/a.png"])] == [
        "directory:",
        "directory:/",
    ]


def test_the_named_groups_but_frame_name_a_unit() -> None:
    member = member_of(source(CLIPS), "clips/night drive/0017.png")

    assert member is not None
    assert (member.group_key, member.frame, dict(member.names)) == (
        'regex:{"clip":"night drive"}',
        17,
        {"clip": "night drive"},
    )
    assert GroupRules.names_of('regex:{"clip":"night drive"}') == {"clip": "night drive"}


def test_names_are_sorted_in_the_key_and_one_that_took_no_part_is_empty() -> None:
    rule = {"match": "**", "as": "image_group", "by": r"(?P<scene>\w+)/(?:(?P<cam>\w+)/)?(?P<frame>[0-9]+)"}
    keys = ["é1/left/2.png", "é1/2.png"]

    assert [member and member.group_key for member in members_of(source(rule), keys)] == [
        'regex:{"cam":"left","scene":"é1"}',
        'regex:{"cam":"","scene":"é1"}',
    ]


def test_the_members_of_a_unit_may_lie_anywhere_in_the_bucket() -> None:
    rule = {"match": "*.jpg", "as": "image_group", "by": r"(?P<scene>scene-\d+)"}
    keys = ["left/scene-1.jpg", "right/a/scene-1.jpg", "scene-1/top.jpg", "right/scene-2.jpg"]

    assert len({member.group_key for member in members_of(source(rule), keys)[:3] if member}) == 1
    assert len({member.group_key for member in members_of(source(rule), keys) if member}) == 2


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("rigs/1/a.png", 0),
        ("rigs/1/a.mp4", None),
        ("rigs/1/a.dcm", 3),
        ("rigs/1/notes", None),
        ("clips/x/1.png", 1),
        ("pacs/1/IM0001", 2),
        ("pacs/1/IM0001.dcm", 2),
        ("pacs/1/IM0001.exe", 2),
        ("pacs/1/a.png", None),
        ("pacs/1/a.txt", None),
        ("pacs/1/a.csv", None),
        ("pacs/1/", None),
        ("elsewhere/a.dcm", 3),
        ("elsewhere/a", None),
        ("elsewhere/a.png", None),
    ],
)
def test_the_first_rule_takes_an_object_whose_kind_fits(key: str, rule: int | None) -> None:
    assert taken_by(source(RIGS, CLIPS, SERIES), key) == rule


def test_of_two_rules_that_fit_the_first_takes_the_object() -> None:
    narrow, wide = RIGS | {"match": "**/7/*"}, RIGS | {"match": "**", "as": "image_sequence"}

    assert [taken_by(source(narrow, wide), key) for key in ("rigs/7/a.png", "rigs/8/a.png")] == [0, 1]
    assert [taken_by(source(wide, narrow), key) for key in ("rigs/7/a.png", "rigs/8/a.png")] == [0, 0]


def test_a_list_of_globs_is_read_as_gitignore_does() -> None:
    rule = RIGS | {"match": ["rigs/**", "!*.tif", "more/*/"]}

    keys = ["rigs/1/a.png", "rigs/1/a.tif", "more/x/a.png", "more/a.png"]
    assert [member is not None for member in members_of(source(rule), keys)] == [True, False, True, False]


def test_an_image_that_the_expression_does_not_match_is_a_unit_by_itself() -> None:
    again = {"match": "clips/**", "as": "image_group", "by": "directory"}

    assert member_of(source(CLIPS, again), "clips/x/cover.png") is None


def test_a_dicom_object_that_the_expression_does_not_match_is_in_no_unit_and_the_message_says_why() -> None:
    settings = source({"match": "ct/**", "as": "dicom_series", "by": "^ct/(?P<scan>[0-9]+)/"})
    lost, found = members_of(settings, ["ct/a/1.dcm", "ct/1/1.dcm"])

    assert lost is not None
    assert (lost.is_unnamed, lost.group_key) == (True, None)
    assert not GroupRules(settings).needs_headers(lost)
    message = GroupRules(settings).unnamed_message(lost, "raw/ct/a/1.dcm")
    assert "'raw/ct/a/1.dcm'" in message
    assert "groups[0]" in message
    assert found is not None
    assert (found.is_unnamed, found.group_key) == (False, 'regex:{"scan":"1"}')


def test_only_headers_say_which_series_a_dicom_object_without_a_rule_is_in() -> None:
    settings = source()
    rules = GroupRules(settings)
    member = member_of(settings, "a/2.dcm")

    assert member is not None
    assert (member.rule, member.group_key, rules.needs_headers(member)) == (0, None, True)
    assert not rules.applies()
    assert rules.rules[0].by == "headers"
    assert rules.headers_key("1.2.840") == "headers:1.2.840"
    assert rules.series_of("headers:1.2.840") == "1.2.840"


def test_kinds_by_pattern_come_before_the_rules() -> None:
    settings = source(
        RIGS,
        {"match": "pacs/**", "as": "dicom_series", "by": "directory"},
        kinds=[{"match": "*.dat", "kind": "images"}, {"match": "pacs/**", "kind": "dicom"}],
    )

    assert taken_by(settings, "rigs/1/a.dat") == 0
    assert taken_by(settings, "pacs/1/IM1") == 1
    assert taken_by(settings, "rigs/1/a.bin") is None


def sorted_keys(settings: SourceSettings, keys: Sequence[str]) -> list[str]:
    members = zip(members_of(settings, keys), keys, strict=True)
    return [key for _, key in sorted((member.order.encode(), key) for member, key in members if member)]


@pytest.mark.parametrize(
    ("rule", "ordered"),
    [
        (RIGS, ["rigs/1/2.png", "rigs/1/010.png", "rigs/1/10.png"]),
        (CLIPS, ["clips/a/2.png", "clips/a/010.png", "clips/a/10.png"]),
        (
            {"match": "**", "as": "image_group", "by": r"(?P<scene>s\d)/.*-(?P<frame>\w+)\.png"},
            ["z/s1/b-2.png", "a/s1/c-10.png", "m/s1/a-11.png", "c2/s1/a-x.png", "c10/s1/a-x.png", "d/s1/a-٣.png"],
        ),
        (
            {"match": "**", "as": "image_group", "by": r"(?P<scene>s\d)/"},
            ["cam2/s1/a.png", "cam10/s1/a.png", "s1/2.png", "s1/10.png"],
        ),
        (
            {"match": "**", "as": "dicom_series", "by": "headers"},
            ["a/IM2", "a/IM10", "b/IM1"],
        ),
    ],
    ids=["directory", "frame", "a frame that is not a number comes last", "expression without frame", "headers"],
)
def test_members_come_by_frame_else_naturally_and_ties_by_key(rule: dict[str, Any], ordered: list[str]) -> None:
    assert sorted_keys(source(rule), list(reversed(ordered))) == ordered


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("0", 0),
        ("007", 7),
        ("9" * 18, 10**18 - 1),
        ("0" * 40 + "1", 1),
        ("9" * 19, None),
        ("٣", None),
        ("1e3", None),
        ("-1", None),
        ("", None),
    ],
    ids=["zero", "leading zeros", "largest", "many zeros", "too large", "other digits", "letters", "sign", "empty"],
)
def test_a_frame_is_a_whole_number_in_ascii_digits(text: str, frame: int | None) -> None:
    rule = {"match": "**", "as": "image_group", "by": r"^(?P<clip>[^/]+)/(?P<frame>[^/]*)\.png$"}
    member = member_of(source(rule), f"a/{text}.png")

    assert member is not None
    assert member.frame == frame


DIGESTED = source(RIGS, CLIPS, SERIES)


@pytest.mark.parametrize(
    "other",
    [
        source(RIGS, CLIPS),
        source(CLIPS, RIGS, SERIES),
        source(RIGS | {"match": "rigs/*"}, CLIPS, SERIES),
        source(RIGS | {"as": "image_sequence"}, CLIPS, SERIES),
        source(RIGS, CLIPS | {"by": r"(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"}, SERIES),
        source(RIGS, CLIPS, SERIES, uri="s3://bucket/"),
        source(RIGS, CLIPS, SERIES, kinds=[{"match": "*.dat", "kind": "images"}]),
    ],
    ids=["one less", "order", "globs", "kind", "expression", "prefix", "kinds"],
)
def test_another_digest_shows_that_units_may_come_out_otherwise(other: SourceSettings) -> None:
    assert GroupRules(other).digest() != GroupRules(DIGESTED).digest()


@pytest.mark.parametrize(
    "same",
    [
        source(RIGS | {"title": "{path}"}, CLIPS, SERIES),
        source(RIGS | {"expect_objects": 4, "complete_after_seconds": 60}, CLIPS, SERIES),
        source(RIGS, CLIPS, SERIES, title="{name}", include=["*.png"], min_age_seconds=5),
        source(RIGS | {"match": ["rigs/**"]}, CLIPS, SERIES),
        source(RIGS, CLIPS, SERIES, uri="s3://bucket/raw/cam"),
    ],
    ids=["title", "when", "of objects", "list of one", "prefix that ends inside a name"],
)
def test_what_changes_no_unit_does_not_change_the_digest(same: SourceSettings) -> None:
    assert GroupRules(same).digest() == GroupRules(DIGESTED).digest()


def test_kinds_of_other_objects_do_not_count_where_dicom_is_all_there_can_be() -> None:
    plain = GroupRules(source()).digest()

    assert GroupRules(source(kinds=[{"match": "*.dat", "kind": "videos"}])).digest() == plain
    assert GroupRules(source(kinds=[{"match": "*.dat", "kind": "dicom"}])).digest() != plain


PARTS = st.sampled_from(["rigs", "clips", "pacs", "a", "", "10", "2", "x y"])
NAMES = st.sampled_from(["1.png", "02.png", "10.png", "IM1", "b.dcm", "c.mp4", "d.csv", ""])
KEYS = st.builds(lambda parts, name: "/".join([*parts, name]), st.lists(PARTS, max_size=3), NAMES)


@given(st.lists(KEYS, max_size=8), st.lists(st.sampled_from([RIGS, CLIPS, SERIES]), max_size=3))
def test_what_a_rule_says_of_an_object_depends_on_nothing_but_its_key(
    keys: list[str], groups: list[dict[str, Any]]
) -> None:
    settings = source(*groups)

    assert members_of(settings, keys) == [member_of(settings, key) for key in keys]


@given(st.lists(KEYS, max_size=20, unique=True))
def test_by_headers_the_order_is_that_of_whole_keys_though_directories_are_read_once(keys: list[str]) -> None:
    everywhere = source({"match": "**", "as": "dicom_series", "by": "headers"})
    found = [(member, key) for member, key in zip(members_of(everywhere, keys), keys, strict=True) if member]

    assert [member.order for member, _ in found] == [natural(key) for _, key in found]


@given(st.lists(KEYS, max_size=20, unique=True))
def test_by_directory_every_image_is_in_the_unit_of_its_directory(keys: list[str]) -> None:
    everywhere = source(RIGS | {"match": "**"})
    found = {key: member.group_key for member, key in zip(members_of(everywhere, keys), keys, strict=True) if member}
    images = [key for key in keys if key.endswith(".png")]

    assert {key: name for key, name in found.items() if key in images} == {
        key: f"directory:{key[: len(key) - len(key.rpartition('/')[2])]}" for key in images
    }
