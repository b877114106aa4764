"""A command on a terminal of its own, answered question by question."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def converse(arguments: Sequence[str], answers: Sequence[tuple[str, str]], *, cwd: Path) -> tuple[int, str]:
    """Run the command, give each answer once its question is shown, and return the status and all that was shown."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "registration_pipeline", *arguments], cwd=cwd, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    shown, seen = "", 0
    try:
        for question, answer in answers:
            while (found := shown.find(question, seen)) < 0:
                shown += os.read(ours, 4096).decode()
            seen = found + len(question)
            os.write(ours, f"{answer}\n".encode())
        while piece := _read(ours):
            shown += piece
        return process.wait(timeout=60), shown.replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # EIO: the command has ended
        return ""
