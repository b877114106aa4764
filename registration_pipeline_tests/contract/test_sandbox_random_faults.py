"""The random profile against the real SDK: the same seed does the same, and every kind happens."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from encord.exceptions import EncordException

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import JOB_KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import StartSandbox


def _outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except (EncordException, ValueError, TypeError, AttributeError) as error:
        return type(error).__name__
    return "ok"


def test_the_same_seed_strikes_the_same_requests_whatever_goes_to_other_endpoints_in_between(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient], tmp_path: Path
) -> None:
    seen: dict[tuple[int, int], list[str]] = {}
    for seed, others in ((1, 0), (1, 1), (2, 0)):
        running = start_sandbox(data=tmp_path / f"{seed}-{others}")
        folder = connect(running).create_storage_folder("f")
        running.randomise(RandomFaults(probability=0.5, seed=seed, delay_seconds=0.0))
        for _ in range(30):
            _outcome(folder.get_summary)
            for _ in range(others):
                _outcome(partial(list, folder.list_items()))
        records = running.fault_records()[::-1]
        seen[seed, others] = [record.way for record in records if record.endpoint == Endpoint.FOLDER_SUMMARY]

    assert seen[1, 0] == seen[1, 1] != seen[2, 0]
    assert 5 < len(seen[1, 0]) < 25


def test_the_draws_go_on_after_a_restart(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient], tmp_path: Path
) -> None:
    profile = RandomFaults(probability=1.0, seed=7, delay_seconds=0.0)
    whole = start_sandbox(data=tmp_path / "whole")
    whole_folder = connect(whole).create_storage_folder("f")
    whole.randomise(profile)
    for _ in range(12):
        _outcome(whole_folder.get_summary)

    first = start_sandbox(data=tmp_path / "parts")
    folder = connect(first).create_storage_folder("f")
    first.randomise(profile)
    for _ in range(6):
        _outcome(folder.get_summary)
    first.stop()
    second = start_sandbox(data=tmp_path / "parts", port=first.port)
    for _ in range(6):
        _outcome(folder.get_summary)

    assert [record.way for record in second.fault_records()] == [record.way for record in whole.fault_records()]


def _start(sandbox: Sandbox, folder: StorageFolder, number: int) -> str:
    manifest: dict[str, Any] = {"images": [{"objectUrl": f"s3://b/{number}/{n}"} for n in range(4)]}
    return _outcome(lambda: folder.add_private_data_to_folder_start(sandbox.integration_uuid(), manifest, True))


def test_every_kind_happens_with_the_same_share_and_the_sandbox_survives_it(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox()
    folder = connect(running).create_storage_folder("f")
    kinds = tuple(kind for kind in Kind if kind is not Kind.UNBOUNDED)  # the SDK alone would wait for ever
    running.randomise(
        RandomFaults(
            probability=0.5,
            seed=1,
            kinds=kinds,
            endpoints=(Endpoint.START_JOB,),
            delay_seconds=0.01,
            late_seconds=0.1,
            unit_probability=0.5,
        )
    )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: _start(running, folder, number), range(600)))

    kinds_seen = Counter(record.kind for record in running.fault_records())
    assert set(kinds_seen) == set(kinds)
    assert 240 < kinds_seen.total() < 360
    share = kinds_seen.total() / len(kinds)
    assert all(abs(seen - share) < 4 * share**0.5 for seen in kinds_seen.values())  # four standard deviations
    records = running.fault_records()
    committed = sum(record.committed for record in records)
    posted_again = sum(
        record.way.startswith(("status_307", "status_308")) for record in records
    )  # by the SDK's session
    assert len(running.jobs()) == 600 + posted_again - kinds_seen.total() + committed
    deadline = time.monotonic() + 20
    while any(job.status == "PENDING" and job.fate != "stuck" for job in running.jobs()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    fates = Counter(job.fate for job in running.jobs() if job.fate)
    assert {f"job_{fate}" for fate in fates} == JOB_KINDS
    doubled = {url.split("/")[3] for urls in running.duplicates().values() for url in urls}
    assert len(doubled) <= posted_again


def test_endpoints_and_weights_choose(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox()
    folder = connect(running).create_storage_folder("f")
    kinds = (Kind.CUT_BEFORE, Kind.CUT_AFTER)
    running.randomise(
        RandomFaults(
            probability=1.0,
            seed=3,
            kinds=kinds,
            endpoints=(Endpoint.FOLDER_SUMMARY,),
            weights={Kind.CUT_AFTER: 9},
        )
    )

    outcomes = [_outcome(folder.get_summary) for _ in range(60)]
    assert list(folder.list_items()) == []
    running.randomise(None)

    assert _outcome(folder.get_summary) == "ok"
    assert set(outcomes) == {"RequestException"}
    counts = running.fault_counts()
    assert counts["cut_after"] > 4 * counts["cut_before"] > 0


def test_requests_to_no_endpoint_can_be_struck(sandbox: Sandbox) -> None:
    sandbox.randomise(RandomFaults(probability=1.0, seed=1, kinds=(Kind.THROTTLED,), endpoints=(Endpoint.OTHER,)))

    assert requests.get(f"{sandbox.url}/nowhere", timeout=10).status_code == 429
    assert requests.get(f"{sandbox.url}/v2/public/cloud-integrations", timeout=10).status_code == 401
