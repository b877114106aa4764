"""One chunk from where its journal left it to its verdict: the state machine.

    planned ──intent──▶ intended ──job──▶ submitted ──verdict──▶ succeeded | partially_failed | failed
                           │ │                │
                           │ └─not_sent─▶ (next attempt)
                           └──── in doubt ────┴─▶ quiet ─▶ verdict (all units seen) | lost ─▶ (next attempt)

Every arrow is durable before the next act. What belongs here is the order of acts for one chunk; running many at once and
waiting for quiet is ``registrar.py``, reaching verdicts is ``verdicts.py``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from registration_pipeline.errors import (
    AmbiguousError,
    HaltError,
    PayloadTooLargeError,
    PermanentError,
    StateConflictError,
    StateCorruptError,
)
from registration_pipeline.manifest.manifest import Manifest, ensure_manifest
from registration_pipeline.planning.wave import PlannedChunk, PlannedUnit, read_chunk_units
from registration_pipeline.submission.gateway import JobReport, JobStatus, RegistrationGateway
from registration_pipeline.submission.result import ChunkResult, InDoubt, result_from_verdict
from registration_pipeline.submission.retry import RetryPolicy, StoppedError
from registration_pipeline.submission.settle import look_for
from registration_pipeline.submission.verdicts import (
    FolderEvidence,
    chunk_state,
    judge_adopted,
    judge_job,
    judge_refused,
    keep_registered,
    unaccounted_units,
)
from registration_pipeline.tracking.failure_log import chunk_failures, write_chunk_failure_log
from registration_pipeline.tracking.journal import Journal
from registration_pipeline.tracking.outcomes import Outcome, read_outcomes, write_outcomes
from registration_pipeline.tracking.states import ChunkProgress, ChunkState, JournalEvent, JournalEventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.target import Target

# Item times are Encord's clock, intents ours. The signature scheme refuses clocks that are further apart than this.
_CLOCK_SKEW = timedelta(minutes=15)
_PROBE_SECONDS = 1  # one request exactly, whatever the server does (contract, section 4.3)
_SLICE_SECONDS = 10  # a stop waits for the polls under way, so this is also how long Ctrl-C can take
_HELD_SHARE = 0.8
_VANISHED_AFTER = 3  # consecutive "no such job" before a job counts as lost (contract, section 6.4)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionContext:
    """What every chunk of a source needs. Shared between threads.

    Args:
        retry: how calls are repeated; ``calls`` is the same, ended by ``stop``.
        stop: set when nothing more may be sent.
        sleep: injected in tests; by default a wait that ``stop`` ends.
        slow_poll_seconds: pause between polls of a job whose server answers PENDING without holding the request.
    """

    store: StateStore
    source: str
    gateway: RegistrationGateway
    target: Target
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] | None = None
    slow_poll_seconds: float = 2.0

    @property
    def calls(self) -> RetryPolicy:
        """How calls are repeated, until the submission stops."""
        return self.retry.until(self.stop)

    def pause(self, seconds: float) -> None:
        """Wait, but not past a stop.

        Raises:
            StoppedError: nothing more may be sent.
        """
        (self.sleep or self.stop.wait)(seconds)
        if self.stop.is_set():
            raise StoppedError("The submission stops; run again.")

    @property
    def journal(self) -> Journal:
        """The source's journal."""
        return Journal(self.store, self.source)


@dataclass(frozen=True, slots=True)
class ChunkSubmission:
    """One chunk's way; short-lived, one thread."""

    context: SubmissionContext
    chunk: PlannedChunk

    def advance(self, *, retry_failed: bool) -> ChunkResult | InDoubt:
        """Take the chunk as far as it goes without guessing.

        Args:
            retry_failed: send a concluded chunk with failures once more.

        Raises:
            HaltError: nothing more may be sent; the journal holds where to go on.
        """
        progress = self._progress()
        if progress.state is ChunkState.SUBMITTED:
            return self._finish_job(progress)
        if progress.state is ChunkState.INTENDED:
            return self._in_doubt(progress, "the process ended between the intent and the job id")
        is_retry = retry_failed and progress.state in (ChunkState.PARTIALLY_FAILED, ChunkState.FAILED)
        if progress.state.is_concluded and not is_retry and progress.verdict:
            return result_from_verdict(self.chunk, progress.verdict)
        return self._start(progress)

    def resolve(self, doubt: InDoubt, *, settled_seconds: float) -> ChunkResult | InDoubt:
        """Decide a chunk in doubt after quiet: adopt what is all there, else send the same bytes to the same folder again.

        Raises:
            HaltError: nothing more may be sent; the journal holds where to go on.
        """
        progress = self._progress()
        if (progress.attempt, progress.state) != (doubt.attempt, doubt.state):
            # Another process got the job id, or the verdict, while we waited: what it wrote is not in doubt.
            return self.advance(retry_failed=False)
        units = self._units()
        evidence = self._evidence(progress, units)
        if evidence.covers(units):
            outcomes = judge_adopted(units, evidence, attempt=progress.attempt, at=self.context.clock())
            return self._conclude(progress, outcomes, message=f"adopted after {settled_seconds:.0f} s of quiet")
        message = f"fate unknown; {settled_seconds:.0f} s of quiet, not all units in the folder"
        self._append(JournalEventKind.LOST, progress.attempt, message=message)
        return self._start(self._progress())

    def _start(self, progress: ChunkProgress) -> ChunkResult | InDoubt:
        self._check_stop()
        manifest = ensure_manifest(self.context.store, self.context.source, self.chunk)
        progress = self._intend(progress, manifest)
        if manifest.violations:
            text = "; ".join(f"{violation.where}: {violation.problem}" for violation in manifest.violations)
            return self._refuse(progress, f"the manifest is not valid and was not sent: {text}")
        try:
            job_id = self._send(manifest, progress)
        except (PermanentError, PayloadTooLargeError) as error:
            return self._refuse(progress, str(error))
        except AmbiguousError as error:
            return self._in_doubt(progress, str(error))
        except HaltError as error:
            # A refused key, a refused permission and an unreachable service all mean that no job was started.
            if self._is_still_open(progress):
                self._append(JournalEventKind.NOT_SENT, progress.attempt, message=str(error))
            raise
        self._append(JournalEventKind.JOB, progress.attempt, job_id=job_id)
        return self._finish_job(self._progress())

    def _send(self, manifest: Manifest, progress: ChunkProgress) -> str:
        context, tries = self.context, count()
        with context.store.local_file(manifest.name) as path:

            def start() -> str:
                if next(tries):
                    # A long throttling looks like a dead process to another one, which may have sent the chunk since.
                    self._check_still_open(progress)
                return context.gateway.start_job(
                    folder_uuid=self._folder_uuid(progress),
                    integration_uuid=context.target.integration_uuid,
                    manifest=path,
                )

            return context.calls.call(f"starting chunk {self.chunk.chunk_id}", start)

    def _finish_job(self, progress: ChunkProgress) -> ChunkResult | InDoubt:
        report = self._wait_for_job(progress)
        if report is None:
            return self._in_doubt(progress, f"Encord no longer knows upload job {progress.job_id}")
        units = self._units()
        # What an earlier attempt registered stays so; without leaving it out, every retry would list the whole folder
        # back to the first attempt, because a job does not name what it skips.
        registered = {outcome.unit_id for outcome in self._earlier(progress) if outcome.verdict.is_registered}
        sought = [unit for unit in unaccounted_units(units, report) if unit.unit_id not in registered]
        evidence = self._evidence(progress, sought) if sought else FolderEvidence()
        outcomes = judge_job(units, report, evidence, attempt=progress.attempt, at=self.context.clock())
        message = "; ".join(report.errors) or None
        return self._conclude(progress, outcomes, message=message)

    def _wait_for_job(self, progress: ChunkProgress) -> JobReport | None:
        """Poll until the job ends; None when Encord no longer knows it.

        The SDK's poll loop does not sleep between PENDING answers, so a server that does not hold the request would be
        asked hundreds of times a second. One probe tells whether it holds; only then are longer slices used.
        """
        assert progress.job_id is not None
        folder_uuid, vanished, is_held = self._folder_uuid(progress), 0, False
        while True:
            self._check_stop()
            try:
                report, seconds = self._poll(
                    folder_uuid, progress.job_id, _SLICE_SECONDS if is_held else _PROBE_SECONDS
                )
            except PermanentError:
                vanished += 1
                if vanished == _VANISHED_AFTER:
                    return None
                self.context.pause(self.context.slow_poll_seconds)
                continue
            if report.status is not JobStatus.PENDING:
                return report
            vanished = 0
            is_held = seconds >= _HELD_SHARE * _PROBE_SECONDS
            if not is_held:
                self.context.pause(self.context.slow_poll_seconds)

    def _poll(self, folder_uuid: str, job_id: str, wait_seconds: int) -> tuple[JobReport, float]:
        """Return the job and how long the server took to answer, the waits between repetitions not counted."""
        context = self.context

        def poll() -> tuple[JobReport, float]:
            began = context.monotonic()
            report = context.gateway.poll_job(folder_uuid=folder_uuid, job_id=job_id, wait_seconds=wait_seconds)
            return report, context.monotonic() - began

        return context.calls.call(f"polling upload job {job_id}", poll)

    def _conclude(self, progress: ChunkProgress, outcomes: Sequence[Outcome], *, message: str | None) -> ChunkResult:
        """Write outcomes, failure log and verdict, in this order: the verdict vouches for the other two."""
        context, chunk_id = self.context, self.chunk.chunk_id
        self._check_still_open(progress)
        outcomes = keep_registered(outcomes, self._earlier(progress))
        write_outcomes(context.store, context.source, chunk_id, progress.attempt, outcomes)
        rows = chunk_failures(context.source, chunk_id, outcomes)
        write_chunk_failure_log(context.store, context.source, chunk_id, progress.attempt, rows)
        failed = sum(not outcome.verdict.is_registered for outcome in outcomes)
        verdict = self._append(
            JournalEventKind.VERDICT,
            progress.attempt,
            job_id=progress.job_id,
            state=chunk_state(outcomes),
            registered=len(outcomes) - failed,
            failed=failed,
            message=message,
        )
        return result_from_verdict(self.chunk, verdict, outcomes=outcomes)

    def _earlier(self, progress: ChunkProgress) -> list[Outcome]:
        if progress.verdict is None:
            return []
        attempt = progress.verdict.attempt
        return read_outcomes(self.context.store, self.context.source, self.chunk.chunk_id, attempt)

    def _check_still_open(self, progress: ChunkProgress) -> None:
        """Look before sending again and before outcomes are replaced: another process may have taken over meanwhile."""
        if not self._is_still_open(progress):
            raise self._overtaken(f"attempt {progress.attempt} has been closed")

    def _is_still_open(self, progress: ChunkProgress) -> bool:
        latest = self._progress()
        return latest.attempt == progress.attempt and latest.is_attempt_open

    def _overtaken(self, how: str) -> StoppedError:
        return StoppedError(
            f"Another process works on chunk {self.chunk.chunk_id} ({how}). It will conclude the chunk; run again when it "
            "has ended."
        )

    def _refuse(self, progress: ChunkProgress, message: str) -> ChunkResult:
        outcomes = judge_refused(self._units(), message, attempt=progress.attempt, at=self.context.clock())
        return self._conclude(progress, outcomes, message=message)

    def _intend(self, progress: ChunkProgress, manifest: Manifest) -> ChunkProgress:
        sent = progress.first_intent.manifest_sha256 if progress.first_intent else None
        if sent and sent != manifest.sha256:
            raise StateCorruptError(
                f"{manifest.name} is not the manifest that was sent before (sha256 {manifest.sha256}, sent {sent}). "
                "Restore the plan and the manifest of this chunk from a backup; nothing was sent."
            )
        self._append(
            JournalEventKind.INTENT,
            progress.attempt + 1,
            folder_uuid=self._folder_uuid(progress),
            integration_uuid=self.context.target.integration_uuid,
            manifest_sha256=manifest.sha256,
        )
        return self._progress()

    def _append(self, kind: JournalEventKind, attempt: int, **facts: object) -> JournalEvent:
        event = JournalEvent(
            kind=kind,
            chunk_id=self.chunk.chunk_id,
            attempt=attempt,
            at=self.context.clock(),
            **facts,  # type: ignore[arg-type]  # the dataclass checks the names; the values come from typed callers above
        )
        try:
            self.context.journal.append(event)
        except StateConflictError as error:
            raise self._overtaken(str(error)) from error
        return event

    def _folder_uuid(self, progress: ChunkProgress) -> str:
        # Duplicates are skipped per folder, so a chunk stays with the folder that it was first sent to.
        first = progress.first_intent
        return (first.folder_uuid if first else None) or self.context.target.folder_uuid

    def _evidence(self, progress: ChunkProgress, units: Sequence[PlannedUnit]) -> FolderEvidence:
        assert progress.first_intent is not None
        return look_for(
            gateway=self.context.gateway,
            retry=self.context.calls,
            folder_uuid=self._folder_uuid(progress),
            units=units,
            since=progress.first_intent.at - _CLOCK_SKEW,
        )

    def _in_doubt(self, progress: ChunkProgress, message: str) -> InDoubt:
        return InDoubt(
            chunk=self.chunk,
            folder_uuid=self._folder_uuid(progress),
            attempt=progress.attempt,
            state=progress.state,
            message=message,
        )

    def _progress(self) -> ChunkProgress:
        return self.context.journal.progress(self.chunk.chunk_id)

    def _units(self) -> list[PlannedUnit]:
        return read_chunk_units(self.context.store, self.context.source, self.chunk)

    def _check_stop(self) -> None:
        if self.context.stop.is_set():
            raise StoppedError(
                f"Chunk {self.chunk.chunk_id} was left where it is because the submission stops; run again."
            )
