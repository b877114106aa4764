"""What faults make of upload jobs, as the real SDK sees it: stuck, lost, broken off, late, and units that fail at first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from encord.exceptions import AuthorisationError, RequestException, ResourceNotFoundError, UnknownException
from encord.orm.dataset import LongPollingStatus

from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault, When

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import StartSandbox


def _manifest(count: int = 8) -> dict[str, Any]:
    return {"images": [{"objectUrl": f"s3://b/{n:05}.jpg"} for n in range(count)], "skip_duplicate_urls": True}


def _start(sandbox: Sandbox, folder: StorageFolder, count: int = 8) -> UUID:
    return folder.add_private_data_to_folder_start(sandbox.integration_uuid(), _manifest(count), True)


def _poll(folder: StorageFolder, job: UUID, seconds: int = 30) -> UploadLongPollingState:
    return folder.add_private_data_to_folder_get_result(job, timeout_seconds=seconds)


def _wait_for_items(sandbox: Sandbox, folder: StorageFolder, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(sandbox.folder_items(folder.uuid)) != count:
        assert time.monotonic() < deadline, sandbox.jobs()
        time.sleep(0.02)


@pytest.mark.parametrize(("share", "registered"), [(0.0, 0), (0.5, 4), (1.0, 8)])
def test_a_stuck_job_stays_pending_until_it_is_cancelled(
    sandbox: Sandbox, folder: StorageFolder, share: float, registered: int
) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=Fate.STUCK, share=share))
    job = _start(sandbox, folder)
    _wait_for_items(sandbox, folder, registered)

    assert _poll(folder, job, 1).status is LongPollingStatus.PENDING
    assert folder.add_data_to_folder_job_cancel(job).units_cancelled_count == 8 - registered

    result = _poll(folder, job)
    assert (result.status, result.units_done_count) == (LongPollingStatus.CANCELLED, registered)
    assert len(sandbox.folder_items(folder.uuid)) == registered
    assert sandbox.fault_counts() == {"job_stuck": 1}


def test_a_stuck_job_is_still_stuck_after_a_restart(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    first = start_sandbox()
    folder = connect(first).create_storage_folder("f")
    first.script(Fault(effect=Effect.JOB, fate=Fate.STUCK))
    job = _start(first, folder)
    _wait_for_items(first, folder, 4)
    first.stop()

    second = start_sandbox(port=first.port)

    assert _poll(folder, job, 1).status is LongPollingStatus.PENDING
    assert [(record.status, record.fate, record.done) for record in second.jobs()] == [("PENDING", "stuck", 4)]


@pytest.mark.parametrize(("fate", "registered"), [(Fate.LOST, 8), (Fate.NEVER, 0)])
def test_a_lost_job_is_unknown_for_ever(sandbox: Sandbox, folder: StorageFolder, fate: Fate, registered: int) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=fate))
    job = _start(sandbox, folder)
    _wait_for_items(sandbox, folder, registered)

    for call in (lambda: _poll(folder, job), lambda: folder.add_data_to_folder_job_cancel(job)):
        with pytest.raises(ResourceNotFoundError):
            call()

    assert len(sandbox.folder_items(folder.uuid)) == registered
    assert len(sandbox.jobs()) == 1


@pytest.mark.parametrize("rollback", [False, True], ids=["kept", "rolled back"])
def test_a_job_that_ends_in_error_says_so_and_keeps_or_takes_back_its_items(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    rollback: bool,  # noqa: FBT001 - parametrised
) -> None:
    running = start_sandbox(rollback_on_error=rollback)
    folder = connect(running).create_storage_folder("f")
    running.script(Fault(effect=Effect.JOB, fate=Fate.ERROR))

    result = _poll(folder, _start(running, folder))

    kept = 0 if rollback else 4
    assert (result.status, result.units_error_count, result.unit_errors) == (LongPollingStatus.ERROR, 0, [])
    assert result.errors == ["Internal error while processing the upload job"]
    assert (result.units_done_count, result.units_cancelled_count, result.units_pending_count) == (kept, 4, 0)
    assert len(result.items_with_names) == len(running.folder_items(folder.uuid)) == kept


def test_a_job_that_fails_after_its_last_unit_is_an_error_with_all_items(
    sandbox: Sandbox, folder: StorageFolder
) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=Fate.ERROR, share=1.0))

    result = _poll(folder, _start(sandbox, folder))

    assert (result.status, result.units_done_count) == (LongPollingStatus.ERROR, 8)


def test_a_job_that_is_cancelled_part_way_keeps_what_it_registered(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=Fate.CANCELLED, share=0.3))

    result = _poll(folder, _start(sandbox, folder))

    assert (result.status, result.units_done_count, result.units_cancelled_count) == (LongPollingStatus.CANCELLED, 2, 6)
    assert len(sandbox.folder_items(folder.uuid)) == 2


@pytest.mark.parametrize(
    ("effect", "error"), [(Effect.CUT, RequestException), (Effect.STATUS, UnknownException)], ids=["cut", "503"]
)
def test_a_late_job_registers_long_after_its_start_seemed_to_fail(
    sandbox: Sandbox, folder: StorageFolder, effect: Effect, error: type[Exception]
) -> None:
    sandbox.script(Fault(effect=effect, when=When.AFTER, fate=Fate.LATE, seconds=1.5))
    began = time.monotonic()
    with pytest.raises(error):
        _start(sandbox, folder)

    assert [record.status for record in sandbox.jobs()] == ["PENDING"]
    _wait_for_items(sandbox, folder, 8)
    assert time.monotonic() - began >= 1.4


def test_sending_again_before_a_late_job_began_makes_duplicates(sandbox: Sandbox, folder: StorageFolder) -> None:
    """What the pipeline's settling is for: duplicates are searched for when a job is accepted, and there are none yet."""
    sandbox.script(Fault(effect=Effect.CUT, when=When.AFTER, fate=Fate.LATE, seconds=1.0))
    with pytest.raises(RequestException):
        _start(sandbox, folder)
    _poll(folder, _start(sandbox, folder))

    _wait_for_items(sandbox, folder, 16)

    assert len(sandbox.duplicates()[str(folder.uuid)]) == 8


def test_a_late_job_is_late_after_a_restart_too(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    first = start_sandbox()
    folder = connect(first).create_storage_folder("f")
    first.script(Fault(effect=Effect.JOB, fate=Fate.LATE, seconds=2.0))
    began = time.monotonic()
    job = _start(first, folder)
    first.stop()

    second = start_sandbox(port=first.port)

    assert _poll(folder, job).status is LongPollingStatus.DONE
    assert time.monotonic() - began >= 1.9
    assert len(second.folder_items(folder.uuid)) == 8


def test_units_fail_a_few_times_and_then_succeed(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(
        Fault(effect=Effect.JOB, fate=Fate.UNITS, times=None, unit_failures=3, unit_messages=("busy", "slow"))
    )
    failed, messages = [], set()

    for _ in range(4):
        result = _poll(folder, _start(sandbox, folder, 40))
        assert result.status is LongPollingStatus.DONE
        failed.append(result.units_error_count)
        messages |= {unit.error for unit in result.unit_errors}

    assert failed[0] == 40
    assert failed[0] > failed[1] > failed[2] > failed[3] == 0
    assert messages == {"busy", "slow"}
    assert (len(sandbox.folder_items(folder.uuid)), sandbox.duplicates()) == (40, {})
    assert sandbox.fault_counts() == {"job_units": 4, "unit_failures": sum(failed)}


def test_a_share_of_the_units_fails_and_the_seed_says_which(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient], tmp_path: Path
) -> None:
    seen: dict[tuple[int, str], set[str]] = {}
    for seed, data in ((1, "a"), (1, "b"), (2, "c")):
        running = start_sandbox(data=tmp_path / data)
        folder = connect(running).create_storage_folder("f")
        running.script(Fault(effect=Effect.JOB, fate=Fate.UNITS, unit_probability=0.2, seed=seed))
        result = _poll(folder, _start(running, folder, 400))
        seen[seed, data] = {str(unit.object_urls[0]) for unit in result.unit_errors}

    assert 40 < len(seen[1, "a"]) < 130
    assert seen[1, "a"] == seen[1, "b"] != seen[2, "c"]


def test_a_refused_start_leaves_the_fate_for_the_next_one(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=Fate.CANCELLED))
    stranger = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(AuthorisationError):
        folder.add_private_data_to_folder_start(stranger, _manifest(), True)
    assert sandbox.fault_counts() == {}

    assert _poll(folder, _start(sandbox, folder)).status is LongPollingStatus.CANCELLED
    assert _poll(folder, _start(sandbox, folder, 9)).status is LongPollingStatus.DONE


LOST_EVIDENCE: list[Any] = [
    pytest.param({"fate": Fate.NO_URLS}, (0, 8, 8, 0, 1, 0), id="no_urls"),
    pytest.param({"fate": Fate.TWICE}, (0, 8, 8, 1, 1, 0), id="twice"),
    pytest.param({"fate": Fate.TEXT_ONLY}, (0, 0, 0, 0, 1, 0), id="text_only"),
    pytest.param({"fate": Fate.NOWHERE}, (0, 0, 0, 0, 0, 0), id="nowhere"),
    pytest.param({"fate": Fate.UNNAMED}, (8, 0, 0, 0, 0, 0), id="unnamed"),
    pytest.param({"fate": Fate.PENDING, "share": 0}, (0, 0, 0, 0, 0, 8), id="pending"),
    pytest.param({"fate": Fate.PENDING, "share": 0.5}, (4, 0, 0, 0, 0, 4), id="pending after half"),
]


@pytest.mark.parametrize(("fault", "said"), LOST_EVIDENCE)
def test_a_job_may_end_without_saying_what_became_of_its_units(
    sandbox: Sandbox, folder: StorageFolder, fault: dict[str, Any], said: tuple[int, ...]
) -> None:
    """Said: units registered, errors counted, errors listed, URLs among them, texts of the job, units pending."""
    sandbox.script(Fault(effect=Effect.JOB, unit_messages=("403",), **fault))

    result = _poll(folder, _start(sandbox, folder))

    assert (result.status, result.items_with_names) == (LongPollingStatus.DONE, [])
    assert said == (
        len(sandbox.folder_items(folder.uuid)),
        result.units_error_count,
        len(result.unit_errors),
        len({url for error in result.unit_errors for url in error.object_urls}),
        len(result.errors),
        result.units_pending_count,
    )


def test_at_least_as_many_units_fail_as_their_fate_needs(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(Fault(effect=Effect.JOB, fate=Fate.TWICE, unit_probability=0))

    assert _poll(folder, _start(sandbox, folder)).units_error_count == 2
