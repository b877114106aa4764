"""Which process works on a run, and whether it still lives. Only the operating system is asked here."""

import json
import os
import socket
from pathlib import Path

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


def is_alive(pid: int) -> bool:
    """Tell whether a process of that id exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path(f"/proc/{os.getpid()}/stat").exists() or process_start(pid) is not None


def process_start(pid: int) -> str | None:
    """Return when the process started, in clock ticks since boot; None when it is gone, a zombie, or there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def process_started_at(pid: int) -> float | None:
    """Return when the process started, in seconds since the epoch; None where that can't be known."""
    ticks = process_start(pid)
    if ticks is None:
        return None
    boot = next(
        int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
    )
    return boot + int(ticks) / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Return what differs after a restart of the machine; empty where that can't be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
