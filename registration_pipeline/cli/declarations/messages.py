"""The command about messages to people, declared; what it does is in ``cli/notify.py``."""

from typing import Annotated

import typer

from registration_pipeline.cli.options import ConfigOption, JsonOption, chosen_config

commands = typer.Typer()


@commands.command()
def notify(
    *,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every channel.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Who gets a message when a night goes wrong; with `--test`, try it."""
    from registration_pipeline.cli.notify import show_channels

    return show_channels(chosen_config(config), is_test=test, as_json=json)
