"""The last resort of the command line: what it says of an error that ended a command, and the exit status for it.

What does not belong here: commands and options (``declarations/``), and the errors themselves.
"""

import errno
import io
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

import click

from registration_pipeline import __version__
from registration_pipeline.cli.error_values import error_values
from registration_pipeline.cli.modes import MODES, spoken
from registration_pipeline.cli.streams import discard_stdout, stdout_trouble
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.foreign_text import masked
from registration_pipeline.state.shortage import shortage, shortage_text

HALTED = 4
INTERRUPTED = 130  # what shells give a command that SIGINT ended
WAS_SAID = threading.Event()
"""Set when this process has said that it was interrupted."""
_INTERRUPTION = "Interrupted. Nothing is lost; run again to go on."
_UNEXPECTED = "Unexpected error: "
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_DISK_WORDS = ("database or disk is full", "readonly database", "unable to open database file", "disk I/O error")


def report(error: BaseException) -> int:
    """Say what ended the command, under ``--json`` also as its document, and return the exit status for it."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        discard_stdout()
        return 0  # the reader of the output closed it; that is not an error
    if isinstance(error, click.MissingParameter):
        from registration_pipeline.cli.missing_source import name_sources

        name_sources(error)
    text, status = _said_of(error)
    _say(text)
    if stdout_trouble():
        discard_stdout()
    else:
        print_error(error, text, status, source=MODES.source)
    return status


def print_error(error: BaseException, text: str, status: int, *, source: str | None = None) -> None:
    """Print an error as the document of ``--json``, if that is asked for and there is none yet."""
    if not MODES.is_json or MODES.has_document:
        return
    from registration_pipeline.cli.output import print_json

    said = text.rpartition(_UNEXPECTED)[2] if _UNEXPECTED in text else text
    said = error.format_message() if isinstance(error, click.ClickException) else said
    values = error_values(error, source=source, message=said.removeprefix("Error: "), exit_status=status)
    print_json({"error": values})
    sys.stdout.flush()


def _said_of(error: BaseException) -> tuple[str, int]:  # noqa: PLR0911 - a return for each kind
    """Return what to say of an error, and the exit status for it."""
    match error:
        case click.ClickException():
            shown = io.StringIO()
            error.show(file=shown)
            return shown.getvalue().rstrip("\n"), error.exit_code
        case RegistrationPipelineError():
            return f"Error: {error}", error.exit_status
        case KeyboardInterrupt() | click.Abort():
            WAS_SAID.set()
            return _INTERRUPTION, INTERRUPTED
        case OSError() if trouble := stdout_trouble():
            return (
                f"Error: standard output can't be written: {trouble}. Free space where it goes, or send it to another place, "
                "and run again. Nothing that was registered is lost."
            ), HALTED
        case _ if trouble := _disk_trouble(error):
            return (
                f"Error: Dagster's own files can't be written: {trouble}. Free space or fix the permission at "
                "DAGSTER_HOME (by default .dagster beside the configuration), or set it to another place, and run again. "
                "Nothing that was registered is lost."
            ), HALTED
        case _ if short_of := _shortage(error):
            return f"Error: {shortage_text('The command could not go on', short_of)}", HALTED
        case _:
            return _bug_report(error), 1


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or cause.__context__


def _shortage(error: BaseException) -> str | None:
    """Return what the machine ran short of, wherever in the chain of errors that is said."""
    return next(filter(None, map(shortage, _chain(error))), None)


def _disk_trouble(error: BaseException) -> str | None:
    """Return what the operating system or SQLite said of a full or read-only disk, wherever in the chain of errors it is.

    Errors of the state are translated where they happen; what is left is Dagster's event log.
    """
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            return cause.strerror
        if isinstance(cause, sqlite3.OperationalError) and any(words in str(cause) for words in _DISK_WORDS):
            return str(cause)
    return None


def say_interrupted(write: Callable[[str], object] | None = None) -> None:
    """Say that Ctrl-C ended the command.

    Args:
        write: takes the line; by default standard error.
    """
    WAS_SAID.set()
    (write or sys.stderr.write)(spoken(_INTERRUPTION))
    print_error(KeyboardInterrupt(), _INTERRUPTION, INTERRUPTED) if write is None else None


def _bug_report(error: BaseException) -> str:
    # A bug inside a Dagster run carries the run's own traceback as its second argument.
    inside = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], str) else ""
    trace = inside or "".join(traceback.format_exception(error))
    return masked(  # the report is meant to be passed on
        f"{trace}\n{_UNEXPECTED}{error.args[0] if error.args else error}\n"
        "This is a bug. Nothing that was recorded is lost. Please report it with the lines above, "
        f"registration-pipeline {__version__}, Python {sys.version.split()[0]}, and the command that you ran."
    )


def _say(text: str) -> None:
    # What others said, and names of objects, may hold characters that a terminal would obey.
    sys.stderr.write(spoken(text, "warning" if text == _INTERRUPTION else "error"))
