"""What the first registration shows: whether objects come back as they were sent, and whether counts add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from registration_pipeline.manifest.format import CLIENT_METADATA, ITEM_FORMATS
from registration_pipeline.objects import KINDS
from registration_pipeline.rehearsal.findings.finding import Question, quoted
from registration_pipeline.rehearsal.observations import Step, items_of, url_of
from registration_pipeline.submission.gateway import JobStatus

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import JobTrial, Observations

_NOT_SEEN: Final = "the first registration gave nothing to compare"


def registered(seen: Observations) -> Finding:
    """Whether the chosen objects were registered at all."""
    ask = Question("registered", "the chosen objects of the source are registered")
    if (refusal := seen.refused.get(Step.FIRST)) is not None:
        return ask.differs(
            f"Encord refused the manifest: {quoted(refusal)}", "Nothing can be registered before this is solved."
        )
    job = seen.jobs.get(Step.FIRST)
    if job is None:
        return ask.open("the rehearsal did not come to it")
    count, added = len(job.units), len(job.added_units)
    said = f"{added} of {count}, job {job.report.status}"
    if added == count and job.is_done:
        return ask.holds(said)
    texts = {*job.report.errors, *(error.message for error in job.report.unit_errors)}
    why = f": {'; '.join(quoted(text) for text in sorted(texts))}" if texts else ""
    return ask.differs(
        said + why,
        "Check that the integration may read the bucket; what could not be registered is missing in the other findings.",
    )


def titles_in_job(seen: Observations) -> Finding:
    """Whether a job names its items by the titles that were sent."""
    ask = Question("titles_in_job", "a job lists each item that it made, by the title that was sent")
    job = _first(seen)
    if job is None:
        return ask.open(_NOT_SEEN)
    names = sorted(item.name for item in job.report.items)
    if names == sorted(unit.title for unit in job.added_units):
        return ask.holds(f"{len(names)} items by their titles")
    if not names:
        return ask.differs("no items", "Every chunk costs a listing of its folder to be judged.")
    sent = {unit.title for unit in job.units}
    known = sum(name in sent for name in names)
    return ask.differs(
        f"{len(names)} items for {len(job.added_units)} that were made; {known} of them by a title that was sent",
        "Verdicts are read by title: units that are not listed by theirs are searched for in the folder.",
    )


def items_in_folder(seen: Observations) -> Finding:
    """Whether the UUIDs of a job are those of the folder."""
    ask = Question("item_uuids", "the item UUIDs that a job lists are those of the folder's items")
    job = _first(seen)
    if job is None or not job.report.items:
        return ask.open(_NOT_SEEN)
    shown = {item.item_uuid for item in job.listed}
    missing = sum(item.item_uuid not in shown for item in job.report.items)
    if not missing:
        return ask.holds(f"all {len(job.report.items)}")
    return ask.differs(
        f"{missing} of {len(job.report.items)} are not in the folder",
        "The item UUIDs of the outcomes can't be used to find items; `audit` will call them missing.",
    )


def titles_in_folder(seen: Observations) -> Finding:
    """Whether the folder shows the titles that were sent."""
    ask = Question("titles_in_folder", "items show the title that was sent")
    job = _first(seen)
    if job is None:
        return ask.open(_NOT_SEEN)
    other = [unit for unit in job.added_units if all(item.name != unit.title for item in items_of(unit, job.added))]
    if not other:
        return ask.holds(f"all {len(job.added_units)}")
    return ask.differs(
        f"{len(other)} of {len(job.added_units)} show another title",
        "Items are found by URL and client metadata only; titles in Encord are not the keys.",
    )


def metadata_in_folder(seen: Observations) -> Finding:
    """Whether our provenance key survives."""
    ask = Question("metadata_kept", "items keep the client metadata that was sent, and listings show it")
    job = _first(seen)
    if job is None:
        return ask.open(_NOT_SEEN)
    carrying = [u for u in job.added_units if CLIENT_METADATA in ITEM_FORMATS[KINDS[u.kind].list_key].keys]
    if not carrying:
        return ask.open("this kind of object carries no client metadata in Encord's JSON form")
    lost = [u for u in carrying if all(item.unit_id != u.unit_id for item in items_of(u, job.added))]
    if not lost:
        return ask.holds(f"all {len(carrying)}")
    return ask.differs(
        f"{len(lost)} of {len(carrying)} lost it",
        "Items are found by URL and title only, by `audit` and after a lost start.",
    )


def urls_in_folder(seen: Observations) -> Finding:
    """Whether the folder shows the URLs that were sent."""
    ask = Question("urls_in_folder", "items show the URL that was sent, or another percent-encoding of it")
    pairs = [
        (url_of(unit), {item.url for item in items_of(unit, job.added)})
        for job in (seen.jobs.get(Step.FIRST), seen.jobs.get(Step.OVERLAP), seen.jobs.get(Step.RESPELLED))
        if job is not None
        for unit in job.added_units
    ]
    if not pairs:
        return ask.open(_NOT_SEEN)
    respelled = [(sent, shown) for sent, shown in pairs if sent not in shown]
    other = [sent for sent, shown in respelled if unquote(sent) not in {unquote(url) for url in shown if url}]
    if other:
        return ask.differs(
            f"{len(other)} of {len(pairs)} show another URL or none",
            "Items are found by client metadata and title only, by `audit` and after a lost start.",
        )
    if respelled:
        return ask.settled(f"in another percent-encoding: {len(respelled)} of {len(pairs)}")
    seen_encoded = any("%" in sent for sent, _ in pairs)
    return ask.settled(
        f"as sent: all {len(pairs)}" + ("" if seen_encoded else "; none of them has an encoded character")
    )


def counts(seen: Observations) -> Finding:
    """Whether the counts of every job explain its units."""
    ask = Question("job_counts", "a job's counts add up: done + errors, and skipped ones in one count or in none")
    # Which of two jobs side by side made an item, and which skipped it, does not show in the folder.
    pair = (Step.SIDE_BY_SIDE, Step.SIDE_BY_SIDE_TOO)
    jobs = {name: job for name, job in seen.all_jobs().items() if name not in pair}
    wrong = [f"{name}: {problem}" for name, job in jobs.items() if (problem := _count_problem(job))]
    if not seen.jobs:
        return ask.open(_NOT_SEEN)
    if not wrong:
        return ask.holds(f"in all {len(jobs)} jobs")
    return ask.differs(
        "; ".join(wrong), "Counts don't say which units are missing in the lists: those are searched for in the folder."
    )


def _count_problem(job: JobTrial) -> str:
    report = job.report
    if report.status is not JobStatus.DONE:
        return ""  # what a job says that was broken off is a question of its own
    if report.units_error != len(report.unit_errors):
        return f"{report.units_error} errors counted and {len(report.unit_errors)} listed"
    if report.units_pending or report.units_cancelled:
        return f"{report.units_pending} pending and {report.units_cancelled} cancelled after DONE"
    counted, skipped = (
        report.units_done + report.units_error,
        len(job.units) - len(job.added_units) - len(job.failed_units),
    )
    if counted in (len(job.units), len(job.units) - max(0, skipped)):
        return ""
    return (
        f"{report.units_done} done and {report.units_error} errors of {len(job.units)} units, {skipped} of them skipped"
    )


def _first(seen: Observations) -> JobTrial | None:
    job = seen.jobs.get(Step.FIRST)
    return job if job is not None and job.added_units else None
