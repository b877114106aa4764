"""What the calls of ``Pipeline`` return: frozen values with their units.

What does not belong here: ``SourceStatus``, ``FailureRow``, ``ChunkInfo``, ``FoundObject`` and ``AuditReport``, which are
returned as the core has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.counted import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.errors import RegistrationPipelineError
    from registration_pipeline.planning.counts import PlanCounts
    from registration_pipeline.project.preflight import Finding
    from registration_pipeline.tracking.status import SourceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a preflight found.

    Args:
        source: its name.
        findings: one per check, in the order in which they were made: what was checked, what was found, and what to do.
    """

    source: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[RegistrationPipelineError, ...]:
        """What is wrong; empty when the source is ready to be synced."""
        return tuple(one.error for one in self.findings if one.error is not None and one.was_checked)

    @property
    def exit_status(self) -> int:
        """The status of ``registration-pipeline check``: 0, 2 or 4."""
        return max((error.exit_status for error in self.errors), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryResult:
    """A new inventory of a bucket.

    Args:
        source: its name.
        inventory_id: UTC time of its start, e.g. ``20261121T020000Z``; later ids are later inventories.
        objects: how many were listed.
        bytes: their sizes together.
        requests: made to the store.
        seconds: that the listing took.
        location: the folder of its Parquet files.
        is_emptied: a bucket that held objects before holds none now.
    """

    source: str
    inventory_id: str
    objects: int
    bytes: int
    requests: int
    seconds: float
    location: str
    is_emptied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsResult:
    """What is known of objects beyond their listing.

    Args:
        name: ``headers``, ``media`` or ``metadata``.
        objects: objects that something is known of.
        invalid: of those, how many say something that can't be used.
        unreadable: of those, how many could not be read.
        waiting: objects that could not be read now; they are held.
        read: how many were read by this call.
        requests: made to the store by this call.
        bytes: read by this call.
        location: the folder of its Parquet files; None: nothing had to be read.
    """

    name: str
    objects: int = 0
    invalid: int = 0
    unreadable: int = 0
    waiting: int = 0
    read: int = 0
    requests: int = 0
    bytes: int = 0
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a plan of the latest inventory needs to know of objects.

    Args:
        source: its name.
        facts: one per kind of facts that the source needs.
    """

    source: str
    facts: tuple[FactsResult, ...]

    @property
    def exit_status(self) -> int:
        """The status of ``registration-pipeline probe``: 3 if any object's facts are invalid or can't be read, else 0."""
        return 3 if any(one.invalid or one.unreadable or one.waiting for one in self.facts) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """A plan of the latest inventory.

    Args:
        source: its name.
        inventory_id: what was planned.
        wave_id: of what the plan added.
        is_new: this call made the plan; False: the inventory was planned before, or it is a dry run.
        chunk_ids: what it added, in the order of their first keys.
        counts: where every object of the inventory went.
        warnings: what a person should know, a sentence each.
    """

    source: str
    inventory_id: str
    wave_id: str
    is_new: bool
    chunk_ids: tuple[str, ...]
    counts: PlanCounts
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedChunk:
    """A chunk of which units are not registered.

    Args:
        chunk_id: its id.
        failed_units: units that Encord did not register.
        failed_objects: objects in those.
        reasons: those units, by reason; a closed set of words.
        job_id: Encord's upload job; None: the manifest was refused as a whole.
    """

    chunk_id: str
    failed_units: int
    failed_objects: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a sync, or a submission alone, came to.

    Args:
        source: its name.
        exit_status: the one that the command line would give: 0 every eligible object is registered, 3 some failed or were
            rejected, 4 the numbers of the state contradict each other (``status.disagreements``).
        status: how many objects are in each state, afterwards.
        chunks: how many were worked on.
        registered_objects: objects that this call registered.
        failed_chunks: of the chunks that were worked on, those with failures.
        failure_log: the Parquet file and the CSV file of everything that is not registered.
        report: the state of the source as one HTML page.
    """

    source: str
    exit_status: int
    status: SourceStatus
    chunks: int
    registered_objects: int
    failed_chunks: tuple[FailedChunk, ...]
    failure_log: tuple[str, str]
    report: str

    def __str__(self) -> str:
        """Return the outcome in one line; ``repr`` has everything."""
        counts = self.status
        eligible = counts.objects - counts.excluded
        said = f"{self.source}: {counts.registered:,} of {counted(eligible, 'object')} registered"
        said += f", {self.registered_objects:,} of them by this call"
        left = ((counts.rejected, "rejected"), (counts.failed, "failed"), (counts.pending, "pending"))
        said += "".join(f"; {count:,} {state}" for count, state in left if count)
        return f"{said}; exit status {self.exit_status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLogResult:
    """A failure log of the whole source.

    Args:
        source: its name.
        exit_status: 0: it is empty and nothing is wrong; 3: something failed or was rejected; 4: the numbers of the state
            contradict each other.
        objects: how many are not registered.
        rows_by_reason: its rows by reason; a row is a failed unit or a rejected object.
        parquet: the file.
        csv: the same for spreadsheets.
        report: the state of the source as one HTML page.
    """

    source: str
    exit_status: int
    objects: int
    rows_by_reason: Mapping[str, int]
    parquet: str
    csv: str
    report: str
