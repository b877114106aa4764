"""Tables with a line for each frame of a video become key frames of its object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.facts.tables.conftest import Tables

FRAMES = pa.schema(
    [("key", pa.string()), ("frame", pa.int32()), ("e", pa.list_(pa.float32())), ("g", pa.list_(pa.float64(), 1))]
)
frame_rows = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", "c"]),
        "frame": st.integers(0, 12),
        "e": st.none() | st.lists(st.sampled_from([0.1, 1e-5, -3.0]), max_size=3),
        "g": st.none() | st.lists(st.sampled_from([0.5]), min_size=1, max_size=1),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(20, thorough=600))
@given(st.lists(frame_rows, max_size=20), st.booleans(), st.sampled_from([1, 1 << 20]))
def test_key_frames_of_one_video_are_put_together(
    new_tables: type[Tables],
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    has_config: bool,  # noqa: FBT001
    run_bytes: int,
) -> None:
    tables = new_tables(tmp_path_factory.mktemp("frames"))
    tables.write("t.parquet", pa.Table.from_pylist(rows, FRAMES))
    config: dict[str, Any] = {"config": {"sampling_rate": 2}} if has_config else {}
    found = tables.values("t.parquet", prefix="p.", run_bytes=run_bytes, **config)

    expected: dict[str, dict[str, Any]] = {}
    for row in rows:
        embeddings = {f"p.{name}": row[name] for name in ("e", "g") if row[name] is not None}
        expected.setdefault(row["key"], {}).setdefault(str(row["frame"]), []).append(embeddings)
    assert found.keys() == expected.keys()
    for key, frames in expected.items():
        if any(len(one) > 1 for one in frames.values()):
            assert "has two rows for frame" in found[key]
            continue
        wanted = {number: one[0] for number, one in frames.items() if one[0]}
        if has_config:
            assert found[key] == {
                "$encord": {"config": {"sampling_rate": 2.0, "keyframe_mode": "frame"}, "frames": wanted}
            }
        else:
            assert found[key] == ({"$encord": {"frames": wanted}} if wanted else None)


def test_values_of_frames_are_written_as_their_merge_would_write_them(tables: Tables) -> None:
    rows = [{"key": "a", "frame": number, "e": [0.1], "g": [0.5]} for number in (10, 2, 1)]
    tables.write("t.parquet", pa.Table.from_pylist(rows, FRAMES))
    (row,) = tables.rows(tables.read("t.parquet", config={})).values()

    assert row["values"] == json.dumps(json.loads(row["values"]), sort_keys=True, separators=(",", ":"))


def test_seconds_of_frames_may_be_broken_numbers(tables: Tables) -> None:
    tables.write("t.jsonl", [{"key": "a", "frame": number, "e": [1]} for number in (0.5, 2.0, 10)])

    found = tables.values("t.jsonl", config={"keyframe_mode": "seconds"})

    assert found["a"]["$encord"]["frames"].keys() == {"0.5", "2", "10"}
    assert 'field "frame" has the value 0.5: must be the number of a frame' in tables.values("t.jsonl", config={})["a"]


@pytest.mark.parametrize("number", [-1, None, "3", True, 1e300], ids=repr)
def test_a_frame_without_a_number_is_a_problem_of_its_object(tables: Tables, number: object) -> None:
    tables.write("t.jsonl", [{"key": "a", "frame": number, "e": [1]}, {"key": "b", "frame": 1, "e": [1]}])
    found = tables.values("t.jsonl")

    assert "row 1 of t.jsonl" in found["a"]
    assert found["b"] == {"$encord": {"frames": {"1": {"e": [1]}}}}


def test_a_frame_whose_value_is_no_list_of_numbers_is_a_problem_of_its_object(tables: Tables) -> None:
    tables.write("t.jsonl", [{"key": "a", "frame": 7, "e": "x"}])

    assert '"$encord.frames.7.e" has the value "x": must be a list of numbers' in tables.values("t.jsonl")["a"]


def test_frames_of_more_than_ten_megabytes_are_refused_and_not_kept(tables: Tables) -> None:
    rows = [{"key": key, "frame": number, "e": [0.123456] * 4096, "g": None} for key in "ab" for number in range(400)]
    tables.write("t.parquet", pa.Table.from_pylist([*rows, {"key": "c", "frame": 1, "e": [1], "g": None}], FRAMES))
    found = tables.values("t.parquet")

    assert (
        "must be at most 10,000,000 bytes for all frames of an object" in found["a"] == found["b"].replace("'b'", "'a'")
    )
    assert found["c"] == {"$encord": {"frames": {"1": {"e": [1.0]}}}}


def test_names_with_dots_are_names_and_no_ways_into_others(tables: Tables) -> None:
    schema = pa.schema(
        [("key", pa.string()), ("f", pa.int64()), ("f.x", pa.binary()), ("g", pa.struct({"x": pa.int64()}))]
    )
    tables.write("t.parquet", pa.Table.from_pylist([{"key": "a", "f": 1, "f.x": b"1", "g": {"x": 2}}], schema))
    tables.write("u.parquet", pa.table({"key": ["a"], "f": [1], "f.x": [[0.5]], "g.x": ["2"], "g": [None]}))

    assert tables.values("t.parquet", columns=["f", "g"]) == {"a": {"f": 1, "g": {"x": 2}}}
    assert tables.values("u.parquet") == {"a": {"f": 1, "f.x": [0.5], "g.x": "2"}}
    assert tables.values("u.parquet", columns=["f.x"]) == {"a": {"f.x": [0.5]}}


def test_lines_of_which_only_some_have_a_frame_are_refused(tables: Tables) -> None:
    tables.write("t.jsonl", [{"key": "a", "x": 1}, {"key": "b", "frame": 1, "x": [1]}])

    with pytest.raises(ConfigurationError, match=r"t\.jsonl has a column 'frame', other than rows or files before it"):
        tables.read("t.jsonl")


def test_frame_among_the_columns_is_a_value_like_others(tables: Tables) -> None:
    tables.write("t.csv", "key,frame,x\na,3,1\n")
    tables.write("t.jsonl", [{"key": "a", "frame": 3, "x": 1}])

    assert tables.values("t.csv", columns=["frame", "x"]) == {"a": {"frame": "3", "x": "1"}}
    assert tables.values("t.jsonl", columns=["frame", "x"]) == {"a": {"frame": 3, "x": 1}}


def test_frame_may_name_the_object(tables: Tables) -> None:
    tables.write("t.csv", "frame,x\na,1\n")

    assert tables.values("t.csv", key="frame") == {"a": {"x": "1"}}
