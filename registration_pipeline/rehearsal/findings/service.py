"""What Encord's replies show of the service: jobs that it knows, polls, rate limits, its clock."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from registration_pipeline.rehearsal.findings.finding import Question, seconds

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import Observations

_HELD_SHARE: Final = 0.8
_CLOCK_SECONDS: Final = 30.0
_TOO_MANY: Final = 429


def unknown_job(seen: Observations) -> Finding:
    """Whether a job that never was is refused."""
    ask = Question("unknown_job", "asking for a job that does not exist is refused for good")
    if seen.is_unknown_job_refused is None:
        return ask.open("the rehearsal did not come to it")
    if seen.is_unknown_job_refused:
        return ask.holds("it is refused")
    return ask.differs("it has a state", "A job that was lost would be waited for until `job_timeout_seconds`.")


def job_kept(seen: Observations) -> Finding:
    """Whether a job is known some time after its end."""
    ask = Question("job_kept", "a job is known after its end, for a run that comes back to it")
    if seen.job_kept is None:
        return ask.open("the rehearsal did not come to it")
    is_known, after = seen.job_kept
    if is_known:
        return ask.holds(f"at least {seconds(after)}")
    return ask.differs(
        f"not any more after {seconds(after)}",
        "A run that was interrupted for longer settles its jobs by reading the folder, which takes `settle_seconds`.",
    )


def polls(seen: Observations) -> Finding:
    """Whether a poll is held until there is news."""
    ask = Question("polls_held", "whether a poll of a pending job is held as long as is asked for")
    if not seen.polls:
        return ask.open("no job was pending when it was polled")
    held = [poll for poll in seen.polls if poll.took >= _HELD_SHARE * poll.asked]
    if held:
        return ask.settled(f"yes: {len(held)} of {len(seen.polls)}, up to {seconds(max(poll.took for poll in held))}")
    slowest = max(poll.took for poll in seen.polls)
    return ask.settled(
        f"no: answered after {seconds(slowest)} at the most",
        "The pipeline pauses between polls; more requests per job.",
    )


def upload_jobs(seen: Observations) -> Finding:
    """What the summary's count of upload jobs means."""
    ask = Question("upload_jobs", "what a folder summary counts as upload jobs; nothing relies on it")
    pending, ended = seen.upload_jobs_pending, seen.upload_jobs_ended
    if ended is None:
        return ask.open("the rehearsal did not come to it")
    while_pending = "not seen while one was pending" if pending is None else f"{pending} while one was pending"
    return ask.settled(f"{while_pending}, {ended} after all had ended")


def rate_limit(seen: Observations) -> Finding:
    """Which headers say how fast may be asked, and whether anything was refused for it."""
    ask = Question("rate_limit", "whether replies say how fast Encord may be asked")
    if not seen.replies:
        return ask.open("no request was made")
    limits = {name: value for reply in seen.replies for name, value in reply.limits.items()}
    throttled = [reply for reply in seen.replies if reply.status == _TOO_MANY]
    said = ", ".join(f"{name}: {value}" for name, value in sorted(limits.items())) or "no header about it"
    hints = {_hint(reply.limits.get("retry-after")) for reply in throttled}
    refused = f"{len(throttled)} of {len(seen.replies)} requests were answered with 429"
    if not throttled:
        return ask.settled(f"{said}; none of {len(seen.replies)} requests was refused")
    return ask.settled(
        f"{said}; {refused}, {' and '.join(sorted(hints))}", "Encord limits even these few requests; see the settings."
    )


def _hint(retry_after: str | None) -> str:
    if retry_after is None:
        return "without Retry-After"
    return "with seconds to wait" if retry_after.strip().isdigit() else "with a date to wait for"


def clock(seen: Observations) -> Finding:
    """Whether this machine's clock agrees with Encord's."""
    ask = Question("clock", "this machine's clock agrees with Encord's, which checks the time of signatures")
    offsets = [(reply.at - reply.received_at).total_seconds() for reply in seen.replies if reply.at is not None]
    if not offsets:
        return ask.open("replies carry no date")
    offset = median(offsets)
    if abs(offset) <= _CLOCK_SECONDS:
        return ask.holds(f"within {seconds(max(1.0, abs(offset)))}")
    return ask.differs(
        f"{seconds(abs(offset))} {'behind' if offset > 0 else 'ahead'}", "Set this machine's clock (NTP)."
    )
