"""Commands run in the process of a test, as a user would type them in a folder: a tenth of the time of a new process.

What is killed, interrupted or fed through pipes needs a process of its own (``e2e/command_project.py``).
"""

from __future__ import annotations

import io
import os
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.cli.app import run
from registration_pipeline.orchestration.private_dagster import ReconstructableJob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


def run_here(folder: Path, *arguments: str) -> Ended:
    """Run a command in a folder and return how it ended."""
    forget_definitions()
    written = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(one, encoding="utf-8", write_through=True) for one in written)
    with chdir(folder), _unchanged_environment(), redirect_stdout(out), redirect_stderr(err):
        status = run(list(arguments))
    return Ended(status, *(one.getvalue().decode() for one in written))


def forget_definitions() -> None:
    """Let the next run load its definitions again, as another process would: Dagster keeps the newest ones."""
    for cached in (ReconstructableJob.get_definition, ReconstructableJob.get_repository_definition):
        cached.cache_clear()


@contextmanager
def _unchanged_environment() -> Iterator[None]:
    """Undo what a command sets for the code location of its process."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
