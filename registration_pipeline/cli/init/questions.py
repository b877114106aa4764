"""The questions of ``init``, on a terminal: each with what is wrong with an answer, and asked again then.

What does not belong here: what becomes of the answers (``answers.py``).
"""

import sys
from collections.abc import Callable
from pathlib import Path

import typer
from pydantic import ValidationError

from registration_pipeline.cli.init.answers import name_for, needs_region, uri_of
from registration_pipeline.cli.output import notice
from registration_pipeline.errors import UsageError
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline.settings.addresses import parse_endpoint, parse_location

_WHERE = "Where are the objects (s3://bucket/prefix/, gs://…, az://…, obs://…, or a directory)"
_ENDPOINT = "Endpoint of an S3-compatible store (empty: Amazon S3)"


def is_terminal() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_uri(folder: Path) -> str:
    """Ask where the objects are."""

    def read(written: str) -> str:
        uri = uri_of(written, folder)
        parse_location(uri)
        return uri

    return _asked(_WHERE, None, read)


def ask_source(uri: str) -> str:
    """Ask for the source's name."""

    def read(written: str) -> str:
        SourceSettings(name=written, uri=uri)
        return written

    return _asked("Name of the source (a-z, 0-9 and hyphens)", name_for(uri), read)


def ask_endpoint() -> str | None:
    """Ask for the endpoint of an S3-compatible store."""
    return _asked(_ENDPOINT, "", lambda written: parse_endpoint(written) if written else "") or None


def ask_region(uri: str, endpoint_url: str | None) -> str | None:
    """Ask for the bucket's region, where the objects' URLs hold it."""
    if not needs_region(uri, endpoint_url):
        return None

    def read(written: str) -> str:
        StorageSettings(region=written)
        return written

    return _asked("Region of the bucket, e.g. eu-west-2", None, read)


def ask_integration() -> str:
    """Ask for the integration."""
    return _asked("Title or UUID of the cloud integration in Encord", None, lambda written: written)


def _asked(question: str, default: str | None, read: Callable[[str], str]) -> str:
    while True:
        # On standard error, so that --json's document stays alone on standard output.
        written = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        try:
            return read(written)
        except ValidationError as error:
            notice(f"{written!r} {error.errors()[0]['ctx']['error']}.")
        except (ValueError, UsageError) as error:
            notice(f"{written!r}: {error}" if isinstance(error, ValueError) else str(error))
