"""The files of a source's lease: names, what a beat says, and which term is the newest. Whose turn it is does not belong here.

A mark is a term and a beat, or a term and ``RELEASED``.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StateNotFoundError
from registration_pipeline.state.exclusive import require_refused_create
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.layout import lease_folder, lease_name, lease_released_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.state.store import StateStore

RELEASED = 0
_NAME = re.compile(r"(\d{8,})-(\d{8,}|released)\.json")


@dataclass(frozen=True, slots=True)
class Sight:
    """The newest term as one check showed it; equal as long as nothing happened."""

    term: int
    beat: int
    is_released: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """What the first beat of a term says; by default what is known when it can't be read."""

    holder: Holder | None = None
    lease_seconds: float = 0.0

    @property
    def is_dead(self) -> bool:
        """Whether its holder has ended beyond doubt."""
        return self.holder is not None and self.holder.is_dead_for_certain()


@dataclass(frozen=True, slots=True)
class LeaseFiles:
    """The files of one source's lease."""

    store: StateStore
    source: str

    def marks(self) -> set[tuple[int, int]]:
        """Return all that are there; other files in the folder are ignored."""
        folder = lease_folder(self.source)
        found = (_NAME.fullmatch(name.removeprefix(folder)) for name in self.store.names(folder))
        return {(int(match[1]), RELEASED if match[2] == "released" else int(match[2])) for match in found if match}

    def newest(self) -> Sight | None:
        """Read which term is the newest; None: there was never one."""
        return newest_of(self.marks())

    def claim(self, term: int) -> Claim:
        """Return who has the term. One that can't be understood is known by its beats alone."""
        try:
            value = json.loads(self.store.read(lease_name(self.source, term, 1)))
            return Claim(Holder.from_json(value["holder"]), float(value["lease_seconds"]))
        except (StateNotFoundError, KeyError, TypeError, ValueError):
            return Claim()

    def create_beat(self, claim: bytes, term: int, beat: int) -> bool:
        """Write a beat. False: another process did."""
        name = lease_name(self.source, term, beat)
        try:
            self.store.create(name, claim)
        except StateConflictError:
            with suppress(StateNotFoundError):
                return self.store.read(name) == claim
            return False
        return True

    def require_created_once(self, claim: bytes, term: int) -> None:
        """Raise ``ConfigurationError`` if the first beat of a term, which is there, can be created a second time."""
        require_refused_create(self.store, lease_name(self.source, term, 1), claim)

    def release(self, term: int) -> None:
        """Write that the term has ended."""
        with suppress(StateConflictError):
            self.store.create(lease_released_name(self.source, term), b"{}\n")

    def delete(self, marks: Iterator[tuple[int, int]] | list[tuple[int, int]]) -> None:
        """Remove files."""
        for term, beat in marks:
            name = lease_released_name(self.source, term) if beat == RELEASED else lease_name(self.source, term, beat)
            self.store.delete(name)


def newest_of(marks: set[tuple[int, int]]) -> Sight | None:
    """Return what these marks show of the newest term; None: there was never one."""
    if not marks:
        return None
    term = max(term for term, _ in marks)
    return Sight(term, max(beat for one, beat in marks if one == term), is_released=(term, RELEASED) in marks)
