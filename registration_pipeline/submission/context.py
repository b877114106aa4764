"""What every chunk of a source is submitted with: collaborators, clocks and patience. No decisions."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import StoppedError
from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.manifest.files import ensure_manifest
from registration_pipeline.manifest.typed import typed_items, typed_violations
from registration_pipeline.planning.wave import read_chunk_units, wave_of
from registration_pipeline.settings.metadata import SubmitAs
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.effect import Registration
from registration_pipeline.tables.recent import Recent
from registration_pipeline.tracking.journal.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.manifest.files import Manifest
    from registration_pipeline.planning.units import ChunkUnits
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.effect import Effect
    from registration_pipeline.submission.gateway import RegistrationGateway
    from registration_pipeline.submission.prior_items import PriorItems
    from registration_pipeline.submission.target import Target
    from registration_pipeline.tracking.journal.states import JournalEvent


_WAVES_IN_HAND: Final = 16
"""Waves whose markers are kept: the chunks of a run are mostly of one, and several are under way at once."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _unknown(_chunk_id: str) -> bool:
    return False


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
        lease_term: of the lease that is held; None: none is.
        untouched: says of a chunk's id whether it had no journal when the lease was taken. Such a chunk is begun without
            asking once more, and the first entry, which only one process can create, shows whether that still holds.
        concluded: called with the id of a chunk or part that has its verdict, and with all that its journal says.
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
    lease_term: int | None = None
    untouched: Callable[[str], bool] = _unknown
    concluded: Callable[[str, Sequence[JournalEvent]], None] = lambda *_: None
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
    _waves: Recent[str, Wave] = field(default_factory=lambda: Recent(_WAVES_IN_HAND))

    @property
    def calls(self) -> RetryPolicy:
        """How calls are repeated, until the submission stops."""
        return self.retry.until(self.stop)

    @property
    def journal(self) -> Journal:
        """The source's journal."""
        return Journal(self.store, self.source)

    def units_of(self, chunk: PlannedChunk) -> ChunkUnits:
        """Return the units of a planned chunk. The marker of its wave, which never changes, is read for the first one.

        Raises:
            StateCorruptError: the plan of the chunk is damaged.
        """
        wave = self._waves.get(chunk.wave_id, lambda: wave_of(self.store, self.source, chunk))
        return read_chunk_units(self.store, self.source, chunk, wave)

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
            is_new=self.untouched(chunk.chunk_id),
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
