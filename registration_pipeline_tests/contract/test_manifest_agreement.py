"""Random manifests, of 10,000, through the validator, and through the real SDK to the sandbox: some over HTTP, others without.

What is judged and what agreement means is said in ``random_manifests/agreement.py``; how the manifests are made in
``random_manifests/catalogue.py``. That this test can fail is shown in ``test_manifest_agreement_can_fail.py``.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from encord.exceptions import InvalidArgumentsError, PayloadTooLargeError, UnknownException

from registration_pipeline.manifest import validate
from registration_pipeline.sandbox.jobs import manifests
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.random_manifests.agreement import (
    NO_OBJECT,
    NOT_SENT,
    OWN_RULES,
    TOO_LARGE,
    Case,
    judge,
    refusal,
    violations_of,
)
from registration_pipeline_tests.random_manifests.catalogue import ALONE, CATALOGUE, mutations_of, random_manifest
from registration_pipeline_tests.random_manifests.mutation import Expected
from registration_pipeline_tests.random_manifests.sizes import (
    BODY_LIMIT,
    LIMITS,
    URL_LIMIT,
    is_stricter_by_design,
    sized_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.storage import StorageFolder

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import StartSandbox
    from registration_pipeline_tests.random_manifests.catalogue import RandomManifest

MANIFESTS: Final = 10_000
SHARDS: Final = max(1, DOSES.http_manifests // 2_000)


def test_every_mutation_is_used_often_and_alone() -> None:
    used = Counter(mutation.name for number in range(MANIFESTS) for mutation in mutations_of(number))

    assert len(used) == len(CATALOGUE)
    assert min(used.values()) >= ALONE >= 20
    assert ALONE * len(CATALOGUE) < MANIFESTS / 2


def numbers_over_http() -> list[int]:
    """Every mutation alone once, and as many others as the dose allows, evenly spread."""
    alone, rest = list(range(len(CATALOGUE))), range(len(CATALOGUE), MANIFESTS)
    return alone + list(rest[:: -(-len(rest) // (DOSES.http_manifests - len(alone)))])


def test_without_http_the_validator_accepts_what_the_sandbox_accepts_of_all_other_manifests() -> None:
    """Manifests of megabytes take a hundred times as long as the others and are judged over HTTP only."""
    sent = set(numbers_over_http())
    others = [
        number
        for number in range(MANIFESTS)
        if number not in sent and not any(mutation.is_costly for mutation in mutations_of(number))
    ]
    numbers = others[:: DOSES.one_in_manifests]
    verdicts = Counter[Expected]()
    for number in numbers:
        case = judge(random_manifest(number))
        assert case.complaint is None
        verdicts[case.verdict] += 1

    assert len(others) + len(sent) > MANIFESTS * 0.95
    assert not numbers or min(verdicts[verdict] for verdict in Expected) > len(numbers) / 20


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_whatever_the_validator_accepts_the_sandbox_accepts_and_the_other_way_round(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    note_line: Callable[[str], None],
    shard: int,
) -> None:
    caplog.set_level(logging.ERROR)  # the sandbox remarks on each casing that it meets
    running = start_sandbox()
    made = (random_manifest(number) for number in numbers_over_http()[shard::SHARDS])
    cases = _sent(made, running, connect(running).create_storage_folder("fleet"), tmp_path / "manifest.json")

    assert [case.complaint for case in cases if case.complaint] == []
    assert {name for case in cases for name in case.own_rules} == OWN_RULES.keys()
    assert {case.manifest.mutations for case in cases} >= {(mutation,) for mutation in CATALOGUE}
    accepted, taken = sum(not case.violations for case in cases), sum(case.refusal is None for case in cases)
    note_line(f"{len(cases)} manifests over HTTP: the validator accepts {accepted}, the sandbox takes {taken}")
    assert len(cases) / 4 < accepted < taken < len(cases) * 3 / 4
    _assert_registered(running, taken)


def test_sizes_are_judged_by_what_is_sent(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The limits of whole manifests (100 MB, 1,000,000 URLs), lowered on both sides."""
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(manifests, "MAX_URLS", URL_LIMIT)
    running = start_sandbox(body_limit_bytes=BODY_LIMIT)
    made = (sized_manifest(Random(f"size {number}"), number) for number in range(400))
    folder = connect(running).create_storage_folder("fleet")
    cases = _sent(made, running, folder, tmp_path / "manifest.json", limits=LIMITS)

    assert [case for case in cases if case.refusal and not case.violations] == []
    strict = [case.manifest.data for case in cases if case.verdict is Expected.OURS]
    assert [data for data in strict if not is_stricter_by_design(data)] == []
    verdicts = Counter(case.refusal or case.verdict.name for case in cases)
    print(f"{len(cases)} manifests near {BODY_LIMIT:,} bytes: {dict(verdicts)}")
    assert min(verdicts[Expected.ACCEPTED.name], verdicts[Expected.OURS.name], verdicts[TOO_LARGE]) >= 20
    assert sum("URLs in one upload job" in words for words in verdicts) >= 2
    _assert_registered(running, sum(case.refusal is None for case in cases))


def _sent(
    made: Iterable[RandomManifest],
    running: Sandbox,
    folder: StorageFolder,
    path: Path,
    *,
    limits: ManifestLimits = validate.WIDEST,
) -> list[Case]:
    """Send each manifest as a file; what HTTP says must be what ``refusal`` says without it."""
    integration, cases = running.integration_uuid(), []
    for manifest in made:
        path.write_bytes(manifest.data)
        answer = _answer(folder, integration, path)
        assert answer == refusal(manifest.data, body_limit=limits.bytes), manifest.number
        cases.append(Case(manifest, violations_of(manifest.data, limits=limits), answer))
    return cases


def _answer(folder: StorageFolder, integration: str, path: Path) -> str | None:
    """Return why a manifest is not taken, None if it is; anything but a refusal (a 500, say) is raised."""
    try:
        folder.add_private_data_to_folder_start(integration, path, ignore_errors=True)
    except InvalidArgumentsError as error:
        return error.message
    except PayloadTooLargeError:
        return TOO_LARGE
    except UnknownException as error:
        if not isinstance(error.message, list):  # the only mark of a 422
            raise
        return NO_OBJECT
    except (ValueError, RecursionError) as error:
        return f"{NOT_SENT}: {type(error).__name__}"
    return None


def _assert_registered(running: Sandbox, taken: int) -> None:
    """What was taken can be registered: no job breaks inside the sandbox on what its reading let through."""
    deadline = time.monotonic() + 600
    while any(job.status == "PENDING" for job in running.jobs()) and time.monotonic() < deadline:
        time.sleep(0.05)
    jobs = running.jobs()
    assert len(jobs) == taken
    assert {(job.status, job.failed, job.units - job.done - job.skipped) for job in jobs} == {("DONE", 0, 0)}
