"""Waiting for one upload job to end: how it is polled, when it is logged that it takes long, when it is cancelled.

What its end means for the objects is ``verdicts.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registration_pipeline.errors import PermanentError, ServiceUnavailableError
from registration_pipeline.submission.gateway import JobReport, JobStatus
from registration_pipeline.tracing import watched_calls

if TYPE_CHECKING:
    from registration_pipeline.submission.context import SubmissionContext

_PROBE_SECONDS = 1  # one request exactly, whatever the server does (contract, section 4.3)
_HELD_SHARE = 0.8
_VANISHED_AFTER = 3  # consecutive "no such job" before a job counts as lost (contract, section 6.4)
_CANCEL_GRACE_SECONDS = 120.0


@dataclass(slots=True)
class JobWait:
    """The wait for one job; short-lived, one thread.

    A server that does not hold the request until there is news would be asked hundreds of times a second. One probe shows
    whether it holds; only then are longer slices used.
    """

    context: SubmissionContext
    chunk_id: str
    folder_uuid: str
    job_id: str
    _began: float = 0.0
    _warn_at: float = 0.0
    _is_cancelled: bool = False

    def until_end(self) -> JobReport | None:
        """Poll until the job ends; None when Encord no longer knows it.

        Raises:
            ServiceUnavailableError: it took too long and could not be cancelled.
            HaltError: nothing more may be sent, or Encord can't be asked.
        """
        context, vanished, is_held = self.context, 0, False
        self._began, self._warn_at = context.monotonic(), context.job_warning_seconds
        while True:
            context.check_stop(f"Chunk {self.chunk_id} was left where it is because the submission stops; run again.")
            try:
                report, seconds = self._poll(context.slice_seconds if is_held else _PROBE_SECONDS)
            except PermanentError:
                vanished += 1
                if vanished == _VANISHED_AFTER:
                    return None
                context.pause(context.slow_poll_seconds)
                continue
            if report.status is not JobStatus.PENDING:
                return report
            vanished = 0
            self._watch_the_time(report)
            is_held = seconds >= _HELD_SHARE * _PROBE_SECONDS
            if not is_held:
                context.pause(context.slow_poll_seconds)

    def _poll(self, wait_seconds: int) -> tuple[JobReport, float]:
        """Return the job and how long the server took to answer, the waits between repetitions not counted."""
        context = self.context

        def poll() -> tuple[JobReport, float]:
            began = context.monotonic()
            report = context.gateway.poll_job(
                folder_uuid=self.folder_uuid, job_id=self.job_id, wait_seconds=wait_seconds
            )
            return report, context.monotonic() - began

        with watched_calls() as calls:
            report, seconds = context.calls.call(f"polling upload job {self.job_id}", poll)
        return replace(report, trace_id=calls.newest), seconds

    def _watch_the_time(self, report: JobReport) -> None:
        waited, limit = self.context.monotonic() - self._began, self.context.job_timeout_seconds
        if waited >= limit + _CANCEL_GRACE_SECONDS and self._is_cancelled:
            raise ServiceUnavailableError(
                f"Upload job {self.job_id} of chunk {self.chunk_id} is still pending {waited:.0f} s after its start, "
                f"although it was cancelled after {limit:.0f} s (job_timeout_seconds). Nothing is lost; run again, and ask "
                "Encord about the job if it stays."
            )
        if waited >= limit and not self._is_cancelled:
            self._cancel(waited)
        elif waited >= self._warn_at:
            self._warn_at = 2 * waited
            self.context.notify(
                f"upload job {self.job_id} of chunk {self.chunk_id} has been pending for {waited:.0f} s "
                f"({report.units_done} units done, {report.units_pending} pending). It is waited for until {limit:.0f} s "
                f"(job_timeout_seconds) and then cancelled; to cancel it now: `registration-pipeline cancel "
                f"{self.context.source} --chunk {self.chunk_id}`"
            )

    def _cancel(self, waited: float) -> None:
        self._is_cancelled = True
        self.context.notify(
            f"upload job {self.job_id} of chunk {self.chunk_id} has been pending for {waited:.0f} s and is cancelled "
            "(job_timeout_seconds); what it did not register is tried again by later runs"
        )
        cancel_job(self.context, self.folder_uuid, self.job_id)


def asked_once_more(context: SubmissionContext, folder_uuid: str, job_id: str) -> JobReport | None:
    """Return a job that is asked for again after quiet; None: Encord does not know it, asked as often as before.

    A live one can be unknown for a moment, and its manifest must not be sent a second time.

    Raises:
        HaltError: Encord can't be asked.
    """

    def poll() -> JobReport:
        return context.gateway.poll_job(folder_uuid=folder_uuid, job_id=job_id, wait_seconds=_PROBE_SECONDS)

    for asked in range(_VANISHED_AFTER):
        if asked:
            context.pause(context.slow_poll_seconds)
        try:
            with watched_calls() as calls:
                report = context.calls.call(f"polling upload job {job_id} once more", poll)
            return replace(report, trace_id=calls.newest)
        except PermanentError:
            continue
    return None


def cancel_job(context: SubmissionContext, folder_uuid: str, job_id: str) -> None:
    """Ask Encord to stop a job; whether it did is seen by polling it."""
    try:
        context.calls.call(
            f"cancelling upload job {job_id}",
            lambda: context.gateway.cancel_job(folder_uuid=folder_uuid, job_id=job_id),
        )
    except PermanentError:
        return  # ended or unknown by now: the next poll says which
