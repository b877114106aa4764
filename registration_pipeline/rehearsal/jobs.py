"""One upload job of a rehearsal from its manifest to what the folder shows after it.

What does not belong here: which jobs there are and in what order (``trial.py``), and what they mean (``findings/``).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import (
    AmbiguousError,
    HaltError,
    PayloadTooLargeError,
    PermanentError,
    ServiceUnavailableError,
    SubmissionError,
)
from registration_pipeline.rehearsal.manifests import chunk_of, plain_manifest, typed_manifest
from registration_pipeline.rehearsal.observations import JobTrial, Observations, Poll, items_of
from registration_pipeline.submission.gateway import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.rehearsal.folder import TrialFolder
    from registration_pipeline.submission.gateway import JobReport, RemoteItem

_FIRST_SLICES: Final = 5
_SHORT_SLICE_SECONDS: Final = 1
_LONG_SLICE_SECONDS: Final = 10
_HELD_SHARE: Final = 0.8
_WATCHED_LAGS: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How a manifest is sent.

    Args:
        ignore_errors: as every sync does.
        is_typed: as the SDK's ``DataUploadItems``, as with ``submit_as: data_items``.
        is_upsert: with ``upsert_metadata``.
        change: of what a sync would write; not in the typed form.
    """

    ignore_errors: bool = True
    is_typed: bool = False
    is_upsert: bool = False
    change: Callable[[bytes], bytes] = bytes


_AS_A_SYNC: Final = Sending()


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job that Encord accepted."""

    job_id: str
    units: tuple[PlannedUnit, ...]
    before: tuple[RemoteItem, ...]
    began_at: datetime
    accepted: float


@dataclass(slots=True)
class JobRunner:
    """Sends manifests into the folder of a rehearsal and waits for what becomes of them; one thread.

    Args:
        folder: where everything goes.
        integration_uuid: what Encord reads the objects with.
        seen: notes polls and waits; the jobs themselves are returned.
        first_job: id of the job that ended first, and when.
    """

    folder: TrialFolder
    integration_uuid: str | None
    seen: Observations = field(default_factory=Observations)
    first_job: tuple[str, float] | None = None

    def try_manifest(self, name: str, units: tuple[PlannedUnit, ...], sending: Sending = _AS_A_SYNC) -> JobTrial | str:
        """Send one manifest and wait for its job and for the folder; a text is what Encord refused the manifest with.

        Raises:
            HaltError: Encord can't be asked, or the start's fate is not known.
        """
        try:
            sent = self.start(name, units, sending)
        except (PermanentError, PayloadTooLargeError) as error:
            return str(error)
        return self.finish(sent)

    def start(self, name: str, units: tuple[PlannedUnit, ...], sending: Sending = _AS_A_SYNC) -> SentJob:
        """Start a job.

        Raises:
            PermanentError, PayloadTooLargeError: Encord refused the manifest.
            ServiceUnavailableError: it was refused for now until patience ended; nothing was started.
            HaltError: nothing says whether the job was started, or Encord can't be asked.
        """
        folder, before, began_at = self.folder, self.folder.items(), _utc_now()
        with tempfile.TemporaryDirectory(prefix="registration-rehearsal-", ignore_cleanup_errors=True) as temporary:
            chunk_id = chunk_of(name)
            manifest = Path(temporary) / f"{chunk_id}.json"
            manifest.write_bytes(sending.change(plain_manifest(chunk_id, units, upsert=sending.is_upsert)))
            send = partial(
                folder.gateway.start_trial_job,
                folder_uuid=folder.uuid,
                integration_uuid=self.integration_uuid,
                manifest=manifest,
                ignore_errors=sending.ignore_errors,
                data_items=typed_manifest(chunk_id, units) if sending.is_typed else None,
            )
            folder.job_is_sent()
            try:
                job_id = folder.retry.call(f"starting {manifest.name}", send)
            except AmbiguousError as error:
                raise HaltError(
                    f"Nothing says whether Encord started the upload job of step {name!r} ({error}). The rehearsal ends "
                    "here and removes its folder; run it again."
                ) from error
            folder.remember_job(job_id)
        return SentJob(job_id, units, before, began_at, self._now())

    def finish(self, sent: SentJob) -> JobTrial:
        """Wait for a job's end and until the folder shows what the job says, or it is waited for in vain.

        Raises:
            HaltError: Encord can't be asked, or the job does not end.
        """
        return self.watch(*self.wait(sent))

    def wait(self, sent: SentJob) -> tuple[JobTrial, float]:
        """Wait for a job's end, and return the job without what the folder shows of it, and when the end was seen.

        Raises:
            HaltError: Encord can't be asked, or the job does not end.
        """
        report = self._wait(sent)
        ended = self._now()
        self.first_job = self.first_job or (sent.job_id, ended)
        self.folder.remember_items(item.item_uuid for item in report.items)
        trial = JobTrial(
            units=sent.units,
            began_at=sent.began_at,
            ended_at=_utc_now(),
            seconds=ended - sent.accepted,
            report=report,
            before=sent.before,
        )
        return trial, ended

    def _wait(self, sent: SentJob) -> JobReport:
        folder, patience, polls = self.folder, self.folder.patience, 0
        while True:
            asked = _SHORT_SLICE_SECONDS if polls < _FIRST_SLICES else _LONG_SLICE_SECONDS
            asked_at = self._now()
            report = self.poll(sent.job_id, asked)
            took, polls = self._now() - asked_at, polls + 1
            if report.status is not JobStatus.PENDING:
                folder.forget_job(sent.job_id)
                return report
            self.seen.polls.append(Poll(asked=asked, took=took))
            if self.seen.upload_jobs_pending is None:
                self.seen.upload_jobs_pending = self.counts()[1]
            if self._now() - sent.accepted > patience.job:
                raise ServiceUnavailableError(
                    f"Upload job {sent.job_id} of {len(sent.units)} units is still pending after {patience.job:.0f} s. It is "
                    "cancelled and the rehearsal ends; run it again when Encord is less busy."
                )
            if took < _HELD_SHARE * asked:
                folder.retry.pause(patience.step)

    def poll(self, job_id: str, wait_seconds: int) -> JobReport:
        """Return a job's state.

        Raises:
            HaltError: Encord does not know it, or can't be asked.
        """
        folder = self.folder
        poll = partial(folder.gateway.poll_job, folder_uuid=folder.uuid, job_id=job_id, wait_seconds=wait_seconds)
        try:
            return folder.retry.call(f"polling upload job {job_id}", poll)
        except SubmissionError as error:
            raise HaltError(
                f"Encord does not know upload job {job_id}, which it accepted a moment ago ({error}). A sync would settle it "
                "like a lost start; the rehearsal ends here. Run it again, and ask Encord if it comes back."
            ) from error

    def counts(self) -> tuple[int, int]:
        """Return how many items and upload jobs the folder's summary counts."""
        folder = self.folder
        counts = folder.retry.read("counting items", partial(folder.gateway.folder_counts, folder.uuid))
        return counts.items, counts.upload_jobs

    def watch(self, trial: JobTrial, ended: float) -> JobTrial:
        """Read the folder until it shows what the job says, and some time longer for what should not come."""
        patience, retry = self.folder.patience, self.folder.retry
        shown_after: float | None = None
        counted_after: float | None = None
        listings = 0
        watched_until = ended + max(patience.watch, _WATCHED_LAGS * self.seen.longest_wait)
        while True:
            listed, (counted, _), now = self.folder.items(), self.counts(), self._now()
            listings += shown_after is None
            if shown_after is None and _shows(trial, listed):
                shown_after = now - ended
                self.seen.longest_wait = max(self.seen.longest_wait, shown_after)
            if counted_after is None and shown_after is not None and counted == len(listed):
                counted_after = now - ended
            # How a summary counts a group is not known, and nothing relies on it.
            is_complete = shown_after is not None and (counted_after is not None or trial.has_groups)
            if now >= (watched_until if is_complete else ended + patience.lag):
                return replace(
                    trial,
                    listed=listed,
                    lag_seconds=shown_after,
                    listings=listings,
                    counted=counted,
                    count_lag_seconds=counted_after,
                )
            retry.pause(patience.step)

    def _now(self) -> float:
        return self.folder.patience.monotonic()


def _shows(trial: JobTrial, listed: tuple[RemoteItem, ...]) -> bool:
    """Return whether a listing shows every item that a job names, and an item of each object that it does not call bad."""
    if trial.report.status is not JobStatus.DONE:
        return True  # what stays after another end is not known: that is one of the questions
    shown, failed = {item.item_uuid for item in listed}, set(trial.failed_units)
    # Whether a group is skipped that shares an object with another is not known: that is one of the questions too.
    single = (unit for unit in trial.units if len(unit.objects) == 1 and unit not in failed)
    missing = sum(not items_of(unit, listed) for unit in single)
    # Errors that name no URL of ours are some unit's all the same.
    unnamed = max(0, trial.report.units_error - len(failed))
    return {item.item_uuid for item in trial.report.items} <= shown and missing <= unnamed


def _utc_now() -> datetime:
    return datetime.now(UTC)
