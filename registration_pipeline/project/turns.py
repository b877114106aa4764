"""Whether a source could be submitted now, as far as other processes are concerned. Nothing is taken or waited for here."""

from typing import TYPE_CHECKING

from registration_pipeline.project.project import Project

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore


def occupied_by(project: Project, source: str, folder_uuid: str | None) -> str | None:
    """Return what is seen of the process that submits a source, or another one to its folder; None: none does.

    It is another text after each beat of that process. So one that does not change for the time of a lease is of a process
    that has ended.

    Args:
        project: the configuration.
        source: which.
        folder_uuid: the Encord folder that it waited for; None: it waited for its own lease.

    Raises:
        StateError: the state can't be read.
    """
    own = _sight(project.store, source, None)
    if own is not None or folder_uuid is None:
        return own
    from registration_pipeline.state.folder_lease import newest_entry

    entry = newest_entry(project.store, folder_uuid)
    return None if entry is None or entry.source == source else _sight(project.store, entry.source, entry.term)


def _sight(store: "StateStore", source: str, term: int | None) -> str | None:
    """Return what is seen of a source's lease; None: it is free, or a later term than the given one goes on."""
    from registration_pipeline.state.lease_files import LeaseFiles

    newest = LeaseFiles(store, source).newest()
    if newest is None or newest.is_released or (term is not None and newest.term > term):
        return None
    return f"{source}/{newest.term}/{newest.beat}"
