"""The commands that look something up in the state: chunks and objects. They are carried out in ``cli/lookup.py``."""

from typing import Annotated

import typer

from registration_pipeline.cli.options import (
    ChunkStateName,
    ConfigOption,
    JsonOption,
    SourceArgument,
    all_as_listed,
    chosen_config,
)

commands = typer.Typer()


@commands.command()
def chunks(
    source: SourceArgument,
    state: Annotated[
        list[ChunkStateName] | None,
        typer.Option("--state", help="Only chunks in this state; may be given again.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """The chunks of a source: state, attempts, upload job, and what was said last of each."""
    from registration_pipeline.cli.lookup import show_chunks

    return show_chunks(chosen_config(config), source, states=[one.value for one in state or ()], as_json=json)


@commands.command()
def find(
    source: SourceArgument,
    key: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY…",
            help="Whole keys, keys below the prefix, URLs, or UUIDs of items in Encord.",
            callback=all_as_listed,
        ),
    ],
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Where an object is and why: inventory, unit, chunk, item in Encord, reason, and every attempt.

    Reads the state only. A key is found at once however many objects there are; the UUID of an item takes a second per
    thousand chunks. Ends with 0 if every key has a place in the source, with 3 if one is unknown.
    """
    from registration_pipeline.cli.lookup import find_objects

    return find_objects(chosen_config(config), source, key, as_json=json)
