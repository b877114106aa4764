"""What observations mean that no switch of the sandbox brings about, each for the finding that is about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.rehearsal.findings.finding import Verdict, has_url, quoted
from registration_pipeline.rehearsal.findings.rules import RULES, all_findings
from registration_pipeline.rehearsal.manifests import CHANGED_KEY, CHANGED_VALUE, KEPT_KEY
from registration_pipeline.rehearsal.observations import Deletion, Observations, Pages, Step
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus, UnitError
from registration_pipeline_tests.unit.rehearsal.conftest import (
    BAD_GROUP,
    GROUP,
    MISSING,
    NEW,
    OLD,
    PART_GROUP,
    START,
    URL,
    good,
    groups,
    item,
    job,
    media,
    reply,
    unit,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.rehearsal.observations import MediaTrial

    Change = Callable[[Observations], None]

HOLDS, SETTLED, DIFFERS, OPEN = Verdict
HELD = [item(one) for one in OLD]


def change_job(step: Step, **changes: Any) -> Change:
    def change(seen: Observations) -> None:
        seen.jobs[step] = replace(seen.jobs[step], **changes)

    return change


def put_job(step: Step, trial: Any) -> Change:
    def change(seen: Observations) -> None:
        seen.jobs[step] = trial

    return change


def put(**fields: Any) -> Change:
    def change(seen: Observations) -> None:
        for name, value in fields.items():
            setattr(seen, name, value)

    return change


def done(**fields: Any) -> JobReport:
    return JobReport(status=JobStatus.DONE, **fields)


def first(*items: Any, **report: Any) -> Change:
    named = tuple(JobItem(one.item_uuid, one.name) for one in items)
    return put_job(
        Step.FIRST, job(OLD, added=items, report=done(**{"items": named, "units_done": len(items)} | report))
    )


def error(*urls: str, message: str = "404 Not Found") -> UnitError:
    return UnitError(object_urls=urls, message=message)


def unreadable(**report: Any) -> Change:
    return put_job(Step.UNREADABLE, job((MISSING,), before=HELD, report=done(**report)))


def pages(*uuids: int, size: int = 2, is_ended: bool = True) -> Pages:
    found = tuple(HELD[number] for number in uuids)
    sizes = tuple(len(found[start : start + size]) for start in range(0, len(found), size))
    return Pages(items=found, sizes=sizes, page_size=2, is_ended=is_ended)


def put_media(in_json: MediaTrial, typed: MediaTrial | None) -> Change:
    return put(media={Step.MEDIA_JSON: (in_json,), Step.MEDIA_TYPED: (typed,) if typed else ()})


def again(**changes: Any) -> Change:
    return put_job(Step.GROUPS_AGAIN, job((GROUP, PART_GROUP), **{"before": [item(GROUP)]} | changes))


MISSING_URL, OTHER_URL = (entry.object_url for entry in BAD_GROUP.objects)
URL_OF_PART = PART_GROUP.objects[0].object_url
UNTOLD = media(lost=("width", "file_size"))
FIRST = {KEPT_KEY: "first", CHANGED_KEY: "first"}
SECOND = {CHANGED_KEY: CHANGED_VALUE}
SIGNED = f"can't open {URL}a.jpg?X-Amz-Signature=abc: 403 Forbidden"

DIFFERENCES = [
    ("folder_found", put(found_after_seconds=3.0), DIFFERS, "after 3.0 s"),
    ("folder_found", put(found_after_seconds=None, is_found_by_name=False), DIFFERS, "not found"),
    (
        "registered",
        first(*HELD[:3], unit_errors=(error(URL, message=SIGNED),), units_error=1),
        DIFFERS,
        "3 of 5, job DONE",
    ),
    ("titles_in_job", first(*HELD, items=()), DIFFERS, "no items"),
    ("titles_in_job", first(*HELD, items=(JobItem("u", "other"),)), DIFFERS, "1 items for 5"),
    ("item_uuids", first(*HELD, items=(JobItem("u", OLD[0].title),)), DIFFERS, "1 of 1 are not in the folder"),
    ("titles_in_folder", first(*(replace(one, name="x") for one in HELD)), DIFFERS, "5 of 5"),
    ("metadata_kept", first(*(replace(one, unit_id=None) for one in HELD)), DIFFERS, "5 of 5 lost it"),
    ("urls_in_folder", first(*(replace(one, url=None) for one in HELD)), DIFFERS, "5 of 7 show another URL or none"),
    ("urls_in_folder", first(*(replace(one, url="s3://x/y") for one in HELD)), DIFFERS, "5 of 7"),
    ("job_counts", first(*HELD, units_pending=3), DIFFERS, "3 pending and 0 cancelled after DONE"),
    ("job_counts", first(*HELD, units_cancelled=1), DIFFERS, "0 pending and 1 cancelled"),
    ("job_counts", first(*HELD, units_done=4), DIFFERS, "4 done and 0 errors of 5 units, 0 of them skipped"),
    ("job_counts", unreadable(units_error=2, unit_errors=(error(URL),)), DIFFERS, "2 errors counted and 1 listed"),
    ("visibility", change_job(Step.FIRST, lag_seconds=4.0, listings=9), DIFFERS, "up to 4.0 s later"),
    ("visibility", change_job(Step.FIRST, lag_seconds=None, listings=99), DIFFERS, "first were ever in the listing"),
    ("item_count", change_job(Step.FIRST, count_lag_seconds=None, counted=3), DIFFERS, "first: 3 for 5"),
    (
        "item_times",
        first(*(replace(one, created_at=START - timedelta(hours=1)) for one in HELD)),
        DIFFERS,
        "up to 3600 s outside",
    ),
    ("paging", put(oldest_first=pages(0, 1, 2, 3)), DIFFERS, "oldest first: 1 items are missing, 0 are unknown"),
    ("paging", put(newest_first=pages(4, 3, 2, 1, 1, 0)), DIFFERS, "newest first: 1 items come twice"),
    ("paging", put(oldest_first=pages(0, 1, 0, 1, is_ended=False)), DIFFERS, "no end after 2 pages"),
    ("paging", put(oldest_first=pages(0, 1, 2, 3, 4, size=5)), DIFFERS, "a page of 5 where 2 were asked for"),
    (
        "duplicates_skipped",
        put_job(Step.AGAIN, job(OLD, before=HELD, added=[item(OLD[0], item_uuid="b")])),
        DIFFERS,
        "1 items",
    ),
    ("skipped_listed", change_job(Step.AGAIN, report=done(items=(JobItem("x", "y"),))), DIFFERS, "does not hold"),
    (
        "skipped_listed",
        change_job(Step.AGAIN, report=done(items=(JobItem(HELD[0].item_uuid, "y"),))),
        SETTLED,
        "1 of 5",
    ),
    ("skipped_counted", change_job(Step.AGAIN, report=done(units_error=5)), DIFFERS, "5 in errors"),
    (
        "overlap",
        put_job(Step.OVERLAP, job((OLD[0], NEW[0]), before=HELD, added=[item(OLD[0], item_uuid="b"), item(NEW[0])])),
        DIFFERS,
        "1 objects are in the folder twice",
    ),
    ("overlap", put_job(Step.OVERLAP, job((OLD[0], NEW[0]), before=HELD)), DIFFERS, "1 of 2 are not in the folder"),
    ("jobs_side_by_side", put(was_pending=False), OPEN, "had ended before the second was accepted"),
    ("deletion", put(deletion=Deletion(items=7, gone_seconds=None, is_refused_in_bulk=True)), DIFFERS, "still listed"),
    (
        "deletion",
        put(deletion=Deletion(items=7, gone_seconds=1.0, is_refused_in_bulk=False)),
        DIFFERS,
        "a look-up by UUID",
    ),
    ("deleted_again", put_job(Step.SIDE_BY_SIDE, job(OLD)), DIFFERS, "0 of 5"),
    (
        "unreadable_is_an_error",
        unreadable(units_error=1),
        DIFFERS,
        "1 errors counted, 0 listed, and nothing in the folder",
    ),
    ("unreadable_is_an_error", unreadable(unit_errors=(error(),), units_error=1), DIFFERS, "none of them with its URL"),
    ("unreadable_is_an_error", unreadable(), DIFFERS, "0 errors counted"),
    ("error_urls", unreadable(unit_errors=(error("s3://other/x"),), units_error=1), DIFFERS, "another URL"),
    (
        "error_texts",
        unreadable(unit_errors=(error(URL, message="E42"),), units_error=1),
        DIFFERS,
        "'E42' is read as `other`",
    ),
    (
        "error_texts",
        unreadable(unit_errors=(error(URL, message=SIGNED),), units_error=1),
        DIFFERS,
        "a URL with a query",
    ),
    ("after_error", put_job(Step.WITH_ERROR, job((*OLD[:2], MISSING), report=done())), OPEN, "ended as DONE"),
    ("kinds", put(kinds={"nifti": "unknown key 'nifti'"}), DIFFERS, "`nifti` is refused"),
    ("kinds", put(kinds={"text": job((unit("a.txt", MediaKind.TEXT),))}), DIFFERS, "`text` is ignored"),
    ("media_json", put_media(media(), None), HOLDS, "items show fileSize, width of `images`"),
    ("media_json", put_media(media(lost=("file_size",)), media()), DIFFERS, "not understood: fileSize of `images`"),
    (
        "media_json",
        put_media(media(lost=("file_size",)), media(lost=("file_size",))),
        SETTLED,
        "do not show fileSize of `images` in either form",
    ),
    ("media_json", put_media(media(lost=("width",)), None), SETTLED, "there; the typed form was not seen"),
    ("media_json", put_media(UNTOLD, UNTOLD), OPEN, "none of the values that were sent in either form"),
    ("media_json", put_media(replace(media(), shown=None), None), OPEN, "none of the objects was registered with it"),
    ("media_json", put_media(replace(media(), shown=None), media()), DIFFERS, "of `images` are not registered with it"),
    ("media_json", put(media={Step.MEDIA_JSON: ()}), OPEN, "no media metadata"),
    ("media_json", put(refused={Step.MEDIA_JSON: "no"}), DIFFERS, "refused the manifest: 'no'"),
    ("media_json", put_media(media(MediaKind.PDF, num_pages=3), None), OPEN, "can't be seen"),
    ("media_typed", put_media(media(), media(lost=("width",))), DIFFERS, "not understood: width of `images`"),
    (
        "media_typed",
        put_media(media(lost=("width",)), media(lost=("width",))),
        SETTLED,
        "and do not show width of `images`",
    ),
    ("media_typed", put_media(UNTOLD, UNTOLD), OPEN, "none of the values that were sent"),
    ("media_typed", put(refused={Step.MEDIA_TYPED: "no"}), DIFFERS, "refused the items: 'no'"),
    ("upserted_metadata", put(refused={Step.UPSERT: "no"}), DIFFERS, "refused the manifest: 'no'"),
    (
        "upserted_metadata",
        put_job(Step.UPSERT, job(OLD[:1], before=HELD[:1], added=[item(OLD[0], item_uuid="b")])),
        DIFFERS,
        "registered once more",
    ),
    ("upserted_metadata", put(upserted=(FIRST, FIRST)), DIFFERS, "does not show what was sent, job DONE"),
    ("upserted_metadata", put(upserted=({}, SECOND)), OPEN, "did not show the client metadata"),
    ("upserted_metadata", put(upserted=(FIRST, FIRST | SECOND)), SETTLED, "yes: it is merged"),
    ("upserted_metadata", put(upserted=(FIRST, SECOND)), SETTLED, "no: it is replaced"),
    ("upserted_metadata", put(upserted=None), OPEN, "did not come to it"),
    ("group_skipped", again(added=[item(GROUP, item_uuid="b"), item(PART_GROUP)]), DIFFERS, "once more"),
    ("group_skipped", again(before=[]), OPEN, "nothing to compare with"),
    ("group_skipped", put(jobs={}, refused={Step.GROUPS: "no"}), OPEN, "refused the manifest: 'no'"),
    ("group_matching", again(), SETTLED, "yes: it was skipped"),
    ("group_matching", again(report=done(unit_errors=(error(URL_OF_PART),), units_error=1)), OPEN, "404 Not Found"),
    ("group_matching", put(jobs={}), OPEN, "is not images"),
    ("group_errors", put_job(Step.GROUPS, groups(MISSING_URL, OTHER_URL)), SETTLED, "names all of the group"),
    ("group_errors", put_job(Step.GROUPS, groups(OTHER_URL)), DIFFERS, "names the other one only"),
    ("group_errors", put_job(Step.GROUPS, groups()), DIFFERS, "1 errors listed, none with a URL of it"),
    (
        "group_errors",
        put_job(Step.GROUPS, job((GROUP, BAD_GROUP), added=[item(GROUP), item(BAD_GROUP)])),
        OPEN,
        "although one of its images does not exist",
    ),
    ("unknown_job", put(is_unknown_job_refused=False), DIFFERS, "it has a state"),
    ("job_kept", put(job_kept=(False, 12.0)), DIFFERS, "not any more after 12 s"),
    ("clock", put(replies=[reply(at=START + timedelta(minutes=2))] * 3), DIFFERS, "120 s behind"),
    ("clock", put(replies=[reply(at=START - timedelta(minutes=2))] * 3), DIFFERS, "120 s ahead"),
    ("clock", put(replies=[reply(at=None)]), OPEN, "no date"),
    ("rate_limit", put(replies=[reply(status=429, limits={"retry-after": "7"})]), SETTLED, "with seconds to wait"),
]


@pytest.mark.parametrize(
    ("name", "change", "verdict", "words"), [pytest.param(*case, id=f"{case[0]}: {case[3]}") for case in DIFFERENCES]
)
def test_an_observation_gives_its_finding(name: str, change: Change, verdict: Verdict, words: str) -> None:
    seen = good()
    change(seen)

    found = {finding.name: finding for finding in all_findings(seen)}[name]

    assert (found.verdict, words in found.found) == (verdict, True), found
    assert bool(found.consequence) or verdict is not DIFFERS


def test_nothing_differs_where_everything_is_as_the_rules_assume(seen: Observations) -> None:
    assert [finding for finding in all_findings(seen) if finding.verdict is DIFFERS] == []
    assert sum(finding.verdict is HOLDS for finding in all_findings(seen)) > 15


def test_what_was_not_come_to_is_open_and_never_good() -> None:
    assert {finding.verdict for finding in all_findings(Observations())} == {OPEN}


def test_every_question_has_a_name_of_its_own() -> None:
    assert len({finding.name for finding in all_findings(Observations())}) == len(RULES)


@given(st.text(), st.from_regex(r"(https|s3|file)://[a-z0-9/.?=&-]{1,40}", fullmatch=True), st.text())
def test_what_is_quoted_holds_no_url(before: str, url: str, after: str) -> None:
    assert not has_url(quoted(f"{before} {url} {after}"))
