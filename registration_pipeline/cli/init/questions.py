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
        say_slash(written, uri)
        return uri

    return _asked(_WHERE, read, needed="there is nothing to register without an address")


def say_slash(written: str, uri: str) -> None:
    """Say so if an address was ended with a slash."""
    if "://" in written and uri == f"{written}/":
        notice(
            f"A slash was added: {uri}. Without it, keys that only begin like the folder's name would belong to it, too. If "
            "these are meant, remove it from uri in registration.yaml."
        )


def ask_source(uri: str) -> str:
    """Ask for the source's name."""

    def read(written: str) -> str:
        SourceSettings(name=written, uri=uri)
        return written

    return _asked("Name of the source (a-z, 0-9 and hyphens)", read, default=name_for(uri))


def ask_endpoint() -> str | None:
    """Ask for the endpoint of an S3-compatible store."""
    return _asked(_ENDPOINT, lambda written: parse_endpoint(written) if written else "") or None


def ask_region(uri: str, endpoint_url: str | None) -> str | None:
    """Ask for the bucket's region, where the objects' URLs hold it."""
    if not needs_region(uri, endpoint_url):
        return None

    def read(written: str) -> str:
        StorageSettings(region=written)
        return written

    return _asked(
        "Region of the bucket, e.g. eu-west-2",
        read,
        needed="the URLs of the objects hold the bucket's region. Only an S3-compatible store with an endpoint needs none: "
        "for that, press Ctrl-C and give --endpoint-url",
    )


def ask_integration() -> str:
    """Ask for the integration."""
    return _asked(
        "Title or UUID of the cloud integration in Encord",
        lambda written: written,
        needed="Encord reads the objects through an integration, and lists them where cloud integrations are set up",
    )


def _asked(question: str, read: Callable[[str], str], *, default: str = "", needed: str | None = None) -> str:
    """Ask until the answer can be right.

    Args:
        question: what is asked.
        read: makes the answer of what was written, or raises.
        default: taken for an empty answer.
        needed: why there must be an answer; None: it may be empty.
    """
    while True:
        # On standard error, so that --json's document stays alone on standard output.
        written = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        if needed is not None and not written:
            notice(f"An answer is needed: {needed}.")
            continue
        try:
            return read(written)
        except ValidationError as error:
            notice(f"{written!r}: {error.errors()[0]['ctx']['error']}.")
        except (ValueError, UsageError) as error:
            notice(f"{written!r}: {error}" if isinstance(error, ValueError) else str(error))
