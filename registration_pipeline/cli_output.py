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
