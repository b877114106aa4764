"""The ``schema`` command: the declared metadata schema beside Encord's. Comparing is in ``submission/metadata_schema/``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from registration_pipeline.cli.output import print_json, say, stdout
from registration_pipeline.cli.session import DONE, DONE_WITH_FAILURES, open_project
from registration_pipeline.counted import counted
from registration_pipeline.foreign_text import printable
from registration_pipeline.project.metadata_schema import apply_schema, compare_schema
from registration_pipeline.submission.metadata_schema.difference import FieldState

if TYPE_CHECKING:
    from registration_pipeline.submission.metadata_schema.apply import Applied
    from registration_pipeline.submission.metadata_schema.difference import FieldDifference, SchemaDifference

_SHOWN_OPTIONS = 10


def schema_source(config: Path | None, name: str, *, apply: bool, as_json: bool) -> int:
    """Compare, and with ``apply`` add what is missing; return 3 if the two are not the same afterwards."""
    project = open_project(config)
    source = project.source(name)
    applied = apply_schema(project, source) if apply and source.metadata_schema else None
    found = applied.before if applied else compare_schema(project, source)
    is_same = found.is_same or applied is not None
    if as_json:
        print_json({"source": source.name, **found.as_json(), "applied": _applied_json(applied)})
    elif not source.metadata_schema:
        say(f"{source.name}: declares no metadata_schema, so there is nothing to compare.")
    else:
        stdout().print(_table(found, is_applied=applied is not None))
        for line in _lines(source.name, found, applied):
            say(escape(line))
    return DONE if is_same else DONE_WITH_FAILURES


def _applied_json(applied: "Applied | None") -> dict[str, Any] | None:
    if applied is None:
        return None
    return {
        "added_fields": [field.name for field in applied.before.of(FieldState.MISSING)],
        "added_options": {field.name: list(field.options) for field in applied.before.of(FieldState.LACKS_OPTIONS)},
        "put_back": list(applied.put_back),
        "writes": applied.writes,
    }


def _table(found: "SchemaDifference", *, is_applied: bool) -> Table:
    table = Table()
    for heading in ("field", "declared", "in Encord", "--apply added" if is_applied else "--apply does"):
        table.add_column(heading, overflow="fold")
    for field in found.fields:
        cells = (field.name, field.declared, field.in_encord or "—", _effect(field, is_applied=is_applied))
        table.add_row(*(escape(printable(cell).replace("\n", "\\n")) for cell in cells))
    return table


def _effect(field: "FieldDifference", *, is_applied: bool) -> str:
    if field.state is FieldState.SAME:
        return "nothing"
    if field.state is FieldState.CONFLICT:
        return "nothing: conflict"
    if field.state is FieldState.MISSING:
        return "the field" if is_applied else "adds the field"
    what = f"{counted(len(field.options), 'option')}: {_some(field.options)}"
    return what if is_applied else f"adds {what}"


def _some(options: Sequence[str]) -> str:
    shown = ", ".join(options[:_SHOWN_OPTIONS])
    return shown if len(options) <= _SHOWN_OPTIONS else f"{shown} … and {len(options) - _SHOWN_OPTIONS:,} more"


def _lines(source: str, found: "SchemaDifference", applied: "Applied | None") -> list[str]:
    lines = [f"{field.name} {field.problem}." for field in found.conflicts]
    if found.conflicts:
        lines.append("Nothing is written while a field is in conflict.")
    elif applied is not None:
        lines.append(
            f"{source}: Encord has every declared field now."
            if applied.writes
            else f"{source}: {found.summary()}; nothing was written."
        )
        if applied.put_back:
            lines.append(f"Fields of others that were gone after a write were added again: {_some(applied.put_back)}.")
    elif found.is_same:
        lines.append(f"{source}: {found.summary()}.")
    else:
        lines.append(
            f"{source}: {found.summary()}. `registration-pipeline schema {source} --apply` adds what is missing."
        )
    if found.foreign:
        verb = "stays" if found.foreign == 1 else "stay"
        lines.append(
            f"Encord has {counted(found.foreign, 'field')} besides, which this source does not declare and which {verb}."
        )
    return lines
