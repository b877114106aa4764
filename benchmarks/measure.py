"""Runs one stage in a fresh process and reads its time and memory. Nothing heavy is imported here.

On Linux a process inherits the peak memory of the one that started it, so a caller of ``run_stage`` must stay small: the
benchmark modules import the pipeline, Dagster and boto3 inside their stage functions only.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STAGE_SECONDS = 1800
"""The longest that a stage may take before it is ended."""

_PAGE_BYTES = resource.getpagesize()


class StageFailedError(Exception):
    """A stage's process ended with an error, which is on standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a stage took, the loading of libraries not counted in the times.

    Args:
        seconds: wall clock, of the measured blocks together.
        cpu_seconds: of the stage's own process, all threads, in the same blocks.
        libraries_bytes: resident memory when the first block began: the interpreter and what was imported.
        peak_bytes: the most resident memory of the process in its life (``ru_maxrss``).
        facts: what else the stage has to say.
    """

    seconds: float
    cpu_seconds: float
    libraries_bytes: int
    peak_bytes: int
    facts: Mapping[str, Any]


@dataclass(slots=True)
class Stopwatch:
    """Measures the blocks that it is entered for; a stage imports what it needs before the first."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    libraries_bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    _began: float = 0.0
    _cpu_began: float = 0.0

    def __enter__(self) -> Self:
        self.libraries_bytes = self.libraries_bytes or _resident_bytes()
        self._cpu_began = time.process_time()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began
        self.cpu_seconds += time.process_time() - self._cpu_began

    def measured(self) -> Measured:
        """Return what was measured so far."""
        return Measured(
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            libraries_bytes=self.libraries_bytes,
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            facts=self.facts,
        )


def run_stage(stage: Callable[..., None], /, environ: Mapping[str, str] | None = None, **arguments: Any) -> Measured:
    """Run a module's function in a process of its own and return what it measured.

    Args:
        stage: ``stage(watch, **arguments)``; found again by its module and name.
        environ: added to the environment.
        arguments: must survive JSON.

    Raises:
        StageFailedError: the process failed or took longer than ``STAGE_SECONDS``.
    """
    name = f"{stage.__module__}:{stage.__qualname__}"
    command = [sys.executable, "-m", "benchmarks.measure", name, json.dumps(arguments)]
    try:
        done = subprocess.run(
            command,
            env={**clean_environment(), **(environ or {})},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=STAGE_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise StageFailedError(f"{name}: {error}") from error
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def clean_environment() -> dict[str, str]:
    """Return the environment without what would send a benchmark anywhere else than to its own servers."""
    ours = ("DAGSTER_HOME", "REGISTRATION_CONFIG", "ENCORD_", "AWS_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "AWS_EC2_METADATA_DISABLED": "true"}


def tree_size(folder: Path) -> tuple[int, int]:
    """Return how many files are below a folder, and their bytes together."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def _main(name: str, arguments: str) -> None:
    module, _, function = name.partition(":")
    stage: Callable[..., None] = getattr(importlib.import_module(module), function)
    watch = Stopwatch()
    stage(watch, **json.loads(arguments))
    # A line of its own after whatever the stage printed.
    print("\n" + json.dumps(asdict(watch.measured())), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
