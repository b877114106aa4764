"""Errors about units of several objects: which unit, which frame, and what is said of each."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus, RemoteItem, UnitError
from registration_pipeline.submission.spread import REPEATED_TEXT
from registration_pipeline.submission.verdicts import (
    FolderEvidence,
    judge_job,
    judge_refused,
    keep_registered,
    unaccounted_units,
    verdict_facts,
)
from registration_pipeline.tracking.failures.log import chunk_failures
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Verdict, failed_units

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)


def url(key: str) -> str:
    return f"https://bucket/{key.replace(' ', '%20')}"


def group(name: str, *frames: str, index: int = 0) -> PlannedUnit:
    keys = [f"raw/{name}/{frame}" for frame in frames]
    members = tuple(PlannedObject(key=key, object_url=url(key), size=1) for key in keys)
    return PlannedUnit(f"id-{name}", MediaKind.IMAGE_GROUP, f"title {name}", members, index)


def chunk(*units: PlannedUnit) -> ChunkUnits:
    return ChunkUnits.of(unit._replace(unit_index=index) for index, unit in enumerate(units))


def judged(units: ChunkUnits, *errors: UnitError, items: tuple[JobItem, ...] = ()) -> ChunkOutcomes:
    report = JobReport(status=JobStatus.DONE, items=items, unit_errors=errors, units_error=len(errors))
    return judge_job(units, report, FolderEvidence(), attempt=1, at=AT)


ALL = tuple(url(f"raw/rig/{frame}") for frame in ("1 x.png", "2 x.png", "2 x.png.png"))
NAMED: list[Any] = [
    pytest.param(
        UnitError(object_urls=ALL[1:2], message="could not decode"),
        ("raw/rig/2 x.png: could not decode", ALL[1], "invalid_file"),
        id="the only URL that the error lists",
    ),
    pytest.param(
        UnitError(object_urls=ALL, message=f"404 for {ALL[1]}"),
        (f"404 for {ALL[1]}", ALL[1], "not_found"),
        id="a URL in the text",
    ),
    pytest.param(
        UnitError(object_urls=ALL, message="404: raw/rig/2 x.png.png"),
        ("404: raw/rig/2 x.png.png", ALL[2], "not_found"),
        id="a key in the text that begins with another one",
    ),
    pytest.param(
        UnitError(object_urls=ALL, message="could not decode a frame"),
        ("could not decode a frame", ALL[0], "invalid_file"),
        id="not said",
    ),
    pytest.param(
        UnitError(object_urls=ALL[1:2], message=""),
        ("raw/rig/2 x.png: Encord gave no text", ALL[1], "other"),
        id="no text",
    ),
]


@pytest.mark.parametrize(("error", "said"), NAMED)
def test_the_failure_log_has_one_row_for_a_unit_that_names_the_bad_frame(
    error: UnitError, said: tuple[str, str, str]
) -> None:
    units = chunk(group("rig", "1 x.png", "2 x.png", "2 x.png.png"), group("good", "1.png", "2.png"))

    outcomes = judged(units, error, items=(JobItem("item", "title good"),))

    (row,) = chunk_failures("fleet", "chunk", outcomes)
    assert (row.key, row.objects) == ("raw/rig/1 x.png", 3)
    assert (row.message, row.object_url, row.reason) == said


@pytest.mark.parametrize("name", ["404", "forbidden", "503 timeout"])
def test_what_a_frame_is_called_says_nothing_about_the_reason(name: str) -> None:
    units = chunk(group("rig", "1.png", name))
    error = UnitError(object_urls=(url(f"raw/rig/{name}"),), message=f"could not decode {url(f'raw/rig/{name}')}")

    assert judged(units, error).failed[0].reason == "invalid_file"


def test_of_several_errors_about_a_unit_the_one_about_a_single_frame_counts() -> None:
    units = chunk(group("rig", "1 x.png", "2 x.png", "2 x.png.png"))
    errors = [UnitError(object_urls=ALL, message="the group failed"), UnitError(object_urls=ALL[2:], message="404")]

    for order in (errors, errors[::-1]):
        (unit,) = failed_units(judged(units, order[0], UnitError(object_urls=ALL[2:], message="404")))
        assert unit.said.message == "raw/rig/2 x.png.png: 404"


def test_a_long_text_is_whole_at_the_frame_and_at_the_first_object_only() -> None:
    units = chunk(group("rig", *map(str, range(500))))
    text = "could not decode " + 5_000 * "x"

    outcomes = judged(units, UnitError(object_urls=(url("raw/rig/499"),), message=text))

    lengths = [len(one.message or "") for one in outcomes]
    assert lengths[0] == lengths[499] > 5_000
    assert max(lengths[1:499]) <= REPEATED_TEXT


def test_a_name_that_two_items_have_proves_neither() -> None:
    """A job may name the frames of groups, too, and frames are named like each other."""
    units = chunk(group("rig", "1.png"), group("rig/1.png", "a.png"))
    items = (
        JobItem("item-1", "title rig"),
        JobItem("frame-1", "title rig/1.png"),
        JobItem("item-2", "title rig/1.png"),
    )

    outcomes = judged(units, items=items)

    assert [(one.verdict, one.item_uuid) for one in outcomes] == [
        (Verdict.REGISTERED, "item-1"),
        (Verdict.FAILED, None),
    ]


@pytest.mark.parametrize("how", ["one URL", "all URLs", "refused"])
def test_a_failed_unit_of_very_many_objects_takes_no_python_object_for_each(how: str) -> None:
    count = 50_000
    units = chunk(group("rig", *(f"{number:06d}.png" for number in range(count))))
    rows = units.column("key").nbytes + units.column("object_url").nbytes + units.column("unit_id").nbytes
    listed = (url("raw/rig/000007.png"),) if how == "one URL" else tuple(units.values("object_url"))
    error = UnitError(object_urls=listed, message="could not decode")
    assert len(units) == 1  # makes what is cached
    tracemalloc.start()

    outcomes = judge_refused(units, "422: no", attempt=1, at=AT) if how == "refused" else judged(units, error)
    (row,) = chunk_failures("fleet", "chunk", keep_registered(outcomes, outcomes))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row.objects == count
    assert (outcomes.table.nbytes - rows) / count < 200
    assert peak / count < (400 if how == "all URLs" else 100)


@st.composite
def replies(draw: st.DrawFn) -> tuple[ChunkUnits, JobReport, list[RemoteItem]]:
    """Units with any number of members, and everything that a job may say or leave out."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    units = chunk(*(group(f"u{n}", *(f"{m}.png" for m in range(size))) for n, size in enumerate(sizes)))
    numbers = st.integers(0, len(sizes) - 1)
    items = draw(st.lists(st.tuples(st.sampled_from("abcd"), numbers), max_size=8))
    errors = draw(
        st.lists(st.tuples(numbers, st.integers(0, 5), st.sampled_from(["one", "all", "none", "other"])), max_size=5)
    )
    found = []
    for number, position, how in errors:
        urls = [entry.object_url for entry in units[number].objects]
        one = urls[position % len(urls)]
        listed = {"one": (one,), "all": tuple(urls), "none": (), "other": ("https://bucket/other",)}[how]
        found.append(UnitError(object_urls=listed, message=draw(st.sampled_from(["corrupt", f"404 {one}", ""]))))
    report = JobReport(
        status=draw(st.sampled_from([JobStatus.DONE, JobStatus.ERROR, JobStatus.CANCELLED])),
        items=tuple(JobItem(f"item-{letter}", f"title u{number}") for letter, number in items),
        unit_errors=tuple(found),
        units_cancelled=draw(st.integers(0, 1)),
    )
    shown = draw(st.lists(numbers, max_size=4))
    folder = [RemoteItem(item_uuid=f"shown-{n}", name="", url=None, unit_id=f"id-u{n}", created_at=AT) for n in shown]
    return units, report, folder


@given(replies())
def test_whatever_a_job_says_every_unit_has_one_verdict_and_is_registered_only_with_an_item(
    drawn: tuple[ChunkUnits, JobReport, list[RemoteItem]],
) -> None:
    units, report, folder = drawn
    evidence = FolderEvidence.collect(unaccounted_units(units, report), folder)

    outcomes = judge_job(units, report, evidence, attempt=1, at=AT)

    assert [one.key for one in outcomes] == units.values("key")
    by_unit: dict[str, set[Any]] = {}
    for one in outcomes:
        by_unit.setdefault(one.unit_id, set()).add((one.verdict, one.item_uuid, one.reason, one.subtask_uuid))
    assert all(len(said) == 1 for said in by_unit.values())
    assert all((one.item_uuid is not None) == (one.verdict is Verdict.REGISTERED) for one in outcomes)
    registered = [one for said in by_unit.values() for one in said if one[0] is Verdict.REGISTERED]
    assert len({item for _, item, _, _ in registered}) == len(registered)
    refused = {n for n, unit in enumerate(units) if {e.object_url for e in unit.objects} & set(listed(report))}
    facts = verdict_facts(units, outcomes)
    assert refused <= {failure.unit_index for failure in facts["failures"]}
    assert len(facts["failures"]) == len(units) - len(registered)
    rows = chunk_failures("fleet", "chunk", outcomes)
    assert sum(row.objects for row in rows) == facts["failed"] == len(outcomes.failed)
    assert [row.unit_id for row in rows] == [units[failure.unit_index].unit_id for failure in facts["failures"]]
    members = {unit.unit_id: [entry.object_url for entry in unit.objects] for unit in units}
    assert all(row.object_url in members[row.unit_id or ""] for row in rows)


def listed(report: JobReport) -> list[str]:
    return [url for error in report.unit_errors for url in error.object_urls]


@given(replies(), replies())
def test_what_an_attempt_registered_stays_so_unit_by_unit(
    first: tuple[ChunkUnits, JobReport, list[RemoteItem]], second: tuple[ChunkUnits, JobReport, list[RemoteItem]]
) -> None:
    units, report, _ = first
    earlier = judge_job(units, report, FolderEvidence(), attempt=1, at=AT)
    later = judge_job(units, second[1], FolderEvidence(), attempt=2, at=AT)

    kept = keep_registered(later, earlier)

    assert [one.key for one in kept] == units.values("key")
    for before, after, one in zip(earlier, later, kept, strict=True):
        assert one == (before if before.item_uuid and not after.item_uuid else after)
