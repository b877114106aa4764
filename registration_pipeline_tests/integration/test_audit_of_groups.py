"""Audits, adoption and a lost state of units of many objects, over HTTP: planner, SDK and sandbox as they are."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pytest
from encord import EncordUserClient

from registration_pipeline.audit.adoption import Adoption
from registration_pipeline.audit.audit import audit_source
from registration_pipeline.audit.report import audit_findings
from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.planning.wave import load_chunks, read_chunk_units
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline_tests.integration.conftest import SandboxFleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from encord.storage import StorageFolder, StorageItem

    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.audit.rows import FindingRow
    from registration_pipeline.planning.units import PlannedUnit

pytestmark = pytest.mark.slow

START = datetime(2026, 11, 21, 2, tzinfo=UTC)
RULES: dict[str, Any] = {
    "groups": [
        {"match": "rigs/**", "as": "image_group", "by": "directory"},
        {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"},
    ],
    "chunk_size": {"images": 2, "image_groups": 2, "image_sequences": 2},
}
KEYS = [
    *(f"raw/rigs/{rig} é/cam {number}.jpg" for rig in range(5) for number in (1, 2, 10)),
    *(f"raw/clips/{clip}/{number}.png" for clip in "abc" for number in range(1, 5)),
    *(f"raw/photo {number}.jpg" for number in range(3)),
]


class GroupFleet(SandboxFleet):
    """A source of image groups, sequences and single images beside a sandbox, and the SDK as a person uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandbox = Sandbox(SandboxConfig(data=root / "encord", job_seconds=0.0))
        self.store = LocalStateStore(root / "state")
        base: dict[str, Any] = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
        self.source = SourceSettings.model_validate(
            base | RULES | {"encord": {"integration": "sandbox", "folder": "fleet"}}
        )
        self.notices = []
        self.objects = {key: f"tag of {key}" for key in KEYS}
        self._hours = count(1)
        self.plan()
        key = self.sandbox.private_key_path.read_text()
        self.gateway = EncordGateway(ssh_private_key=key, domain=self.sandbox.url)
        self.client = EncordUserClient.create_with_ssh_private_key(ssh_private_key=key, domain=self.sandbox.url)

    def clock(self) -> datetime:
        return START + timedelta(hours=next(self._hours))

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [{"key": key, "size": 10, "last_modified": START, "e_tag": tag} for key, tag in self.objects.items()]
        yield pa.RecordBatch.from_pylist(sorted(rows, key=lambda row: str(row["key"])), schema=INVENTORY_SCHEMA)

    def plan(self) -> None:
        take_inventory(lister=self, store=self.store, source="fleet", clock=self.clock)
        plan_source(store=self.store, source=self.source, clock=self.clock)
        self.chunks = list(load_chunks(self.store, "fleet").values())

    def lose_state(self) -> None:
        """Lose the whole state, and plan the bucket again."""
        shutil.rmtree(self.root / "state")
        self.plan()

    @property
    def by_title(self) -> dict[str, PlannedUnit]:
        """The planned units by title."""
        units = (unit for chunk in self.chunks for unit in read_chunk_units(self.store, "fleet", chunk))
        return {unit.title: unit for unit in units}

    @property
    def folder(self) -> StorageFolder:
        return self.client.get_storage_folder(self.gateway.create_folder("fleet") if self._uuid is None else self._uuid)

    @property
    def _uuid(self) -> str | None:
        return self.gateway.find_folder("fleet")

    def items(self) -> dict[str, StorageItem]:
        return {item.name: item for item in self.folder.list_items(page_size=1000)}

    def register_by_hand(self, *urls: str, kind: str = "image_groups", **entry: Any) -> UUID:
        """Register a group through the SDK as a person would, without our metadata, and return its item."""
        named = {f"objectUrl_{place}": url for place, url in enumerate(urls)}
        manifest = {kind: [{"title": "by hand", "createVideo": False} | entry | named]}
        job = self.folder.add_private_data_to_folder_start(self.sandbox.integration_uuid(), manifest, True)
        result = self.folder.add_private_data_to_folder_get_result(job, timeout_seconds=20)
        assert not result.unit_errors
        return result.items_with_names[0].item_uuid

    def audit(self, *, adopt: bool = False) -> AuditReport:
        return audit_source(
            store=self.store,
            source="fleet",
            gateway=self.gateway,
            retry=RetryPolicy(cap_seconds=0.2),
            target_folder=self._uuid,
            clock=self.clock,
            adoption=Adoption(self.clock) if adopt else None,
        )

    def rows(self) -> list[FindingRow]:
        return list(audit_findings(self.store, self.audit()))

    def opened(self) -> int:
        """Return how many items were asked what they consist of so far."""
        traffic = self.sandbox.requests().get(Endpoint.LIST_CHILD_ITEMS.value)
        return traffic.requests if traffic else 0


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupFleet]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    made = GroupFleet(tmp_path)
    yield made
    made.sandbox.stop()


def test_the_items_of_a_group_are_what_the_sdk_gives(fleet: GroupFleet):
    list(fleet.register())
    items, folder = fleet.items(), str(fleet.folder.uuid)
    groups = {title: unit for title, unit in fleet.by_title.items() if len(unit.objects) > 1}

    assert len(groups) == 8
    for title, unit in groups.items():
        children = fleet.gateway.child_items(folder, str(items[title].uuid))
        listed = [(str(child.uuid), child.name, child.url) for child in items[title].get_child_items()]
        assert listed == [(child.item_uuid, child.name, child.url) for child in children or ()]
        assert [url for _, _, url in listed] == [entry.object_url for entry in unit.objects]
    assert {items[title].url for title in groups} == {None}
    assert fleet.gateway.child_items(folder, str(items["raw/photo 1.jpg"].uuid)) is None
    assert fleet.gateway.child_items(folder, str(uuid4())) is None


def test_each_of_planted_discrepancies_of_groups_is_one_row_that_names_unit_and_object(fleet: GroupFleet):
    list(fleet.register())
    clean, items, units = fleet.audit(), fleet.items(), fleet.by_title
    folder, titles = fleet.folder, sorted(fleet.by_title)
    rigs, clips = [title for title in titles if " é" in title], [title for title in titles if title in "abc"]
    assert (len(rigs), len(clips)) == (5, 3)
    folder.delete_storage_items([items[rigs[0]].uuid])
    folder.move_items_to_folder(fleet.client.create_storage_folder("archive"), [items[clips[0]].uuid])
    copy = fleet.register_by_hand(*(entry.object_url for entry in reversed(units[rigs[1]].objects)))
    part = fleet.register_by_hand(*(entry.object_url for entry in units[rigs[2]].objects[1:]))
    other = fleet.register_by_hand("s3://elsewhere/1.jpg", "s3://elsewhere/2.jpg")
    for entry in units[rigs[3]].objects[1:]:
        del fleet.objects[entry.key]
    fleet.objects[units[clips[1]].objects[2].key] = "another"
    take_inventory(lister=fleet, store=fleet.store, source="fleet", clock=fleet.clock)

    rows = fleet.rows()

    assert (clean.is_clean, clean.units, clean.objects, clean.items, clean.opened) == (True, 11, 30, 11, 0)

    def row(finding: str, title: str, item: UUID, place: int = 0) -> tuple[Any, ...]:
        unit = units[title]
        return finding, unit.objects[place].key, unit.unit_id, len(unit.objects), str(item)

    assert [(one.finding, one.key, one.unit_id, one.objects, one.item_uuid) for one in rows] == [
        row("missing", rigs[0], items[rigs[0]].uuid),
        row("moved", clips[0], items[clips[0]].uuid),
        row("duplicate", rigs[1], copy),
        ("unknown", None, None, None, str(other)),
        row("unknown", rigs[2], part, 1),
        row("changed", clips[1], items[clips[1]].uuid, 2),
        # By key "cam 10" comes before "cam 2".
        row("gone", rigs[3], items[rigs[3]].uuid, 2),
    ]
    gone = [entry.key for entry in units[rigs[3]].objects[1:]]
    assert len(gone) == 2
    assert rows[-1].detail is not None
    assert rows[-1].detail.startswith(f"2 of 3 objects are gone, the first of them {min(gone)!r}. The item still shows")
    assert fleet.opened() == 3


@pytest.mark.parametrize("way", ["audit --adopt", "sync"])
def test_after_the_state_was_lost_groups_are_found_by_their_unit_and_nothing_is_sent(fleet: GroupFleet, way: str):
    list(fleet.register())
    jobs, items = len(fleet.sandbox.jobs()), {title: item.uuid for title, item in fleet.items().items()}
    unit_ids = {title: unit.unit_id for title, unit in fleet.by_title.items()}
    fleet.lose_state()
    assert {title: unit.unit_id for title, unit in fleet.by_title.items()} == unit_ids

    if way == "audit --adopt":
        report = fleet.audit(adopt=True)
        assert (report.is_clean, report.adopted_units, report.adopted_chunks) == (True, 11, 7)
    list(fleet.register())

    assert len(fleet.sandbox.jobs()) == jobs
    assert {title: item.uuid for title, item in fleet.items().items()} == items
    fleet.assert_exactly_once()
    assert fleet.audit().is_clean
    assert fleet.opened() == 0


def test_with_groups_deleted_too_only_they_are_registered_again(fleet: GroupFleet):
    list(fleet.register())
    items = fleet.items()
    rig = next(title for title in sorted(items) if " é" in title)
    fleet.folder.delete_storage_items([items[rig].uuid])
    kept = {item.uuid for title, item in items.items() if title != rig}
    fleet.lose_state()

    list(fleet.register())

    assert kept < {item.uuid for item in fleet.items().values()}
    fleet.assert_exactly_once()
    assert fleet.audit().is_clean


@pytest.mark.parametrize("way", ["audit --adopt", "sync"])
def test_groups_that_were_registered_by_hand_before_are_adopted(fleet: GroupFleet, way: str):
    by_hand = {
        title: fleet.register_by_hand(*(entry.object_url for entry in unit.objects), createVideo=len(title) == 1)
        for title, unit in fleet.by_title.items()
        if len(unit.objects) > 1
    }

    if way == "audit --adopt":
        report = fleet.audit(adopt=True)
        assert (report.adopted_units, report.adopted_reordered, report.opened) == (8, 0, 8)
    list(fleet.register())

    # Only the single images were sent, in two chunks.
    assert sorted(job.units for job in fleet.sandbox.jobs()[len(by_hand) :]) == [1, 2]
    fleet.assert_exactly_once()
    report = fleet.audit()
    assert (report.is_clean, report.items) == (True, 11)
