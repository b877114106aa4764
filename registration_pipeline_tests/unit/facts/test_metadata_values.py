"""Values of client metadata: canonical text, merging, and what no value may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.metadata.values import (
    canonical,
    filled,
    merged,
    prefixed,
    problem_message,
    sent_bytes,
    value_problems,
    without_nulls,
)
from registration_pipeline.objects import RejectionReason, remedy_of
from registration_pipeline.settings.metadata import MetadataEntry


@pytest.mark.parametrize(
    ("entry", "way"),
    [
        pytest.param({"table": "a.csv", "key": "k"}, "table-", id="table"),
        pytest.param({"sidecar": ".json"}, "sidecars-", id="sidecar"),
        pytest.param({"object_metadata": True}, "object-metadata-", id="object-metadata"),
    ],
)
def test_a_set_is_named_for_its_entry_and_another_entry_has_another_set(entry: dict[str, Any], way: str) -> None:
    name = entry_set_name(MetadataEntry(**entry))
    assert name is not None
    assert name.startswith(way)
    assert len(name) == len(way) + 8
    assert name == entry_set_name(MetadataEntry(**entry))
    assert name != entry_set_name(MetadataEntry(**entry, prefix="x."))


def test_a_pattern_has_no_set() -> None:
    assert entry_set_name(MetadataEntry(pattern="(?P<a>b)")) is None


def test_the_schema_of_values_begins_with_the_keys_of_facts() -> None:
    assert VALUES_SCHEMA.names == ["key", "e_tag", "size", "last_modified", "values", "problem", "message"]
    assert not VALUES_SCHEMA.field("key").nullable
    assert all(VALUES_SCHEMA.field(name).nullable for name in VALUES_SCHEMA.names[1:])


def test_canonical_text_is_sorted_ascii_without_blanks() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"\\u00e9","b":1}'
    assert canonical({}) is None
    with pytest.raises(ValueError, match="Out of range float"):
        canonical({"a": float("nan")})


def test_later_values_win_key_by_key() -> None:
    texts = ['{"a":1,"b":{"x":1}}', None, '{"b":{"y":2},"c":[3]}']
    assert merged(texts) == '{"a":1,"b":{"y":2},"c":[3]}'
    assert merged([None, None]) is None


def test_a_single_text_is_given_back_unread() -> None:
    text = "not even JSON"
    assert merged([None, text]) is text


def test_embeddings_are_merged_one_by_one() -> None:
    first = {"$encord": {"config": {"sampling_rate": 1}, "frames": {"0": {"clip": [1, 2]}, "1": {"clip": [3]}}}}
    later = {"$encord": {"config": {"keyframe_mode": "frame"}, "frames": {"0": {"dino": [4]}, "1": {"clip": [5]}}}}
    assert json.loads(merged([canonical(first), canonical(later)]) or "") == {
        "$encord": {
            "config": {"sampling_rate": 1, "keyframe_mode": "frame"},
            "frames": {"0": {"clip": [1, 2], "dino": [4]}, "1": {"clip": [5]}},
        }
    }


def test_later_objects_of_a_unit_fill_what_the_first_lacks_and_earlier_ones_do_so_first() -> None:
    assert filled('{"a":1}', '{"a":2,"b":3}', None, '{"b":4,"c":5}', '{"a":1}') == '{"a":1,"b":3,"c":5}'
    assert filled(None, None) is None
    assert filled(None, '{"a":1}') == '{"a":1}'


def test_a_prefix_is_written_before_every_name_and_those_of_embeddings_of_frames() -> None:
    values = {"a": {"b": 1}, "$encord": {"config": {"sampling_rate": 1}, "frames": {"0": {"clip": [1]}}}}
    assert prefixed(values, "f.") == {
        "f.a": {"b": 1},
        "$encord": {"config": {"sampling_rate": 1}, "frames": {"0": {"f.clip": [1]}}},
    }
    assert prefixed(values, "") == values
    assert without_nulls({"a": None, "b": 0}) == {"b": 0}


_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("nan", {"a": float("nan")}, "finite"),
    ("infinity-in-a-list", {"a": [1.0, float("-inf")]}, "finite"),
    ("nan-in-a-frame", {"$encord": {"frames": {"3": {"clip": [float("nan")]}}}}, "finite"),
    ("own-key", {"registration.unit": 1}, "registration."),
    ("dollar", {"$other": 1}, "not a name"),
    ("reserved", {"keyframes": 1}, "not a name"),
    ("slash", {"a/b": 1}, "not a name"),
    ("more-than-64-bits", {"a": 2**63}, "64 bits"),
    ("far-more-than-64-bits", {"a": -(10**5000)}, "64 bits"),
    ("zero-character", {"a": {"b": "x\0"}}, "U+0000"),
    ("half-of-a-pair", {"a": "\ud800"}, "U+0000"),
    ("not-json", {"a": b"x"}, "JSON value"),
    ("encord-is-a-list", {"$encord": []}, "frames and config"),
    ("encord-has-another-name", {"$encord": {"other": {}}}, "frames and config"),
    ("frame-is-not-a-number", {"$encord": {"frames": {"first": {"clip": [1]}}}}, "numbers of frames"),
    ("frame-is-a-list", {"$encord": {"frames": {"1": [1]}}}, "object of embeddings"),
    ("embedding-is-a-text", {"$encord": {"frames": {"1": {"clip": "x"}}}}, "list of numbers"),
    ("embedding-has-a-boolean", {"$encord": {"frames": {"1": {"clip": [True]}}}}, "list of numbers"),
    ("name-of-an-embedding", {"$encord": {"frames": {"1": {"registration.x": [1]}}}}, "registration."),
]


@pytest.mark.parametrize(("values", "rule"), [pytest.param(*case, id=name) for name, *case in _BAD])
def test_a_value_that_encord_can_not_take_is_a_problem_with_field_value_and_rule(
    values: dict[str, Any], rule: str
) -> None:
    (problem,) = value_problems(values)
    assert rule in problem.rule
    assert problem.field.startswith(next(iter(values))[:8])
    message = problem_message("a.png", "row 7 of labels.csv", [problem])
    assert message.startswith("'a.png' has metadata that can't be sent (row 7 of labels.csv)")
    assert message.isascii()


def test_a_value_of_too_many_levels_is_a_problem() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    (problem,) = value_problems({"a": deep})
    assert "within each other" in problem.rule


def test_all_problems_of_an_object_are_found() -> None:
    values = {"ok": 1, "a": float("nan"), "registration.b": 2**70, "c": ["x", {"d": "\0"}], "e": None}
    assert [problem.field for problem in value_problems(values)] == ["a", "registration.b", "registration.b", "c[1].d"]


def test_good_values_have_no_problem() -> None:
    values = {
        "a b-c_d.e": [1, 2.5, None, True, {"é/$": "ü"}],
        "$encord": {
            "config": {"sampling_rate": 0.5, "keyframe_mode": "seconds"},
            "frames": {"0.5": {"clip": [1, 2.5]}},
        },
        "least": -(2**63),
    }
    assert value_problems(values) == []


def test_a_message_lists_a_hundred_problems_and_counts_the_rest() -> None:
    problems = value_problems({f"n{index}": float("nan") for index in range(130)})
    assert "and 30 more" in problem_message("a", "b", problems)


@pytest.mark.parametrize("reason", ["invalid_metadata", "metadata_unreadable", "no_media_metadata"])
def test_every_new_reason_has_a_remedy_of_its_own(reason: str) -> None:
    assert RejectionReason(reason)
    assert remedy_of(reason) != remedy_of("empty")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(['"', "\\", "\x7f", '\\"', ",:", "é", "1e5"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON))
def test_sent_bytes_are_counted_without_parsing(values: dict[str, Any]) -> None:
    written = json.dumps(values)
    texts = [
        canonical(values) or "{}",
        written,
        json.dumps(values, ensure_ascii=False, separators=(",", ":")),
    ]
    assert [sent_bytes(text) for text in texts] == [len(written)] * 3
