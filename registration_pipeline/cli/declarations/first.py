"""The command that sets a folder up, declared; what it does is in ``cli/init``."""

from pathlib import Path
from typing import Annotated

import typer

from registration_pipeline.cli.options import JsonOption, UnusedConfigOption

commands = typer.Typer()


@commands.command()
def init(
    *,
    folder: Annotated[Path, typer.Option("--dir", help="The folder to set up; made if missing.")] = Path(),
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="For the local sandbox instead of Encord: needs no bucket and no key. Registers DIR/media, or --uri.",
        ),
    ] = False,
    uri: Annotated[
        str | None, typer.Option(help="Where the objects are: s3:// gs:// az:// obs:// file:/// or a directory.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="The source's name. Default: after the bucket.")] = None,
    integration: Annotated[str | None, typer.Option(help="Title or UUID of the cloud integration in Encord.")] = None,
    encord_folder: Annotated[
        str | None, typer.Option("--folder", help="Name or UUID of the folder in Encord. Default: the source's name.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of the bucket, e.g. eu-west-2.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Endpoint of an S3-compatible store.")] = None,
    state: Annotated[str | None, typer.Option(help="Where the state lives: a path, s3:// gs:// or az://.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Cron of the nightly sync.", metavar="CRON")] = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="No nightly sync by Dagster.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    config: UnusedConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Set up a folder: registration.yaml, workspace.yaml and the folder of the Dagster instance.

    Asks on a terminal for what no option gives. Nothing is replaced without `--force`.
    """
    from registration_pipeline.cli.init.command import init_folder
    from registration_pipeline.cli.init.settling import Given

    del config
    given = Given(
        uri=uri,
        source=source,
        integration=integration,
        folder=encord_folder,
        region=region,
        endpoint_url=endpoint_url,
        state=state,
        schedule=schedule,
        is_scheduled=not no_schedule,
        is_sandbox=sandbox,
    )
    return init_folder(folder, given, force=force, as_json=json)
