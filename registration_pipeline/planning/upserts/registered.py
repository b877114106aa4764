"""What the planning of upserts has to know of registrations, as values; where it comes from is in ``tracking``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from registration_pipeline.planning.wave import PlannedChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredChunk:
    """A chunk of which units are registered.

    Args:
        planned: the chunk.
        attempt: the newest one with a verdict; a later one may give units other items.
        folder_uuid: where its items are.
        sent_metadata: whether what was planned has been sent: items that the folder held before never got it.
    """

    planned: PlannedChunk
    attempt: int
    folder_uuid: str
    sent_metadata: bool = True


class Registrations(Protocol):
    """Which units of a source are registered."""

    @property
    def chunks(self) -> Mapping[str, RegisteredChunk]:
        """The chunks with registered units, by id."""

    @property
    def digest(self) -> str:
        """Another one whenever any chunk has another verdict."""

    def items_of(self, chunk_id: str) -> Mapping[str, str]:
        """Return the item of each registered unit of a chunk, by unit id."""


class UpsertOutcomes(Protocol):
    """What became of upserts."""

    def states_of(self, chunk_id: str) -> str | Mapping[str, str] | None:
        """Return what became of a chunk of upserts.

        ``DONE``: its units all show what was sent. A mapping: the state of each unit by its id; a unit that is not in it was
        not sent. None: nothing was, or nothing is known of it yet.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Which failed upserts are planned again though their metadata is the same.

    Args:
        transient: reasons that may pass by themselves.
        gone: the reason of units whose item is not in its folder any more: they are asked for again only on request.
        max_attempts: how often the same metadata is sent.
        one_try: failures this close to the one before are the same try.
        failed: a person asked for all that failed.
        force: also for those that were tried ``max_attempts`` times.
    """

    transient: frozenset[str]
    gone: str
    max_attempts: int
    one_try: timedelta
    failed: bool = False
    force: bool = False

    def allows(self, state: str, tries: int) -> bool:
        """Return whether what failed with a reason is sent again."""
        return self.force or (tries < self.max_attempts and (self.failed or state in self.transient))
