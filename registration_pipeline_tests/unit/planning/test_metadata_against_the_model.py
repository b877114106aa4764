"""Any entries, precedence, types and groups: what a plan sends equals what a model of dictionaries comes to."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.facts.reading.spec import WAITING
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.metadata_model.model import WAITS, Entry, expected, of_unit
from registration_pipeline_tests.metadata_model.world import MetadataBucket

if TYPE_CHECKING:
    from registration_pipeline.planning.plan import Plan

KEYS = (
    *(f"raw/site-{site}/{number}/{name}.png" for site in ("oslo", "true") for number in ("007", "x") for name in "ab"),
    *(f"raw/rigs/{number}/{name}.png" for number in "12" for name in "abc"),
)
GROUP = {"match": "rigs/**", "as": "image_group", "by": "directory"}
PATTERNS = ("site-(?P<t>[a-z]+)/", "(?P<n>[0-9]+)/(?P<name>[^/]+)$", "site-(?P<flag>true)?", "/(?P<e>sun)?x/")
FIELDS = ("n", "t", "flag", "e", "p.n", "name")
TYPES: Any = st.sampled_from(["number", "boolean", "varchar", ["sun", "rain"]])
FRAMES = st.dictionaries(
    st.sampled_from(["0", "1"]), st.dictionaries(st.sampled_from(["x", "y"]), st.just([1.5, 2]), min_size=1), min_size=1
)
ENCORD = st.fixed_dictionaries({}, optional={"frames": FRAMES, "config": st.just({"sampling_rate": 1})})
VALUES = st.dictionaries(
    st.sampled_from(FIELDS),
    st.sampled_from([0, 7, 2.5, True, False, "sun", "rain", "", "é\U0001f600", [1, "a"], {"b": {"c": None}}]),
    max_size=4,
)


@st.composite
def values_of_rows(draw: st.DrawFn) -> dict[str, Any]:
    values = draw(VALUES)
    encord = draw(ENCORD) if draw(st.integers(0, 2)) == 0 else {}
    return values | ({"$encord": encord} if encord else {})


def problem(reason: str) -> dict[str, str]:
    return {"problem": reason, "message": f"the row is {reason}"}


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        way = draw(st.sampled_from(["pattern", "table", "table", "sidecar", "object_metadata"]))
        if way == "pattern":
            given_settings = {"pattern": draw(st.sampled_from(PATTERNS)), "prefix": draw(st.sampled_from(["", "p."]))}
            found.append(Entry(way, given_settings, {}))
            continue
        written: dict[str, dict[str, Any]] = {
            "table": {"table": f"s3://tables/{number}.csv", "key": "k"},
            "sidecar": {"sidecar": f".{number}.meta"},
            "object_metadata": {"object_metadata": True, "prefix": f"o{number}."},
        }
        bad = st.sampled_from([problem(reason) for reason in ("invalid_metadata", "metadata_unreadable", WAITING)])
        some = st.one_of(st.none(), values_of_rows(), values_of_rows(), values_of_rows())
        rows = {
            key: draw(bad if draw(st.integers(0, 30)) == 0 else some)
            for key in (*KEYS, "raw/gone.png")
            if draw(st.integers(0, 30 if way == "object_metadata" else 3))
        }
        found.append(Entry(way, written[way], {key: row or None for key, row in rows.items()}))
    return found


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=DOSES.metadata_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries(), st.dictionaries(st.sampled_from(FIELDS), TYPES, max_size=2), st.booleans())
def test_what_a_plan_sends_equals_the_model(made: list[Entry], schema: dict[str, Any], has_groups: bool) -> None:  # noqa: FBT001
    types = {name: {"enum": kind} if isinstance(kind, list) else kind for name, kind in schema.items()}
    with tempfile.TemporaryDirectory() as folder:
        bucket = MetadataBucket(
            Path(folder),
            metadata=[entry.settings for entry in made],
            metadata_schema=types,
            groups=[GROUP] if has_groups else [],
        )
        bucket.put(*KEYS)
        listed = bucket.listed()
        inputs = [
            None if entry.way == "pattern" else bucket.write_values(index, entry.rows)
            for index, entry in enumerate(made)
        ]
        plan = bucket.plan(listed, metadata=bucket.make(listed, *inputs))
        sent, rejected, held = modelled(made, schema, has_groups=has_groups)
        # As text: 1, 1.0 and true are equal in Python.
        assert json.dumps(found(bucket, plan), sort_keys=True) == json.dumps(sent, sort_keys=True)
        assert {key: reason for key, (reason, _) in bucket.rejected(plan).items()} == rejected
        assert plan.wave.counts.held == held


def found(bucket: MetadataBucket, plan: Plan) -> dict[str, Any]:
    return {
        unit.objects[0].key: json.loads(unit.client_metadata) if unit.client_metadata is not None else {}
        for unit in bucket.units(plan)
    }


def modelled(
    made: list[Entry], schema: dict[str, Any], *, has_groups: bool
) -> tuple[dict[str, Any], dict[str, str], int]:
    """Return first key -> values of the planned units, key -> reason of rejected objects, and how many objects wait."""
    units: dict[str, list[str]] = {}
    for key in KEYS:
        name = key.rpartition("/")[0] if has_groups and key.startswith("raw/rigs/") else key
        units.setdefault(name, []).append(key)
    sent, rejected, held = {}, {}, 0
    for keys in units.values():
        fates = {key: expected(made, schema, key) for key in keys}
        bad = {key: one.fate for key, one in fates.items() if one.fate not in ("", WAITS)}
        if bad:
            rejected.update({key: bad.get(key, "unit_incomplete") for key in keys})
        elif any(one.fate == WAITS for one in fates.values()):
            held += len(keys)
        else:
            sent[keys[0]] = of_unit([fates[key].values for key in keys])
    return sent, rejected, held
