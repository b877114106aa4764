"""What upserts are planned from, and what a pass comes to.

What does not belong here: the pass (``plan.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.planning.upserts.registered import Registrations, RetryPolicy, UpsertOutcomes
    from registration_pipeline.planning.upserts.texts import FieldChange
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.settings.metadata import SubmitAs


class Sample(NamedTuple):
    """One field that an upsert changes.

    Args:
        key: of the unit's first object.
        change: the field.
    """

    key: str
    change: FieldChange


class InvalidUnit(NamedTuple):
    """A registered unit whose metadata is invalid or can't be read.

    Args:
        key: of its first object.
        reason: a ``RejectionReason``.
        message: what the set of facts says.
    """

    key: str
    reason: str
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertRequest:
    """What upserts are planned from.

    Args:
        source: its name.
        sizes: the most units in a chunk, per kind.
        limits: what Encord accepts in one manifest.
        submit_as: the form in which manifests are sent.
        metadata: the set of facts with the metadata of objects.
        registrations: which units are registered.
        history: of the upserts so far.
        outcomes: what became of those.
        policy: about failures.
        clock: UTC.
    """

    source: str
    sizes: Mapping[MediaKind, int]
    limits: ManifestLimits
    submit_as: SubmitAs
    metadata: FactSet
    registrations: Registrations
    history: PlanHistory
    outcomes: UpsertOutcomes
    policy: RetryPolicy
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertPlan:
    """What a pass came to.

    Args:
        wave: with the counts of units in ``upserts``.
        chunks: of the wave.
        samples: some of the fields that change.
        invalid: some of the units whose metadata is invalid or can't be read.
        history: of the upserts, with the wave if it was committed.
    """

    wave: Wave
    chunks: tuple[PlannedChunk, ...]
    samples: tuple[Sample, ...]
    invalid: tuple[InvalidUnit, ...]
    history: PlanHistory


def is_due(request: UpsertRequest, *, has_retries: bool) -> bool:
    """Return whether a pass may come to anything that the newest wave did not; nothing is read for it.

    Args:
        request: what would be planned from.
        has_retries: the newest wave left units that may be sent again though nothing has changed.
    """
    latest = request.history.latest
    if latest is None or has_retries or request.policy.failed or request.policy.force:
        return True
    compared = (latest.upserts.get("metadata"), latest.upserts.get("registrations"))
    return compared != (request.metadata.digest, request.registrations.digest)
