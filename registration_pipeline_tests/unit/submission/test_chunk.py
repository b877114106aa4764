"""One chunk from every point of its journal, whatever the start does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from registration_pipeline.errors import (
    CredentialsError,
    NotFoundError,
    PermanentError,
    ServiceUnavailableError,
    StateCorruptError,
    TransientError,
)
from registration_pipeline.state.sealed import open_sealed, sealed_json
from registration_pipeline.submission.calls.retry import RetryPolicy, StoppedError
from registration_pipeline.submission.gateway import JobReport, JobStatus
from registration_pipeline.submission.result import ChunkResult, InDoubt
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline.submission.verdicts import judge_refused
from registration_pipeline.tracking.journal.states import ChunkState, JournalEvent, JournalEventKind


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """One chunk of two images."""
    return fleet_of("a.jpg", "b.jpg")


def kinds(fleet: Any) -> list[str]:
    """Return the journal of the first chunk as ``attempt-event``."""
    return [f"{event.attempt:04d}-{event.kind}" for event in fleet.journal.events(fleet.chunks[0].chunk_id)]


class PatientGateway(ScriptedGateway):
    """Holds a poll as long as it may, notes the slices, and fails some polls as scripted."""

    def __init__(self, fleet: Any, *, job_seconds: float, is_holding: bool = True) -> None:
        super().__init__(clock=fleet.time.clock, job_seconds=job_seconds, folders=fleet.encord.folders)
        self.time, self.is_holding = fleet.time, is_holding
        self.slices: list[int] = []
        self.poll_errors: list[Exception | None] = []

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        self.slices.append(wait_seconds)
        error = self.poll_errors.pop(0) if self.poll_errors else None
        if error:
            raise error
        report = super().poll_job(folder_uuid=folder_uuid, job_id=job_id, wait_seconds=wait_seconds)
        if report.status is JobStatus.PENDING and self.is_holding:
            self.time.sleep(wait_seconds)
        return report


STARTS = [
    pytest.param([], ["0001-intent", "0001-job", "0001-verdict"], id="accepted"),
    pytest.param([StartScript.THROTTLE] * 5, ["0001-intent", "0001-job", "0001-verdict"], id="throttled for a while"),
    pytest.param([StartScript.REFUSE], ["0001-intent", "0001-split", "0001-verdict"], id="refused"),
    pytest.param([StartScript.TOO_LARGE], ["0001-intent", "0001-split", "0001-verdict"], id="too large"),
    pytest.param([StartScript.LOSE_REPLY], ["0001-intent"], id="reply lost"),
    pytest.param([StartScript.LOSE_REQUEST], ["0001-intent"], id="request lost"),
]


@pytest.mark.parametrize(("starts", "journal"), STARTS)
def test_what_a_start_leaves_in_the_journal(fleet: Any, starts: Any, journal: list[str]):
    fleet.encord.starts = list(starts)

    result = fleet.submission().advance()

    assert kinds(fleet) == journal
    assert isinstance(result, ChunkResult if len(journal) > 1 else InDoubt)


@pytest.mark.parametrize(
    ("starts", "error"),
    [([StartScript.HALT], CredentialsError), ([StartScript.THROTTLE] * 6, ServiceUnavailableError)],
    ids=["key refused", "throttled for good"],
)
def test_a_halt_closes_the_attempt_as_not_sent(fleet: Any, starts: Any, error: type[Exception]):
    fleet.encord.starts = list(starts)

    with pytest.raises(error):
        fleet.submission().advance()

    assert kinds(fleet) == ["0001-intent", "0001-not_sent"]
    assert fleet.encord.manifests == []
    assert fleet.submission().advance().attempt == 2
    fleet.assert_exactly_once()


def test_a_refused_chunk_has_failed_and_is_sent_again_only_when_asked(fleet: Any):
    fleet.encord.starts = [StartScript.REFUSE] * 3
    first = fleet.submission().advance()
    again = fleet.submission().advance()
    retried = fleet.submission().advance(after_attempt=1)

    assert (first.state, first.failed_objects, dict(first.reasons)) == (ChunkState.FAILED, 2, {"manifest_refused": 2})
    assert (again.is_new, again.attempt, again.failed_units) == (False, 1, 2)
    assert (retried.state, retried.attempt) == (ChunkState.SUCCEEDED, 2)


def test_a_succeeded_chunk_is_never_sent_again(fleet: Any):
    fleet.submission().advance()

    assert not fleet.submission().advance(after_attempt=1).is_new
    assert len(fleet.encord.manifests) == 1


def test_the_intent_says_what_is_sent_where(fleet: Any):
    fleet.submission().advance()
    progress = fleet.journal.progress(fleet.chunks[0].chunk_id)

    assert progress.first_intent.folder_uuid == fleet.encord.folders["fleet"]
    assert progress.first_intent.integration_uuid == fleet.encord.integrations["sandbox"]
    assert len(progress.first_intent.manifest_sha256) == 64


def test_a_retry_goes_to_the_folder_of_the_first_attempt(fleet: Any):
    """Duplicates are skipped per folder: in another one everything would be registered a second time."""
    fleet.encord.fails = lambda url: "corrupt" if url.endswith("b.jpg") else None
    fleet.register()
    fleet.encord.fails = lambda _: None
    fleet.configure(encord={"integration": "sandbox", "folder": "elsewhere"})

    fleet.register(retry_failed=True)

    fleet.assert_exactly_once()
    assert list(fleet.encord.items) == [fleet.encord.folders["fleet"]]


def test_a_manifest_other_than_the_one_that_was_sent_is_not_sent(fleet: Any):
    fleet.encord.starts = [StartScript.HALT]
    with pytest.raises(CredentialsError):
        fleet.submission().advance()
    chunk_id = fleet.chunks[0].chunk_id
    intent = f"fleet/journal/{chunk_id}/0001-intent.json"
    fields = open_sealed(fleet.store.read(intent))
    fleet.store.delete(intent)
    fleet.store.create(intent, sealed_json({**fields, "manifest_sha256": "0" * 64}))

    with pytest.raises(StateCorruptError, match="is not the manifest that was sent before"):
        fleet.submission().advance()
    assert fleet.encord.manifests == []


def test_a_retry_lists_no_folder_for_what_is_registered_already(fleet: Any):
    fleet.encord.fails = lambda url: "corrupt" if url.endswith("b.jpg") else None
    fleet.register()
    fleet.time.sleep(timedelta(days=300).total_seconds())
    fleet.encord.fails = lambda _: None
    gateway = PatientGateway(fleet, job_seconds=0)
    gateway.items = fleet.encord.items

    def no_listing(*_: object, **__: object) -> Any:
        raise AssertionError("the folder was listed")

    gateway_class = type("NoListing", (PatientGateway,), {"items_page": no_listing})
    gateway.__class__ = gateway_class

    fleet.submission(gateway=gateway).advance(after_attempt=1)

    fleet.assert_exactly_once()


def test_a_second_process_leaves_the_chunk_to_the_first(fleet: Any):
    """Both saw it planned; the second one's intent comes too late."""
    second = fleet.submission()
    second._record.load()
    fleet.submission().advance()

    with pytest.raises(StoppedError, match=r"Another process works on chunk .*-images-000001"):
        second._start()
    fleet.assert_exactly_once()


def test_outcomes_that_a_verdict_vouches_for_are_never_replaced(fleet: Any):
    slow = fleet.submission()
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    assert isinstance(slow.advance(), InDoubt)
    fleet.register()
    before = fleet.outcomes()
    too_late = judge_refused(slow._units(), "too late", attempt=1, at=fleet.time.clock())

    with pytest.raises(StoppedError, match="Another process works on chunk"):
        slow._conclude(too_late, message="too late")
    assert fleet.outcomes() == before


def test_a_job_id_that_another_process_wrote_meanwhile_ends_the_doubt(fleet: Any):
    """It was slow, not dead. Sending again while its job runs would register everything twice."""
    fleet.encord.job_seconds = 500
    submission = fleet.submission()
    submission._intend(_manifest(fleet), is_fresh=False)
    doubt = fleet.submission().advance()
    assert isinstance(doubt, InDoubt)
    job_id = submission._send(_manifest(fleet))
    fleet.time.sleep(120)
    submission._record.append(JournalEventKind.JOB, job_id=job_id)

    result = fleet.submission().resolve(doubt, settled_seconds=120)

    assert (result.attempt, result.job_id) == (1, job_id)
    fleet.assert_exactly_once()


@pytest.mark.parametrize("last", [StartScript.ACCEPT, StartScript.THROTTLE], ids=["free again", "still throttled"])
def test_a_long_throttled_process_sees_that_another_one_took_over(fleet: Any, last: StartScript):
    """To the other one it looked dead between intent and start, and the chunk was sent again."""
    fleet.encord.starts = [StartScript.THROTTLE]
    others: list[Any] = []

    def meanwhile(_seconds: float) -> None:
        others.extend(fleet.register())
        fleet.encord.starts = [last] * 9

    with pytest.raises(StoppedError, match="attempt 1 has been closed"):
        fleet.submission(retry=RetryPolicy(sleep=meanwhile)).advance()

    assert [result.attempt for result in others] == [2]
    assert kinds(fleet) == ["0001-intent", "0001-lost", "0002-intent", "0002-job", "0002-verdict"]
    fleet.assert_exactly_once()


def _manifest(fleet: Any) -> Any:
    from registration_pipeline.manifest.files import ensure_manifest

    return ensure_manifest(fleet.store, "fleet", fleet.chunks[0])


def test_a_job_that_encord_forgot_is_in_doubt_and_adopted_when_all_is_there(fleet: Any):
    gateway = PatientGateway(fleet, job_seconds=0)
    gateway.poll_errors = [PermanentError("404")] * 3
    submission = fleet.submission(gateway=gateway)

    doubt = submission.advance()
    result = submission.resolve(doubt, settled_seconds=120)

    assert isinstance(doubt, InDoubt)
    assert "no longer knows upload job" in doubt.message
    assert (result.state, result.attempt) == (ChunkState.SUCCEEDED, 1)
    assert kinds(fleet) == ["0001-intent", "0001-job", "0001-verdict"]


def test_a_forgotten_job_that_registered_nothing_is_lost_and_sent_again(fleet: Any):
    fleet.encord.job_seconds = 0
    gateway = PatientGateway(fleet, job_seconds=10**9)
    gateway.poll_errors = [PermanentError("404")] * 3
    doubt = fleet.submission(gateway=gateway).advance()

    result = fleet.submission().resolve(doubt, settled_seconds=120)

    assert kinds(fleet)[2:4] == ["0001-lost", "0002-intent"]
    assert result.attempt == 2
    fleet.assert_exactly_once()


def test_a_job_that_is_unknown_for_a_moment_is_asked_about_again(fleet: Any):
    gateway = PatientGateway(fleet, job_seconds=0)
    gateway.poll_errors = [PermanentError("404"), PermanentError("404")]

    result = fleet.submission(gateway=gateway).advance()

    assert result.state is ChunkState.SUCCEEDED


def test_a_server_that_holds_polls_is_asked_in_long_slices(fleet: Any):
    gateway = PatientGateway(fleet, job_seconds=100)

    fleet.submission(gateway=gateway).advance()

    assert gateway.slices[0] == 1
    assert min(gateway.slices[1:]) >= 5
    assert len(gateway.slices) < 20


def test_a_server_that_does_not_hold_polls_is_asked_for_single_answers(fleet: Any):
    """The SDK does not sleep between PENDING answers: a longer slice would be hundreds of requests a second."""
    gateway = PatientGateway(fleet, job_seconds=100, is_holding=False)

    fleet.submission(gateway=gateway).advance()

    assert set(gateway.slices) == {1}
    assert len(gateway.slices) <= 52


def test_a_wait_between_repeated_polls_is_not_mistaken_for_holding(fleet: Any):
    gateway = PatientGateway(fleet, job_seconds=100, is_holding=False)
    gateway.poll_errors = [TransientError("429", retry_after_seconds=5)] * 3

    fleet.submission(gateway=gateway).advance()

    assert set(gateway.slices) == {1}


def test_a_folder_that_can_not_be_listed_halts_and_leaves_the_chunk_open(fleet: Any):
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    doubt = fleet.submission().advance()

    def refused(*_: object, **__: object) -> Any:
        raise PermanentError("404: gone")

    blind = type("Blind", (ScriptedGateway,), {"items_page": refused})(clock=fleet.time.clock)

    with pytest.raises(NotFoundError, match="Encord refused listing folder"):
        fleet.submission(gateway=blind).resolve(doubt, settled_seconds=1)
    assert fleet.journal.progress(fleet.chunks[0].chunk_id).is_attempt_open


def test_a_stopped_submission_sends_nothing(fleet: Any):
    submission = fleet.submission()
    submission.context.stop.set()

    with pytest.raises(StoppedError, match="No further chunk is started"):
        submission.advance()
    assert kinds(fleet) == []


def test_a_stop_while_throttled_closes_the_attempt_as_not_sent(fleet: Any):
    fleet.encord.starts = [StartScript.THROTTLE]
    context = fleet.context()
    submission = fleet.submission(stop=context.stop, retry=RetryPolicy(sleep=lambda _: context.stop.set()))

    with pytest.raises(StoppedError):
        submission.advance()

    assert kinds(fleet) == ["0001-intent", "0001-not_sent"]
    assert fleet.encord.manifests == []


def test_the_folder_is_listed_back_to_the_clocks_disagreement_before_the_first_intent(fleet: Any):
    """Items carry Encord's clock, intents ours; signatures allow them to be fifteen minutes apart."""
    fleet.encord.clock = lambda: fleet.time.clock() - timedelta(minutes=14)
    fleet.encord.starts = [StartScript.LOSE_REPLY]

    fleet.register()

    assert len(fleet.encord.manifests) == 1
    fleet.assert_exactly_once()


def test_an_entry_that_was_removed_by_hand_stops_the_chunk(fleet: Any):
    chunk_id = fleet.chunks[0].chunk_id
    at = fleet.time.clock()
    fleet.journal.append(JournalEvent(kind=JournalEventKind.JOB, chunk_id=chunk_id, attempt=1, at=at, job_id="j"))

    with pytest.raises(StateCorruptError, match="has a job after nothing"):
        fleet.submission().advance()
