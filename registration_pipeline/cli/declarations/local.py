"""The commands that need no account and no bucket: the sandbox and the demo."""

from pathlib import Path
from typing import Annotated

import typer

from registration_pipeline.cli.options import ConfigOption, JsonOption, UnusedConfigOption, chosen_config
from registration_pipeline.errors import UsageError

commands = typer.Typer()

_ADMIN_PORT = 8743


@commands.command()
def sandbox(
    *,
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 picks a free one.")] = 8742,
    data: Annotated[Path, typer.Option("--data", help="Where its database, key and rules live.")] = Path("sandbox"),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    admin_port: Annotated[
        int | None,
        typer.Option(
            "--admin-port",
            help="Port of the page and API to inspect it and plant faults; 0 picks a free one. "
            f"By default {_ADMIN_PORT}, or a free one if that is in use.",
            show_default=False,
        ),
    ] = None,
    read: Annotated[
        Path | None,
        typer.Option(
            "--read",
            metavar="DIR",
            help="Open file:/// objects below this directory and read how each begins: what is of another type is refused, a "
            "file that is damaged further in is registered. Without this and --open, nothing is opened.",
            show_default=False,
        ),
    ] = None,
    is_open: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Open the objects of the sources in registration.yaml and read how each begins: file:///, and "
            "S3-compatible stores with this machine's credentials.",
        ),
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Run the local Encord sandbox until Ctrl-C, and print how to point the pipeline at it."""
    from registration_pipeline.cli.sandbox import readers_for
    from registration_pipeline.sandbox.config import Integration, SandboxConfig
    from registration_pipeline.sandbox.server import serve

    readers = readers_for(chosen_config(config), directory=read, is_open=is_open)
    integrations = (Integration("sandbox", readers=readers),)
    serve(
        SandboxConfig(
            data=data,
            host=host,
            port=port,
            admin_port=_ADMIN_PORT if admin_port is None else admin_port,
            admin_port_or_free=admin_port is None,
            integrations=integrations,
        ),
        as_json=json,
    )
    return 0


@commands.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the demo lives; made if missing.")] = Path("demo"),
    ui: Annotated[bool, typer.Option("--ui", help="Open the Dagster UI on the demo, until Ctrl-C.")] = False,  # noqa: FBT002
    ui_port: Annotated[int, typer.Option("--ui-port", help="Port of the Dagster UI.")] = 3000,
    config: UnusedConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """The whole main job on a small real bucket of generated media and the local sandbox."""
    from registration_pipeline.demo.command import run_demo, serve_demo

    del config
    if ui and json:
        raise UsageError("Give --ui or --json, not both: the UI runs until Ctrl-C and has no report.")
    return serve_demo(folder.resolve(), ui_port) if ui else run_demo(folder.resolve(), as_json=json)
