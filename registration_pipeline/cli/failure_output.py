"""What a command prints of the failure log: its first rows, and what no failure means.

What does not belong here: the rows themselves (``tracking/failures``).
"""

from collections.abc import Iterable

from rich.table import Table

from registration_pipeline.cli.output import cell, say, stdout
from registration_pipeline.counted import counted
from registration_pipeline.objects import remedy_of
from registration_pipeline.tracking.failures.files import FailureRow, FailureTally
from registration_pipeline.tracking.status import SourceStatus

_LONG_KEY = 40
_TABLE_COLUMNS = 120
"""Of a terminal from which on the rows are a table."""


def print_failures(tally: FailureTally, statuses: Iterable[SourceStatus]) -> None:
    """Print the first failures as a table and say how to get all of them; ``statuses`` explain what no failure means."""
    if not tally.rows:
        for status in statuses:
            say(f"{status.source}: {_without_failures(status)}")
        return
    show = _list_failures if stdout().width < _TABLE_COLUMNS else _print_failure_table
    show(tally)
    if tally.rows > tally.shown:
        say(f"… and {counted(tally.rows - tally.shown, 'more row')}: --out FILE.csv writes all of them.")
    for reason, rows in sorted(tally.reasons.items()):
        say(f"{reason}: {_behind_rows(rows, tally.objects_by_reason[reason])}, {remedy_of(reason)}")


def _print_failure_table(tally: FailureTally) -> None:
    table = Table(title=_title_of(tally), title_justify="left", title_style="bold")
    for name in ("source", "key", "objects", "stage", "reason", "message"):
        table.add_column(name, overflow="fold")
    for row in tally.sample:
        others = tally.others(row)
        key = row.key + (_others_of(row, others) if others else "")
        values = (row.source, key, f"{row.objects + others:,}", row.stage, row.reason, _without_key(row))
        table.add_row(*(cell(value or "") for value in values))
    stdout().print(table)


def _list_failures(tally: FailureTally) -> None:
    """Print each key on a line of its own: six columns of a narrow table would break it into pieces."""
    say(_title_of(tally))
    for row in tally.sample:
        others = tally.others(row)
        more = f" and {counted(row.objects - 1, 'more object')} of its unit" if row.objects > 1 else ""
        say(cell(row.key + (_others_of(row, others) if others else more)))
        say(f"    {row.source}, {row.stage}: {row.reason}: {cell(_without_key(row))}")


def _others_of(row: FailureRow, others: int) -> str:
    """Name the objects that have the same reason as the one of the row, because they are of one unit."""
    return f" and {counted(others, 'other object')} of unit {row.group_key!r}"


def _without_key(row: FailureRow) -> str:
    """Return the message without the key and the URL of the object if they are long: the row has the key already."""
    message = row.message or ""
    for text, name in ((row.object_url, "<URL>"), (row.key, "<key>")):
        if text and len(text) > _LONG_KEY:
            message = message.replace(text, name)
    return message


def _behind_rows(rows: int, objects: int) -> str:
    """Say how many objects are behind rows of the failure log; most are one object each."""
    return f"{objects:,}" if rows == objects else f"{counted(objects, 'object')} in {counted(rows, 'row')}"


def _title_of(tally: FailureTally) -> str:
    """Say what the rows of a failure log are about."""
    said = [not_linked(tally.unlinked)] if tally.unlinked else []
    if tally.upsert_units:
        said.insert(0, f"new metadata of {counted(tally.upsert_units, 'unit')} is not sent")
    return "; ".join([*([not_registered(tally.objects)] if tally.objects or not said else []), *said])


def not_registered(count: int) -> str:
    """Say how many objects are not registered."""
    return f"{counted(count, 'object')} {'is' if count == 1 else 'are'} not registered"


def not_linked(count: int) -> str:
    """Say how many registered units could not be linked to a dataset."""
    return f"{counted(count, 'unit')} {'is' if count == 1 else 'are'} registered and could not be linked to the dataset"


def _without_failures(status: SourceStatus) -> str:
    if status.inventory_id is None:
        return (
            f"nothing is planned yet; `registration-pipeline sync {status.source}` lists the bucket and registers its "
            "objects."
        )
    if status.pending:
        pending = f"{counted(status.pending, 'object')} {'is' if status.pending == 1 else 'are'} pending"
        return f"nothing failed, and {pending}; the next sync submits what is due."
    return "every object that should be registered is registered."
