"""What Encord says of what it can't register: single objects, whole jobs, keys and kinds that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from registration_pipeline.objects import FailureReason
from registration_pipeline.rehearsal.findings.finding import Question, has_url, quoted
from registration_pipeline.rehearsal.observations import JobTrial, Step, url_of
from registration_pipeline.submission.gateway import JobStatus
from registration_pipeline.submission.reasons import classify_message

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import Observations

_EXPECTED: Final = (FailureReason.NOT_FOUND, FailureReason.UNREADABLE)
_UNASSIGNED: Final = "Such an object can't be named: it is `unaccounted`, and is tried again with its chunk."


def unreadable(seen: Observations) -> Finding:
    """Whether an object that can't be read is a unit error with its URL."""
    ask = Question(
        "unreadable_is_an_error", "an object that can't be read is listed as an error with its URL, and the job is DONE"
    )
    job = seen.jobs.get(Step.UNREADABLE)
    if job is None:
        return ask.open(_why(seen, Step.UNREADABLE))
    if job.added:
        return ask.differs(
            "it was registered, although it does not exist",
            "Registered does not mean readable: the object was not opened. A sandbox without `--open` never opens one; "
            "there, this says nothing of Encord.",
        )
    report = job.report
    said = f"job {report.status}, {report.units_error} errors counted, {len(report.unit_errors)} listed"
    if not job.is_done:
        return ask.differs(
            said, "One bad object ends its whole chunk; make `chunk_size` small until Encord is asked about it."
        )
    if job.failed_units:
        return ask.holds(said)
    if report.unit_errors:
        return ask.differs(f"{said}, none of them with its URL", _UNASSIGNED)
    return ask.differs(f"{said}, and nothing in the folder", _UNASSIGNED)


def error_urls(seen: Observations) -> Finding:
    """Whether the URLs of errors are those that were sent."""
    ask = Question("error_urls", "whether errors name URLs as they were sent")
    job = seen.jobs.get(Step.UNREADABLE)
    urls = [url for error in job.report.unit_errors for url in error.object_urls] if job is not None else []
    if job is None or not urls:
        return ask.open("no error named a URL")
    (unit,) = job.units
    if urls == [url_of(unit)]:
        return ask.settled("as sent")
    if {unquote(url) for url in urls} == {unquote(url_of(unit))}:
        return ask.settled("in another percent-encoding")
    return ask.differs("another URL than was sent", _UNASSIGNED)


def error_texts(seen: Observations) -> Finding:
    """Whether the words of an error are understood, and whether they carry URLs."""
    ask = Question("error_texts", "the words for an object that does not exist are understood, and carry no URL")
    texts = _texts(seen)
    if not texts:
        return ask.open("no error had a text")
    reasons = {classify_message(text) for text in texts}
    said = "; ".join(f"{quoted(text)} is read as `{classify_message(text)}`" for text in texts)
    if not reasons <= set(_EXPECTED):
        return ask.differs(said, "The failure log has the text, but not the right reason; please report it.")
    if any(map(has_url, texts)):
        signed = any("?" in text for text in texts)
        return ask.differs(
            f"{said}; it carries a URL{' with a query' if signed else ''}",
            "Texts of failures may hold a signed URL, which opens the object while it is valid: treat failure logs as secret.",
        )
    return ask.holds(said)


def job_with_error(seen: Observations) -> Finding:
    """What a job that ends as ERROR lists and leaves."""
    ask = Question("after_error", "what a job lists, and what stays in the folder, after it ended as ERROR")
    job = seen.jobs.get(Step.WITH_ERROR)
    if job is None:
        return ask.open(_why(seen, Step.WITH_ERROR))
    report, shown = job.report, {item.item_uuid for item in job.listed}
    named = [item.item_uuid for item in report.items]
    gone = sum(item_uuid not in shown for item_uuid in named)
    said = (
        f"{report.status}: {len(job.added)} of {len(job.units) - 1} good objects are in the folder, the job lists {len(named)}"
        + (f", of which {gone} are not there" if gone else "")
        + f", {report.units_done} counted as done"
    )
    if report.status is not JobStatus.ERROR:
        return ask.open(f"a job that must not ignore an error ended as {report.status}: Encord found no error in it")
    kept = "It takes back what it registered" if not job.added else "What it registered stays"
    return ask.settled(said, f"{kept}; the folder is read after such an end, whatever the job lists.")


def unknown_key(seen: Observations) -> Finding:
    """Whether a key that does not exist is refused."""
    ask = Question("unknown_keys", "whether a manifest with a key that Encord does not have is refused")
    refusal = seen.refused.get(Step.UNKNOWN_KEY)
    if refusal is not None:
        return ask.settled(f"yes: {quoted(refusal)}")
    job = seen.jobs.get(Step.UNKNOWN_KEY)
    if job is None:
        return ask.open("the rehearsal did not come to it")
    if job.is_done:
        return ask.settled("no: the key is ignored", "A key that is spelled wrongly would not be noticed.")
    return ask.settled(f"the job ended as {job.report.status}")


def kinds(seen: Observations) -> Finding:
    """Whether the lists of other kinds are accepted as they are spelled."""
    ask = Question("kinds", "the lists of all kinds of the source are accepted as this version spells them")
    if not seen.kinds:
        return ask.open("the part of the listing that was read has one kind only")
    said, wrong, failed = [], False, False
    for name, trial in seen.kinds.items():
        if not isinstance(trial, JobTrial):
            said.append(f"`{name}` is refused: {quoted(trial)}")
            wrong = True
        elif trial.added:
            said.append(f"`{name}` is registered")
        elif trial.report.unit_errors:
            said.append(f"`{name}`: {quoted(trial.report.unit_errors[0].message)}")
            failed = True
        else:
            said.append(f"`{name}` is ignored")
            wrong = True
    found = "; ".join(said)
    if wrong:
        return ask.differs(found, "Exclude objects of these kinds until Encord or this package has changed.")
    return ask.open(found) if failed else ask.holds(found)


def _texts(seen: Observations) -> list[str]:
    jobs = (seen.jobs.get(Step.UNREADABLE), seen.jobs.get(Step.WITH_ERROR))
    texts = (
        text
        for job in jobs
        if job is not None
        for text in (*(error.message for error in job.report.unit_errors), *job.report.errors)
    )
    return list(dict.fromkeys(text for text in texts if text))


def _why(seen: Observations, step: Step) -> str:
    if step in seen.refused:
        return f"Encord refused the manifest: {quoted(seen.refused[step])}"
    return "the rehearsal did not come to it"
