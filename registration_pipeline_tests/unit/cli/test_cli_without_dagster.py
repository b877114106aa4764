"""Commands that run no job answer without Dagster: importing it is most of the time that they take."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

CODE = """
import sys
from registration_pipeline.cli.app import run
for line in sys.argv[1:]:
    status = run(line.split())
    heavy = {"dagster", "encord"} & set(sys.modules)
    print(f"{line}: {status} {heavy or 'without'}", file=sys.stderr)
"""
COMMANDS = (
    "status",
    "status --json",
    "failures fleet-cameras",
    "plan fleet-cameras --dry-run",
    "find fleet-cameras a.jpg",
    "report --out page.html",
    "state fleet-cameras --verify",
)


def test_what_only_shows_the_state_imports_neither_dagster_nor_encords_sdk(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg")
    workplace.register()

    run = subprocess.run(
        [sys.executable, "-c", CODE, *COMMANDS], cwd=workplace.root, capture_output=True, text=True, check=True
    )

    said = [line for line in run.stderr.splitlines() if line.startswith(COMMANDS)]
    assert said == [f"{command}: 0 without" for command in COMMANDS], run.stderr
