"""How commands speak: tables, numbers and JSON on standard output, notices and errors on standard error.

Nothing is computed here.
"""

import codecs
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from registration_pipeline.cli.error_values import error_values
from registration_pipeline.cli.modes import MODES, log_line
from registration_pipeline.counted import counted
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.foreign_text import printable
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.plan import Plan
from registration_pipeline.planning.suffixes import REST
from registration_pipeline.planning.upserts.request import UpsertPlan
from registration_pipeline.planning.wave import PlannedChunk
from registration_pipeline.project.preflight import Finding
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.status import SourceStatus

_SOURCES_PER_TABLE = 3
_PLAN_LABELS = {
    "known": "planned before",
    "held": "held for a later plan",
    # Not the number of `status`: an object that was refused, written again and then accepted is not changed there.
    "changed": "changed since they were planned",
    "deleted": "deleted since they were planned",
}
_LABELS = {
    "objects": "objects in the bucket",
    "changed": "objects changed since",
    "deleted": "objects deleted since",
    "quarantined": "objects failed, retries exhausted",
}
_UPSERT_LABELS = {
    "removed": ("lost fields, which stay in Encord: an upsert removes none",) * 2,
    "invalid": (
        "has metadata that is invalid or can't be read, and keeps what it was sent",
        "have metadata that is invalid or can't be read, and keep what they were sent",
    ),
    "unknown": (
        "has metadata that is not known now, and keeps what it was sent",
        "have metadata that is not known now, and keep what they were sent",
    ),
    "failed": (
        "failed before, and is not sent again by itself",
        "failed before, and are not sent again by themselves",
    ),
}
"""What is said of one unit, and of several."""

_COUNTS = ("objects", "excluded", "rejected", "registered", "pending", "failed", "changed", "deleted", "quarantined")
_NOT_PLAIN = re.compile(r"[^\n -~]+")
LONGEST_SHOWN = 20
_MOST_SUFFIXES = 5
_NO_UNITS = "Excluded and rejected objects are in no unit, so the units do not add up to the objects."
_PIPE_COLUMNS = 140


class _Console(Console):
    """A console whose reader may close it: what that means for the exit status is decided at the end of the command."""

    def on_broken_pipe(self) -> None:
        """Raise what is being handled; the library would end the process with status 1."""
        raise  # noqa: PLE0704 - called while the error is handled


def say(text: str) -> None:
    """Print a line of a result; a terminal wraps it, we don't."""
    stdout().print(printable(text), soft_wrap=True)


def stdout() -> Console:
    """Return a console on the present standard output; a pipe has no width, so nothing is cut for it."""
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    return _Console(file=sys.stdout, highlight=False, width=width)


def stderr() -> Console:
    """Return a console on the present standard error."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print the one JSON document of a ``--json`` command; keys stay readable where the stream can carry them."""
    write_json(json.dumps(document, indent=2, ensure_ascii=is_stdout_ascii(), default=str) + "\n")


def write_json(text: str) -> None:
    """Write a JSON document, or a piece of one, to standard output: exact in a pipe.

    On a terminal everything that it would obey, or that would turn the direction of the text, is written as JSON's own
    escape. Outside of strings JSON has no such character, so what the document says stays the same.
    """
    MODES.has_document = True
    sys.stdout.write(_NOT_PLAIN.sub(_json_escape, text) if sys.stdout.isatty() else text)


def _json_escape(match: re.Match[str]) -> str:
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in match[0])


def is_stdout_ascii() -> bool:
    """Return whether what goes beyond ASCII has to be escaped on standard output."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"


def notice(text: str, level: str | None = None, *, source: str | None = None) -> None:
    """Say something on standard error, so that it never mixes with a result.

    Args:
        text: what.
        level: of the log line; by default what the text begins like.
        source: the source that it is about.
    """
    if MODES.is_log_json:
        sys.stderr.write(log_line(text, level, source=source))
    else:
        stderr().print(escape(printable(text)))


def cell(value: object) -> str:
    """Return a value that comes from outside as a table cell: one line, no markup, no control characters."""
    return escape(printable(str(value)).replace("\n", "\\n"))


def status_document(
    statuses: Iterable[SourceStatus], errors: Sequence[tuple[str, RegistrationPipelineError]] = ()
) -> dict[str, Any]:
    """Return what ``status --json`` prints; with the errors that ended runs, if there are any."""
    document: dict[str, Any] = {"sources": {status.source: status.as_json() for status in statuses}}
    if errors:
        document["errors"] = [error_values(error, source=source) for source, error in errors]
    return document


def print_status(statuses: Iterable[SourceStatus]) -> None:
    """Print the status of every object: a column a source, a few sources a table, so that nothing is cut off.

    Of a source that was never listed nothing is known, so it has a line instead of zeros.
    """
    listed: list[SourceStatus] = []
    for status in statuses:
        if status.inventory_id is None:
            say(f"{status.source}: not listed yet")
        else:
            listed.append(status)
    found = listed
    for start in range(0, len(found), _SOURCES_PER_TABLE):
        stdout().print(_status_table(found[start : start + _SOURCES_PER_TABLE]))
    for status in listed:
        for table in status.tables or ():
            rows, objects = (
                f"rows without an object {table.without_object:,}",
                f"objects without a row {table.without_row:,}",
            )
            say(escape(f"{status.source}: {table.name}: {rows}, {objects}"))


def _add_rejected(table: Table, statuses: Sequence[SourceStatus]) -> None:
    """Say more about rejected objects: those whose reason is accepted, and unsupported types by suffix."""
    if any(status.accepted_rejected is not None for status in statuses):
        counts = (status.accepted_rejected for status in statuses)
        table.add_row("rejected, reason accepted", *("-" if count is None else f"{count:,}" for count in counts))
    if any(status.rejected_suffixes for status in statuses):
        table.add_row("unsupported types", *(cell(_by_suffix(status.rejected_suffixes)) for status in statuses))


def _status_table(statuses: Sequence[SourceStatus]) -> Table:
    documents: list[Any] = [status.as_json() for status in statuses]
    left_out = any(status.excluded or status.rejected for status in statuses)
    table = Table(caption=_NO_UNITS if left_out else None, caption_justify="left")
    table.add_column("")
    for status in statuses:
        table.add_column(status.source, justify="right", overflow="fold")
    for name in _COUNTS:
        table.add_row(_LABELS.get(name, f"objects {name}"), *(f"{document[name]:,}" for document in documents))
    _add_rejected(table, statuses)
    table.add_section()
    for name in documents[0]["units"]:
        table.add_row(f"units {name}", *(f"{document['units'][name]:,}" for document in documents))
    if any(status.upserts for status in statuses):
        table.add_section()
        for name in ("pending", "done", "failed"):
            counts = (document.get("upserts") for document in documents)
            table.add_row(f"upserts: units {name}", *("-" if one is None else f"{one[name]:,}" for one in counts))
    if any(status.dataset is not None for status in statuses):
        table.add_section()
        for name in ("linked", "pending", "failed"):
            counts = (getattr(status.dataset, name, None) for status in statuses)
            table.add_row(f"dataset: units {name}", *("-" if count is None else f"{count:,}" for count in counts))
    table.add_section()
    for state in (state for state in ChunkState if state.value in documents[0]["chunks"]):
        label = f"chunks {state.value.replace('_', ' ')}"
        table.add_row(label, *(f"{document['chunks'][state.value]:,}" for document in documents))
    table.add_section()
    table.add_row("inventory", *(document["inventory_id"] for document in documents))
    table.add_row("last plan or verdict", *(document["last_sync_at"] for document in documents))
    return table


def print_plan(source: str, plan: Plan, listed_at: datetime | None, *, dry_run: bool, is_planned: bool) -> None:
    """Print what a plan adds and what else it found.

    Args:
        source: its name.
        plan: what it came to.
        listed_at: when the listing of its inventory began; None: the inventory is not the latest any more.
        dry_run: nothing was written.
        is_planned: the inventory was planned before, and this is what that added.
    """
    wave, counts = plan.wave, plan.wave.counts
    added = f"{counted(counts.new, 'new object')} in {counted(len(plan.chunks), 'chunk')}"
    inventory = f"inventory {wave.inventory_id}" + (f" of {listed_at:%Y-%m-%d %H:%M} UTC" if listed_at else "")
    if is_planned:
        what = f"Nothing to add: {inventory} is planned already (wave {wave.wave_id}: {added})"
    elif dry_run:
        what = f"A plan would add {added} from {inventory} (wave {wave.wave_id}). Nothing was written"
    else:
        what = f"Planned {added} from {inventory} (wave {wave.wave_id})"
    newer = f" `registration-pipeline inventory {source}` takes a new inventory." if dry_run or is_planned else ""
    say(escape(f"{source}: {what}.{newer}"))
    _print_counts(counts)
    for warning in plan.warnings.lines() if dry_run else ():  # the run of a plan has shown its own
        say(f"  [yellow]warning[/yellow]: {cell(warning)}")
    _print_chunks(plan.chunks)


def print_upserts(plan: UpsertPlan) -> None:
    """Print which metadata of registered units would be sent again."""
    found = plan.wave.upserts
    units, chunks = counted(found["units"], "registered unit"), counted(len(plan.chunks), "chunk")
    say(f"  upserts: metadata of {units} has changed, in {chunks}. Nothing was sent")
    for name, (one, several) in _UPSERT_LABELS.items():
        if found[name]:
            say(f"  upserts: {counted(found[name], 'unit')} {one if found[name] == 1 else several}")
        for unit in plan.invalid if name == "invalid" else ():
            say(f"    {cell(unit.key)}: {unit.reason}: {cell(unit.message or '')}")
    if not plan.samples:
        return
    table = Table()
    for name in ("object", "field", "before", "after"):
        table.add_column(name, overflow="fold")
    for sample in plan.samples:
        values = (sample.key, sample.change.name, sample.change.shown_before, sample.change.shown_after)
        table.add_row(*map(cell, values))
    stdout().print(table)


def upserts_document(plan: UpsertPlan) -> dict[str, Any]:
    """Return the part of ``plan --dry-run --json`` about metadata that would be sent again."""
    found = plan.wave.upserts
    return {
        "units": found["units"],
        "chunks": len(plan.chunks),
        **{name: found[name] for name in _UPSERT_LABELS},
        "invalid_units": [unit._asdict() for unit in plan.invalid],
        "samples": [
            {"key": sample.key, "field": name, "before": before, "after": after}
            for sample in plan.samples
            for name, before, after in (sample.change,)
        ],
    }


def _print_counts(counts: PlanCounts) -> None:
    numbers = ("known", "new", "excluded", "rejected", "held", "changed", "deleted")
    said = (f"{getattr(counts, name):,} {_PLAN_LABELS.get(name, name)}" for name in numbers)
    say(f"  {counted(counts.objects, 'object')}: " + ", ".join(said))
    for reason, count in sorted(counts.rejected_by_reason.items()):
        say(f"  rejected objects: {count:,} {reason}")
    if counts.rejected_suffixes:
        say(f"  unsupported types by suffix: {cell(_by_suffix(counts.rejected_suffixes))}")
    for rule, count in sorted(counts.excluded_by_rule.items()):
        say(f"  excluded objects: {count:,} by {cell(rule)}")


def _print_chunks(chunks: Sequence[PlannedChunk]) -> None:
    if chunks:
        table = Table()
        for name in ("chunk", "kind", "units", "objects", "bytes", "first key"):
            table.add_column(name, overflow="fold")
        for chunk in chunks[:LONGEST_SHOWN]:
            table.add_row(
                *(chunk.chunk_id, chunk.kind.value),
                *(f"{chunk.units:,}", f"{chunk.objects:,}", f"{chunk.bytes:,}", cell(chunk.first_key)),
            )
        stdout().print(table)
    if len(chunks) > LONGEST_SHOWN:
        say(f"… and {counted(len(chunks) - LONGEST_SHOWN, 'more chunk')}; --json prints all of them.")


def _by_suffix(counts: Mapping[str, int]) -> str:
    """Return the most frequent suffixes of a few, e.g. ``7 .dat, 2 without suffix, 1 others``."""
    ranked = sorted(counts.items(), key=lambda item: (item[0] == REST, -item[1], item[0]))
    named = [item for item in ranked[:_MOST_SUFFIXES] if item[0] != REST]
    rest = sum(counts.values()) - sum(count for _, count in named)
    shown = [f"{count:,} {suffix or 'without suffix'}" for suffix, count in named]
    return ", ".join([*shown, f"{rest:,} others"] if rest else shown)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each check's result as it finishes; what is about all sources has no source's name."""
    for finding in findings:
        mark = "[red]problem[/red]" if finding.error else "[green]ok[/green]"
        mark = "[yellow]remark[/yellow]" if finding.is_remark else mark
        mark = mark if finding.was_checked else "[yellow]not checked[/yellow]"
        source = f"{escape(finding.source)}: " if finding.source else ""
        say(f"{source}{finding.what}: {mark}: {escape(printable(finding.detail))}")
