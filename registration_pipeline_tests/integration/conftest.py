"""A source whose state is on disk and whose Encord is a running sandbox, spoken to through the SDK."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pytest

from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.planning.wave import load_chunks, read_chunk_units
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.context import SubmissionContext
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.prior_items import PriorItemsFinder, was_sent_to
from registration_pipeline.submission.registrar import register_chunks
from registration_pipeline.submission.target import resolve_target
from registration_pipeline.tracking.due import due_tasks, named_tasks
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.outcomes import read_outcomes
from registration_pipeline.tracking.status import chunk_statuses, source_status
from registration_pipeline.urls import object_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.status import SourceStatus

START = datetime(2026, 11, 21, 2, tzinfo=UTC)


class SandboxFleet:
    """A planned source of ``objects`` images beside a sandbox. Every ``register`` is a new process on the same state.

    Args:
        root: for the state.
        sandbox: Encord.
        objects: how many images there are.
        images: how many of them are in a chunk.
        keys: of the objects, instead of ``objects``.
        rules: more of the source's settings.
        encord: more of the source's ``encord`` section.
    """

    requests = 1
    description = "numbers"

    def __init__(
        self,
        root: Path,
        sandbox: Sandbox,
        *,
        objects: int,
        images: int,
        keys: Sequence[str] = (),
        rules: dict[str, Any] | None = None,
        **encord: Any,
    ) -> None:
        self.root, self.sandbox = root, sandbox
        self.store = LocalStateStore(root / "state")
        base: dict[str, Any] = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
        base["encord"] = {"integration": "sandbox", "folder": "fleet"} | encord
        self.source = SourceSettings.model_validate(base | {"chunk_size": {"images": images}} | (rules or {}))
        self._keys = sorted(keys) or [f"raw/é +%{number:05d}.jpg" for number in range(objects)]
        self.notices: list[str] = []
        take_inventory(lister=self, store=self.store, source="fleet", clock=lambda: START)
        plan_source(store=self.store, source=self.source, clock=lambda: START + timedelta(seconds=1))
        self.chunks = list(load_chunks(self.store, "fleet").values())

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [{"key": key, "size": 10, "last_modified": START, "e_tag": key} for key in self._keys]
        yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)

    def urls(self) -> list[str]:
        units = (unit for chunk in self.chunks for unit in read_chunk_units(self.store, "fleet", chunk))
        return sorted(entry.object_url for unit in units for entry in unit.objects)

    def register(
        self, *, key: str | None = None, retry_failed: bool = False, settle_seconds: float = 1, **retry: Any
    ) -> Iterator[ChunkResult]:
        domain = self.sandbox.url
        gateway = EncordGateway(ssh_private_key=key or self.sandbox.private_key_path.read_text(), domain=domain)
        policy = RetryPolicy(**({"cap_seconds": 0.2} | retry))
        target = resolve_target(gateway, policy, self.source)
        prior = PriorItemsFinder(
            store=self.store,
            source="fleet",
            target=target,
            url_prefix=object_url(self.source, self.source.location.prefix),
            gateway=gateway,
            retry=policy,
            has_sent=lambda: was_sent_to(target.folder_uuid, Journal(self.store, "fleet").fold_all()),
            notify=self.notices.append,
        )
        context = SubmissionContext(
            store=self.store,
            source="fleet",
            gateway=gateway,
            target=target,
            prior=prior.find(),
            retry=policy,
            settle_seconds=settle_seconds,
        )
        statuses = chunk_statuses(self.store, "fleet")
        tasks = named_tasks("fleet", statuses, list(statuses)) if retry_failed else due_tasks(statuses, max_attempts=1)
        yield from register_chunks(context, tasks)

    def registered_urls(self) -> list[str]:
        """Return what the sandbox was given, duplicates included, over all folders."""
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return sorted(url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls)

    def status(self) -> SourceStatus:
        return source_status(self.store, "fleet")

    def assert_exactly_once(self) -> None:
        assert self.sandbox.duplicates() == {}
        assert self.registered_urls() == self.urls()
        progress = {one.chunk_id: one for one in Journal(self.store, "fleet").all_progress()}
        outcomes = [
            outcome.object_url
            for chunk in self.chunks
            if (verdict := progress[chunk.chunk_id].verdict)
            for outcome in read_outcomes(self.store, "fleet", verdict)
            if outcome.verdict.is_registered
        ]
        assert sorted(outcomes) == self.urls()
        status = self.status()
        assert status.adds_up
        assert status.registered == len(self.urls())


class MakeSandboxFleet(Protocol):
    """Makes a planned source beside a sandbox of its own.

    Args:
        objects: how many images there are.
        images: how many of them are in a chunk.
        encord: more of the source's ``encord`` section.
        keys: of the objects, instead of ``objects``.
        rules: more of the source's settings.
        settings: settings of the sandbox.
    """

    def __call__(
        self,
        *,
        objects: int = 5,
        images: int = 2,
        encord: dict[str, Any] | None = None,
        keys: Sequence[str] = (),
        rules: dict[str, Any] | None = None,
        **settings: Any,
    ) -> SandboxFleet: ...


@pytest.fixture
def sandbox_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSandboxFleet]:
    """Make a planned source beside a sandbox: ``sandbox_fleet(objects=5, images=2, job_seconds=0.5)``."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    started: list[Sandbox] = []

    def make(
        *,
        objects: int = 5,
        images: int = 2,
        encord: dict[str, Any] | None = None,
        keys: Sequence[str] = (),
        rules: dict[str, Any] | None = None,
        **settings: Any,
    ) -> SandboxFleet:
        defaults: dict[str, Any] = {"data": tmp_path / "encord", "job_seconds": 0.0}
        sandbox = Sandbox(SandboxConfig(**defaults | settings))
        started.append(sandbox)
        return SandboxFleet(tmp_path, sandbox, objects=objects, images=images, keys=keys, rules=rules, **(encord or {}))

    yield make
    for sandbox in started:
        sandbox.stop()
