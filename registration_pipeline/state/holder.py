"""Which process it is, and whether it still lives: machine, boot, name space, pid, start. Only the operating system is asked.

What does not belong here: what a process holds (``lease.py``), and Dagster's runs (``orchestration/runs/processes.py``).
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from registration_pipeline.state.machine import is_marked, leave_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENDED = "ZX"
"""The states of a zombie and of a process that is just being removed."""

_PARENT = 1
"""Where the parent's process id is, counted from the state."""

_START = 19
"""Where the start time is, counted from the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process on some machine that holds something.

    Args:
        host: the machine's name, for people.
        boot: differs after a restart of the machine; empty where that can't be known.
        pid: its process id, which means nothing outside its pid name space.
        start: when it started, in clock ticks since boot; empty where that can't be known. Ids are used again, this is not.
        namespace: the pid name space (each container has its own); empty where that can't be known.
        since: when it began to hold, by its own wall clock.
        mark: what it left in the memory of its machine; empty where that is not possible, and in what earlier versions wrote.
    """

    host: str
    boot: str
    pid: int
    start: str
    namespace: str
    since: datetime
    mark: str = ""

    @classmethod
    def current(cls, since: datetime) -> Self:
        """Return this process as the holder since then."""
        return cls.of(os.getpid(), since)

    @classmethod
    def of(cls, pid: int, since: datetime) -> Self:
        """Return a process of this process's machine and pid name space as the holder since then, and leave a mark."""
        return replace(cls.seen(pid, since), mark=leave_mark())

    @classmethod
    def seen(cls, pid: int, since: datetime) -> Self:
        """Return the same, to be compared: without a mark."""
        return cls(
            host=socket.gethostname(),
            boot=boot_id(),
            pid=pid,
            start=process_start(pid) or "",
            namespace=pid_namespace(),
            since=since.astimezone(UTC),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` gives.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        words = {name: str(value[name]) for name in ("host", "boot", "start", "namespace")}
        since = datetime.fromisoformat(value["since"]).astimezone(UTC)
        return cls(**words, pid=int(value["pid"]), since=since, mark=str(value.get("mark", "")))

    def to_json(self) -> dict[str, Any]:
        """Return the form that it has in a file."""
        return asdict(self) | {"since": self.since.isoformat()}

    def is_dead_for_certain(self) -> bool:
        """Return whether this process has ended beyond doubt; False for whatever can't be seen from here.

        Its mark must be here: machines that were cloned while running share the boot id, and may share all names.
        """
        here = (socket.gethostname(), boot_id(), pid_namespace())
        if here != (self.host, self.boot, self.namespace) or not (self.boot and self.start and self.namespace):
            return False
        if not is_marked(self.mark) or not _is_proc_ours():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # another user's process; its start still identifies it
        fields = _stat_fields(self.pid)  # None under /proc with hidepid, so that proves nothing
        return fields is not None and (fields[0] in _ENDED or fields[_START] != self.start)

    def __str__(self) -> str:
        since = self.since.replace(microsecond=0, tzinfo=None).isoformat()
        return f"pid {self.pid} on {self.host} since {since}Z"


def _is_proc_ours() -> bool:
    """Return whether /proc shows the processes of this name space: a container may have that of its machine there."""
    try:
        return Path("/proc/self").readlink().name == str(os.getpid())
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Return whether a process of that id exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path(f"/proc/{os.getpid()}/stat").exists() or process_start(pid) is not None


def process_start(pid: int) -> str | None:
    """Return when the process started, in clock ticks since boot; None when it is gone, a zombie, or there is no /proc."""
    fields = _stat_fields(pid)
    return None if fields is None or fields[0] in _ENDED else fields[_START]


def ancestors() -> Iterator[int]:
    """Yield the processes that this one descends from, the nearest first; nothing where there is no /proc."""
    pid = os.getpid()
    while (fields := _stat_fields(pid)) is not None and (pid := int(fields[_PARENT])) > 0:
        yield pid


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/<pid>/stat`` from the state on; the name before it may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def boot_id() -> str:
    """Return what differs after a restart of the machine; empty where that can't be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Return what distinguishes this process's pid name space from others of the machine; empty where that can't be known."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
