"""The arguments and options that several commands share.

What belongs to one command only is declared with it, in ``cli/declarations``.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import click
import typer

_CONFIG_HELP = "The configuration file. Default: the one that REGISTRATION_CONFIG names, else ./registration.yaml."

ConfigOption = Annotated[Path | None, typer.Option("--config", help=_CONFIG_HELP, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
UnusedConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Accepted by every command; not used by this one.", show_default=False)
]


def as_listed(text: str) -> str:
    r"""Return a text of the command line as an inventory spells it: ``\xNN`` for each byte that is not UTF-8."""
    return "".join(f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in text)


def all_as_listed(texts: list[str] | None) -> list[str] | None:
    """Return each of some texts ``as_listed``."""
    return None if texts is None else [as_listed(text) for text in texts]


WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        show_default=False,
        help="The longest wait while another process submits the source; then the command ends with status 4 and says which "
        "one. Default: until it is its turn.",
    ),
]
SourceArgument = Annotated[str, typer.Argument(help="A source of registration.yaml.", callback=as_listed)]
SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Sources of registration.yaml; all by default.", show_default=False, callback=all_as_listed),
]


class ExportFormat(StrEnum):
    """The forms of a manifest that Encord's upload dialog reads."""

    JSON = "json"
    CSV = "csv"


class ChunkStateName(StrEnum):
    """The states of chunks, as ``status --json`` names them."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    PARTIALLY_FAILED = "partially_failed"
    FAILED = "failed"


def chosen_config(config: Path | None) -> Path | None:
    """Return the file named after the command, else the one named before it."""
    before: Path | None = click.get_current_context().find_root().obj
    return config or before
