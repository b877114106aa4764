"""What only the machine itself has: marks in its memory, and disks that no other machine can write.

Names and ids do not prove on which machine one is: cloned machines share host name and machine id, and those that were cloned
while they ran share the boot id, the name spaces and the process ids, too. A mark proves it: a file that a process has made
in the memory of its own machine, shortly before its claim. No other machine has it.

What does not belong here: processes (``holder.py``), and what is concluded from them.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - the point is that all processes of the machine see it
"""Where a file is in the memory of the machine, and ends with it."""

_PREFIX = "registration-pipeline-mark-"
_SHARED_SECONDS = 600
"""A machine that is cloned within this time after a claim, while the process goes on in both, can't be distinguished."""
_KEPT_SECONDS = 7 * 86_400
"""A mark that is gone makes others wait longer, and nothing else."""
_MARKS: dict[int, tuple[str, float]] = {}
"""By process, as a child that was forked has this, too: its newest mark, and when it was made."""

_LOCAL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs", "xfs", "zfs"}
)
"""File systems that one kernel mounts at a time, so that its locks are all there are. All others count as shared: on NFS, SMB
and the folders that a virtual machine shares with its host, a lock may be known on one side only."""

_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def leave_mark() -> str:
    """Make a mark and return its name; empty where the machine's memory can't hold one.

    Claims of a process within ten minutes share one: a process may make thousands of claims.
    """
    now = time.monotonic()
    mark, made_at = _MARKS.get(os.getpid(), ("", 0.0))
    if mark and now - made_at < _SHARED_SECONDS and (MEMORY / f"{_PREFIX}{mark}").exists():
        return mark
    if file_system_of(MEMORY) != "tmpfs":
        return ""
    _remove_old_marks()
    mark = f"{secrets.token_hex(8)}-{_time_namespace()}"
    try:
        (MEMORY / f"{_PREFIX}{mark}").touch(mode=0o644, exist_ok=False)
    except OSError:
        return ""
    _MARKS[os.getpid()] = (mark, now)
    return mark


def is_marked(mark: str) -> bool:
    """Return whether a mark was made on this machine, by a process that counts the time since the start as this one does.

    A container may count it otherwise (a time name space); then the start of a process is another number.
    """
    if not mark or "/" in mark or mark.rpartition("-")[2] != _time_namespace():
        return False
    return file_system_of(MEMORY) == "tmpfs" and (MEMORY / f"{_PREFIX}{mark}").exists()


def is_local(path: Path) -> bool | None:
    """Return whether a path is on a file system that only this machine can write; None where that can't be known."""
    kind = file_system_of(path)
    return None if kind is None else kind in _LOCAL


def file_system_of(path: Path) -> str | None:
    """Return the kind of file system that a path is on, e.g. ``ext4``; None where the kernel does not say."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        resolved = path.resolve()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), before.split()[4]))
        # Of two at one place the later one is seen.
        if resolved.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), after.split()[0])
    return None if best is None else best[1]


def hardware() -> str:
    """Return the addresses of the machine's network cards, sorted, with commas; empty where there are none to be seen.

    Machines that were made from one image differ in them.
    """
    found = []
    for card in sorted(Path("/sys/class/net").glob("*/device")):
        with suppress(OSError):
            found.append((card.parent / "address").read_text(encoding="ascii").strip())
    return ",".join(sorted(found))


def _time_namespace() -> str:
    try:
        return Path("/proc/self/ns/time").readlink().name.strip("time:[]")
    except OSError:
        return "0"  # the kernel has none


def _remove_old_marks() -> None:
    for mark in MEMORY.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - mark.stat().st_mtime > _KEPT_SECONDS:
                mark.unlink()
