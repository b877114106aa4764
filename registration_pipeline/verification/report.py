"""What a verification of a state found. Finding it is in the other modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from registration_pipeline.state.damage import advice_for

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore


class Damage(NamedTuple):
    """A file that is not what was written, or is not there.

    Args:
        name: its name in the state.
        problem: what is wrong, as the end of a sentence that begins with the file.
        advice: what to do, where it is something else than for every damaged file of this kind; without a full stop.
    """

    name: str
    problem: str
    advice: str | None = None

    @property
    def to_do(self) -> str:
        """What to do about it, a sentence without its full stop."""
        return self.advice or advice_for(self.name)


@dataclass(slots=True)
class StateReport:
    """What was found of one source.

    Args:
        source: its name.
        files: how many files its state has.
        bytes: of the files that were read.
        leftovers: files that nothing names: of a process that died, or is at work.
        foreign: names of files that are not the pipeline's.
        damaged: by name, the first problem of each.
    """

    source: str
    files: int = 0
    bytes: int = 0
    leftovers: int = 0
    foreign: tuple[str, ...] = ()
    damaged: dict[str, Damage] = field(default_factory=dict)

    def add(self, damage: Damage) -> None:
        """Note a problem, unless the file has one already."""
        self.damaged.setdefault(damage.name, damage)

    def include(self, below: StateReport) -> None:
        """Add what was found of a part of the source's state that is laid out like a source."""
        self.files += below.files
        self.bytes += below.bytes
        self.leftovers += below.leftovers
        for damage in below.damaged.values():
            self.add(damage)

    def to_json(self, store: StateStore) -> dict[str, Any]:
        """Return the form of ``state SOURCE --verify --json``."""
        return {
            "source": self.source,
            "files": self.files,
            "bytes": self.bytes,
            "leftovers": self.leftovers,
            "foreign": list(self.foreign),
            "damaged": [
                {
                    "file": damage.name,
                    "location": store.location(damage.name),
                    "problem": damage.problem,
                    "to_do": damage.to_do,
                }
                for damage in self.damaged.values()
            ],
        }
