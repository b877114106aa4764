"""The commands that answer questions about the sources. They are declared here and carried out in ``cli/``."""

from pathlib import Path
from typing import Annotated

import typer

from registration_pipeline.cli.options import (
    ConfigOption,
    ExportFormat,
    JsonOption,
    SourceArgument,
    SourcesArgument,
    all_as_listed,
    chosen_config,
)

commands = typer.Typer()


@commands.command()
def status(sources: SourcesArgument = None, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """How many objects are in each state. Always: objects = excluded + rejected + registered + pending + failed."""
    from registration_pipeline.cli.commands import show_status

    return show_status(chosen_config(config), sources or [], as_json=json)


@commands.command()
def failures(
    sources: SourcesArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write all of them to this .csv, .parquet or .json file.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """What is not registered and why: a row per failed unit and per rejected object."""
    from registration_pipeline.cli.commands import show_failures

    return show_failures(chosen_config(config), sources or [], out=out, as_json=json)


@commands.command()
def report(
    sources: SourcesArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.html", help="The page. It needs no network and holds no script.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """The state of the sources as one HTML page: counts, failures and who has to act, jobs, growth, audit.

    Reads the state only. `--json` prints the figures of the page, with or without `--out`.
    """
    from registration_pipeline.cli.report import report_sources

    return report_sources(chosen_config(config), sources or [], out=out, as_json=json)


@commands.command()
def audit(
    source: SourceArgument,
    adopt: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--adopt", help="Record as registered what is ours and in Encord already. Sends nothing."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write all findings to this .csv, .parquet or .json file.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Bucket, ledger and Encord folder compared: missing, moved, duplicate, unknown, changed and gone objects."""
    from registration_pipeline.cli.audit import audit_source

    return audit_source(chosen_config(config), source, adopt=adopt, out=out, as_json=json)


@commands.command()
def export(  # noqa: PLR0917 - Typer's form of options
    source: SourceArgument,
    out: Annotated[Path, typer.Option("--out", help="The folder for the files; it is made if it does not exist.")],
    format: Annotated[  # noqa: A002 - the option's name
        ExportFormat, typer.Option("--format", help="CSV knows titles and URLs only, and not every kind.")
    ] = ExportFormat.JSON,
    chunk: Annotated[
        list[str] | None,
        typer.Option(
            "--chunk",
            help="This chunk, also if it is registered; may be given several times.",
            callback=all_as_listed,
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """The manifests as files for Encord's upload dialog, one per chunk that is not wholly registered. Sends nothing."""
    from registration_pipeline.cli.export import export_source

    return export_source(chosen_config(config), source, form=format, out=out, chunk_ids=chunk or [], as_json=json)
