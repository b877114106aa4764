"""What every chunk of a source is submitted with: collaborators, clocks and patience. No decisions."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import StoppedError
from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.manifest.files import ensure_manifest
from registration_pipeline.manifest.typed import typed_items, typed_violations
from registration_pipeline.settings.metadata import SubmitAs
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.effect import Registration
from registration_pipeline.tracking.journal.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.manifest.files import Manifest
    from registration_pipeline.planning.units import ChunkUnits
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.effect import Effect
    from registration_pipeline.submission.gateway import RegistrationGateway
    from registration_pipeline.submission.prior_items import PriorItems
    from registration_pipeline.submission.target import Target


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionContext:
    """What every chunk of a source needs. Shared between threads.

    Args:
        retry: how calls are repeated; ``calls`` is the same, ended by ``stop``.
        stop: set when nothing more may be sent.
        limits: what Encord accepts in one manifest, by the plan that was bought.
        submit_as: the form in which chunks are sent.
        needs_media_metadata: nothing is sent of which Encord would have to read the object itself: ``strict_client_only``.
        prior: what the folder held before the first upload of the source; None: nothing.
        effect: what sending a chunk is for: registering its units, or giving their items other metadata.
        may_send: asked right before every start; raises when another process may have taken over the source.
        slots: room for open upload jobs.
        ahead: chunks that are made ready or concluded while all slots are occupied, so that no room for a job stays empty.
        notify: called with texts about what takes long.
        sleep: injected in tests; by default a wait that ``stop`` ends.
        slow_poll_seconds: pause between polls of a job whose server answers PENDING without holding the request.
        slice_seconds: the longest single poll. A stop waits for the polls under way, so this is also how long Ctrl-C takes.
        job_timeout_seconds: an upload job that takes longer is cancelled.
        job_warning_seconds: an upload job that takes longer is logged, and again each time that time has doubled.
        settle_seconds: how long the folder has been quiet before a chunk in doubt is adopted or sent again.
    """

    store: StateStore
    source: str
    gateway: RegistrationGateway
    target: Target
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    stop: threading.Event = field(default_factory=threading.Event)
    limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE]
    submit_as: SubmitAs = SubmitAs.JSON
    needs_media_metadata: bool = False
    prior: PriorItems | None = None
    effect: Effect = field(default_factory=Registration)
    may_send: Callable[[], None] = lambda: None
    slots: Slots = field(default_factory=lambda: Slots(4))
    ahead: int = 2
    notify: Callable[[str], None] = lambda _: None
    clock: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] | None = None
    slow_poll_seconds: float = 2.0
    slice_seconds: int = 10
    job_timeout_seconds: float = 86_400
    job_warning_seconds: float = 1_800
    settle_seconds: float = 120

    @property
    def calls(self) -> RetryPolicy:
        """How calls are repeated, until the submission stops."""
        return self.retry.until(self.stop)

    @property
    def journal(self) -> Journal:
        """The source's journal."""
        return Journal(self.store, self.source)

    def make_manifest(self, chunk: PlannedChunk, units: ChunkUnits) -> Manifest:
        """Make or verify the manifest of a chunk or part, and check it in the form in which it would be sent.

        Raises:
            StateCorruptError: the stored one has other bytes, or the plan of the chunk is damaged.
        """
        items = self.data_items(chunk, units)
        manifest = ensure_manifest(
            self.store,
            self.source,
            chunk,
            units,
            limits=self.limits,
            needs_media_metadata=self.needs_media_metadata and items is None,
            upsert=self.effect.is_upsert,
        )
        if items is None:
            return manifest
        found = typed_violations(items, self.limits, needs_media_metadata=self.needs_media_metadata)
        return replace(manifest, violations=(*manifest.violations, *found))

    def data_items(self, chunk: PlannedChunk, units: ChunkUnits) -> dict[str, Any] | None:
        """Return a chunk or part in the typed form, if it is to be sent in that.

        Raises:
            StateCorruptError: the plan of the chunk is damaged.
        """
        if self.submit_as is not SubmitAs.DATA_ITEMS:
            return None
        return typed_items(chunk.chunk_id, units, upsert=self.effect.is_upsert)

    def pause(self, seconds: float) -> None:
        """Wait, but not past a stop.

        Raises:
            StoppedError: nothing more may be sent.
        """
        (self.sleep or self.stop.wait)(seconds)
        self.check_stop("The submission stops; run again.")

    def check_stop(self, message: str) -> None:
        """Go on only while something may be sent.

        Raises:
            StoppedError: nothing more may be sent.
        """
        if self.stop.is_set():
            raise StoppedError(message)
