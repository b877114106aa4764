"""A fleet whose objects have client metadata: what its tables say now, what upserts send, and what its Encord shows.

What belongs here is what tests of upserts share; what happens is up to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from registration_pipeline.facts.metadata.metadata_set import METADATA, METADATA_SCHEMA
from registration_pipeline.facts.metadata.values import canonical
from registration_pipeline.facts.sets import latest_facts, write_facts
from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.upserts.plan import plan_upserts
from registration_pipeline.planning.upserts.request import UpsertPlan, UpsertRequest
from registration_pipeline.settings.metadata import OWN_PREFIX
from registration_pipeline.state.layout import upserts_source
from registration_pipeline.submission.result import ChunkResult
from registration_pipeline.submission.upserts.run import send_upserts
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.upserts import RegistrationView, UpsertView, retry_policy, upsert_view
from registration_pipeline_tests.unit.conftest import Fleet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline.tracking.upserts import UpsertCounts


class MetadataFleet(Fleet):
    """A fleet with client metadata."""

    def know(
        self, values: Mapping[str, Mapping[str, Any] | None], *, problems: Mapping[str, str] | None = None
    ) -> MetadataFleet:
        """Say what is known of objects now, by key: None or ``{}`` is nothing. Objects that are not named wait to be read."""
        self.time.sleep(1)
        known = {**dict.fromkeys(problems or {}), **values}
        rows = [
            {
                "key": key,
                "size": 10,
                "last_modified": self.time.clock(),
                "client_metadata": canonical(dict(known[key] or {})),
                "problem": (problems or {}).get(key),
                "message": f"{key!r} has a problem" if key in (problems or {}) else None,
            }
            for key in sorted(known, key=str.encode)
        ]
        write_facts(
            self.store,
            self.source.name,
            METADATA,
            f"{self.time.clock():%Y%m%dT%H%M%S%f}Z",
            [pa.RecordBatch.from_pylist(rows, schema=METADATA_SCHEMA)],
            schema=METADATA_SCHEMA,
            made_at=self.time.clock(),
        )
        return self

    @property
    def upserts(self) -> str:
        """What stands for the source in the names of its upserts."""
        return upserts_source(self.source.name)

    def view(self, store: Any = None) -> UpsertView:
        """Return what there is of upserts."""
        return upsert_view(store or self.store, self.upserts)

    def request(self, view: UpsertView, store: Any = None, **policy: Any) -> UpsertRequest:
        """Return what upserts are planned from."""
        metadata = latest_facts(store or self.store, self.source.name, METADATA)
        assert metadata is not None
        return UpsertRequest(
            source=self.source.name,
            sizes={kind: self.source.chunk_size.of(kind) for kind in MediaKind},
            limits=MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
            submit_as=self.source.submit_as,
            metadata=metadata,
            registrations=RegistrationView(store or self.store, read_snapshot(store or self.store, self.source.name)),
            history=view.snapshot.history,
            outcomes=view,
            policy=retry_policy(**{"max_attempts": 3, **policy}),
            clock=self.time.clock,
        )

    def preview(self) -> UpsertPlan:
        """Return what would be sent."""
        return plan_upserts(self.store, self.request(self.view()), dry_run=True)

    def upsert(
        self,
        *,
        failed: bool = False,
        force: bool = False,
        max_attempts: int = 3,
        settle_seconds: float = 120,
        **options: Any,
    ) -> list[ChunkResult]:
        """Send what has changed, as a process of its own would."""
        self.time.sleep(3600)
        context = replace(self.context(settle_seconds=settle_seconds, **options), source=self.upserts)
        store = options.get("store") or self.store
        policy = {"failed": failed, "force": force, "max_attempts": max_attempts}
        found = send_upserts(context, lambda view: self.request(view, store, **policy))
        return [one for one in found if isinstance(one, ChunkResult)]

    def counts(self) -> UpsertCounts:
        """Return the counts of upserts."""
        return self.view().counts()

    def upsert_failures(self) -> list[FailureRow]:
        """Return what of upserts failed."""
        return list(self.view().failures(self.source.name))

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return what Encord shows of each item by its title, without what the pipeline adds."""
        return {
            item.name: {
                name: value
                for name, value in self.encord.metadata[item.item_uuid].items()
                if not name.startswith(OWN_PREFIX)
            }
            for items in self.encord.items.values()
            for item in items
        }
