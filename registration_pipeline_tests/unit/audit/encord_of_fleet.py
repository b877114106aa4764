"""Encord as a fleet has it, for tests of the audit that change or count one of its calls.

What does not belong here: the fleet (``conftest.py``).
"""

from __future__ import annotations

from typing import Any


class EncordOfFleet:
    """A fleet's Encord, for tests that change one call of it."""

    def __init__(self, fleet: Any) -> None:
        self._inner = fleet.encord

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class CountingEncord(EncordOfFleet):
    """Encord, counting look-ups."""

    def __init__(self, fleet: Any) -> None:
        super().__init__(fleet)
        self.lookups = 0

    def folders_of_items(self, uuids: Any) -> Any:
        self.lookups += 1
        return self._inner.folders_of_items(uuids)
