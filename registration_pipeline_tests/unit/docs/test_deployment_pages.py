"""The pages about deployment: the commands in them exist with these options, and so do the files and units that they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

from registration_pipeline.cli.app import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / "deployment.md", *sorted((ROOT / "docs" / "deployment").glob("*.md"))]
SERVER = ROOT / "docs" / "deployment" / "server.md"
SYSTEMD = ROOT / "deploy" / "systemd"
_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_COMMAND = "registration-pipeline"


def shell_lines() -> list[tuple[str, str]]:
    texts = [(page.name, block) for page in PAGES for block in _BLOCK.findall(page.read_text(encoding="utf-8"))]
    lines = [(name, line.strip()) for name, block in texts for line in block.replace("\\\n", " ").splitlines()]
    return [(name, line.partition(" #")[0]) for name, line in lines if line and not line.startswith("#")]


def calls() -> list[list[str]]:
    """The arguments of every call of the command in a block of shell."""
    found = []
    for _, line in shell_lines():
        words = shlex.split(line, comments=True)
        names = [position for position, word in enumerate(words) if word.rsplit("/", 1)[-1] == _COMMAND]
        for start in names:
            rest = [re.split(r"[;&|]", word)[0] for word in words[start + 1 :]]
            if rest and re.fullmatch(r"[a-z]+", rest[0]):
                found.append(rest)
    return found


@pytest.mark.parametrize("arguments", calls(), ids=" ".join)
def test_every_call_is_of_a_command_that_exists_with_options_that_it_has(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    command = group.commands[arguments[0]]
    known = {name for parameter in (*command.params, *group.params) for name in parameter.opts}

    assert {word.partition("=")[0] for word in arguments if word.startswith("--")} <= known


def test_the_pages_call_what_keeps_a_server_small() -> None:
    called = {(arguments[0], *(word for word in arguments if word.startswith("--"))) for arguments in calls()}

    assert {("sync",), ("state", "--verify"), ("state", "--prune", "--yes"), ("runs", "--prune", "--yes")} <= called


def test_every_file_of_deploy_that_a_page_names_exists() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"deploy/[\w./-]*[\w*]", text))

    assert named
    assert {name for name in named if not list(ROOT.glob(name))} == set()


@pytest.mark.parametrize("unit", [path.name for path in sorted(SYSTEMD.glob("registration-*.*"))])
def test_every_unit_is_in_the_table_of_the_page(unit: str) -> None:
    rows = [line for line in SERVER.read_text(encoding="utf-8").splitlines() if line.startswith("| `registration-")]
    stem, _, suffix = unit.rpartition(".")

    assert any(f"`{unit}`" in row or (f"`{stem}.service`" in row and f"`.{suffix}`" in row) for row in rows)


def test_what_the_page_says_of_exit_statuses_is_what_the_unit_says() -> None:
    unit = (SYSTEMD / "registration-sync.service").read_text(encoding="utf-8")
    page = SERVER.read_text(encoding="utf-8")

    for line, said in {
        "RestartSec=15min": "again after 15 minutes",
        "StartLimitBurst=4": "at most four starts",
        "StartLimitIntervalSec=6h": "in six hours",
        "RestartPreventExitStatus=2 3": "| 3: objects failed or were rejected |",
        "SuccessExitStatus=143": "| 143: stopped by SIGTERM | success",
        "TimeoutStopSec=30": "`TimeoutStopSec` is 30",
    }.items():
        assert line in unit
        assert said in page
