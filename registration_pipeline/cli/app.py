"""The command line: every command, its options and its help.

Work is done elsewhere (``session.py``), and so is reporting of errors (``errors.py``). Heavy modules are imported inside
commands, so that ``--help`` answers at once.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from registration_pipeline import __version__
from registration_pipeline.cli.errors import INTERRUPTED, report, say_interrupted
from registration_pipeline.cli.interrupt import status_of_interruption, watch_interrupts
from registration_pipeline.cli.streams import replace_closed_streams, watch_stdout
from registration_pipeline.errors import UsageError

_NAME = "registration-pipeline"  # also when started as a module

app = typer.Typer(
    name=_NAME,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Registers every object of a bucket in Encord, exactly once.\n\n"
        "Exit status: 0 every eligible object is registered; 1 a bug; 2 wrong usage or configuration; "
        "3 done, but some objects failed or were rejected; 4 halted: the message says why and what to do; "
        "130 interrupted (143: by SIGTERM), run again."
    ),
)

_CONFIG_HELP = "The configuration file. Default: the one that REGISTRATION_CONFIG names, else ./registration.yaml."
ConfigOption = Annotated[Path | None, typer.Option("--config", help=_CONFIG_HELP, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
UnusedConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Accepted by every command; not used by this one.", show_default=False)
]
SourceArgument = Annotated[str, typer.Argument(help="A source of registration.yaml.")]
SourcesArgument = Annotated[
    list[str] | None, typer.Argument(help="Sources of registration.yaml; all by default.", show_default=False)
]


def _print_version(is_wanted: bool) -> None:  # noqa: FBT001 - the form of an option's callback
    if is_wanted:
        typer.echo(f"registration-pipeline {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    config: ConfigOption = None,
    version: Annotated[  # noqa: ARG001, FBT002 - its callback does the work
        bool,
        # Eager, because it must answer before a missing command is complained about.
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    try:
        Path.cwd()
    except OSError as error:
        known = os.environ.get("PWD", "")
        raise UsageError(
            f"The current directory {known} does not exist any more: it was removed or renamed. Change to a folder that "
            "exists (cd) and run again."
        ) from error
    context.obj = config


def _config(config: Path | None) -> Path | None:
    """Return the file named after the command, else the one named before it."""
    before: Path | None = click.get_current_context().find_root().obj
    return config or before


@app.command()
def sync(sources: SourcesArgument = None, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """Inventory, plan, manifests, submission and failure log, for all that is due.

    Run it every night, or as often as you like: what is registered is never sent again, what was interrupted goes on where it
    stopped. Sources run one after the other; one that halts does not stop the others.
    """
    from registration_pipeline.cli.commands import sync_sources

    return sync_sources(_config(config), sources or [], as_json=json)


@app.command()
def inventory(source: SourceArgument, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """List the bucket into a new dated inventory (Parquet), and stop there."""
    from registration_pipeline.cli.commands import inventory_source

    return inventory_source(_config(config), source, as_json=json)


@app.command()
def probe(source: SourceArgument, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """Read what a plan needs of each object, and stop there: headers of DICOM objects, media metadata, client metadata.

    `sync` does the same, and `plan` reads the headers; before `plan --dry-run`, media_metadata and metadata need it. What is
    known of an object is not read again; what could not be read is tried again.
    """
    from registration_pipeline.cli.probe import probe_source

    return probe_source(_config(config), source, as_json=json)


@app.command()
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

    return plan_source(_config(config), source, dry_run=dry_run, as_json=json)


@app.command()
def submit(  # noqa: PLR0917 - Typer's form of options
    source: SourceArgument,
    chunk: Annotated[
        list[str] | None,
        typer.Option("--chunk", metavar="ID", help="Only this chunk; may be given again. A failed one is retried."),
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
    return submit_source(_config(config), source, chunk_ids=chunk or [], failed=failed, force=force, as_json=json)


@app.command()
def cancel(
    source: SourceArgument,
    chunk: Annotated[
        list[str],
        typer.Option("--chunk", metavar="ID", help="The chunk whose upload job is stopped; may be given again."),
    ],
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Cancel the upload jobs of chunks that take too long. What they did not register is tried again by later runs."""
    from registration_pipeline.cli.commands import cancel_chunks

    return cancel_chunks(_config(config), source, chunk, as_json=json)


@app.command()
def status(sources: SourcesArgument = None, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """How many objects are in each state. Always: objects = excluded + rejected + registered + pending + failed."""
    from registration_pipeline.cli.commands import show_status

    return show_status(_config(config), sources or [], as_json=json)


@app.command()
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

    return show_failures(_config(config), sources or [], out=out, as_json=json)


@app.command()
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

    return audit_source(_config(config), source, adopt=adopt, out=out, as_json=json)


@app.command()
def check(sources: SourcesArgument = None, config: ConfigOption = None, json: JsonOption = False) -> int:  # noqa: FBT002
    """Preflight: configuration, bucket readable, Encord key valid, integration and folder found. Changes nothing."""
    from registration_pipeline.cli.check import check_sources

    return check_sources(_config(config), sources or [], as_json=json)


@app.command()
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

    return schema_source(_config(config), source, apply=apply, as_json=json)


@app.command()
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
            help="Remove inventories older than this that nothing needs.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask on a terminal.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Check the pipeline's own records (the state) for damage, or remove old inventories.

    Exit status 4: something is damaged or missing; the output says of each file what to do.
    """
    from registration_pipeline.cli.state import prune_source, verify_source

    if verify == (prune is not None):
        raise UsageError(
            "Give --verify or --prune DAYS, one of them: --verify checks every file and changes nothing, --prune removes "
            "inventories that began more than DAYS days ago and that nothing needs."
        )
    if prune is not None:
        return prune_source(_config(config), source, days=prune, yes=yes, as_json=json)
    return verify_source(_config(config), source, as_json=json)


@app.command()
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

    return rehearse_source(_config(config), source, yes=yes, out=out, as_json=json)


@app.command()
def sandbox(
    *,
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 picks a free one.")] = 8742,
    data: Annotated[Path, typer.Option("--data", help="Where its database, key and rules live.")] = Path("sandbox"),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    admin_port: Annotated[
        int,
        typer.Option(
            "--admin-port", help="Port of the page and API to inspect it and plant faults; 0 picks a free one."
        ),
    ] = 8743,
    read: Annotated[
        Path | None,
        typer.Option(
            "--read",
            metavar="DIR",
            help="Open file:/// objects below this directory, as Encord opens every object. Without, nothing is opened, and "
            "a broken object is registered as well.",
            show_default=False,
        ),
    ] = None,
    config: UnusedConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Run the local Encord sandbox until Ctrl-C, and print how to point the pipeline at it."""
    del config
    from registration_pipeline.sandbox.config import Integration, LocalObjects, SandboxConfig
    from registration_pipeline.sandbox.server import serve

    if read is not None and not read.is_dir():
        raise UsageError(f"--read {read} is not a directory. Name the directory of the source's files.")
    readers = () if read is None else (LocalObjects(root=read.resolve()),)
    integrations = (Integration("sandbox", readers=readers),)
    serve(
        SandboxConfig(data=data, host=host, port=port, admin_port=admin_port, integrations=integrations), as_json=json
    )
    return 0


@app.command()
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


def main() -> None:
    """Run the command line and exit with its status."""
    replace_closed_streams()
    watch_stdout()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a key that the terminal can't show must not end the command
            stream.reconfigure(errors="backslashreplace")
    watch_interrupts()
    status = run(sys.argv[1:])
    sys.exit(status_of_interruption() if status == INTERRUPTED else status)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; every error becomes a message on standard error."""
    try:
        status = int(app(arguments, prog_name=_NAME, standalone_mode=False) or 0)
        sys.stdout.flush()  # else the interpreter writes what is left when nothing can be said any more
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last resort of a command line
        return report(error)
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return report(error.__context__)  # the library ends the process with 1
    if status == INTERRUPTED:  # Typer turns Ctrl-C into this status and says nothing
        say_interrupted()
    return status
