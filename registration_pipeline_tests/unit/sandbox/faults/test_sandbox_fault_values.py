"""Faults and random profiles as values and as JSON: what is refused, what they are called, what comes back."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.api.app import ROUTES
from registration_pipeline.sandbox.api.endpoints import QUERIES, Endpoint, EndpointFinder
from registration_pipeline.sandbox.database import Database
from registration_pipeline.sandbox.faults.plan import FaultPlan, dump_fault, dump_profile, load_fault, load_profile
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import JOB_KINDS, Effect, Fate, Fault, Kind, When

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"effect": Effect.JOB}, "needs a fate"),
        ({"effect": Effect.CUT, "fate": Fate.LATE}, "say when: after"),
        ({"effect": Effect.STATUS, "when": When.MIDWAY}, "cut only"),
        ({"effect": Effect.STATUS, "status": 199}, "status is 199"),
        ({"effect": Effect.DELAY, "seconds": -1}, "seconds is -1"),
        ({"effect": Effect.CUT, "times": 0}, "times is 0"),
        ({"effect": Effect.CUT, "skip": -1}, "skip is -1"),
        ({"effect": Effect.CUT, "method": "FETCH"}, "'FETCH' is unknown"),
        ({"effect": Effect.CUT, "path": "("}, "not a regular expression"),
        ({"effect": Effect.JOB, "fate": Fate.ERROR, "share": 1.1}, "share is 1.1"),
        ({"effect": Effect.JOB, "fate": Fate.UNITS, "unit_messages": ()}, "unit_messages is empty"),
        ({"effect": Effect.JOB, "fate": Fate.UNITS, "unit_failures": 0}, "unit_failures is 0"),
        ({"effect": Effect.JOB, "fate": Fate.UNITS, "unit_probability": 2}, "unit_probability is 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_do_not_fit_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Fault(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probability": 1.5}, "probability is 1.5"),
        ({"kinds": ()}, "kinds is empty"),
        ({"kinds": (Kind.CUT_AFTER,), "weights": {Kind.STATUS: 2}}, "weights names status"),
        ({"weights": {Kind.STATUS: 0}}, "above 0"),
        ({"delay_seconds": -1}, "seconds is -1"),
    ],
    ids=["probability", "no kinds", "weight of another kind", "weight of nothing", "negative delay"],
)
def test_profiles_that_do_not_fit_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomFaults(**{"probability": 0.3, "seed": 1, **values})


@pytest.mark.parametrize("kind", Kind)
def test_every_variant_of_a_kind_says_that_it_is_of_that_kind_and_comes_back_from_json(kind: Kind) -> None:
    variants = RandomFaults(probability=0.3, seed=1, kinds=(kind,)).variants(kind)

    assert variants
    assert {variant.kind for variant in variants} == {kind}
    assert len({variant.way for variant in variants}) == len(variants)
    assert all(load_fault(dump_fault(variant)) == variant for variant in variants)


def test_a_profile_comes_back_from_json() -> None:
    profile = RandomFaults(
        probability=0.3,
        seed=4,
        kinds=(Kind.STATUS, Kind.JOB_LATE),
        endpoints=(Endpoint.START_JOB, Endpoint.POLL_JOB),
        weights={Kind.STATUS: 2.5},
        unit_messages=("busy",),
    )

    assert load_profile(dump_profile(profile)) == profile


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"effect": "cut", "tims": 3}, "tims: Unexpected keyword"),
        ({"effect": "explode"}, "effect: Input should be"),
        ({"effect": "cut", "endpoint": "nowhere"}, "endpoint: Input should be"),
        ({"effect": "cut", "times": "many"}, "times: Input should be a valid integer"),
        ([], "the document: "),
        ({"effect": "job"}, "needs a fate"),
    ],
    ids=["unknown key", "unknown effect", "unknown endpoint", "no number", "no object", "no fate"],
)
def test_json_that_is_no_fault_is_named(document: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_fault(json.dumps(document))


def test_refusals_and_unbounded_replies_are_drawn_only_when_named_and_job_kinds_only_for_starts() -> None:
    profile = RandomFaults(probability=0.3, seed=1)

    usual = set(Kind) - {Kind.REFUSAL, Kind.GATEWAY, Kind.UNBOUNDED}
    assert set(profile.applicable(Endpoint.START_JOB)) == usual
    assert set(profile.applicable(Endpoint.POLL_JOB)) == usual - JOB_KINDS


def test_a_gateway_answers_for_itself_only_where_a_second_request_makes_a_second_thing() -> None:
    profile = RandomFaults(probability=0.3, seed=1, kinds=(Kind.GATEWAY,))

    assert {endpoint for endpoint in Endpoint if profile.applicable(endpoint)} == {
        Endpoint.START_JOB,
        Endpoint.CREATE_FOLDER,
    }


def test_every_route_has_an_endpoint_name_and_every_name_a_route() -> None:
    finder = EndpointFinder(ROUTES)

    assert {route.name for route in ROUTES} | {*QUERIES.values()} == {*Endpoint} - {Endpoint.OTHER}
    for route in ROUTES:
        path = "/v2/public" + route.path.format(folder_uuid="f", item_uuid="i", job_uuid="j")
        methods = sorted((route.methods or set()) - {"HEAD"})
        assert [finder.find({"path": path, "method": method}) for method in methods] == [route.name] * len(methods)
    for query, name in QUERIES.items():
        assert finder.find({"path": "/public", "method": "POST", "state": {"query": query}}) == name
    assert finder.find({"path": "/v2/public/storage/folders", "method": "PUT"}) is Endpoint.OTHER
    assert finder.find({"path": "/storage/folders", "method": "GET"}) is Endpoint.OTHER


def test_draws_come_as_often_as_the_probability_and_the_weights_say(tmp_path: Path) -> None:
    database = Database(tmp_path)
    plan = FaultPlan(database)
    kinds = (Kind.CUT_BEFORE, Kind.DELAY_AFTER)
    plan.randomise(RandomFaults(probability=0.3, seed=11, kinds=kinds, weights={Kind.CUT_BEFORE: 3}))

    drawn = Counter(
        strike.fault.kind if strike else None
        for strike in (plan.draw(endpoint=Endpoint.GET_ITEM, method="GET", path="/") for _ in range(4_000))
    )
    database.close()

    assert drawn[None] == pytest.approx(2_800, rel=0.05)
    assert drawn[Kind.CUT_BEFORE] == pytest.approx(900, rel=0.1)
    assert drawn[Kind.DELAY_AFTER] == pytest.approx(300, rel=0.15)
