"""A rehearsal finds out how the sandbox is switched, in every position, and finds nothing else to be different.

With every change switches that have nothing to do with each other are tried together; ``make soak`` tries each alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.rehearsal.findings.finding import Verdict
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import (
    DedupeAt,
    ErrorFrames,
    ErrorText,
    ErrorUrls,
    GroupMatching,
    Integration,
    ListedOnError,
    MediaNames,
    SkippedCountsAs,
    SummaryUploadJobs,
    UnitRule,
    UrlMatching,
)
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline.sandbox.jobs.registration import SIGNATURE
from registration_pipeline_tests.doses import IS_SOAK
from registration_pipeline_tests.integration.rehearsals import QUICK, SLOW_JOB, by_name, open_scene

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.rehearsal.findings.finding import Finding

HOLDS, SETTLED, DIFFERS, OPEN = Verdict

Expected = dict[str, tuple[Verdict, str]]


@dataclass(frozen=True, slots=True)
class Case:
    """A position of switches.

    Args:
        expected: findings that it changes, with the verdict and words of what is found.
        is_alone: whether nothing else may change; not so where requests are refused at random.
        lag: how long items are waited for, in seconds.
        faults: planted before it begins.
        is_apart: whether it is never tried together with others.
        is_slow: whether one job is slow enough to be seen pending; without, what needs that is not compared.
    """

    switches: dict[str, Any]
    expected: Expected
    is_alone: bool = True
    lag: float = QUICK.lag
    is_slow: bool = False
    faults: tuple[Fault, ...] = ()
    is_apart: bool = False


IMAGE_NAMES = "items show fileSize, height, mimeType, width of `images`"

DEFAULT: Expected = {
    "folder_found": (HOLDS, "after "),
    "registered": (HOLDS, "5 of 5, job DONE"),
    "titles_in_job": (HOLDS, "5 items by their titles"),
    "item_uuids": (HOLDS, "all 5"),
    "titles_in_folder": (HOLDS, "all 5"),
    "metadata_kept": (HOLDS, "all 5"),
    "urls_in_folder": (SETTLED, "in another percent-encoding: 8 of 8"),
    "job_counts": (HOLDS, "in all 12 jobs"),
    "visibility": (HOLDS, "at once"),
    "item_count": (HOLDS, "after the listing at the latest"),
    "item_times": (HOLDS, "at most "),
    "paging": (HOLDS, "5 items in pages of 2"),
    "title_search": (SETTLED, "yes: 5 of 5 by title, 5 by its beginning"),
    "duplicates_skipped": (HOLDS, "5 items before and after"),
    "skipped_listed": (SETTLED, "no: it lists none"),
    "skipped_counted": (SETTLED, "in none: 5 units"),
    "overlap": (HOLDS, "2 added, 3 skipped"),
    "url_matching": (SETTLED, "no: it was registered once more"),
    "jobs_side_by_side": (SETTLED, "yes: 5 of 5 are there twice"),
    "deletion": (HOLDS, "and look-ups are refused"),
    "deleted_again": (HOLDS, "all 5"),
    "unreadable_is_an_error": (HOLDS, "job DONE, 1 errors counted, 1 listed"),
    "error_urls": (SETTLED, "as sent"),
    "error_texts": (HOLDS, "is read as `not_found`"),
    "after_error": (SETTLED, "ERROR: 2 of 2 good objects are in the folder, the job lists 2, 2 counted as done"),
    "unknown_keys": (SETTLED, "yes: "),
    "kinds": (HOLDS, "`text` is registered"),
    "patched_metadata": (SETTLED, "no: it is replaced"),
    "media_json": (HOLDS, f"{IMAGE_NAMES} and fileSize, mime_type of `text`"),
    "media_typed": (HOLDS, f"{IMAGE_NAMES} and fileSize, mimeType of `text`"),
    "upserted_metadata": (SETTLED, "no: it is replaced"),
    "group_skipped": (HOLDS, "it is there once"),
    "group_matching": (SETTLED, "no: it was registered"),
    "group_errors": (SETTLED, "yes: that one alone"),
    "unknown_job": (HOLDS, "it is refused"),
    "job_kept": (HOLDS, "at least"),
    "polls_held": (SETTLED, "yes: "),
    "upload_jobs": (SETTLED, "0 while one was pending, 0 after all had ended"),
    "rate_limit": (SETTLED, "no header about it; none of"),
    "clock": (HOLDS, "within 1.0 s"),
}
"""What the hostile defaults of the sandbox give, with a reader that opens the objects."""

NEED_A_PENDING_JOB = ("jobs_side_by_side", "polls_held", "upload_jobs")


def throttle(**hint: Any) -> Fault:
    return Fault(effect=Effect.STATUS, endpoint=Endpoint.LIST_ITEMS, status=429, times=2, **hint)


CASES = {
    "duplicates are searched for as each is registered": Case(
        {"dedupe_at": DedupeAt.MATERIALISE},
        {"jobs_side_by_side": (SETTLED, "no: URLs are compared when each is")},
        is_slow=True,
    ),
    "URLs that mean the same are the same": Case(
        {"url_matching": UrlMatching.NORMALISED},
        {
            "url_matching": (SETTLED, "yes: it was skipped"),
            "urls_in_folder": (SETTLED, "in another percent-encoding: 7 of 7"),
        },
    ),
    "skipped ones are listed": Case(
        {"skipped_in_items_with_names": True}, {"skipped_listed": (SETTLED, "yes: all 5, with the UUIDs")}
    ),
    "skipped ones count as done": Case(
        {"skipped_counts_as": SkippedCountsAs.DONE}, {"skipped_counted": (SETTLED, "5 in done of 5")}
    ),
    "an ERROR takes back its items": Case(
        {"rollback_on_error": True},
        {"after_error": (SETTLED, "ERROR: 0 of 2 good objects are in the folder, the job lists 0, 0 counted as done")},
    ),
    "an ERROR takes back its items and lists them": Case(
        {"rollback_on_error": True, "listed_on_error": ListedOnError.ALL},
        {
            "after_error": (
                SETTLED,
                "ERROR: 0 of 2 good objects are in the folder, the job lists 2, of which 2 are not there",
            )
        },
    ),
    "an ERROR keeps its items and lists none": Case(
        {"listed_on_error": ListedOnError.NONE},
        {"after_error": (SETTLED, "ERROR: 2 of 2 good objects are in the folder, the job lists 0")},
    ),
    "one bad unit ends the job": Case(
        {"errors_end_jobs": True},
        {"unreadable_is_an_error": (DIFFERS, "job ERROR, 1 errors counted, 1 listed")},
        is_apart=True,  # what else is registered before it ends is up to other switches
    ),
    "URLs come back as sent": Case({"url_normalised": False}, {"urls_in_folder": (SETTLED, "as sent: all 8")}),
    "titles are cut": Case(
        {"titles_as_sent": False},
        {
            "titles_in_job": (DIFFERS, "5 items for 5 that were made; 0 of them by a title that was sent"),
            "titles_in_folder": (DIFFERS, "5 of 5 show another title"),
            "title_search": (SETTLED, "not all: 0 of 5 by title"),
        },
    ),
    "the listing is behind": Case({"listing_lag_seconds": 0.4}, {"visibility": (DIFFERS, "later")}),
    "the listing is behind for longer than is waited for": Case(
        {"listing_lag_seconds": 30.0},
        {
            "visibility": (DIFFERS, "were ever in the listing"),
            "item_count": (OPEN, "nothing was registered"),
            "registered": (DIFFERS, "0 of 5, job DONE"),
        },
        is_alone=False,
        lag=0.3,
    ),
    "listings are by name": Case(
        {"listing_in_order": False},
        {"paging": (DIFFERS, "oldest first: not in the order of creation; newest first: not")},
    ),
    "items are not found by title": Case(
        {"search_finds_items": False}, {"title_search": (SETTLED, "not all: 0 of 5 by title, 0 by its beginning")}
    ),
    "folders are found late": Case(
        {"folder_search_lag_seconds": 2.3}, {"folder_found": (DIFFERS, "after 2.")}, lag=5.0
    ),
    "folders are found a little late": Case({"folder_search_lag_seconds": 0.5}, {"folder_found": (HOLDS, "after ")}),
    "folders are not found": Case({"folder_search_lag_seconds": 30.0}, {"folder_found": (DIFFERS, "it was not found")}),
    "jobs are forgotten": Case(
        {"job_retention_seconds": 4.0},
        {"job_kept": (DIFFERS, "not any more after")},
        # Else a fast machine has ended before the first job is forgotten. A slow one must have asked for a job by then.
        faults=(Fault(effect=Effect.DELAY, endpoint=Endpoint.START_JOB, skip=1, seconds=4.5),),
        is_apart=True,
    ),
    "polls are answered at once": Case(
        {"poll_hold_seconds": 0.0}, {"polls_held": (SETTLED, "no: answered after ")}, is_slow=True
    ),
    "the summary counts pending jobs": Case(
        {"summary_upload_jobs": SummaryUploadJobs.PENDING},
        {"upload_jobs": (SETTLED, "1 while one was pending, 0 after")},
        is_slow=True,
    ),
    "the summary counts all jobs": Case(
        {"summary_upload_jobs": SummaryUploadJobs.ALL},
        {"upload_jobs": (SETTLED, "8 while one was pending, 14 after")},
        is_slow=True,
    ),
    "patches are merged": Case({"patch_merges_metadata": True}, {"patched_metadata": (SETTLED, "yes: it is merged")}),
    "names of media metadata are read in camelCase": Case(
        {"media_names": MediaNames.CAMEL}, {"media_json": (DIFFERS, "not understood: mime_type of `text`; items show")}
    ),
    "names of media metadata are read in snake_case": Case(
        {"media_names": MediaNames.SNAKE},
        {"media_json": (DIFFERS, "not understood: fileSize, mimeType of `images` and fileSize of `text`; items show")},
    ),
    "media metadata is not read in the JSON form": Case(
        {"media_names": MediaNames.NONE},
        {
            "media_json": (
                DIFFERS,
                "not understood: fileSize, height, mimeType, width of `images` and fileSize, mime_type of `text`; items",
            )
        },
    ),
    "only the client may read objects": Case(
        {"client_only": True, "media_names": MediaNames.NONE},
        {
            "media_json": (
                DIFFERS,
                "objects of `images`, `text` are not registered with it, and they are in the typed",
            ),
            "media_typed": (HOLDS, IMAGE_NAMES),
            "upserted_metadata": (OPEN, "no item with client metadata was there"),
        },
        is_alone=False,
    ),
    "groups that share an image are the same": Case(
        {"group_matching": GroupMatching.ANY_URL}, {"group_matching": (SETTLED, "yes: it was skipped")}
    ),
    "groups are searched for as each is registered, by any image": Case(
        {"group_matching": GroupMatching.ANY_URL, "dedupe_at": DedupeAt.MATERIALISE},
        {
            "group_matching": (SETTLED, "yes: it was skipped"),
            "jobs_side_by_side": (SETTLED, "no: URLs are compared when each is"),
        },
        is_slow=True,
    ),
    "errors of groups name all their images": Case(
        {"error_frames": ErrorFrames.ALL}, {"group_errors": (SETTLED, "no: it names all of the group")}
    ),
    "errors of groups name all their images in another encoding": Case(
        {"error_frames": ErrorFrames.ALL, "error_urls": ErrorUrls.NORMALISED},
        {
            "group_errors": (SETTLED, "no: it names all of the group"),
            "error_urls": (SETTLED, "in another percent-encoding"),
        },
    ),
    "upserts are merged": Case({"upsert_merges_metadata": True}, {"upserted_metadata": (SETTLED, "yes: it is merged")}),
    "unknown keys are ignored": Case(
        {"lenient": True},
        {"unknown_keys": (SETTLED, "no: the key is ignored"), "job_counts": (HOLDS, "in all 13 jobs")},
    ),
    "error texts are under detail": Case({"error_text": ErrorText.DETAIL}, {}),
    "errors have no text": Case({"error_text": ErrorText.NONE}, {}),
    "errors name URLs in another encoding": Case(
        {"error_urls": ErrorUrls.NORMALISED}, {"error_urls": (SETTLED, "in another percent-encoding")}
    ),
    "errors name no URL": Case(
        {"error_urls": ErrorUrls.NONE},
        {
            "unreadable_is_an_error": (DIFFERS, "1 listed, none of them with its URL"),
            "error_urls": (OPEN, "no error named a URL"),
            "group_errors": (DIFFERS, "job DONE, 1 errors listed, none with a URL of it"),
        },
    ),
    "texts of errors hold a signed URL": Case(
        {"error_text_has_url": True}, {"error_texts": (DIFFERS, "it carries a URL with a query")}
    ),
    "objects are not opened": Case(
        {"integrations": (Integration("sandbox"),)},
        {
            "unreadable_is_an_error": (DIFFERS, "it was registered, although it does not exist"),
            "error_urls": (OPEN, "no error named a URL"),
            "error_texts": (OPEN, "no error had a text"),
            "after_error": (OPEN, "ended as DONE"),
            "group_errors": (OPEN, "the group was registered, although one of its images does not exist"),
            "urls_in_folder": (SETTLED, "in another percent-encoding: 8 of 8"),
        },
    ),
    "texts are refused": Case(
        {"unit_rules": (UnitRule("note[.]txt", "Invalid text"),)},
        {
            "kinds": (OPEN, "`text`: 'Invalid text'"),
            "media_json": (HOLDS, IMAGE_NAMES),
            "media_typed": (HOLDS, IMAGE_NAMES),
        },
    ),
    "replies say how many requests are left": Case(
        {"rate_limit_headers": True}, {"rate_limit": (SETTLED, "x-ratelimit-limit: 1000, x-ratelimit-remaining: ")}
    ),
    "requests are refused without a hint": Case(
        {}, {"rate_limit": (SETTLED, "429, without Retry-After")}, faults=(throttle(),)
    ),
    "requests are refused with seconds to wait": Case(
        {}, {"rate_limit": (SETTLED, "2 of ")}, faults=(throttle(retry_after=1),)
    ),
    "requests are refused with a date to wait for": Case(
        {},
        {"rate_limit": (SETTLED, "429, with a date to wait for")},
        faults=(throttle(retry_after=1, retry_after_as_date=True),),
    ),
    "few units may be under way": Case(
        {"max_units_in_flight": 7},
        {"jobs_side_by_side": (OPEN, ""), "rate_limit": (SETTLED, "429, without")},
        is_alone=False,
        is_slow=True,
    ),
    "few units may be in a manifest": Case(
        {"max_units_per_job": 4},
        {
            "registered": (DIFFERS, "Encord refused the manifest: "),
            "titles_in_job": (OPEN, "nothing to compare"),
            "duplicates_skipped": (OPEN, "Encord refused the manifest: "),
            "unreadable_is_an_error": (HOLDS, "job DONE"),
        },
        is_alone=False,
    ),
    "manifests must be small": Case(
        {"body_limit_bytes": 900}, {"registered": (DIFFERS, "Encord refused the manifest: ")}, is_alone=False
    ),
}


def is_compatible(one: Case, other: Case) -> bool:
    """Whether two cases change different switches and different findings, and nothing that is asked of all others."""
    is_free = all(case.is_alone and not case.is_apart and case.lag == QUICK.lag for case in (one, other))
    in_common = one.switches.keys() & other.switches.keys() or one.expected.keys() & other.expected.keys()
    return is_free and not in_common and not (one.faults and other.faults)


def together(cases: dict[str, Case]) -> dict[str, Case]:
    """Put cases into as few as may be, in their order; one that changes more than it says stays alone."""
    found: dict[str, Case] = {}
    for name, case in cases.items():
        other = next((other for other, held in found.items() if is_compatible(case, held)), None)
        held = found.pop(other) if other else Case({}, {})
        found[f"{other}, {name}" if other else name] = replace(
            case,
            switches=held.switches | case.switches,
            expected=held.expected | case.expected,
            faults=held.faults + case.faults,
            is_slow=held.is_slow or case.is_slow,
        )
    return found


def seen_with(case: Case, root: Path) -> tuple[dict[str, Finding], str]:
    """Rehearse and return the findings and the document; everything that was made must be gone."""
    scene = open_scene(root, **case.switches)
    try:
        scene.sandbox.script(*case.faults)
        if case.is_slow:
            scene.sandbox.script(SLOW_JOB)
        rehearser = scene.rehearser(attempts=20)
        rehearser.patience = replace(QUICK, lag=case.lag)
        result = rehearser.rehearse()
        assert result.stopped is None
        assert result.leftovers is None or case.switches.get("listing_lag_seconds") == 30.0
    finally:
        scene.sandbox.stop()
    return by_name(result), json.dumps(result.document())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.mark.soak
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in (CASES if IS_SOAK else together(CASES)).items()]
)
def test_a_rehearsal_finds_what_is_switched_and_nothing_else(case: Case, tmp_path: Path) -> None:
    found, _ = seen_with(case, tmp_path)

    others = {name: it for name, it in DEFAULT.items() if case.is_slow or name not in NEED_A_PENDING_JOB}
    expected = (others if case.is_alone else {}) | case.expected
    wrong = {
        name: (found[name].verdict, found[name].found)
        for name, (verdict, words) in expected.items()
        if found[name].verdict is not verdict or words not in found[name].found
    }
    assert wrong == {}


def test_a_rehearsal_of_the_hostile_defaults_answers_every_question(tmp_path: Path) -> None:
    found, _ = seen_with(Case({}, {}, is_slow=True), tmp_path)

    assert {name: finding.verdict for name, finding in found.items()} == {
        name: verdict for name, (verdict, _) in DEFAULT.items()
    }
    assert all(words in found[name].found for name, (_, words) in DEFAULT.items())


def test_a_signature_in_a_text_is_not_in_the_result(tmp_path: Path) -> None:
    _, document = seen_with(Case({"error_text_has_url": True}, {}), tmp_path)

    assert SIGNATURE not in document
    assert "file://" not in document
    assert ".jpg" not in document
