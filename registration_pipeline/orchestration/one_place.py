"""Refuses a source that two configurations of one code location describe for one state.

What does not belong here: overlapping sources of one configuration (``settings/overlaps.py``), and the lease that keeps two
runs from working on one source at a time (``submission``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.private_dagster import DefinitionsLoadContext
from registration_pipeline.settings import Settings

_SEEN: WeakKeyDictionary[Any, dict[tuple[str, str], "_Place"]] = WeakKeyDictionary()
"""By load: where each source of each state is described. A load that is over takes its own with it."""


@dataclass(frozen=True)
class _Place:
    file: Path
    line: int | None
    key_prefix: tuple[str, ...]

    def is_same(self, other: "_Place") -> bool:
        """Return whether both are one: a load may build the same definitions several times."""
        lines = {self.line, other.line}
        return (self.file, self.key_prefix) == (other.file, other.key_prefix) and (None in lines or len(lines) == 1)

    @property
    def prefixed(self) -> str:
        return f" (key_prefix {'/'.join(self.key_prefix)})" if self.key_prefix else ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{where}{self.prefixed}"


def refuse_second_place(
    settings: Settings,
    key_prefix: tuple[str, ...],
    *,
    lines: Mapping[str, int] | None = None,
    tree: Any = None,
) -> None:
    """Remember where the sources of a configuration are described, for the load of the code location that is going on.

    Outside of a load nothing is remembered: a script or a test may build what it likes.

    Args:
        settings: the configuration.
        key_prefix: of the asset keys: the same file with another prefix is another place.
        lines: of the sources in their file, 1-based.
        tree: lives as long as one load of components, and counts as the load where Dagster has no load going on.

    Raises:
        ConfigurationError: another place of the same load describes one of the sources for the same state.
    """
    load = DefinitionsLoadContext.get() if DefinitionsLoadContext.is_set() else tree
    if load is None:
        return
    seen = _SEEN.setdefault(load, {})
    for source in settings.sources:
        place = _Place(settings.path, (lines or {}).get(source), key_prefix)
        first = seen.setdefault((settings.state, source), place)
        if not first.is_same(place):
            raise ConfigurationError(
                f"the source{place.prefixed} has the state {settings.state}, and so has the source of the same name in "
                f"{first}; two definitions of one source would work on the same inventories, plans and chunks. "
                "Remove one, or give one of them another name of the source or another `state`",
                file=str(place.file),
                line=place.line,
                key=f"sources.{source}",
            )
