"""One chunk from where its journal left it to its verdict: the state machine.

    planned ──intent──▶ intended ──job──▶ submitted ──verdict──▶ succeeded | partially_failed | failed
                         │ │ │                │
                         │ │ └─not_sent─▶ (next attempt)
                         │ └──── in doubt ────┴─▶ quiet ─▶ verdict (all units seen) | lost ─▶ (next attempt)
                         └─split─▶ both halves in the same way ─▶ verdict

Every arrow is durable before the next act. What belongs here is the order of acts for one chunk; running many at once and
waiting for quiet is ``registrar.py``, waiting for a job ``job_wait.py``, reaching verdicts ``verdicts.py``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from registration_pipeline.errors import (
    AmbiguousError,
    HaltError,
    LeaseLostError,
    PayloadTooLargeError,
    PermanentError,
)
from registration_pipeline.manifest.files import Manifest, check_sent_before
from registration_pipeline.objects import KINDS
from registration_pipeline.planning.halves import halve
from registration_pipeline.settings.metadata import SubmitAs
from registration_pipeline.submission.doubt import Doubt, next_doubt
from registration_pipeline.submission.evidence import prior_evidence, with_what_stays
from registration_pipeline.submission.gateway import JobStatus
from registration_pipeline.submission.job_wait import JobWait, asked_once_more
from registration_pipeline.submission.record import BegunByAnotherError, ChunkRecord
from registration_pipeline.submission.result import ChunkResult, InDoubt, joined_doubts, result_from_verdict
from registration_pipeline.submission.split import ADOPTED_PRIOR, NOT_SENT, PARTLY_PRIOR, PartOf
from registration_pipeline.submission.verdicts import (
    FolderEvidence,
    judge_adopted,
    judge_refused,
    verdict_facts,
)
from registration_pipeline.tracing import span, watched_calls
from registration_pipeline.tracking.failures.log import write_chunk_failure_log
from registration_pipeline.tracking.journal.states import (
    FAILED_STATES,
    ChunkProgress,
    ChunkState,
    JournalEvent,
    JournalEventKind,
)
from registration_pipeline.tracking.outcomes import ChunkOutcomes, read_outcomes, write_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.gateway import JobReport


@dataclass(slots=True)
class ChunkSubmission:
    """One chunk's or part's way; short-lived, one thread.

    Args:
        part: set when the chunk is a part of one that was split.
    """

    context: SubmissionContext
    chunk: PlannedChunk
    part: PartOf | None = None
    _members: ChunkUnits | None = None
    _made: Manifest | None = None
    _before: Doubt | None = None
    _known_items: frozenset[str] | None = None
    _record: ChunkRecord = field(init=False)

    def __post_init__(self) -> None:
        self._record = ChunkRecord(self.context, self.chunk.chunk_id)

    def manifest(self) -> Manifest:
        """Make or verify the chunk's manifest, once.

        Raises:
            StateCorruptError: the stored one has other bytes, or the plan of the chunk is damaged.
        """
        if self._made is None:
            self._made = self.context.make_manifest(self.chunk, self._units())
        return self._made

    def advance(
        self, *, after_attempt: int | None = None, is_fresh: bool = False, is_forced: bool = False
    ) -> ChunkResult | InDoubt:
        """Take the chunk as far as it goes without guessing.

        Args:
            after_attempt: send it again if that attempt ended with failures and is still the newest.
            is_fresh: count its tries from zero.
            is_forced: send it again even if nothing of it failed.

        Raises:
            HaltError: nothing more may be sent; the journal holds where to go on.
        """
        go_on = partial(self._advance_from, after_attempt=after_attempt, is_fresh=is_fresh, is_forced=is_forced)
        if self._record.begin_untouched():
            with suppress(BegunByAnotherError):  # what that one wrote says how to go on
                return go_on(self._record.progress)
        return go_on(self._record.load())

    def _advance_from(
        self, progress: ChunkProgress, *, after_attempt: int | None, is_fresh: bool, is_forced: bool
    ) -> ChunkResult | InDoubt:
        is_retry = progress.attempt == after_attempt and (is_forced or progress.state in FAILED_STATES)
        if progress.state.is_open or is_retry or progress.verdict is None or not progress.state.is_concluded:
            return self._go_on(progress, is_fresh=is_fresh and is_retry)
        return result_from_verdict(self.chunk, progress.verdict, progress=progress)

    def resolve(self, doubt: InDoubt, *, settled_seconds: float) -> ChunkResult | InDoubt:
        """Decide a chunk in doubt after quiet.

        A job that Encord knows after all is waited for; what is all there is adopted; a refusal of which nothing came is
        believed; else the same bytes are sent to the same folder again.

        Raises:
            HaltError: nothing more may be sent; the journal holds where to go on.
        """
        progress = self._record.load()
        if progress.state is ChunkState.SPLIT:
            return self._finish_parts(progress, doubt, settled_seconds)
        before = doubt.doubts.get(self.chunk.chunk_id)
        if before is None or (before.attempt, before.state) != (progress.attempt, progress.state):
            # Another process got the job id, or the verdict, while we waited: what it wrote is not in doubt.
            return self.advance()
        self._before, self._known_items = before, before.known_items
        report = asked_once_more(self.context, self._folder_uuid, progress.job_id) if progress.job_id else None
        if report is not None:
            return self._finish_job() if report.status is JobStatus.PENDING else self._judge(report, is_settled=True)
        evidence = self._evidence(self._units())
        if evidence.covers(self._units()):
            outcomes = judge_adopted(self._units(), evidence, attempt=progress.attempt, at=self.context.clock())
            return self._conclude(outcomes, message=f"adopted after {settled_seconds:.0f} s of quiet")
        found = frozenset(filter(None, map(evidence.item_of, self._units()))) - evidence.older
        refusal = before.believes(found)
        if refusal is not None:
            return self._believe(refusal)
        self._known_items |= found
        message = f"fate unknown; {settled_seconds:.0f} s of quiet, not all units in the folder"
        self._record.append(JournalEventKind.LOST, message=message)
        return self._start()

    def _believe(self, refusal: Exception) -> ChunkResult | InDoubt:
        if not isinstance(refusal, HaltError):
            return self._refused(str(refusal))
        self._close_as_not_sent(refusal)
        raise refusal

    def _go_on(self, progress: ChunkProgress, *, is_fresh: bool = False) -> ChunkResult | InDoubt:
        if progress.state is ChunkState.SUBMITTED:
            return self._finish_job()
        if progress.state is ChunkState.INTENDED:
            return self._in_doubt("the process ended between the intent and the job id")
        if progress.state is ChunkState.SPLIT:
            return self._finish_parts(progress)
        if progress.is_split:
            # Its whole manifest would only be refused again.
            self._record.append(JournalEventKind.SPLIT, attempt=progress.attempt + 1, **self._origin(is_fresh=is_fresh))
            return self._finish_parts(self._record.progress)
        return self._start(is_fresh=is_fresh)

    def _start(self, *, is_fresh: bool = False) -> ChunkResult | InDoubt:
        manifest = self.manifest()
        adopted = self._adopt_prior(manifest, is_fresh=is_fresh)
        if adopted is not None:
            return adopted
        refusal: Exception | None = None
        with self.context.slots.occupied(self.context.stop):
            self.context.check_stop("No further chunk is started because the submission stops; run again.")
            unsent = self.context.effect.unsent(self.context, self.chunk, self._units())
            self._intend(manifest, is_fresh=is_fresh)
            if not manifest.violations and unsent is None:
                try:
                    job_id = self._send(manifest)
                except (PermanentError, PayloadTooLargeError) as error:
                    refusal = error
                except AmbiguousError as error:
                    return self._in_doubt(str(error), error.refusal)
                except HaltError as error:
                    self._close_as_not_sent(error)
                    raise
                else:
                    self._record.append(JournalEventKind.JOB, job_id=job_id)
                    report = self._wait_for_job()
        if unsent is not None:
            return self._conclude(
                unsent.outcomes(self._units(), self._record.progress, self.context), message=unsent.message
            )
        if manifest.violations:
            text = "; ".join(f"{violation.where}: {violation.problem}" for violation in manifest.violations)
            return self._refused(f"{NOT_SENT}: {text}")
        return self._refused(str(refusal)) if refusal else self._judge(report)

    def _adopt_prior(self, manifest: Manifest, *, is_fresh: bool) -> ChunkResult | InDoubt | None:
        """Conclude a chunk without sending it, because the folder held all of it before the first upload."""
        if self.context.prior is None or self._record.progress.verdict is not None:
            return None
        units = self._units()
        evidence = prior_evidence(self.context, self._folder_uuid, units)
        if not evidence.covers(units):
            return self._adopt_prior_groups(manifest, evidence, is_fresh=is_fresh)
        self._intend(manifest, is_fresh=is_fresh)
        outcomes = judge_adopted(units, evidence, attempt=self._record.progress.attempt, at=self.context.clock())
        return self._conclude(outcomes, message=ADOPTED_PRIOR)

    def _adopt_prior_groups(
        self, manifest: Manifest, evidence: FolderEvidence, *, is_fresh: bool
    ) -> ChunkResult | InDoubt | None:
        """Go on in parts where some groups are there: which groups Encord skips as duplicates is not documented."""
        if not KINDS[self.chunk.kind].is_group or not any(map(evidence.item_of, self._units())):
            return None
        self._intend(manifest, is_fresh=is_fresh)
        self._record.append(JournalEventKind.SPLIT, message=PARTLY_PRIOR)
        return self._finish_parts(self._record.progress)

    def _send(self, manifest: Manifest) -> str:
        context, tries = self.context, count()
        items = context.data_items(self.chunk, self._units())
        with context.store.local_file(manifest.name) as path:

            def start() -> str:
                if next(tries):
                    # A long throttling seems like a dead process to another one, which may have sent the chunk since.
                    self._record.check_still_open()
                return context.gateway.start_job(
                    folder_uuid=self._folder_uuid,
                    integration_uuid=context.target.integration_uuid,
                    manifest=path,
                    data_items=items,
                    may_send=context.may_send,
                )

            with watched_calls() as calls:
                try:
                    return context.calls.call(f"starting chunk {self.chunk.chunk_id}", start)
                finally:
                    self._record.trace_id = calls.newest

    def _close_as_not_sent(self, error: HaltError) -> None:
        """A refused key, a refused permission and an unreachable service all mean that no job was started."""
        if not isinstance(error, LeaseLostError) and self._record.is_still_open():
            self._record.append(JournalEventKind.NOT_SENT, message=str(error))

    def _finish_job(self) -> ChunkResult | InDoubt:
        with self.context.slots.occupied(self.context.stop):
            report = self._wait_for_job()
        return self._judge(report)

    def _wait_for_job(self) -> JobReport | None:
        job_id = self._record.progress.job_id
        assert job_id is not None
        with span("upload job", chunk_id=self.chunk.chunk_id, job_id=job_id):
            return JobWait(self.context, self.chunk.chunk_id, self._folder_uuid, job_id).until_end()

    def _judge(self, report: JobReport | None, *, is_settled: bool = False) -> ChunkResult | InDoubt:
        """Conclude from a job's report.

        Args:
            report: of a job that has ended; None: Encord no longer knows it.
            is_settled: the folder has been quiet since the job ended.
        """
        progress = self._record.progress
        if report is None:
            return self._in_doubt(f"Encord no longer knows upload job {progress.job_id}")
        self._record.trace_id = report.trace_id
        units = self._units()
        # What an earlier attempt registered stays so; without leaving it out, every retry would search for it, because a
        # job does not name what it skips.
        registered = self._record.earlier().items_by_unit()
        effect = self.context.effect
        sought = [unit for unit in effect.sought(units, report) if unit.unit_id not in registered]
        if sought and report.units_pending and not is_settled:
            # It may go on, and what it registers after a retry was started would be there twice.
            return self._in_doubt(
                f"upload job {progress.job_id} ended {report.status} with {report.units_pending} units pending"
            )
        evidence = self._evidence(sought) if sought else FolderEvidence()
        if not is_settled and effect.may_come(sought, evidence):
            return self._in_doubt(f"upload job {progress.job_id} ended {report.status}, and not all of it shows yet")
        outcomes = effect.judge(units, report, evidence, attempt=progress.attempt, at=self.context.clock())
        return self._conclude(outcomes, message="; ".join(report.errors) or None)

    def _refused(self, message: str) -> ChunkResult | InDoubt:
        """Halve what Encord refused as a whole, down to the entries that it refuses alone."""
        if self.chunk.units > 1:
            self._record.append(JournalEventKind.SPLIT, message=message)
            return self._finish_parts(self._record.progress)
        outcomes = judge_refused(self._units(), message, attempt=self._record.progress.attempt, at=self.context.clock())
        return self._conclude(outcomes, message=message)

    def _finish_parts(
        self, progress: ChunkProgress, doubt: InDoubt | None = None, settled_seconds: float = 0
    ) -> ChunkResult | InDoubt:
        """Bring both halves to their verdicts, one after the other, and conclude the whole from theirs."""
        origin = PartOf.of(self.part, attempt=progress.attempt, folder_uuid=self._folder_uuid)
        outcomes: list[ChunkOutcomes] = []
        doubts: list[InDoubt] = []
        for chunk, members in halve(self.chunk, self._units()):
            half = ChunkSubmission(self.context, chunk, origin, _members=members)
            result = half.advance_part(doubt, settled_seconds)
            if isinstance(result, InDoubt):
                doubts.append(result)
                if result.is_refused:
                    break  # depth first: a refusal of everything is then recognised after a few units
                continue
            found = read_outcomes(self.context.store, self.context.source, result) if result else half.not_attempted()
            outcomes.append(found)
        if doubts:
            return joined_doubts(self.chunk, doubts)
        self._record.trace_id = None  # each part has its own
        return self._conclude(
            ChunkOutcomes.joined(outcomes, attempt=progress.attempt),
            message=f"submitted in parts, because {self._record.reason_of_parts}",
        )

    def advance_part(self, doubt: InDoubt | None, settled_seconds: float) -> JournalEvent | InDoubt | None:
        """Take a part to its verdict in the attempt of its whole; None if trying it is without hope."""
        assert self.part is not None
        progress = self._record.load()
        is_of_this_attempt = progress.began is not None and progress.began.parent_attempt == self.part.attempt
        if progress.state is ChunkState.SUCCEEDED or (is_of_this_attempt and progress.state.is_concluded):
            self.part.refusals.count_verdict(self.chunk, progress)
            return progress.verdict
        if not progress.state.is_open and self.part.refusals.should_stop_splitting:
            return None
        if doubt is not None and progress.state.is_open:
            result = self.resolve(doubt, settled_seconds=settled_seconds)
        else:
            result = self._go_on(progress)
        if isinstance(result, InDoubt):
            return result
        if not self._record.progress.is_split:  # else its own parts were counted
            self.part.refusals.count_verdict(self.chunk, self._record.progress)
        return self._record.progress.verdict

    def not_attempted(self) -> ChunkOutcomes:
        """Return the verdicts of a part that was not tried, because everything tried before was refused."""
        assert self.part is not None
        return judge_refused(self._units(), self.part.refusals.give_up_message, attempt=0, at=self.context.clock())

    def _conclude(self, outcomes: ChunkOutcomes, *, message: str | None) -> ChunkResult:
        """Write outcomes, failure log and verdict, in this order: the verdict vouches for the other two."""
        context, chunk_id, progress = self.context, self.chunk.chunk_id, self._record.progress
        outcomes = with_what_stays(
            context,
            outcomes.traced(self._record.trace_id),
            earlier=self._record.earlier(),
            units=self._units(),
            search=partial(self.context.effect.failed_evidence, context, self._record, self.chunk, self._folder_uuid),
        )
        base_name = write_outcomes(context.store, context.source, chunk_id, progress.attempt, outcomes)
        rows = [] if self.part else context.effect.failures(context.source, chunk_id, outcomes)
        if rows or self._record.has_leftovers:
            # Else it would replace the log of the process that concluded the attempt meanwhile.
            self._record.check_still_open()
            write_chunk_failure_log(context.store, context.source, chunk_id, progress.attempt, rows)
        verdict = self._record.append(
            JournalEventKind.VERDICT,
            job_id=progress.job_id,
            outcomes=base_name,
            message=message,
            **verdict_facts(self._units(), outcomes),
        )
        return result_from_verdict(self.chunk, verdict, outcomes=outcomes, progress=self._record.progress)

    def _intend(self, manifest: Manifest, *, is_fresh: bool) -> None:
        progress, self._record.trace_id = self._record.progress, None
        check_sent_before(manifest, progress.sent_sha256)
        self._record.append(
            JournalEventKind.INTENT,
            attempt=progress.attempt + 1,
            folder_uuid=self._folder_uuid,
            integration_uuid=self.context.target.integration_uuid,
            manifest_sha256=manifest.sha256,
            submit_as=None if self.context.submit_as is SubmitAs.JSON else self.context.submit_as.value,
            **self._origin(is_fresh=is_fresh),
        )

    def _origin(self, *, is_fresh: bool) -> dict[str, object]:
        return {"is_fresh": is_fresh or None, "parent_attempt": self.part.attempt if self.part else None}

    @property
    def _folder_uuid(self) -> str:
        whole = self.part.folder_uuid if self.part else self.context.effect.folder_uuid(self.context, self.chunk)
        return self._record.folder_uuid(whole)

    def _evidence(self, units: Sequence[PlannedUnit]) -> FolderEvidence:
        return self.context.effect.evidence(self.context, self._record, self.chunk, self._folder_uuid, units)

    def _in_doubt(self, message: str, refusal: Exception | None = None) -> InDoubt:
        if self._known_items is None:
            self._known_items = frozenset(self._record.earlier().items_by_unit().values())
        doubt = next_doubt(self._before, self._record.progress, known_items=self._known_items, refusal=refusal)
        doubts = {self.chunk.chunk_id: doubt}
        return InDoubt(chunk=self.chunk, folder_uuid=self._folder_uuid, doubts=doubts, message=message)

    def _units(self) -> ChunkUnits:
        if self._members is None:
            self._members = self.context.units_of(self.chunk)
        return self._members
