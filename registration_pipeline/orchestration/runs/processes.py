"""Which process works on a run: recorded by that process itself, and judged from other processes.

Nothing else counts as evidence: a process id that Dagster logged means nothing in another container. How processes are
distinguished is in ``state/holder.py``; what is done with runs of dead ones is in ``stale_runs.py``.
"""

import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from registration_pipeline.orchestration.private_dagster import HIDDEN_TAG_PREFIX, RETRY_ON_FAILURE_TAG
from registration_pipeline.orchestration.runs.worker_lock import WorkerLock
from registration_pipeline.state.holder import Holder, ancestors, boot_id, pid_namespace
from registration_pipeline.state.machine import hardware

WORKER_TAG = f"{HIDDEN_TAG_PREFIX}registration_worker"
"""Hidden, because its value is JSON, which means nothing to a person who reads the list of runs."""

_SHOWN_WORKER_TAG = "registration/worker"
"""What runs that were started by earlier versions have instead."""

OWN_RETRIES_TAG = {RETRY_ON_FAILURE_TAG: "false"}
"""Keeps Dagster from repeating a run whose step failed: our own rules say what is retried. Crashed runs are repeated."""

_PID = re.compile(r"\(pid: (\d+)\)")
_FIRST_NAMESPACE = "pid:[4026531836]"
"""The pid name space of the machine itself, which no container is in (Linux, ``PROC_PID_INIT_INO``)."""


def worker_tag(run_id: str, pid: int | None = None) -> dict[str, str]:
    """Return the tag that says that a process of this machine works on a run, by default this one.

    The run id is part of the value, because re-executing a run from the UI copies its tags.
    """
    worker = Holder.of(os.getpid() if pid is None else pid, datetime.now(UTC))
    here = {"run": run_id, **worker.to_json(), "machine": _machine_id(), "hardware": hardware()}
    return {WORKER_TAG: json.dumps(here)}


def is_worked_on_here(run: dg.DagsterRun) -> bool:
    """Return whether this process recorded that it works on the run."""
    return _is_recorded(run, os.getpid())


def recorded_worker(run: dg.DagsterRun) -> tuple[Holder, tuple[str, str]] | None:
    """Return what a run's worker recorded of itself: its process, and its machine's id and cards; None if it did not."""
    try:
        value: Mapping[str, Any] = json.loads(run.tags.get(WORKER_TAG) or run.tags.get(_SHOWN_WORKER_TAG, "{}"))
        machine = (str(value.get("machine", "")), str(value.get("hardware", "")))
        return (Holder.from_json(value), machine) if value["run"] == run.run_id else None
    except (KeyError, TypeError, ValueError):
        return None  # of an older version, or of another run


def why_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return how it is known beyond doubt that a run's worker has ended, as a clause; None whenever it may live."""
    recorded = recorded_worker(run)
    if recorded is None:
        return None
    worker, machine = recorded
    gone = f"its process {worker.pid} is gone"
    if worker.is_dead_for_certain():
        return gone
    lock = WorkerLock(instance, run.run_id)
    if not lock.is_abandoned(worker.host):
        return None
    # A disk that was copied while the run went on has the lock, too; but then it was started again.
    if lock.is_with_the_runs or (worker.boot and worker.boot == boot_id()):
        return gone
    return "the machine was restarted while it ran" if _was_restarted(worker, machine) else None


def record_worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerLock:
    """Record which process works on a run, and return the lock that says so as long as it lives, if it is this process.

    A step may have a process of its own, which is not the run's: the run goes on when it ends. Then the process that started
    it is recorded, because that one has no resources. The lock can't be taken on behalf of another process.
    """
    is_ours = is_worked_on_here(run)
    tags = {name: value for name, value in OWN_RETRIES_TAG.items() if name not in run.tags}
    if not is_ours:
        executing = _executing(instance, run.run_id)
        is_ours = os.getpid() in executing
        worker = os.getpid() if is_ours else next((pid for pid in ancestors() if pid in executing), None)
        if worker is not None and not _is_recorded(run, worker):
            tags |= worker_tag(run.run_id, worker)
    if tags:
        instance.add_run_tags(run.run_id, tags)
    lock = WorkerLock(instance, run.run_id)
    if is_ours:
        lock.acquire()
    return lock


def _executing(instance: dg.DagsterInstance, run_id: str) -> set[int]:
    """Return the ids of processes that Dagster logged as executing the run, here or on another machine."""
    found = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, ascending=True, limit=50)
    events = (record.event_log_entry.dagster_event for record in found.records)
    matches = (_PID.search((event.message if event else None) or "") for event in events)
    return {int(match[1]) for match in matches if match is not None}


def _is_recorded(run: dg.DagsterRun, pid: int) -> bool:
    recorded = recorded_worker(run)
    return recorded is not None and _identity(recorded[0]) == _identity(Holder.seen(pid, datetime.now(UTC)))


def _identity(worker: Holder) -> dict[str, Any]:
    return {name: value for name, value in asdict(worker).items() if name not in {"since", "mark"}}


def _was_restarted(worker: Holder, machine: tuple[str, str]) -> bool:
    """Return whether the worker ran on this machine itself before its last start; never said of containers.

    Containers of two machines may have one host name, and often have no machine id or that of their image. Machines that were
    made from one image may share name and id, but not their network cards. The caller has found the worker's lock on this
    machine's own disk.
    """
    here = (socket.gethostname(), (_machine_id(), hardware()), _FIRST_NAMESPACE)
    is_here = (worker.host, machine, worker.namespace) == here and pid_namespace() == _FIRST_NAMESPACE
    return is_here and all((*machine, worker.boot, boot_id())) and worker.boot != boot_id()


def _machine_id() -> str:
    """Return the id that the operating system got when it was installed; empty where there is none."""
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
