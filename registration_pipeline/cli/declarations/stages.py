"""The commands that do the work of a night, as a whole and stage by stage.

Work is done in ``cli/commands.py`` and ``cli/probe.py``; both are imported inside the commands, so that ``--help`` answers at
once.
"""

from typing import Annotated

import typer

from registration_pipeline.cli.options import (
    ConfigOption,
    JsonOption,
    SourceArgument,
    SourcesArgument,
    WaitOption,
    all_as_listed,
    chosen_config,
)
from registration_pipeline.errors import UsageError

commands = typer.Typer()


@commands.command()
def sync(
    sources: SourcesArgument = None,
    dry_run: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--dry-run",
            help="List, read and plan, say what would be registered, rejected, retried, upserted and linked, and change "
            "nothing.",
        ),
    ] = False,
    wait: WaitOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Inventory, plan, manifests, submission and failure log, for all that is due.

    Run it every night, or as often as you like: what is registered is never sent again, what was interrupted goes on where it
    stopped. Sources run one after the other; one that halts does not stop the others.
    """
    if dry_run:
        from registration_pipeline.cli.dry_run import try_sync

        return try_sync(chosen_config(config), sources or [], as_json=json)
    from registration_pipeline.cli.commands import sync_sources

    return sync_sources(chosen_config(config), sources or [], as_json=json, longest_wait=wait)


@commands.command()
def inventory(source: SourceArgument, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """List the bucket into a new dated inventory (Parquet), and stop there."""
    from registration_pipeline.cli.commands import inventory_source

    return inventory_source(chosen_config(config), source, as_json=json)


@commands.command()
def probe(source: SourceArgument, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """Read what a plan needs of each object, and stop there: headers of DICOM objects, media metadata, client metadata.

    `sync` does the same, and `plan` reads the headers; before `plan --dry-run`, media_metadata and metadata need it. What is
    known of an object is not read again; what could not be read is tried again.
    """
    from registration_pipeline.cli.probe import probe_source

    return probe_source(chosen_config(config), source, as_json=json)


@commands.command()
def plan(
    source: SourceArgument,
    dry_run: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--dry-run", help="Show what a plan would add, or that there is nothing to add, and write nothing."
        ),
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Put the new objects of the latest inventory into chunks. Chunks that exist never change.

    An inventory that is planned already is not planned again: the output says so and shows the wave, which is what one plan
    added. "Held" objects are too young (`min_age_seconds`): a later plan takes them.
    """
    from registration_pipeline.cli.commands import plan_source

    return plan_source(chosen_config(config), source, dry_run=dry_run, as_json=json)


@commands.command()
def submit(  # noqa: PLR0917 - Typer's form of options
    source: SourceArgument,
    chunk: Annotated[
        list[str] | None,
        typer.Option(
            "--chunk",
            metavar="ID",
            help="Only this chunk; may be given again. A failed one is retried.",
            callback=all_as_listed,
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Retry the chunks that have failures.")] = False,  # noqa: FBT002
    force: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--force",
            help="With --failed: also those that were tried max_attempts times. "
            "With --chunk: even if nothing of it failed; Encord skips what it has.",
        ),
    ] = False,
    wait: WaitOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Register the chunks that are due, resume those that were interrupted, and write the failure log."""
    from registration_pipeline.cli.commands import submit_source

    if chunk and failed:
        raise UsageError("Give --chunk or --failed, not both: a failed chunk that is named is retried.")
    if force and not (chunk or failed):
        raise UsageError(
            "--force needs --failed or --chunk: it says which chunks to send although their retries are exhausted."
        )
    return submit_source(
        chosen_config(config),
        source,
        chunk_ids=chunk or [],
        failed=failed,
        force=force,
        as_json=json,
        longest_wait=wait,
    )


@commands.command()
def cancel(
    source: SourceArgument,
    chunk: Annotated[
        list[str],
        typer.Option(
            "--chunk",
            metavar="ID",
            help="The chunk whose upload job is stopped; may be given again.",
            callback=all_as_listed,
        ),
    ],
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Cancel the upload jobs of chunks that take too long. What they did not register is tried again by later runs."""
    from registration_pipeline.cli.commands import cancel_chunks

    return cancel_chunks(chosen_config(config), source, chunk, as_json=json)
