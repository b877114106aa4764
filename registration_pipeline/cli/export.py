"""The ``export`` command: manifests as files for Encord's upload dialog. Nothing is sent and nothing counts as registered.

What the files hold is made in ``manifest``.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from registration_pipeline.cli.options import ExportFormat
from registration_pipeline.cli.output import notice, print_json, say
from registration_pipeline.cli.session import DONE, open_source, refuse_in_state
from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.foreign_text import printable
from registration_pipeline.manifest.csv_form import CSV_KINDS, MOST_ENTRIES, csv_rows
from registration_pipeline.manifest.files import ensure_manifest
from registration_pipeline.planning.wave import read_chunk_units
from registration_pipeline.tracking.due import named_tasks
from registration_pipeline.tracking.journal.states import FAILED_STATES, ChunkState
from registration_pipeline.tracking.status import chunk_statuses

_FORMULAS = ("=", "+", "-", "@")

if TYPE_CHECKING:
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.project.project import Project
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.tracking.status import ChunkStatus


def export_source(
    config: Path | None, name: str, *, form: ExportFormat, out: Path, chunk_ids: Sequence[str], as_json: bool
) -> int:
    """Write the manifests of the named chunks, or of all that are not wholly registered, into a folder: a file per chunk."""
    project, source = open_source(config, name)
    statuses = chunk_statuses(project.store, source.name, project.snapshot(source))
    if not statuses:
        raise UsageError(
            f"Source {source.name!r} has no chunks to export: run `registration-pipeline inventory {source.name}` and "
            f"`registration-pipeline plan {source.name}` first."
        )
    named_tasks(source.name, statuses, chunk_ids)  # refuses unknown ids
    chosen = [statuses[chunk_id] for chunk_id in dict.fromkeys(chunk_ids or statuses)]
    if not chunk_ids:
        chosen = [status for status in chosen if status.progress.state is not ChunkState.SUCCEEDED]
    chunks = [status.chunk for status in chosen]
    if form is ExportFormat.CSV:
        _refuse_for_csv(source.name, chunks)
    if chunks:
        _make_folder(project, out)
    files = [_write(project, source, chunk, form, out) for chunk in chunks]
    if form is ExportFormat.CSV:
        _warn_of_formulas(project, source.name, chunks)
    if as_json:
        print_json({"source": source.name, "format": form.value, "files": [str(file) for file in files]})
        return DONE
    for line in _lines(source.name, chosen, out):
        say(escape(printable(line)))
    return DONE


def _lines(source: str, chosen: "Sequence[ChunkStatus]", out: Path) -> list[str]:
    """Say what was written, and of each kind of chunk among it what a sync does with it."""
    if not chosen:
        none = "nothing to export: all chunks are wholly registered, so no file was written"
        return [
            f"{source}: {none}. --chunk ID exports one all the same: `registration-pipeline chunks {source}` lists them."
        ]
    states = [status.progress.state for status in chosen]
    registered, failed = states.count(ChunkState.SUCCEEDED), sum(state in FAILED_STATES for state in states)
    due = len(states) - registered - failed
    units = sum(status.chunk.units for status in chosen)
    lines = [f"{source}: {counted(len(chosen), 'file')} with {counted(units, 'unit')} in {out}."]
    adopt = f"`registration-pipeline audit {source} --adopt`"
    if due:
        lines.append(
            f"  {counted(due, 'chunk')} not registered yet: a sync sends what you upload by hand, too, until {adopt} records "
            "it; Encord skips what is in the folder."
        )
    if failed:
        lines.append(
            f"  {counted(failed, 'chunk')} with failures: Encord skips what is registered; {adopt} records what you upload "
            "by hand."
        )
    if registered:
        lines.append(
            f"  {counted(registered, 'chunk')} wholly registered: no sync sends it again, and Encord skips what is in the "
            "folder."
        )
    return lines


def _refuse_for_csv(source: str, chunks: "Sequence[PlannedChunk]") -> None:
    """Refuse what the CSV form can't say, before anything is written."""
    other = sorted({chunk.kind.value for chunk in chunks if chunk.kind not in CSV_KINDS})
    if other:
        known = ", ".join(sorted(kind.value for kind in CSV_KINDS))
        raise UsageError(
            f"Encord's CSV form has no headings for {', '.join(other)}, only for {known}. Use --format json, or name chunks "
            f"of those kinds with --chunk: `registration-pipeline chunks {source}` lists them."
        )
    large = next((chunk for chunk in chunks if chunk.objects > MOST_ENTRIES), None)
    if large is not None:
        raise UsageError(
            f"Chunk {large.chunk_id} has {counted(large.objects, 'object')}, and a CSV file of Encord may have "
            f"{MOST_ENTRIES:,} entries. Use --format json."
        )


def _warn_of_formulas(project: "Project", source: str, chunks: "Sequence[PlannedChunk]") -> None:
    """Warn of titles that a spreadsheet would run: they are written as they are, because Encord shows what the file says."""
    units = (unit for chunk in chunks for unit in read_chunk_units(project.store, source, chunk))
    if count := sum(unit.title.startswith(_FORMULAS) for unit in units):
        begins = "title begins" if count == 1 else "titles begin"
        notice(
            f"{source}: {count:,} {begins} with =, +, - or @. Upload the files as they are: a spreadsheet would run "
            "such a cell as a formula.",
            "warning",
            source=source,
        )


def _make_folder(project: "Project", out: Path) -> None:
    refuse_in_state(project, out, is_folder=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--out {out} is not a folder that can be made: {error.strerror}. Name another one."
        ) from error


def _write(project: "Project", source: "SourceSettings", chunk: "PlannedChunk", form: ExportFormat, out: Path) -> Path:
    """Write one chunk under its id, whole or not at all; a file of an earlier export is replaced by the same content."""
    file = out / f"{chunk.chunk_id}.{form.value}"
    unfinished = out / f".{file.name}.part"
    units = read_chunk_units(project.store, source.name, chunk)
    try:
        if form is ExportFormat.JSON:
            made = ensure_manifest(project.store, source.name, chunk, units, limits=project.manifest_limits)
            unfinished.write_bytes(project.store.read(made.name))
        else:
            with unfinished.open("w", encoding="utf-8", newline="") as opened:
                csv.writer(opened).writerows(csv_rows(chunk.kind, units))
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(
            f"--out {out} can't be written: {error.strerror}. Name a folder that can be, with enough space."
        ) from error
    return file
