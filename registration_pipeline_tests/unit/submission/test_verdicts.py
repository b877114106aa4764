"""What a job's report means for every unit of its chunk."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import FailureReason, MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus, RemoteItem, UnitError
from registration_pipeline.submission.reasons import classify_message
from registration_pipeline.submission.verdicts import (
    FolderEvidence,
    chunk_state,
    contested_items,
    judge_adopted,
    judge_job,
    judge_refused,
    keep_registered,
    unaccounted_units,
    verdict_facts,
)
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Outcome, Verdict

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
NOTHING = FolderEvidence()
REGISTERED, FAILED = Verdict.REGISTERED, Verdict.FAILED


def url(name: str) -> str:
    return f"https://bucket/raw/{name}%20x.jpg"


def unit(name: str, *objects: str) -> PlannedUnit:
    members = tuple(PlannedObject(key=f"raw/{one} x.jpg", object_url=url(one), size=1) for one in objects or (name,))
    return PlannedUnit(unit_id=f"id-{name}", kind=MediaKind.IMAGE, title=f"title {name}", objects=members, unit_index=0)


def chunk(*units: PlannedUnit) -> ChunkUnits:
    return ChunkUnits.of(unit._replace(unit_index=index) for index, unit in enumerate(units))


def error(*names: str, message: str = "corrupt") -> UnitError:
    return UnitError(object_urls=tuple(map(url, names)), message=message, subtask_uuid="subtask")


def report(*items: str, errors: tuple[UnitError, ...] = (), **facts: Any) -> JobReport:
    values: dict[str, Any] = {"status": JobStatus.DONE, "units_error": len(errors)}
    found = tuple(JobItem(f"item-{name}", f"title {name}") for name in items)
    return JobReport(items=found, unit_errors=errors, **values | facts)


def remote(name: str, **facts: Any) -> RemoteItem:
    values: dict[str, Any] = {"item_uuid": f"item-{name}", "name": "x", "url": url(name), "unit_id": f"id-{name}"}
    return RemoteItem(created_at=AT, **values | facts)


def judge(units: list[PlannedUnit], found: JobReport, evidence: FolderEvidence = NOTHING) -> dict[str, Outcome]:
    outcomes = judge_job(chunk(*units), found, evidence, attempt=3, at=AT)
    return {outcome.key.removeprefix("raw/").removesuffix(" x.jpg"): outcome for outcome in outcomes}


def test_items_are_matched_by_name_and_errors_by_url():
    units = [unit("a"), unit("b")]

    found = judge(units, report("a", errors=(error("b", message="403 Forbidden"),)))

    assert (found["a"].verdict, found["a"].item_uuid, found["a"].reason) == (REGISTERED, "item-a", None)
    assert (found["b"].verdict, found["b"].reason, found["b"].message) == (FAILED, "unreadable", "403 Forbidden")
    assert (found["b"].subtask_uuid, found["b"].attempt, found["b"].at) == ("subtask", 3, AT)


def test_an_error_is_matched_when_its_url_is_encoded_in_another_way():
    found = judge([unit("a")], report(errors=(UnitError(object_urls=("https://bucket/raw/a x.jpg",), message="no"),)))

    assert found["a"].verdict is FAILED


def test_a_unit_with_an_item_and_an_error_has_failed():
    assert judge([unit("a")], report("a", errors=(error("a"),)))["a"].verdict is FAILED


def test_one_bad_object_fails_all_objects_of_its_unit():
    found = judge([unit("group", "a", "b")], report(errors=(error("b"),)))

    assert {key: outcome.verdict for key, outcome in found.items()} == {"a": FAILED, "b": FAILED}


def test_a_unit_that_neither_the_job_nor_the_folder_names_is_unaccounted_though_every_error_is_listed():
    found = judge([unit("a"), unit("b"), unit("c")], report("a", errors=(error("b"),)))

    assert (found["c"].verdict, found["c"].reason) == (FAILED, FailureReason.UNACCOUNTED)
    assert "0 done, 1 errors of which it lists 1, 0 pending: no error text" in str(found["c"].message)


def test_the_url_of_its_first_object_is_no_evidence_of_a_unit_of_several():
    evidence = FolderEvidence.collect([unit("group", "a", "b")], [remote("a")])

    assert judge([unit("group", "a", "b")], report(), evidence)["a"].verdict is FAILED


def test_an_item_that_is_named_for_two_units_proves_neither():
    named = replace(report("a", "b"), items=(*report("a", "b").items, JobItem("item-b", "title c")))

    found = judge([unit("a"), unit("b"), unit("c")], named)

    assert [found[name].verdict for name in "abc"] == [REGISTERED, FAILED, FAILED]


def test_what_was_registered_without_an_item_has_to_be_proven_again():
    units = chunk(unit("a"), unit("b"))
    named = judge_job(units, report("a", "b"), NOTHING, attempt=1, at=AT)
    earlier = ChunkOutcomes.of([named[0], named[1]._replace(item_uuid=None, verdict=Verdict.ALREADY_REGISTERED)])

    kept = keep_registered(judge_job(units, report(), NOTHING, attempt=2, at=AT), earlier)

    assert [(one.verdict, one.attempt) for one in kept] == [(REGISTERED, 1), (FAILED, 2)]


def test_a_skipped_unit_gets_the_item_that_the_folder_shows():
    evidence = FolderEvidence.collect([unit("a")], [remote("a")])

    found = judge([unit("a")], report(), evidence)

    assert (found["a"].verdict, found["a"].item_uuid) == (REGISTERED, "item-a")


def test_the_signature_of_a_url_that_was_not_sent_is_masked():
    signed = UnitError(object_urls=("https://bucket/a.jpg?X-Amz-Signature=4711",), message="no")

    found = judge([unit("a")], report(errors=(signed,), units_error=2))

    assert "an error for https://bucket/a.jpg?X-Amz-Signature=***, which was not sent" in (found["a"].message or "")
    assert "4711" not in str(found)


NOT_TOLD = [
    pytest.param(report(units_error=2, errors=(error("b"),)), id="more errors than are listed"),
    pytest.param(report(units_error=1), id="an error that is not listed"),
    pytest.param(report(errors=(error("somebody else"), error("b"))), id="an error for a URL that was not sent"),
    pytest.param(report(status=JobStatus.ERROR, errors=(error("b"),)), id="the job ended as ERROR"),
    pytest.param(report("a", status=JobStatus.ERROR, errors=(error("b"),)), id="an ERROR job may take its items back"),
]


@pytest.mark.parametrize("found", NOT_TOLD)
def test_a_unit_that_may_have_failed_never_counts_as_registered(found: JobReport):
    outcome = judge([unit("a"), unit("b")], replace(found, errors=("disk full",)))["a"]

    assert (outcome.verdict, outcome.reason) == (FAILED, FailureReason.UNACCOUNTED)
    assert "disk full" in str(outcome.message)


@pytest.mark.parametrize("found", NOT_TOLD)
def test_a_unit_that_may_have_failed_is_registered_when_the_folder_shows_it(found: JobReport):
    evidence = FolderEvidence.collect([unit("a")], [remote("a")])

    assert judge([unit("a"), unit("b")], found, evidence)["a"].verdict is REGISTERED


@pytest.mark.parametrize(
    "found",
    [report("a", status=JobStatus.CANCELLED, units_cancelled=1), report("a", units_cancelled=1)],
    ids=["CANCELLED", "DONE with cancelled units"],
)
def test_units_of_a_cancelled_job_that_were_not_reached_are_cancelled(found: JobReport):
    outcomes = judge([unit("a"), unit("b")], found)

    assert outcomes["a"].verdict is REGISTERED
    assert (outcomes["b"].verdict, outcomes["b"].reason) == (FAILED, FailureReason.CANCELLED)


def test_only_units_that_the_job_does_not_name_are_searched_for():
    units = chunk(unit("a"), unit("b"), unit("c"))

    assert unaccounted_units(units, report("a", errors=(error("b"),))) == [units[2]]


def test_evidence_goes_by_our_own_id_first_and_by_url_where_there_is_none():
    units = [unit("a"), unit("b"), unit("c")]
    items = [remote("a", url=None), remote("b", unit_id=None, url="https://bucket/raw/b x.jpg")]

    evidence = FolderEvidence.collect(units, items)

    assert [evidence.item_of(one) for one in units] == ["item-a", "item-b", None]
    assert evidence.covers(units[:2])
    assert not evidence.covers(units)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        pytest.param({"url": "https://elsewhere/a.jpg"}, MediaKind.IMAGE, id="an image of another bucket"),
        pytest.param(
            {"url": None, "objects": objects_digest([])}, MediaKind.IMAGE_GROUP, id="a group of other objects"
        ),
        pytest.param({"url": None}, MediaKind.IMAGE_GROUP, id="a group that does not say what it consists of"),
    ],
)
def test_an_item_with_the_id_of_a_unit_is_no_evidence_without_its_objects(found: dict[str, Any], kind: MediaKind):
    one = unit("a")._replace(kind=kind)

    assert FolderEvidence.collect([one], [remote("a", **found)]).item_of(one) is None


def test_a_listing_is_not_read_further_than_needed():
    read: list[str] = []

    def items() -> Any:
        for name in ("x", "b", "a", "never"):
            read.append(name)
            yield remote(name)

    FolderEvidence.collect([unit("a"), unit("b")], items())

    assert read == ["x", "b", "a"]


def test_an_adopted_chunk_has_the_items_of_the_folder():
    units = [unit("a"), unit("group", "b", "c")._replace(kind=MediaKind.IMAGE_GROUP)]
    evidence = FolderEvidence.collect(
        units, [remote("a"), remote("group", url=None, objects=objects_digest([url("b"), url("c")]))]
    )

    outcomes = judge_adopted(units, evidence, attempt=1, at=AT)

    assert [outcome.item_uuid for outcome in outcomes] == ["item-a", "item-group", "item-group"]
    assert chunk_state(outcomes) is ChunkState.SUCCEEDED


def test_a_refused_chunk_has_failed_with_what_was_said():
    outcomes = judge_refused([unit("a"), unit("b")], "400: no", attempt=1, at=AT)

    assert {(one.reason, one.message) for one in outcomes} == {(FailureReason.MANIFEST_REFUSED, "400: no")}
    assert chunk_state(outcomes) is ChunkState.FAILED


def test_what_an_earlier_attempt_registered_stays_registered():
    units = chunk(*map(unit, "abcd"))
    earlier = judge_job(units, report("a", "b", "c", errors=(error("d"),)), NOTHING, attempt=1, at=AT)
    # The second attempt skips a, fails b as a whole, names c again and registers d.
    later = judge_job(units, report("c", "d", errors=(error("b"),)), NOTHING, attempt=2, at=AT)

    kept = {outcome.key[4]: outcome for outcome in keep_registered(later, earlier)}

    assert {name: (one.verdict, one.attempt) for name, one in kept.items()} == {
        "a": (REGISTERED, 1),
        "b": (REGISTERED, 1),
        "c": (REGISTERED, 2),
        "d": (REGISTERED, 2),
    }


def test_a_failure_is_replaced_by_the_newer_failure():
    earlier = judge_refused([unit("a")], "old", attempt=1, at=AT)
    later = judge_refused([unit("a")], "new", attempt=2, at=AT)

    assert [outcome.message for outcome in keep_registered(later, earlier)] == ["new"]


@pytest.mark.parametrize(
    ("items", "errors", "state"),
    [
        ("ab", "", ChunkState.SUCCEEDED),
        ("a", "b", ChunkState.PARTIALLY_FAILED),
        ("", "ab", ChunkState.FAILED),
    ],
    ids=["all registered", "some failed", "all failed"],
)
def test_a_chunk_is_what_its_objects_are(items: str, errors: str, state: ChunkState):
    found = report(*items, errors=tuple(error(name) for name in errors))

    assert chunk_state(judge_job(chunk(unit("a"), unit("b")), found, NOTHING, attempt=1, at=AT)) is state


@given(
    named=st.sets(st.sampled_from("abcdef")),
    listed=st.sets(st.sampled_from("abcdefxy")),
    shown=st.sets(st.sampled_from("abcdef")),
    status=st.sampled_from([JobStatus.DONE, JobStatus.ERROR, JobStatus.CANCELLED]),
    unlisted=st.integers(0, 2),
)
def test_whatever_a_job_says_every_object_gets_one_verdict(
    named: set[str], listed: set[str], shown: set[str], status: JobStatus, unlisted: int
):
    units = chunk(*map(unit, "abcdef"))
    errors = tuple(error(name) for name in sorted(listed))
    found = report(*sorted(named), errors=errors, status=status, units_error=len(errors) + unlisted)
    evidence = FolderEvidence.collect(units, [remote(name) for name in shown])

    outcomes = judge_job(units, found, evidence, attempt=1, at=AT)

    assert [outcome.key for outcome in outcomes] == [one.objects[0].key for one in units]
    assert all((outcome.reason is None) == outcome.verdict.is_registered for outcome in outcomes)
    assert all((outcome.item_uuid is not None) == outcome.verdict.is_registered for outcome in outcomes)
    assert {outcome.key[4] for outcome in outcomes if outcome.verdict.is_registered} <= named | shown


MESSAGES = [
    ("403 Forbidden", "unreadable"),
    ("Access Denied (404)", "unreadable"),
    ("AccessDenied: permission missing", "unreadable"),
    ("404 not found", "not_found"),
    ("NoSuchKey: The specified key does not exist.", "not_found"),
    ("read timed out", "service_error"),
    ("503 Service Unavailable", "service_error"),
    ("please try again", "service_error"),
    ("image file is truncated", "invalid_file"),
    ("Could not decode video", "invalid_file"),
    ("unsupported codec", "invalid_file"),
    ("Invalid image", "invalid_file"),
    ("object 14031 is odd", "other"),
    ("", "other"),
]


@pytest.mark.parametrize(("message", "reason"), MESSAGES, ids=[message or "nothing" for message, _ in MESSAGES])
def test_a_message_has_a_reason(message: str, reason: str):
    assert classify_message(message).value == reason


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=6))
def test_a_verdict_counts_objects_and_keeps_one_failure_per_unit(drawn: list[tuple[int, bool]]):
    units = chunk(*(unit(f"u{n}", *(f"u{n}-{m}" for m in range(size))) for n, (size, _) in enumerate(drawn)))
    errors = tuple(error(f"u{n}-{size - 1}") for n, (size, is_bad) in enumerate(drawn) if is_bad)
    named = [f"u{n}" for n, (_, is_bad) in enumerate(drawn) if not is_bad]

    facts = verdict_facts(units, judge_job(units, report(*named, errors=errors), NOTHING, attempt=1, at=AT))

    failed = [size for size, is_bad in drawn if is_bad]
    assert (facts["registered"], facts["failed"]) == (sum(size for size, _ in drawn) - sum(failed), sum(failed))
    assert len(facts["failures"]) == sum(facts["reasons"].values()) == len(failed)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.data())
def test_an_item_is_contested_once_however_many_objects_its_unit_has(sizes: list[int], data: st.DataObject):
    units = chunk(*(unit(f"u{n}", *(f"u{n}-{m}" for m in range(size))) for n, size in enumerate(sizes)))
    named = [f"u{n}" for n in range(len(sizes))]
    refused = sorted(data.draw(st.sets(st.sampled_from(range(len(sizes))))))
    earlier = judge_job(units, report(*named), NOTHING, attempt=1, at=AT)
    errors = tuple(error(f"u{n}-{sizes[n] - 1}") for n in refused)
    kept = [name for n, name in enumerate(named) if n not in refused]
    again = judge_job(units, report(*kept, errors=errors), NOTHING, attempt=2, at=AT)

    assert contested_items(again, earlier) == [f"item-u{n}" for n in refused]
