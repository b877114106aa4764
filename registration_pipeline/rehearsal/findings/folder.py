"""What reading the folder shows: when items are visible, in what order, and what deleting and patching them does."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from registration_pipeline.rehearsal.findings.finding import Question, quoted, seconds
from registration_pipeline.rehearsal.observations import Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import JobTrial, Observations, Pages

_SEARCH_PAUSE_SECONDS: Final = 2.0
"""After a creation whose reply was lost, a sync searches for the folder's name after this time (``submission/target.py``)."""
_TOLERATED: Final = timedelta(minutes=15)
"""How far Encord's clock may be from ours where a folder is read back to a time (``submission/chunk.py``)."""
_NEVER: Final = "Starts in doubt can't be settled by reading the folder; ask Encord before a large sync."


def found_by_name(seen: Observations) -> Finding:
    """Whether a new folder is found by its name."""
    ask = Question("folder_found", "a folder that was just made is found by its name")
    if seen.is_found_by_name is None:
        return ask.open("the rehearsal did not come to it")
    waited = seen.found_after_seconds
    if waited is None or not seen.is_found_by_name:
        return ask.differs(
            "it was not found", "Make the folder of the source in Encord and set `encord.folder` to its UUID."
        )
    if waited > _SEARCH_PAUSE_SECONDS:
        return ask.differs(
            f"after {seconds(waited)}",
            "If the reply to the creation of the folder is lost, a second one of the name may be made: set `encord.folder` to "
            "a UUID.",
        )
    return ask.holds(f"after {seconds(waited)}")


def visibility(seen: Observations) -> Finding:
    """How long after its job's end an item is in the folder's listing."""
    ask = Question("visibility", "items are in the folder's listing when their job has ended")
    adding = _adding(seen)
    if not adding:
        return ask.open("nothing was registered")
    late = [name for name, job in adding.items() if job.lag_seconds is None]
    if late:
        return ask.differs(f"not all items of {', '.join(late)} were ever in the listing", _NEVER)
    slow = max((job.lag_seconds or 0.0 for job in adding.values() if job.listings > 1), default=None)
    if slow is None:
        return ask.holds(f"at once, after all {len(adding)} jobs that registered something")
    return ask.differs(
        f"up to {seconds(slow)} later",
        "What is read of the folder is behind: `settle_seconds` must be much longer, see the settings.",
    )


def count(seen: Observations) -> Finding:
    """Whether the folder's item count follows the listing."""
    ask = Question("item_count", "the folder's item count is exact, and follows its listing")
    adding = {name: job for name, job in _adding(seen).items() if job.lag_seconds is not None and not job.has_groups}
    if not adding:
        return ask.open("nothing was registered")
    wrong = [
        f"{name}: {job.counted} for {len(job.listed)}" for name, job in adding.items() if job.count_lag_seconds is None
    ]
    if wrong:
        return ask.differs(
            f"it is not the number of listed items ({'; '.join(wrong)})",
            "Quiet in a folder is seen by this count; a count that does not follow makes `settle_seconds` useless.",
        )
    slowest = max((job.count_lag_seconds or 0.0) - (job.lag_seconds or 0.0) for job in adding.values())
    return ask.holds(f"{seconds(max(0.0, slowest))} after the listing at the latest")


def item_times(seen: Observations) -> Finding:
    """Whether items are dated near the time of their job."""
    ask = Question("item_times", "items are dated within 15 minutes of their job by this machine's clock")
    late = [
        max(job.began_at - item.created_at, item.created_at - job.ended_at, timedelta())
        for job in _adding(seen).values()
        for item in job.added
    ]
    if not late:
        return ask.open("nothing was registered")
    most = max(late)
    if most <= _TOLERATED:
        return ask.holds(f"at most {seconds(most.total_seconds())} outside of it")
    return ask.differs(
        f"up to {seconds(most.total_seconds())} outside of it",
        "After a lost start the search for its items ends too early; set this machine's clock.",
    )


def paging(seen: Observations) -> Finding:
    """Whether pages are complete and in order."""
    ask = Question("paging", "pages hold every item once, in the order of creation, in both directions")
    first, pages = seen.jobs.get(Step.FIRST), (seen.oldest_first, seen.newest_first)
    if first is None or pages[0] is None or pages[1] is None:
        return ask.open("the rehearsal did not come to it")
    held = {item.item_uuid for item in first.listed}
    if len(held) <= pages[0].page_size:
        return ask.open(f"{len(held)} items are no more than a page")
    problems = [
        f"{name}: {problem}"
        for name, one, is_rising in (("oldest first", pages[0], True), ("newest first", pages[1], False))
        for problem in _page_problems(one, held, is_rising=is_rising)
    ]
    if not problems:
        return ask.holds(f"{len(held)} items in pages of {pages[0].page_size}")
    return ask.differs(
        "; ".join(problems),
        "What is not read can't be confirmed: `audit` and the search after a lost start may miss items.",
    )


def _page_problems(pages: Pages, held: set[str], *, is_rising: bool) -> Iterable[str]:
    uuids = [item.item_uuid for item in pages.items]
    if not pages.is_ended:
        yield f"no end after {len(pages.sizes)} pages"
        return
    if len(uuids) != len(set(uuids)):
        yield f"{len(uuids) - len(set(uuids))} items come twice"
    if set(uuids) != held:
        yield f"{len(held - set(uuids))} items are missing, {len(set(uuids) - held)} are unknown"
    if max(pages.sizes) > pages.page_size:
        yield f"a page of {max(pages.sizes)} where {pages.page_size} were asked for"
    times = [item.created_at for item in (pages.items if is_rising else reversed(pages.items))]
    if any(one > other for one, other in pairwise(times)):
        yield "not in the order of creation"


def title_search(seen: Observations) -> Finding:
    """Whether items are found by their titles."""
    ask = Question(
        "title_search", "whether a search of the folder finds items by their title, and by what it begins with"
    )
    found = seen.title_search
    if found is None or not found.units:
        return ask.open("the rehearsal did not come to it, or Encord refused to search")
    beginning = found.units if found.by_beginning is None else found.by_beginning
    said = f"{found.by_title} of {found.units} by title, {beginning} by its beginning"
    if found.by_title == beginning == found.units:
        return ask.settled(f"yes: {said}")
    return ask.settled(
        f"not all: {said}",
        "What a retry skips is confirmed among the newest items of the folder only; what is not found is tried again.",
    )


def deletion(seen: Observations) -> Finding:
    """Whether deleted items are gone from listings and look-ups."""
    ask = Question("deletion", "deleted items are not listed any more, and a look-up of one is refused")
    gone = seen.deletion
    if gone is None:
        return ask.open("nothing was deleted")
    if gone.gone_seconds is None:
        return ask.differs("they are still listed", "An object whose item was deleted in Encord counts as registered.")
    if not gone.is_refused_in_bulk:
        return ask.differs(
            f"not listed after {seconds(gone.gone_seconds)}, but a look-up by UUID finds them",
            "`submit --force` can't see that an item was deleted; `audit` can.",
        )
    return ask.holds(f"not listed after {seconds(gone.gone_seconds)}, and look-ups are refused")


def patched(seen: Observations) -> Finding:
    """Whether patched client metadata is merged."""
    ask = Question(
        "patched_metadata", "whether client metadata that is patched keeps the keys that the patch does not name"
    )
    if seen.patch_refusal is not None:
        return ask.open(f"Encord refused the patch: {quoted(seen.patch_refusal)}")
    if seen.patched is None or not seen.patched[0]:
        return ask.open("no item had client metadata to patch")
    before, after = seen.patched
    if before.items() <= after.items():
        return ask.settled("yes: it is merged")
    return ask.settled(
        "no: it is replaced",
        "Tools that patch client metadata must keep `registration.unit`, and of units of several objects "
        "`registration.objects`; without them `audit` finds an item by its URL only, and a group not at all.",
    )


def _adding(seen: Observations) -> dict[str, JobTrial]:
    return {
        name: job for name, job in seen.all_jobs().items() if job.is_done and (job.added or job.lag_seconds is None)
    }
