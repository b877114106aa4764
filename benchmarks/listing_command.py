"""The whole command ``registration-pipeline inventory`` as a stage: with its start, and with the processes that it starts.

What does not belong here: what it is compared with (``listing.py``).
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.project import SOURCE, load_project

if TYPE_CHECKING:
    from benchmarks.measure import Stopwatch

_SAMPLE_SECONDS = 0.1


def list_with_command(watch: Stopwatch) -> None:
    """Stage: the command, as a user runs it; facts: objects, CPU and peak memory of all its processes together."""
    import resource

    peak = _Peak()
    with (
        watch,
        subprocess.Popen(
            [sys.executable, "-m", "registration_pipeline", "inventory", SOURCE], stdout=subprocess.DEVNULL
        ) as process,
    ):
        sampling = threading.Thread(target=peak.sample, args=(process,))
        sampling.start()
        status = process.wait()
    sampling.join()
    if status:
        raise SystemExit(status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    from registration_pipeline.inventory.inventory import latest_inventory

    project, _ = load_project()
    taken = latest_inventory(project.store, SOURCE)
    watch.facts["objects"] = taken.objects if taken else 0
    watch.facts["cpu_seconds"] = used.ru_utime + used.ru_stime
    watch.facts["peak_bytes"], watch.facts["processes"] = peak.bytes, peak.processes


class _Peak:
    """The most memory of a process and its children together, pages that they share counted once."""

    def __init__(self) -> None:
        self.bytes = self.processes = 0

    def sample(self, process: subprocess.Popen[bytes]) -> None:
        """Measure until the process ends."""
        while process.poll() is None:
            ids = [process.pid, *_children_of(process.pid)]
            sizes = [_proportional_bytes(one) for one in ids]
            self.bytes, self.processes = max(self.bytes, sum(sizes)), max(self.processes, len(ids))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SAMPLE_SECONDS)


def _children_of(process_id: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{process_id}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def _proportional_bytes(process_id: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
