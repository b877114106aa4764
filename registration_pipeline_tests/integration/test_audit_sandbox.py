"""Audits over HTTP: the SDK and the sandbox, changed behind the pipeline's back through the SDK."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

import pyarrow as pa
import pytest
from encord import EncordUserClient

from registration_pipeline.audit.adoption import Adoption
from registration_pipeline.audit.audit import audit_source
from registration_pipeline.audit.report import audit_findings
from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.encord.gateway import EncordGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from encord.storage import StorageFolder

    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet, SandboxFleet

pytestmark = pytest.mark.slow

START = datetime(2026, 11, 21, 2, tzinfo=UTC)


class SandboxAudit:
    """A registered source, the SDK as a person uses it, and audits."""

    def __init__(self, fleet: SandboxFleet) -> None:
        self.fleet = fleet
        self._hours = count(1)
        key = fleet.sandbox.private_key_path.read_text()
        self.gateway = EncordGateway(ssh_private_key=key, domain=fleet.sandbox.url)
        self.client = EncordUserClient.create_with_ssh_private_key(ssh_private_key=key, domain=fleet.sandbox.url)

    @property
    def folder(self) -> StorageFolder:
        uuid = self.gateway.find_folder("fleet")
        assert uuid is not None
        return self.client.get_storage_folder(uuid)

    def clock(self) -> datetime:
        return START + timedelta(hours=next(self._hours))

    def audit(self, *, adopt: bool = False) -> AuditReport:
        return audit_source(
            store=self.fleet.store,
            source="fleet",
            gateway=self.gateway,
            retry=RetryPolicy(cap_seconds=0.2),
            target_folder=self.gateway.find_folder("fleet"),
            clock=self.clock,
            adoption=Adoption(self.clock) if adopt else None,
        )

    def rows(self) -> list[tuple[str, str | None]]:
        report = self.audit()
        return [(row.finding, row.key) for row in audit_findings(self.fleet.store, report)]

    def items(self) -> dict[str, UUID]:
        """Return the items of the folder by title."""
        return {item.name: item.uuid for item in self.folder.list_items(page_size=1000)}

    def register_by_hand(self, *urls: str) -> None:
        manifest = {"images": [{"objectUrl": url, "title": f"by hand {uuid4()}"} for url in urls]}
        job = self.folder.add_private_data_to_folder_start(self.fleet.sandbox.integration_uuid(), manifest, True)
        assert not self.folder.add_private_data_to_folder_get_result(job, timeout_seconds=20).unit_errors

    def list_again(self, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        """Take another inventory, of other rows than the fleet's own."""
        take_inventory(lister=_Changed(self.fleet, change), store=self.fleet.store, source="fleet", clock=self.clock)


class _Changed:
    requests = 1
    description = "numbers, changed"

    def __init__(self, fleet: SandboxFleet, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        self._fleet, self._change = fleet, change

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        return map(self._change, self._fleet.list_objects())


class MakeAudit(Protocol):
    """Registers this many objects in chunks of 1,000; the options are those of ``sandbox_fleet``."""

    def __call__(self, objects: int, **options: Any) -> SandboxAudit: ...


@pytest.fixture
def audited(sandbox_fleet: MakeSandboxFleet) -> MakeAudit:
    """Registers this many objects in chunks of 1,000."""

    def make(objects: int, **options: Any) -> SandboxAudit:
        fleet = sandbox_fleet(objects=objects, images=1000, **options)
        list(fleet.register())
        return SandboxAudit(fleet)

    return make


def key_of(number: int) -> str:
    return f"raw/é +%{number:05d}.jpg"


def test_a_registered_source_of_several_pages_has_no_findings(audited: MakeAudit):
    audit = audited(2500)

    report = audit.audit()

    assert report.is_clean
    assert (report.objects, report.registered_objects, report.items) == (2500, 2500, 2500)


def test_each_of_six_planted_discrepancies_is_found(audited: MakeAudit):
    audit = audited(2500)
    items, folder = audit.items(), audit.folder
    archive = audit.client.create_storage_folder("archive")
    folder.delete_storage_items([items[key_of(number)] for number in (3, 1700)])
    folder.move_items_to_folder(archive, [items[key_of(number)] for number in range(2000, 2010)])
    audit.register_by_hand(audit.fleet.urls()[5], "https://elsewhere.example/cat.jpg")
    audit.list_again(lambda batch: without(batch, gone=11, changed=12))

    rows = audit.rows()

    assert rows == [
        ("missing", key_of(3)),
        ("missing", key_of(1700)),
        *(("moved", key_of(number)) for number in range(2000, 2010)),
        ("duplicate", key_of(5)),
        ("unknown", None),
        ("changed", key_of(12)),
        ("gone", key_of(11)),
    ]


def without(batch: pa.RecordBatch, *, gone: int, changed: int) -> pa.RecordBatch:
    rows = batch.to_pylist()
    rows[changed]["e_tag"] = "another"
    del rows[gone]
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def test_a_page_that_fails_is_asked_for_again_alone(audited: MakeAudit):
    audit = audited(2500)
    audit.fleet.sandbox.script(Fault(effect=Effect.STATUS, endpoint=Endpoint.LIST_ITEMS, skip=1, status=503, times=2))

    report = audit.audit()

    assert (report.is_clean, report.items) == (True, 2500)
    assert sum(audit.fleet.sandbox.fault_counts().values()) == 2


def test_after_the_state_was_lost_it_is_rebuilt_from_the_folder_and_nothing_is_sent(audited: MakeAudit):
    audit = audited(3000)
    fleet, jobs = audit.fleet, len(audit.fleet.sandbox.jobs())
    forget(audit)

    report = audit.audit(adopt=True)
    list(fleet.register())

    assert (report.is_clean, report.adopted_chunks, report.adopted_units) == (True, 3, 3000)
    assert len(fleet.sandbox.jobs()) == jobs
    fleet.assert_exactly_once()
    assert audit.audit().is_clean


def test_with_half_a_chunk_deleted_too_exactly_the_missing_half_is_registered(audited: MakeAudit):
    audit = audited(3000)
    fleet, items = audit.fleet, audit.items()
    deleted = [items[key_of(number)] for number in range(1000, 1500)]
    audit.folder.delete_storage_items(deleted)
    forget(audit)

    report = audit.audit(adopt=True)
    kept = set(audit.items().values())
    list(fleet.register())

    assert (report.adopted_chunks, report.adopted_units, report.partly_present) == (2, 2000, 1)
    assert report.findings["unknown"] == 500
    (job,) = fleet.sandbox.jobs()[3:]
    assert (job.units, job.done, job.skipped) == (1000, 500, 500)
    assert kept < set(audit.items().values())
    fleet.assert_exactly_once()
    assert audit.audit().is_clean


def forget(audit: SandboxAudit) -> None:
    """Lose the whole state, and plan the bucket again."""
    fleet = audit.fleet
    shutil.rmtree(fleet.root / "state")
    take_inventory(lister=fleet, store=fleet.store, source="fleet", clock=audit.clock)
    plan_source(store=fleet.store, source=fleet.source, clock=audit.clock)
    fleet.chunks = list(load_chunks(fleet.store, "fleet").values())


def test_failed_units_that_were_registered_by_hand_are_taken_over(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet(objects=5, images=1000)
    fleet.sandbox.plant(UnitRule(r"0000[13]\.jpg", "403 Forbidden"))
    list(fleet.register())
    fleet.sandbox.plant()
    audit = SandboxAudit(fleet)
    audit.register_by_hand(fleet.urls()[1])

    report = audit.audit(adopt=True)

    assert (report.is_clean, report.adopted_chunks) == (True, 1)
    status = fleet.status()
    assert (status.registered, status.failed) == (4, 1)


def test_pages_hold_what_the_sdk_lists(audited: MakeAudit):
    audit = audited(1500)
    folder = audit.folder
    read = partial(audit.gateway.items_page, str(folder.uuid))
    first = read(None)
    second = read(first.next_token)

    assert (len(first.items), len(second.items), second.next_token) == (1000, 500, None)
    listed = {
        str(item.uuid): (item.name, item.url, (item.client_metadata or {})["registration.unit"], item.created_at)
        for item in folder.list_items(page_size=1000)
    }
    paged = {
        item.item_uuid: (item.name, item.url, item.unit_id, item.created_at) for item in (*first.items, *second.items)
    }
    assert paged == listed


def test_items_are_looked_up_all_or_none(audited: MakeAudit):
    audit = audited(20)
    uuids = [str(uuid) for uuid in audit.items().values()]

    assert audit.gateway.folders_of_items(uuids) == dict.fromkeys(uuids, str(audit.folder.uuid))
    assert audit.gateway.folders_of_items([*uuids, str(uuid4())]) is None
