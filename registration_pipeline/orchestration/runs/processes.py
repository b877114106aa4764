"""Which process works on a run, as Dagster is informed. How processes are distinguished is in ``state/holder.py``."""

import json
import os
import socket
from pathlib import Path

from registration_pipeline.state.holder import boot_id, is_alive, process_start

__all__ = ["WORKER_TAG", "boot_id", "is_alive", "process_start", "process_started_at", "worker_tag"]

WORKER_TAG = "registration/worker"


def worker_tag(run_id: str) -> dict[str, str]:
    """Return the tag that says which process works on a run.

    The run id is part of the value, because re-executing a run from the UI copies its tags.
    """
    worker = {
        "run": run_id,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": process_start(os.getpid()) or "",
        "boot": boot_id(),
    }
    return {WORKER_TAG: json.dumps(worker)}


def process_started_at(pid: int) -> float | None:
    """Return when the process started, in seconds since the epoch; None where that can't be known."""
    ticks = process_start(pid)
    if ticks is None:
        return None
    boot = next(
        int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
    )
    return boot + int(ticks) / os.sysconf("SC_CLK_TCK")
