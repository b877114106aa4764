"""The command line: what is said before a command, all commands put together, and the exit status.

Commands are declared in ``declarations/``, a module per group, which imports heavy modules inside of commands only: so
``--help`` answers at once. Their work is done elsewhere (``session.py``), and so is reporting of errors (``errors.py``).
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from registration_pipeline import __version__
from registration_pipeline.cli.declarations import first, local, lookup, messages, reports, stages, upkeep
from registration_pipeline.cli.errors import INTERRUPTED, report, say_interrupted
from registration_pipeline.cli.interrupt import status_of_interruption, watch_interrupts
from registration_pipeline.cli.modes import LogFormat, speaking_as_asked, with_log_format_first
from registration_pipeline.cli.options import ConfigOption
from registration_pipeline.cli.streams import replace_closed_streams, watch_stdout
from registration_pipeline.errors import UsageError

_NAME = "registration-pipeline"  # also when started as a module

app = typer.Typer(
    name=_NAME,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Registers every object of a bucket in Encord, exactly once.\n\n"
        "Exit status: 0 every eligible object is registered; 1 a bug; 2 wrong usage or configuration; "
        "3 done, but some objects failed or were rejected (of `find`: a key is unknown); "
        "4 halted: the message says why and what to do; "
        "130 interrupted (143: by SIGTERM), run again."
    ),
)


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 - the form of an option's callback
    if is_wanted:
        typer.echo(f"registration-pipeline {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    config: ConfigOption = None,
    version: Annotated[  # noqa: ARG001, FBT002 - its callback does the work
        bool,
        # Eager, because it must answer before a missing command is complained about.
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
    log_format: Annotated[  # noqa: ARG001 - read before anything is parsed, so that errors of parsing have that form, too
        LogFormat,
        typer.Option("--log-format", help="Form of what is said on standard error; also after the command."),
    ] = LogFormat.TEXT,
) -> None:
    try:
        Path.cwd()
    except OSError as error:
        known = os.environ.get("PWD", "")
        raise UsageError(
            f"The current directory {known} does not exist any more: it was removed or renamed. Change to a folder that "
            "exists (cd) and run again."
        ) from error
    context.obj = config


_GROUPS = (
    first,
    stages,
    reports,
    lookup,
    messages,
    upkeep,
    local,
)
"""In the order of the help."""
for _group in _GROUPS:
    app.add_typer(_group.commands)


def main() -> None:
    """Run the command line and exit with its status."""
    replace_closed_streams()
    watch_stdout()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a key that the terminal can't show must not end the command
            stream.reconfigure(errors="backslashreplace")
    watch_interrupts()
    status = run(sys.argv[1:])
    sys.exit(status_of_interruption() if status == INTERRUPTED else status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; every error becomes a message on standard error."""
    arguments = with_log_format_first(arguments)
    with speaking_as_asked(arguments):
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        status = int(app(arguments, prog_name=_NAME, standalone_mode=False) or 0)
        sys.stdout.flush()  # else the interpreter writes what is left when nothing can be said any more
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last resort of a command line
        return report(error)
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return report(error.__context__)  # the library ends the process with 1
    if status == INTERRUPTED:  # Typer turns Ctrl-C into this status and says nothing
        say_interrupted()
    return status
