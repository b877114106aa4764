"""The id of a new audit, claimed by its first file: later than those of all audits that are there, and its own only.

What does not belong here: what a report holds (``report.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateConflictError
from registration_pipeline.state.layout import audit_folder

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

_ID_FORMAT: Final = "%Y%m%dT%H%M%S%fZ"
_STEP: Final = timedelta(microseconds=1)


def claim_audit_id(store: StateStore, source: str, started_at: datetime, file_name: str, path: Path) -> str:
    """Write the first file of a report, and return the id of the audit whose folder it is in.

    A clock that jumped back must not make a new audit seem older than the last one, and of two audits at the same moment each
    gets a folder of its own.

    Args:
        store: the state.
        source: its name.
        started_at: aware; the id is this time unless there are later ones.
        file_name: of the file in the audit's folder.
        path: the finished file.

    Raises:
        StateError: the state can't be read or written.
    """
    present = (_time_of(audit_id) for audit_id in store.folders(audit_folder(source)))
    time = max([started_at.astimezone(UTC), *(one + _STEP for one in present if one is not None)])
    while True:
        audit_id = time.strftime(_ID_FORMAT)
        try:
            store.create_from_file(audit_folder(source, audit_id) + file_name, path)
        except StateConflictError:
            time += _STEP  # another audit has it
        else:
            return audit_id


def _time_of(audit_id: str) -> datetime | None:
    try:
        return datetime.strptime(audit_id, _ID_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
