"""Prints figures as Markdown tables that are readable on a terminal too, under a line that names the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Measured

_PACKAGES = ("dagster", "encord", "pyarrow", "boto3", "moto")


@dataclass(slots=True)
class Table:
    """One benchmark's figures."""

    title: str
    columns: Sequence[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def text(self) -> str:
        """Return the table as Markdown, columns aligned."""
        lines = [tuple(self.columns), *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        aligned = [self._line(line, widths) for line in lines]
        rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
        notes = [f"- {note}" for note in self.notes]
        return "\n".join(
            [f"### {self.title}", "", aligned[0], rule, *aligned[1:], *([""] if notes else []), *notes, ""]
        )

    def _line(self, cells: tuple[str, ...], widths: Sequence[int]) -> str:
        padded = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"


def machine() -> str:
    """Return the head line: when, on what and with which versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · commit {_commit()} · {os.cpu_count()} cores ({_processor()}) · "
        f"{memory / 2**30:.0f} GiB memory · Linux {platform.release().split('-')[0]} · "
        f"Python {platform.python_version()} · {versions}"
    )


def figures(objects: int, measured: Measured) -> tuple[str, ...]:
    """Return the cells that most benchmarks show: objects per second, time, CPU, peak memory, of which libraries."""
    return (
        rate(objects, measured.seconds),
        seconds_text(measured.seconds),
        seconds_text(measured.cpu_seconds),
        megabytes(measured.peak_bytes),
        megabytes(measured.libraries_bytes),
    )


def rate(count: int, seconds: float) -> str:
    """Return things per second, to three digits."""
    return f"{_rounded(count / seconds):,}"


def seconds_text(seconds: float) -> str:
    """Return a duration."""
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def megabytes(count: int) -> str:
    """Return bytes as MB."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


def milliseconds(seconds: float) -> str:
    """Return a short duration."""
    return f"{seconds * 1000:.1f} ms"


def ratio(baseline: float, own: float) -> str:
    """Return how many times faster than the baseline; below 1 is slower."""
    return f"{baseline / own:.2f} x"


def _rounded(value: float) -> int:
    whole = round(value)
    digits = len(str(whole))
    return round(whole, 3 - digits) if digits > 3 else whole


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
