"""The demo's claims are true of what should happen, and each turns false when what it claims did not happen."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.demo.claims import Expectation, check_claims
from registration_pipeline.demo.observation import Observation
from registration_pipeline.sandbox.admin.insight import JobRecord
from registration_pipeline.tracking.status import SourceStatus

if TYPE_CHECKING:
    from registration_pipeline.demo.observation import ObjectName

SOURCE = "demo-bucket"


def named(*keys: str) -> frozenset[ObjectName]:
    return frozenset((SOURCE, key) for key in keys)


def job(number: int, units: int, file_name: str | None = None) -> JobRecord:
    return JobRecord(
        uuid=str(number),
        folder_uuid="folder",
        folder_name="fleet-cameras",
        file_name=file_name,
        created_at="2026-11-21T02:00:00Z",
        ended_at="2026-11-21T02:00:01Z",
        fate=None,
        status="DONE",
        units=units,
        done=units,
        failed=0,
        skipped=0,
        cancelled=0,
    )


EXPECTED = Expectation(
    good=named("a", "b"),
    broken=named("c"),
    rejected=named("d"),
    added=named("e"),
    labels={(SOURCE, "a"): {"demo.speed": 1.5}},
    corrected=named("a"),
)
FIRST = Observation(
    registered=Counter(named("a", "b")),
    metadata={(SOURCE, "a"): {"demo.speed": 1.5, "registration.unit": "0"}},
    media=named("a", "b"),
    linked=Counter(named("a", "b")),
    datasets=1,
    jobs=(job(1, 1), job(2, 2)),
    failed=named("c"),
    rejected=named("d"),
    chunks=frozenset({"1", "2"}),
    failed_chunks=frozenset({"2"}),
    materialized=frozenset({"1"}),
    runs=1,
    statuses={SOURCE: SourceStatus(source=SOURCE, objects=4, rejected=1, registered=2, failed=1)},
    duplicates=0,
)
RETRIED = replace(
    FIRST,
    registered=Counter(named("a", "b", "c")),
    jobs=(*FIRST.jobs, job(3, 2)),
    failed=frozenset(),
    failed_chunks=frozenset(),
    materialized=FIRST.chunks,
    statuses={SOURCE: SourceStatus(source=SOURCE, objects=4, rejected=1, registered=3)},
)
LAST = replace(
    RETRIED,
    registered=Counter(named("a", "b", "c", "e")),
    media=named("a", "b", "c", "e"),
    linked=Counter(named("a", "b", "c", "e")),
    jobs=(*RETRIED.jobs, job(4, 1), job(5, 1, "1-upsert-images-1.json")),
    chunks=frozenset({"1", "2", "3"}),
    materialized=frozenset({"1", "2", "3"}),
    statuses={SOURCE: SourceStatus(source=SOURCE, objects=5, rejected=1, registered=4)},
)


def test_every_claim_holds_when_all_went_well() -> None:
    assert [claim.text for claim in check_claims(EXPECTED, FIRST, RETRIED, LAST) if not claim.holds] == []


@pytest.mark.parametrize(
    ("claim", "first", "retried", "last"),
    [
        pytest.param(0, replace(FIRST, registered=Counter(named("a"))), RETRIED, LAST, id="a good object is missing"),
        pytest.param(0, replace(FIRST, failed=named("b", "c")), RETRIED, LAST, id="a good object failed"),
        pytest.param(0, replace(FIRST, failed=frozenset()), RETRIED, LAST, id="a broken object passed"),
        pytest.param(1, FIRST, RETRIED, replace(LAST, rejected=frozenset()), id="a rejection is forgotten"),
        pytest.param(2, FIRST, replace(RETRIED, jobs=FIRST.jobs), LAST, id="nothing was retried"),
        pytest.param(2, FIRST, replace(RETRIED, jobs=LAST.jobs), LAST, id="too much was retried"),
        pytest.param(2, FIRST, replace(RETRIED, failed=named("c")), LAST, id="the retry failed"),
        pytest.param(3, FIRST, RETRIED, replace(LAST, jobs=RETRIED.jobs), id="the new chunk was not sent"),
        pytest.param(3, FIRST, RETRIED, replace(LAST, jobs=(*LAST.jobs, job(5, 2))), id="an old chunk was sent again"),
        pytest.param(3, FIRST, RETRIED, replace(LAST, chunks=frozenset({"2", "3", "4"})), id="a chunk is gone"),
        pytest.param(
            4, FIRST, RETRIED, replace(LAST, registered=LAST.registered + Counter(named("a"))), id="registered twice"
        ),
        pytest.param(4, FIRST, RETRIED, replace(LAST, duplicates=1), id="the sandbox counts a duplicate"),
        pytest.param(4, FIRST, RETRIED, replace(LAST, registered=RETRIED.registered), id="a new object is missing"),
        pytest.param(5, FIRST, RETRIED, replace(LAST, materialized=FIRST.chunks), id="Dagster lacks a partition"),
        pytest.param(
            5, replace(FIRST, materialized=FIRST.chunks), RETRIED, LAST, id="Dagster shows a failed chunk as done"
        ),
        pytest.param(
            6,
            FIRST,
            RETRIED,
            replace(LAST, statuses={SOURCE: SourceStatus(source=SOURCE, objects=6, rejected=1, registered=4)}),
            id="the numbers do not add up",
        ),
        pytest.param(
            6,
            FIRST,
            RETRIED,
            replace(LAST, statuses={SOURCE: SourceStatus(source=SOURCE, objects=4, rejected=1, registered=3)}),
            id="the status counts other objects",
        ),
        pytest.param(
            7,
            FIRST,
            RETRIED,
            replace(LAST, metadata={(SOURCE, "a"): {"demo.speed": 2}}),
            id="another value is in Encord",
        ),
        pytest.param(7, FIRST, RETRIED, replace(LAST, metadata={}), id="no metadata is in Encord"),
        pytest.param(9, FIRST, RETRIED, replace(LAST, jobs=LAST.jobs[:-1]), id="no new metadata was sent"),
        pytest.param(10, FIRST, RETRIED, replace(LAST, linked=RETRIED.linked), id="a new item is in no dataset"),
        pytest.param(
            10, FIRST, RETRIED, replace(LAST, linked=LAST.linked + Counter(named("a"))), id="an item is linked twice"
        ),
        pytest.param(8, FIRST, RETRIED, replace(LAST, media=named("a")), id="media metadata of an object are missing"),
    ],
)
def test_a_claim_turns_false_when_it_did_not_happen(
    claim: int, first: Observation, retried: Observation, last: Observation
) -> None:
    assert not check_claims(EXPECTED, first, retried, last)[claim].holds
