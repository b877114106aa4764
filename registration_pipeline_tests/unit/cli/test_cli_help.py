"""What the command line says of itself."""

from __future__ import annotations

import functools
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import click
import pytest
import typer

from registration_pipeline import __version__
from registration_pipeline.cli.app import app, run

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

COMMANDS = (
    "audit",
    "cancel",
    "check",
    "chunks",
    "demo",
    "export",
    "failures",
    "find",
    "init",
    "inventory",
    "notify",
    "plan",
    "probe",
    "rehearse",
    "report",
    "runs",
    "sandbox",
    "schema",
    "state",
    "status",
    "submit",
    "sync",
)
GROUP = typer.main.get_command(app)
assert isinstance(GROUP, click.Group)
PARAMETERS = [
    pytest.param(name, parameter, id=f"{name} {parameter.opts[-1]}")
    for name, command in [("", GROUP), *sorted(GROUP.commands.items())]
    for parameter in command.params
]


def test_there_are_exactly_the_commands_of_this_version():
    assert isinstance(GROUP, click.Group)
    assert tuple(sorted(GROUP.commands)) == COMMANDS


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, option: str, capsys: pytest.CaptureFixture[str]):
    assert isinstance(GROUP, click.Group)
    assert run([name, option]) == 0
    printed = capsys.readouterr()
    said = " ".join(printed.out.split())
    assert printed.err == ""
    assert " ".join((GROUP.commands[name].help or "").split())[:40] in said
    assert all(parameter.opts[0].upper().strip("-") in said.upper() for parameter in GROUP.commands[name].params)


@functools.cache
def help_of(name: str) -> str:
    """Ask for each help once: most of these tests look at one more parameter of the same."""
    with redirect_stdout(StringIO()) as printed:
        assert run([name, "--help"] if name else ["--help"]) == 0
    return printed.getvalue()


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_every_option_and_argument_is_explained(name: str, parameter: click.Parameter):
    explained = str(getattr(parameter, "help", "") or "")
    assert explained.endswith(".")
    assert explained.split(maxsplit=1)[0] in help_of(name)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("demo", "sandbox")])
def test_every_command_on_sources_takes_config_and_json(name: str):
    assert "--config" in help_of(name)
    assert "--json" in help_of(name)


def test_the_help_lists_the_exit_statuses(capsys: pytest.CaptureFixture[str]):
    assert run(["--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 every eligible object is registered; 1 a bug; 2 wrong usage or configuration; 3 done, but" in said


def test_nothing_asked_shows_the_help(capsys: pytest.CaptureFixture[str]):
    assert run([]) == 2
    printed = capsys.readouterr()
    assert "Usage: registration-pipeline" in printed.out + printed.err


def test_the_version_needs_no_command(capsys: pytest.CaptureFixture[str]):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"registration-pipeline {__version__}\n"


def test_a_wrong_option_is_named_with_the_way_to_help(workplace: Workplace):
    said = workplace.run("sync", "--jsn")
    assert said.status == 2
    assert "No such option: --jsn" in said.err
    assert "registration-pipeline sync -h" in said.err
