"""Reads a unit of systemd as far as a test needs it: the command line and the environment of its process.

What does not belong here: what systemd does around the process, which needs systemd.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class UnitFile:
    """One unit.

    Args:
        name: of the file.
        sections: the values of each key in their order, by section and key.
    """

    name: str
    sections: Mapping[str, Mapping[str, list[str]]]

    def values(self, section: str, key: str) -> list[str]:
        """Return all values of a key, in their order."""
        return self.sections[section].get(key, [])

    def value(self, section: str, key: str) -> str:
        """Return the only value of a key."""
        (value,) = self.values(section, key)
        return value

    def command(self) -> list[str]:
        """Return the words of ``ExecStart``."""
        return shlex.split(self.value("Service", "ExecStart"))

    def environment(self, credentials: str) -> dict[str, str]:
        """Return what ``Environment`` sets.

        Args:
            credentials: the folder of the credentials, which ``%d`` stands for.
        """
        pairs = (word for value in self.values("Service", "Environment") for word in shlex.split(value))
        return dict(pair.replace("%d", credentials).split("=", 1) for pair in pairs)


def read_unit(path: Path) -> UnitFile:
    """Read a unit's file."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), defaultdict(list))
            continue
        key, _, value = line.partition("=")
        section[key].append(value)
    return UnitFile(path.name, sections)


def environment_file(text: str) -> dict[str, str]:
    """Return what a file of ``EnvironmentFile`` sets."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)
