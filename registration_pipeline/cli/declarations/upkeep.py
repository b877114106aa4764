"""The commands around the nights: preflight, metadata schema, the records of the pipeline and of Dagster, rehearsal.

They are declared here and carried out in ``cli/``.
"""

from pathlib import Path
from typing import Annotated

import typer

from registration_pipeline.cli.options import ConfigOption, JsonOption, SourceArgument, SourcesArgument, chosen_config
from registration_pipeline.errors import UsageError

commands = typer.Typer()


@commands.command()
def check(sources: SourcesArgument = None, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """Preflight: configuration, bucket readable, Encord key valid, integration and folder found. Changes nothing."""
    from registration_pipeline.cli.check import check_sources

    return check_sources(chosen_config(config), sources or [], as_json=json)


@commands.command()
def schema(
    source: SourceArgument,
    apply: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--apply", help="Add the fields and options that Encord lacks. Nothing is removed or changed."),
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """The declared metadata schema beside Encord's, field by field.

    Exit status 3: fields or options are missing in Encord, or contradict it. With `--apply`: 0 when Encord has every declared
    field at the end, 2 when one contradicts Encord's; then nothing is written.
    """
    from registration_pipeline.cli.schema import schema_source

    return schema_source(chosen_config(config), source, apply=apply, as_json=json)


@commands.command()
def state(  # noqa: PLR0917 - Typer's form of options
    source: SourceArgument,
    verify: Annotated[bool, typer.Option("--verify", help="Check every file and list what is damaged.")] = False,  # noqa: FBT002
    prune: Annotated[
        int | None,
        typer.Option(
            "--prune",
            metavar="DAYS",
            min=0,
            max=36_500,
            help="Remove inventories, failure logs and audits older than this that nothing needs.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask on a terminal.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Check the pipeline's own records (the state) for damage, or remove what is old and not needed.

    Exit status 4: something is damaged or missing; the output says of each file what to do.
    """
    from registration_pipeline.cli.state import prune_source, verify_source

    if verify == (prune is not None):
        raise UsageError(
            "Give --verify or --prune DAYS, one of them: --verify checks every file and changes nothing, --prune removes "
            "inventories, failure logs and audits that are older than DAYS days and that nothing needs."
        )
    if prune is not None:
        return prune_source(chosen_config(config), source, days=prune, yes=yes, as_json=json)
    return verify_source(chosen_config(config), source, as_json=json)


@commands.command()
def runs(
    sources: SourcesArgument = None,
    *,
    prune: Annotated[
        int,
        typer.Option(
            "--prune",
            metavar="DAYS",
            min=1,
            max=36_500,
            help="Remove runs that ended more than this many days ago.",
            show_default=False,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Remove old runs and their events from Dagster's storage. The state is not changed.

    Runs stay, however old, while the page of an asset or of a chunk shows something of them: no chunk changes its colour.
    """
    from registration_pipeline.cli.runs import prune_runs

    return prune_runs(chosen_config(config), sources or [], days=prune, yes=yes, as_json=json)


@commands.command()
def rehearse(
    source: SourceArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes", help="Do not ask before objects are registered in a folder of its own.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the result to this .json file, to keep or to attach to a report."),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Find out how this Encord account behaves where that is not documented: registers objects and removes them again.

    A folder is made, a few small objects of the source are registered in it, once, again and side by side, and all of it is
    deleted at the end, also after Ctrl-C. No other folder and nothing of the state is touched. What holds, what differs from
    what the pipeline assumes, and which settings follow is printed.
    """
    from registration_pipeline.cli.rehearse import rehearse_source

    return rehearse_source(chosen_config(config), source, yes=yes, out=out, as_json=json)
