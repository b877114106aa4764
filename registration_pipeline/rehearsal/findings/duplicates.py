"""What exactly once hangs on: how Encord recognises what a folder has, when, and what a job says of what it skips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.rehearsal.findings.finding import Question, quoted
from registration_pipeline.rehearsal.observations import Step, doubled, items_of

if TYPE_CHECKING:
    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import JobTrial, Observations

DOUBLES = "Never send again what Encord may have: a retry would register every object of its chunk twice. Do not sync."


def skipped(seen: Observations) -> Finding:
    """Whether the same URLs are skipped the second time."""
    ask = Question("duplicates_skipped", "registering the same URLs again adds nothing to the folder")
    job = seen.jobs.get(Step.AGAIN)
    if job is None or not job.before:
        return ask.open(_why(seen, Step.AGAIN))
    if not job.added:
        return ask.holds(f"{len(job.before)} items before and after")
    return ask.differs(f"{len(job.added)} items more for {len(job.units)} objects that were there", DOUBLES)


def skipped_are_listed(seen: Observations) -> Finding:
    """Whether a job names the items that it skipped."""
    ask = Question("skipped_listed", "whether a job lists the items of URLs that it skipped")
    job = seen.jobs.get(Step.AGAIN)
    if job is None or not job.before or job.added:
        return ask.open(_why(seen, Step.AGAIN))
    held = {item.item_uuid for item in job.before}
    named = {item.item_uuid for item in job.report.items}
    if not named:
        return ask.settled(
            "no: it lists none of them", "What a retry skips is confirmed in the folder before it counts as registered."
        )
    if named - held:
        return ask.differs(
            f"{len(named - held)} items are listed that the folder does not hold",
            "An item UUID in the outcomes may not exist; `audit` finds it.",
        )
    if len(named) < len(job.units):
        return ask.settled(f"{len(named)} of {len(job.units)}", "What is not listed is confirmed in the folder.")
    return ask.settled(f"yes: all {len(named)}, with the UUIDs of the items that are there")


def skipped_are_counted(seen: Observations) -> Finding:
    """Which count a skipped unit adds to."""
    ask = Question("skipped_counted", "which of a job's counts skipped URLs are in")
    job = seen.jobs.get(Step.AGAIN)
    if job is None or not job.before or job.added:
        return ask.open(_why(seen, Step.AGAIN))
    report, units = job.report, len(job.units)
    counts = {"done": report.units_done, "errors": report.units_error, "cancelled": report.units_cancelled}
    named = [f"{count} in {name}" for name, count in counts.items() if count]
    if not named:
        return ask.settled(f"in none: {units} units, all counts 0")
    if report.units_error or report.unit_errors:
        return ask.differs(", ".join(named), "Skipped objects come back as failures: a retry makes `failures` wrong.")
    return ask.settled(", ".join(named) + f" of {units}")


def overlap(seen: Observations) -> Finding:
    """Whether new and old URLs in one job end in the folder once each."""
    ask = Question("overlap", "of old and new URLs in one manifest, only the new ones are registered")
    job = seen.jobs.get(Step.OVERLAP)
    if job is None or not job.before:
        return ask.open(_why(seen, Step.OVERLAP))
    twice, missing = doubled(job.units, job.listed), len(job.units) - len({*job.added_units, *_held(job)})
    if twice:
        return ask.differs(f"{twice} objects are in the folder twice", DOUBLES)
    if missing:
        return ask.differs(
            f"{missing} of {len(job.units)} are not in the folder",
            "A chunk that was registered in part can't be completed.",
        )
    return ask.holds(f"{len(job.added_units)} added, {len(job.units) - len(job.added_units)} skipped")


def respelled(seen: Observations) -> Finding:
    """Whether another encoding of a URL is another URL."""
    ask = Question("url_matching", "whether another percent-encoding of a URL counts as the same URL")
    job = seen.jobs.get(Step.RESPELLED)
    if job is None or not job.before:
        return ask.open(_why(seen, Step.RESPELLED))
    if job.added:
        return ask.settled(
            "no: it was registered once more",
            "Never change `url_style` or the endpoint of a source that has registered objects: all would come again.",
        )
    if job.report.unit_errors or not job.is_done:
        texts = sorted(quoted(error.message) for error in job.report.unit_errors)
        return ask.open(f"Encord did not read it: {'; '.join(texts) or job.report.status}")
    return ask.settled("yes: it was skipped")


def deleted_come_back(seen: Observations) -> Finding:
    """Whether a URL whose item was deleted can be registered again."""
    ask = Question("deleted_again", "an object whose item was deleted is registered again")
    job = seen.jobs.get(Step.SIDE_BY_SIDE)
    if job is None or seen.deletion is None or seen.deletion.gone_seconds is None:
        return ask.open(_why(seen, Step.SIDE_BY_SIDE))
    if len(job.added_units) == len(job.units):
        return ask.holds(f"all {len(job.units)}")
    return ask.differs(
        f"{len(job.added_units)} of {len(job.units)}",
        "What was deleted in Encord can't be registered into the same folder any more: give the source another folder.",
    )


def side_by_side(seen: Observations) -> Finding:
    """Whether two jobs at the same time double what they share."""
    ask = Question("jobs_side_by_side", "whether two jobs under way with the same new URLs register them twice")
    job = seen.jobs.get(Step.SIDE_BY_SIDE_TOO)
    if job is None:
        return ask.open(_why(seen, Step.SIDE_BY_SIDE_TOO))
    twice = doubled(job.units, job.listed)
    if twice:
        return ask.settled(
            f"yes: {twice} of {len(job.units)} are there twice, so URLs are compared when a job is accepted",
            "A start in doubt must not be sent again before `settle_seconds` are over; see the settings.",
        )
    if not seen.was_pending:
        return ask.open(
            "the first job had ended before the second was accepted; rehearse again, or with larger objects"
        )
    return ask.settled(
        "no: URLs are compared when each is registered",
        "A start in doubt that is sent again too early doubles nothing.",
    )


def may_double(seen: Observations) -> bool:
    """Return whether two jobs under way may register the same URL twice, as far as is known."""
    job = seen.jobs.get(Step.SIDE_BY_SIDE_TOO)
    return job is None or not seen.was_pending or doubled(job.units, job.listed) > 0


def _held(job: JobTrial) -> set[PlannedUnit]:
    return {unit for unit in job.units if items_of(unit, job.before)}


def _why(seen: Observations, step: Step) -> str:
    if step in seen.refused:
        return f"Encord refused the manifest: {quoted(seen.refused[step])}"
    if step not in seen.jobs:
        return "the rehearsal did not come to it"
    return "nothing was in the folder to compare with, or it was registered again"
