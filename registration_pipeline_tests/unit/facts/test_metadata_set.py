"""The set of facts ``metadata``: entries in their order, checked, counted, and made again only when something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.facts.metadata.metadata_set import table_counts
from registration_pipeline.facts.metadata.schema_check import SchemaCheck
from registration_pipeline.facts.metadata.value_sets import entry_set_name
from registration_pipeline.facts.sets import latest_facts, read_facts
from registration_pipeline.settings import SourceSettings
from registration_pipeline_tests.metadata_model.world import MetadataBucket, rows_of

if TYPE_CHECKING:
    from pathlib import Path

TABLE = {"table": "s3://tables/labels.parquet", "key": "image"}
OTHER_TABLE = {"table": "more.csv", "key": "image"}
SIDECAR = {"sidecar": ".meta.json"}
OF_STORE = {"object_metadata": True}
PATTERN = {"pattern": "site-(?P<site>[a-z]+)/((?P<lane>[0-9]+)/)?"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def checked(schema: dict[str, Any]) -> SchemaCheck:
    source = SourceSettings.model_validate(
        {"name": "a", "uri": "s3://bucket/", "url_style": "s3", "metadata_schema": schema}
    )
    return SchemaCheck(source.metadata_schema)


_UUID = "0c4b3ba0-9a51-4c7c-9f6b-0a1b2c3d4e5f"
_TYPES: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("number", "number", [0, -1.5, 2**63 - 1], [True, "1", [1], float("inf")]),
    ("boolean", "boolean", [True, False], [0, "true"]),
    (
        "datetime",
        "datetime",
        ["2026-11-27T10:00:00Z", "2026-11-27T10:00:00.5+01:00", "2026-11-27"],
        ["today", 7, "2026-13-01"],
    ),
    ("uuid", "uuid", [_UUID, _UUID.upper()], [_UUID.replace("-", ""), 1]),
    ("varchar", "varchar", ["", "x" * 8_192], ["x" * 8_193, 1]),
    ("text", "text", ["x" * 10_000], [1, ["x"]]),
    ("enum", {"enum": ["sun", "rain"]}, ["sun"], ["Sun", 1, ["sun"]]),
    ("embedding", {"embedding": 3}, [[1, 2.5, -3]], [[1, 2], [1, 2, True], [1, 2, float("nan")], "x", [1, 2, "3"]]),
    (
        "geospatial",
        "geospatial",
        [{"latitude": -90, "longitude": 180.0}],
        [{"latitude": 91, "longitude": 0}, {"latitude": 1}, [1, 2], {"latitude": 1, "longitude": 1, "z": 1}, "1,2"],
    ),
]


@pytest.mark.parametrize(("field", "good", "bad"), [pytest.param(*case, id=name) for name, *case in _TYPES])
def test_a_value_is_of_its_fields_type_or_a_problem(field: Any, good: list[Any], bad: list[Any]) -> None:
    check = checked({"f": field})
    assert [check.problems({"f": value}) for value in good] == [[]] * len(good)
    for value in bad:
        (problem,) = check.problems({"f": value, "free": value})
        assert problem.field == "f"
        assert "metadata_schema" in problem.rule


def test_embeddings_of_frames_are_of_their_fields_type() -> None:
    check = checked({"clip": {"embedding": 2}, "speed": "number"})
    frames = {"0": {"clip": [1, 2], "free": [1]}, "1": {"clip": [1]}, "2": {"speed": [1]}}
    found = check.problems({"$encord": {"frames": frames}})
    assert [problem.field for problem in found] == ["$encord.frames.1.clip", "$encord.frames.2.speed"]
    assert check.problems({"$encord": {"config": {"sampling_rate": 1}}}) == []


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        pytest.param("number", "007", 7, id="whole"),
        pytest.param("number", "-1.50", -1.5, id="fraction"),
        pytest.param("number", "1e999", "1e999", id="infinite"),
        pytest.param("number", "nan", "nan", id="nan"),
        pytest.param("number", "1_000", "1_000", id="underscore"),
        pytest.param("number", "99999999999999999999", 1e20, id="more-than-64-bits"),
        pytest.param("boolean", "TRUE", True, id="boolean"),
        pytest.param("boolean", "1", "1", id="not-a-boolean"),
        pytest.param("varchar", "007", "007", id="text"),
    ],
)
def test_a_text_from_a_key_becomes_what_its_field_holds(field: str, text: str, value: object) -> None:
    found = checked({"f": field}).converted("f", text)
    assert (found, type(found)) == (value, type(value))


def test_texts_of_the_store_become_what_their_fields_hold() -> None:
    check = checked({"n": "number", "b": "boolean", "v": "varchar"})
    assert check.converts
    assert check.converted_texts('{"b":"True","free":"7","n":"7.5","v":"8"}') == '{"b":true,"free":"7","n":7.5,"v":"8"}'
    assert check.converted_texts('{"n":"fast"}') == '{"n":"fast"}'
    assert not checked({"v": "varchar", "e": {"enum": ["1"]}}).converts


def test_a_pattern_gives_the_groups_that_took_part_below_the_prefix(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[{**PATTERN, "prefix": "p."}], metadata_schema={"p.lane": "number"})
    bucket.put("raw/site-oslo/07/a.png", "raw/site-rome/b.png", "raw/none.png")
    facts = bucket.make(bucket.listed(), None)
    values = {key: row["values"] for key, row in rows_of(bucket.store, facts).items()}
    assert values == {
        "raw/none.png": None,
        "raw/site-oslo/07/a.png": {"p.lane": 7, "p.site": "oslo"},
        "raw/site-rome/b.png": {"p.site": "rome"},
    }


def test_later_entries_win_key_by_key(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[PATTERN, TABLE, SIDECAR, OF_STORE])
    bucket.put("raw/site-oslo/a.png", "raw/b.png")
    listed = bucket.listed()
    facts = bucket.make(
        listed,
        None,
        bucket.write_values(1, {"raw/site-oslo/a.png": {"site": "table", "n": 1, "m": 1}, "raw/gone.png": {"n": 1}}),
        bucket.write_values(2, {"raw/site-oslo/a.png": {"n": 2}, "raw/b.png": None}),
        bucket.write_values(3, {"raw/site-oslo/a.png": {"m": {"x": 3}}, "raw/b.png": None}),
    )
    rows = rows_of(bucket.store, facts)
    assert rows["raw/site-oslo/a.png"]["values"] == {"site": "table", "n": 2, "m": {"x": 3}}
    assert rows["raw/b.png"]["values"] is None
    assert rows["raw/b.png"]["problem"] is None
    assert facts.notes["counts"] == {"objects": 2, "with_values": 1, "waiting": 0}
    assert [tuple(one) for one in table_counts(facts)] == [(1, "s3://tables/labels.parquet", 2, 1, 1)]
    (line,) = [one.line for one in table_counts(facts)]
    assert line == "labels.parquet (metadata[1]): 1 row names no object; 1 object has no row"


@pytest.mark.parametrize(
    ("entry", "rows"),
    [
        pytest.param(SIDECAR, {"raw/a.png": {"problem": "waiting", "message": "no reply"}}, id="sidecar"),
        pytest.param(OF_STORE, {}, id="object-metadata"),
    ],
)
def test_an_object_that_is_not_read_yet_waits(root: Path, entry: dict[str, Any], rows: dict[str, Any]) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE, entry], metadata_schema={"n": "number"})
    bucket.put("raw/a.png", "raw/b.png")
    listed = bucket.listed()
    bad = {"problem": "invalid_metadata", "message": "twice"}
    facts = bucket.make(
        listed, bucket.write_values(0, {"raw/a.png": bad}), bucket.write_values(1, {"raw/b.png": {"n": 1}, **rows})
    )
    assert list(rows_of(bucket.store, facts)) == ["raw/b.png"]
    assert facts.notes["counts"]["waiting"] == 1
    assert facts.notes["problems"] == {}


def test_an_object_without_a_sidecar_has_no_values_of_one(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[SIDECAR])
    bucket.put("raw/a.png")
    facts = bucket.make(bucket.listed(), bucket.write_values(0, {}))
    assert [(row["values"], row["problem"]) for row in rows_of(bucket.store, facts).values()] == [(None, None)]


def test_object_metadata_of_another_version_wait_and_values_of_a_table_do_not(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE, OF_STORE])
    bucket.put("raw/a.png", "raw/b.png")
    bucket.listed()
    table = bucket.write_values(0, {"raw/a.png": {"n": 1}, "raw/b.png": {"n": 1}})
    of_store = bucket.write_values(1, {"raw/a.png": None, "raw/b.png": None})
    bucket.put("raw/a.png", e_tag="another")
    facts = bucket.make(bucket.listed(), table, of_store)
    assert {key: row["values"] for key, row in rows_of(bucket.store, facts).items()} == {"raw/b.png": {"n": 1}}


def test_problems_of_all_entries_reach_the_object_and_the_first_gives_the_reason(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE, SIDECAR], metadata_schema={"n": "number"})
    bucket.put("raw/a.png", "raw/b.png", "raw/c.png")
    listed = bucket.listed()
    twice = {"problem": "invalid_metadata", "message": "rows 3 and 4 are both about it."}
    denied = {"problem": "metadata_unreadable", "message": "its sidecar may not be read."}
    facts = bucket.make(
        listed,
        bucket.write_values(0, {"raw/a.png": twice, "raw/b.png": {"n": "x", "free": "x"}}),
        bucket.write_values(1, {"raw/a.png": denied, "raw/b.png": None, "raw/c.png": denied}),
    )
    rows = rows_of(bucket.store, facts)
    assert rows["raw/a.png"]["problem"] == "invalid_metadata"
    assert rows["raw/a.png"]["message"] == f"{twice['message']} {denied['message']}"
    assert rows["raw/b.png"]["problem"] == "invalid_metadata"
    assert "'raw/b.png'" in rows["raw/b.png"]["message"]
    assert 'field "n" has the value "x": must be a number by metadata_schema' in rows["raw/b.png"]["message"]
    assert rows["raw/c.png"]["problem"] == "metadata_unreadable"
    assert all(row["values"] is None for row in rows.values())
    assert facts.notes["problems"] == {"invalid_metadata": 2, "metadata_unreadable": 1}


def test_more_than_ten_megabytes_are_too_large_and_the_limit_is_named(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png", "raw/b.png")
    listed = bucket.listed()
    values = bucket.write_values(0, {"raw/a.png": {"t": "x" * 9_999_991}, "raw/b.png": {"t": "x" * 9_999_992}})
    rows = rows_of(bucket.store, bucket.make(listed, values))
    assert rows["raw/a.png"]["problem"] is None
    assert rows["raw/b.png"]["problem"] == "unit_too_large"
    assert "10,000,000" in rows["raw/b.png"]["message"]


def test_a_key_with_a_character_that_can_not_be_stored_is_refused(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[{"pattern": "(?P<name>[^/]+)$"}])
    bucket.put("raw/a\0.png")
    (row,) = rows_of(bucket.store, bucket.make(bucket.listed(), None)).values()
    assert row["problem"] == "invalid_metadata"
    assert "U+0000" in row["message"]


def test_what_settings_leave_out_and_what_is_no_unit_is_not_covered(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[SIDECAR, TABLE | {"table": "s3://bucket/raw/t-*.csv"}], exclude=["old/**"])
    bucket.put("raw/a.png", "raw/a.png.meta.json", "raw/old/b.png", "raw/t-1.csv", "raw/x.unknown")
    bucket.put("raw/empty.png", size=0)
    listed = bucket.listed()
    facts = bucket.make(listed, bucket.write_values(0, {"raw/a.png": None}), bucket.write_values(1, {}))
    assert list(rows_of(bucket.store, facts)) == ["raw/a.png"]


def test_a_set_is_made_again_only_when_something_changed(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png")
    first_listing = bucket.listed()
    table = bucket.write_values(0, {"raw/a.png": {"n": 1}})
    first = bucket.make(first_listing, table)
    assert bucket.make(first_listing, table) == first
    assert bucket.make(bucket.listed(), table) == first, "the same listing again"
    assert bucket.make(first_listing, bucket.write_values(0, {"raw/a.png": {"n": 1}})) == first, "the same rows again"
    changed = bucket.make(first_listing, bucket.write_values(0, {"raw/a.png": {"n": 2}}))
    assert changed.digest != first.digest
    bucket.configure(metadata=[TABLE], metadata_schema={"n": "varchar"})
    refused = bucket.make(first_listing, bucket.write_values(0, {"raw/a.png": {"n": 2}}))
    assert refused.notes["problems"] == {"invalid_metadata": 1}
    bucket.put("raw/b.png")
    assert bucket.make(bucket.listed(), table).rows == 2


def test_two_sets_are_kept(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png")
    listed = bucket.listed()
    made = [bucket.make(listed, bucket.write_values(0, {"raw/a.png": {"n": n}})) for n in range(4)]
    assert bucket.store.folders("cams/facts/metadata/") == [facts.facts_id for facts in made[-2:]]
    assert latest_facts(bucket.store, "cams", "metadata") == made[-1]
    assert sum(batch.num_rows for batch in read_facts(bucket.store, made[-2])) == 1


def test_planned_objects_are_covered_only_where_their_metadata_is_sent_again(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png")
    listed = bucket.listed()
    bucket.make(listed, table := bucket.write_values(0, {"raw/a.png": {"n": 1}, "raw/b.png": {"n": 1}}))
    bucket.plan(listed)
    bucket.put("raw/b.png")
    assert list(rows_of(bucket.store, bucket.make(bucket.listed(), table))) == ["raw/b.png"]
    bucket.configure(metadata=[TABLE], upsert_metadata=True)
    facts = bucket.make(bucket.listed(), table)
    assert list(rows_of(bucket.store, facts)) == ["raw/a.png", "raw/b.png"]


def test_an_entry_without_its_set_is_an_error_that_shows_the_entry(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    with pytest.raises(ValueError, match=r"labels\.parquet"):
        bucket.make(bucket.listed(), None)
    assert bucket.store.folders("cams/facts/metadata/") == []
    assert entry_set_name(bucket.source.metadata[0]) is not None
