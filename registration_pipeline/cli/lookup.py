"""The commands ``chunks`` and ``find``: what the state says of chunks and of single objects."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from registration_pipeline.cli.missing_source import require_source
from registration_pipeline.cli.output import cell, print_json, say, stdout
from registration_pipeline.cli.session import DONE, open_project, open_source
from registration_pipeline.counted import counted
from registration_pipeline.tracking.chunk_list import ChunkInfo, list_chunks
from registration_pipeline.tracking.search.find import ObjectFinder
from registration_pipeline.tracking.search.found import Attempt, FoundObject, Place

NOT_ALL_FOUND = 3
"""The status of ``find`` when a key has no place in the source; the same number as of a sync that left objects out."""

_MOST_SHOWN = 200
"""Chunks that are printed; ``--json`` prints all."""

_TABLE_COLUMNS = 160
"""Of a terminal in which the table has room for ids as a whole."""


def show_chunks(config: Path | None, name: str, *, states: Sequence[str], as_json: bool) -> int:
    """Show the chunks of a source, or those in some states."""
    project, source = open_source(config, name)
    found = list(list_chunks(project.store, project.snapshot(source), frozenset(states)))
    if as_json:
        print_json({"source": source.name, "chunks": [chunk.as_json() for chunk in found]})
        return DONE
    wanted = f" that {'is' if len(found) == 1 else 'are'} {' or '.join(states).replace('_', ' ')}" if states else ""
    say(f"{source.name}: {counted(len(found), 'chunk')}{wanted}")
    show = _print_chunks if stdout().width >= _TABLE_COLUMNS else _list_chunks
    show(found[:_MOST_SHOWN])
    if len(found) > _MOST_SHOWN:
        say(f"… and {counted(len(found) - _MOST_SHOWN, 'more chunk')}; --json prints all of them.")
    return DONE


def _list_chunks(chunks: Sequence[ChunkInfo]) -> None:
    """Print a line for each: a table would break ids into pieces, which people copy."""
    for chunk in chunks:
        counts = (
            f"{counted(chunk.units, 'unit')}, {counted(chunk.objects, 'object')}, {counted(chunk.attempts, 'attempt')}"
        )
        job = f", job {chunk.job_id}" if chunk.job_id else ""
        said = f": {cell(_said_of(chunk))}" if _said_of(chunk) else ""
        say(f"{chunk.chunk_id}: {chunk.state.replace('_', ' ')}, {counts}{job}{said}")


def _print_chunks(chunks: Sequence[ChunkInfo]) -> None:
    if not chunks:
        return
    table = Table()
    for heading in ("chunk", "kind", "units", "objects", "state", "attempts", "job", "last message"):
        right = heading in {"units", "objects", "attempts"}
        table.add_column(
            heading, overflow="fold", justify="right" if right else "left", no_wrap=heading in {"chunk", "job"}
        )
    for chunk in chunks:
        said = _said_of(chunk)
        numbers = (f"{chunk.units:,}", f"{chunk.objects:,}")
        cells = (chunk.chunk_id, chunk.kind, *numbers, chunk.state, f"{chunk.attempts:,}", chunk.job_id or "", said)
        table.add_row(*map(cell, cells))
    stdout().print(table)


def _said_of(chunk: ChunkInfo) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(chunk.reasons.items()))
    failed = f"{counted(chunk.failed_units, 'unit')} failed ({reasons})" if chunk.failed_units else ""
    return ": ".join(part for part in (failed, chunk.message) if part)


def find_objects(config: Path | None, name: str, keys: Sequence[str], *, as_json: bool) -> int:
    """Show where objects are; the status says whether all of them have a place in the source."""
    require_source(open_project(config), name, keys)
    project, source = open_source(config, name)
    unknown, documents = False, []
    for one in ObjectFinder(project.store, source, project.snapshot(source)).find(keys):
        unknown |= one.place is Place.UNKNOWN
        documents.append(one.as_json()) if as_json else _print_object(one)
    if as_json:
        print_json({"source": source.name, "objects": documents})
    return NOT_ALL_FOUND if unknown else DONE


def _print_object(found: FoundObject) -> None:
    say(f"{cell(found.key)}: [bold]{found.place.value.replace('_', ' ')}[/bold]: {cell(found.explanation)}.")
    for name, value in _facts_of(found):
        say(f"  {name}: {cell(value)}")
    for attempt in found.history:
        say(f"  attempt {attempt.number}, {_time(attempt)}: {cell(_outcome_of(attempt))}")


def _facts_of(found: FoundObject) -> list[tuple[str, str]]:
    listed, position = found.listing, found.unit_position
    of_several = f", object {position} of unit {found.unit_key!r}" if found.unit_key is not None else ""
    facts = (
        (
            "inventory",
            listed and f"{listed.inventory_id}: {counted(listed.size, 'byte')}, written {listed.last_modified}",
        ),
        ("URL", found.object_url),
        ("unit", found.unit_id and f"{found.unit_id}, titled {found.unit_title!r}{of_several}"),
        ("chunk", found.chunk_id and f"{found.chunk_id} ({found.chunk_state})"),
        ("item", found.item_uuid),
        ("message", found.message),
        ("subtask", found.subtask_uuid),
    )
    return [(name, value) for name, value in facts if value]


def _time(attempt: Attempt) -> str:
    return attempt.at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _outcome_of(attempt: Attempt) -> str:
    job = f" (job {attempt.job_id})" if attempt.job_id else ""
    said = f": {attempt.message}" if attempt.message else ""
    if attempt.is_registered is not None:
        return ("registered" if attempt.is_registered else f"failed, {attempt.reason}") + job + said
    return attempt.event.replace("_", " ") + job + said
