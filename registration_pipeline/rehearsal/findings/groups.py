"""What exactly once needs to know of units of several objects: when they are skipped, and what their errors name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from registration_pipeline.rehearsal.findings.finding import Question, quoted
from registration_pipeline.rehearsal.observations import Step, items_of, url_of

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import Observations


def skipped(seen: Observations) -> Finding:
    """Whether a group is skipped the second time."""
    ask = Question("group_skipped", "registering the same image group again adds nothing to the folder")
    job = seen.jobs.get(Step.GROUPS_AGAIN)
    if job is None or not items_of(job.units[0], job.before):
        return ask.open(_why(seen, Step.GROUPS_AGAIN))
    if items_of(job.units[0], job.added):
        return ask.differs(
            "it was registered once more",
            "Do not sync a source with groups: a retry would register every group of its chunk twice.",
        )
    return ask.holds("it is there once")


def held_in_part(seen: Observations) -> Finding:
    """Whether a group is skipped of which the folder holds a part."""
    ask = Question("group_matching", "whether an image group is skipped that shares an image with one in the folder")
    job = seen.jobs.get(Step.GROUPS_AGAIN)
    if job is None or not items_of(job.units[0], job.before):
        return ask.open(_why(seen, Step.GROUPS_AGAIN))
    part = job.units[1]
    if items_of(part, job.added):
        return ask.settled("no: it was registered")
    if part in job.failed_units or not job.is_done:
        texts = sorted({quoted(error.message) for error in job.report.unit_errors})
        return ask.open(f"Encord did not register it: {'; '.join(texts) or job.report.status}")
    return ask.settled(
        "yes: it was skipped",
        "A group that got other members after it was registered can't be registered again into the same folder.",
    )


def errors(seen: Observations) -> Finding:
    """Whether the error of a group names the object that can't be read."""
    ask = Question("group_errors", "whether the error of an image group names the object that can't be read")
    job = seen.jobs.get(Step.GROUPS)
    if job is None:
        return ask.open(_why(seen, Step.GROUPS))
    bad = job.units[1]
    if items_of(bad, job.added):
        return ask.open("the group was registered, although one of its images does not exist")
    missing, whole = unquote(url_of(bad)), {unquote(entry.object_url) for entry in bad.objects}
    named = {unquote(url) for error in job.report.unit_errors for url in error.object_urls} & whole
    if named == {missing}:
        return ask.settled("yes: that one alone")
    if named == whole:
        return ask.settled(
            "no: it names all of the group", "`failures` can't say which object of a group is the bad one."
        )
    if named:
        return ask.differs(
            "it names the other one only", "`failures` names an object of a group that is not the bad one."
        )
    said = f"job {job.report.status}, {len(job.report.unit_errors)} errors listed, none with a URL of it"
    return ask.differs(said, "Such a group can't be named: it is `unaccounted`, and is tried again with its chunk.")


def _why(seen: Observations, step: Step) -> str:
    for one in (step, Step.GROUPS):
        if one in seen.refused:
            return f"Encord refused the manifest: {quoted(seen.refused[one])}"
    if step not in seen.jobs:
        return "the most frequent kind is not images, there are fewer than three, or the rehearsal did not come to it"
    return "the group was not registered, so that there was nothing to compare with"
