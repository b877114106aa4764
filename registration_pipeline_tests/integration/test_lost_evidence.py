"""Jobs that end without saying what became of their units, and folders filled by hand: over HTTP, and audited afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from encord import EncordUserClient

from registration_pipeline.audit.audit import audit_source
from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.outcomes import read_outcomes

if TYPE_CHECKING:
    from registration_pipeline.tracking.outcomes import Outcome
    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet, SandboxFleet

pytestmark = pytest.mark.slow


def gateway_of(fleet: SandboxFleet) -> EncordGateway:
    return EncordGateway(ssh_private_key=fleet.sandbox.private_key_path.read_text(), domain=fleet.sandbox.url)


def outcomes_of(fleet: SandboxFleet) -> list[Outcome]:
    verdicts = (progress.verdict for progress in Journal(fleet.store, "fleet").all_progress())
    return [one for verdict in verdicts if verdict for one in read_outcomes(fleet.store, "fleet", verdict)]


def assert_proven(fleet: SandboxFleet) -> None:
    """Status, outcomes and folder agree, and an audit finds nothing."""
    registered = {one.object_url: one.item_uuid for one in outcomes_of(fleet) if one.verdict.is_registered}
    assert sorted(registered) == fleet.registered_urls()
    assert None not in registered.values()
    assert (fleet.status().registered, fleet.sandbox.duplicates()) == (len(registered), {})
    gateway = gateway_of(fleet)
    report = audit_source(
        store=fleet.store,
        source="fleet",
        gateway=gateway,
        retry=RetryPolicy(cap_seconds=0.2),
        target_folder=gateway.find_folder("fleet"),
        clock=lambda: datetime.now(UTC),
    )
    assert not any(report.findings.values()), report


LOST: list[Any] = [
    pytest.param({"fate": Fate.NO_URLS}, 3, id="no_urls"),
    pytest.param({"fate": Fate.TWICE}, 2, id="twice"),
    pytest.param({"fate": Fate.TEXT_ONLY}, 3, id="text_only"),
    pytest.param({"fate": Fate.NOWHERE}, 3, id="nowhere"),
    pytest.param({"fate": Fate.UNNAMED}, 0, id="unnamed"),
    pytest.param({"fate": Fate.PENDING, "share": 0}, 3, id="pending"),
    pytest.param({"fate": Fate.PENDING, "share": 0.7}, 1, id="pending after two units"),
]


@pytest.mark.parametrize(("fault", "unaccounted"), LOST)
def test_what_a_job_does_not_name_is_proven_or_tried_again(
    sandbox_fleet: MakeSandboxFleet, fault: dict[str, Any], unaccounted: int
):
    fleet = sandbox_fleet(objects=6, images=3)
    fleet.sandbox.script(Fault(effect=Effect.JOB, unit_messages=("Could not read object: 403",), **fault))

    list(fleet.register())

    failed = [row.reason for row in source_failures(fleet.store, "fleet")]
    assert failed.count("unaccounted") == unaccounted
    assert len(failed) == 6 - fleet.status().registered
    assert_proven(fleet)
    list(fleet.register(retry_failed=True))
    fleet.assert_exactly_once()
    assert_proven(fleet)


def test_a_folder_that_was_filled_by_hand_before_the_first_sync_comes_out_right(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet(objects=9, images=3)
    gateway = gateway_of(fleet)
    key = fleet.sandbox.private_key_path.read_text()
    client = EncordUserClient.create_with_ssh_private_key(ssh_private_key=key, domain=fleet.sandbox.url)
    folder = client.get_storage_folder(gateway.create_folder("fleet"))
    by_hand = fleet.urls()[:4]
    manifest = {"images": [{"objectUrl": url, "title": f"by hand {uuid4()}"} for url in by_hand]}
    job = folder.add_private_data_to_folder_start(fleet.sandbox.integration_uuid(), manifest, True)
    assert not folder.add_private_data_to_folder_get_result(job, timeout_seconds=20).unit_errors
    items = {item.uuid for item in folder.list_items()}

    results = list(fleet.register())

    fleet.assert_exactly_once()
    assert_proven(fleet)
    assert len(items & {item.uuid for item in folder.list_items()}) == 4
    assert sorted(result.job_id is None for result in results) == [False, False, True]
    assert "held 4 items before the first upload, 4 of them with URLs of fleet" in fleet.notices[-1]
