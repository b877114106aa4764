"""Audits of a fleet, and hands that change Encord behind the pipeline's back."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from registration_pipeline.audit.adoption import Adoption
from registration_pipeline.audit.audit import audit_source
from registration_pipeline.audit.report import audit_findings
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.gateway import RemoteItem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.audit.rows import FindingRow
    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.unit.conftest import Fleet, FleetOf

HOME = "fleet"


class Auditor:
    """Audits one fleet and changes its Encord and its bucket by hand."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def audit(self, *, adopt: bool = False, store: StateStore | None = None, **options: Any) -> AuditReport:
        fleet = self.fleet
        store = store or fleet.store
        arguments: dict[str, Any] = {
            "store": store,
            "source": fleet.source.name,
            "gateway": fleet.encord,
            "retry": RetryPolicy(sleep=fleet.time.sleep, jitter=lambda _low, high: high),
            "target_folder": fleet.encord.find_folder(fleet.source.encord.folder),
            "clock": fleet.time.clock,
            "adoption": Adoption(fleet.time.clock) if adopt else None,
        }
        fleet.time.sleep(1)
        return audit_source(**arguments | options)

    def found(self, **options: Any) -> list[tuple[str, str | None]]:
        """Audit and return finding and key of every row."""
        return [(row.finding, row.key) for row in self.rows(**options)]

    def rows(self, **options: Any) -> list[FindingRow]:
        store = options.get("store") or self.fleet.store
        return list(audit_findings(store, self.audit(**options)))

    def folder(self, name: str = HOME) -> list[RemoteItem]:
        return self.fleet.encord.items.setdefault(self.folder_uuid(name), [])

    def folder_uuid(self, name: str = HOME) -> str:
        return self.fleet.encord.create_folder(name)

    def item(self, key: str) -> RemoteItem:
        """Return the first item of this title in any folder."""
        items: Iterable[RemoteItem] = chain.from_iterable(self.fleet.encord.items.values())
        return next(item for item in items if item.name == key)

    def remove(self, key: str) -> RemoteItem:
        item = self.item(key)
        for items in self.fleet.encord.items.values():
            items[:] = [one for one in items if one is not item]
        return item

    def alter(self, key: str, **facts: Any) -> None:
        item = self.item(key)
        for items in self.fleet.encord.items.values():
            items[:] = [replace(one, **facts) if one is item else one for one in items]

    def copy(self, key: str, *, to: str = HOME, **facts: Any) -> RemoteItem:
        """Register an object once more, as a person would who does not ask to skip duplicates."""
        own: dict[str, Any] = {"item_uuid": str(uuid4()), "created_at": self.fleet.time.clock()}
        new = replace(self.item(key), **own | facts)
        self.folder(to).append(new)
        return new

    def move(self, key: str, to: str) -> None:
        self.folder(to).append(self.remove(key))

    def add(
        self, url: str | None, *, unit_id: str | None = None, name: str = "stranger", objects: str | None = None
    ) -> RemoteItem:
        """Put an item into the folder that the pipeline did not register."""
        item = RemoteItem(
            item_uuid=str(uuid4()),
            name=name,
            url=url,
            unit_id=unit_id,
            created_at=self.fleet.time.clock(),
            objects=objects,
        )
        self.folder().append(item)
        return item

    def forget_everything(self) -> None:
        """Lose the whole state, and plan the bucket again."""
        for name in list(self.fleet.store.names("")):
            self.fleet.store.delete(name)
        self.fleet.sync()


@pytest.fixture(scope="session")
def auditor_of() -> type[Auditor]:
    return Auditor


@pytest.fixture
def registered(fleet_of: FleetOf) -> Auditor:
    """A fleet of three images in two chunks, all of them registered."""
    fleet = fleet_of()
    fleet.register()
    return Auditor(fleet)
