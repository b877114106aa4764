"""Whether this command speaks to people or to programs: ``--json`` and ``--log-format json``, known before anything is parsed.

What does not belong here: what is said. Imports nothing heavy: errors of the command line itself are said by it, too.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from registration_pipeline.foreign_text import printable

_OPTION = "--log-format"
_ALERT = "Error: "
FIELDS = ("source", "stage", "chunk", "attempt", "job_id", "done", "total")
"""Of a log line besides ``time``, ``level`` and ``message``; null where they do not apply."""


class LogFormat(StrEnum):
    """The form of what is said on standard error."""

    TEXT = "text"
    JSON = "json"


@dataclass
class Modes:
    """How the present command speaks.

    Args:
        is_json: standard output holds one JSON document.
        is_log_json: standard error holds one JSON object a line.
        has_document: something of the document was written.
        source: the one that the command is about, once it is known to be in the configuration.
    """

    is_json: bool = False
    is_log_json: bool = False
    has_document: bool = False
    source: str | None = None


MODES = Modes()


def with_log_format_first(arguments: list[str]) -> list[str]:
    """Return the arguments with ``--log-format`` in front of the command, wherever it was given."""
    own, others, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            others += [argument, *rest]
            break
        if argument == _OPTION and rest:
            own.append(f"{_OPTION}={rest.pop(0)}")
        elif argument.startswith(f"{_OPTION}="):
            own.append(argument)
        else:
            others.append(argument)
    return [*own, *others]


@contextmanager
def speaking_as_asked(arguments: list[str]) -> Iterator[None]:
    """Let the command speak as its arguments say, libraries included."""
    MODES.is_json = "--json" in arguments
    MODES.is_log_json = f"{_OPTION}={LogFormat.JSON}" in arguments
    MODES.has_document = False
    MODES.source = None
    handler = _LogLines(logging.WARNING)
    if MODES.is_log_json:
        logging.getLogger().addHandler(handler)
        logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        if MODES.is_log_json:
            logging.getLogger().removeHandler(handler)
            logging.captureWarnings(capture=False)


def spoken(text: str, level: str | None = None) -> str:
    """Return a text for standard error, with its end of line: as it is, or as a log line."""
    return log_line(text.rstrip("\n"), level) if MODES.is_log_json else printable(text).rstrip("\n") + "\n"


def log_line(message: str, level: str | None = None, **fields: Any) -> str:
    """Return a JSON object in one line of ASCII, with its end of line.

    Args:
        message: for people.
        level: ``info``, ``warning`` or ``error``; by default what the message begins like.
        fields: any of ``FIELDS``.
    """
    level = level or ("error" if message.startswith(_ALERT) else "info")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values = {name: fields.get(name) for name in FIELDS}
    return json.dumps({"time": now, "level": level, **values, "message": message.removeprefix(_ALERT)}) + "\n"


class _LogLines(logging.Handler):
    """Says what libraries log, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        sys.stderr.write(log_line(record.getMessage(), record.levelname.lower()))
