"""How commands speak: tables, numbers and JSON on standard output, notices and errors on standard error.

Nothing is computed here.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from registration_pipeline.orchestration.preflight import Finding
from registration_pipeline.planning.plan import Plan
from registration_pipeline.tracking.failure_log import FailureRow
from registration_pipeline.tracking.states import ChunkState
from registration_pipeline.tracking.status import SourceStatus

_COUNTS = ("objects", "excluded", "rejected", "registered", "pending", "failed", "changed", "deleted")
_LONGEST_SHOWN = 20


def stdout() -> Console:
    """Return a console on the present standard output."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=False)


def stderr() -> Console:
    """Return a console on the present standard error."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print the one JSON document of a ``--json`` command."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def notice(text: str) -> None:
    """Say something on standard error, so that it never mixes with a result."""
    stderr().print(escape(text))


def status_document(statuses: Iterable[SourceStatus]) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    return {"sources": {status.source: status.as_json() for status in statuses}}


def print_status(statuses: Iterable[SourceStatus]) -> None:
    """Print where every object stands, a row a source, then the chunks."""
    found = list(statuses)
    objects = Table(title="Objects of the latest inventory", title_justify="left")
    objects.add_column("source")
    for name in _COUNTS:
        objects.add_column(name, justify="right")
    objects.add_column("last sync (UTC)")
    for status in found:
        counts = [f"{getattr(status, name):,}" for name in _COUNTS]
        last = f"{status.last_sync_at:%Y-%m-%d %H:%M:%S}" if status.last_sync_at else "never"
        objects.add_row(status.source, *counts, last)
    chunks = Table(title="Chunks", title_justify="left")
    chunks.add_column("source")
    states = [state for state in ChunkState if state is not ChunkState.INTENDED]
    for state in states:
        chunks.add_column(state.value, justify="right")
    for status in found:
        document: Mapping[str, Any] = status.as_json()
        chunks.add_row(status.source, *(f"{document['chunks'][state.value]:,}" for state in states))
    console = stdout()
    console.print(objects)
    console.print(chunks)


def print_plan(source: str, plan: Plan, *, dry_run: bool) -> None:
    """Print what a plan adds and what else it found."""
    counts = plan.wave.counts
    console = stdout()
    verb = "would add" if dry_run else "added" if plan.created else "was planned before; the wave holds"
    console.print(
        f"{source}: wave {plan.wave.wave_id} {verb} {counts.new:,} new objects in {len(plan.chunks):,} chunks"
    )
    numbers = ("objects", "known", "new", "excluded", "rejected", "held", "changed", "deleted")
    console.print("  " + ", ".join(f"{getattr(counts, name):,} {name}" for name in numbers))
    for reason, count in sorted(counts.rejected_by_reason.items()):
        console.print(f"  rejected: {count:,} {reason}")
    for rule, count in sorted(counts.excluded_by_rule.items()):
        console.print(f"  excluded: {count:,} by {escape(rule)}")
    if plan.chunks:
        table = Table()
        for name in ("chunk", "kind", "units", "bytes", "first key"):
            table.add_column(name, overflow="fold")
        for chunk in plan.chunks[:_LONGEST_SHOWN]:
            table.add_row(
                chunk.chunk_id, chunk.kind.value, f"{chunk.units:,}", f"{chunk.bytes:,}", escape(chunk.first_key)
            )
        console.print(table)
    if len(plan.chunks) > _LONGEST_SHOWN:
        console.print(f"… and {len(plan.chunks) - _LONGEST_SHOWN:,} more chunks; --json prints all of them.")


def print_findings(findings: Iterable[Finding]) -> None:
    """Print a preflight as it goes, a line a look."""
    console = stdout()
    for finding in findings:
        mark = "[red]problem[/red]" if finding.error else "[green]ok[/green]"
        console.print(f"{escape(finding.source)}: {finding.what}: {mark}: {escape(finding.detail)}", soft_wrap=True)


def print_failures(rows: list[FailureRow]) -> None:
    """Print the first failures as a table and say how to get all of them."""
    console = stdout()
    if not rows:
        console.print("Every object that should be registered is registered.")
        return
    table = Table(title=f"{len(rows):,} objects are not registered", title_justify="left")
    for name in ("source", "key", "stage", "reason", "message"):
        table.add_column(name, overflow="fold")
    for row in rows[:_LONGEST_SHOWN]:
        table.add_row(
            *(escape(str(value or "")) for value in (row.source, row.key, row.stage, row.reason, row.message))
        )
    console.print(table)
    if len(rows) > _LONGEST_SHOWN:
        console.print(f"… and {len(rows) - _LONGEST_SHOWN:,} more: --out FILE.csv writes all of them.")
