"""The folder of a source once something of it was sent: known by its UUID, whatever Encord calls it now (decision 038).

What does not belong here: making a folder (``target.py``), and the folder of a single chunk, which its first intent fixes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.errors import NotFoundError, PermissionDeniedError
from registration_pipeline.planning.halves import whole_of
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway
    from registration_pipeline.tracking.journal.states import ChunkProgress


@dataclass(frozen=True, slots=True)
class KnownFolders:
    """The folders that chunks of a source were sent to, or were about to be.

    Args:
        registered: how many objects are registered in each, by its UUID.
        newest: the one that was sent to last.
        unfinished: those with chunks that are not registered as a whole: they may have to be sent there again.
    """

    registered: Mapping[str, int] = field(default_factory=dict)
    newest: str | None = None
    unfinished: frozenset[str] = frozenset()

    @classmethod
    def of(cls, journals: Iterable[ChunkProgress]) -> KnownFolders:
        """Gather what the journals of a source say; parts of a chunk are in its own numbers."""
        registered, unfinished, newest = Counter[str](), set[str](), None
        for progress in journals:
            intent = progress.first_intent
            if intent is None or intent.folder_uuid is None or whole_of(progress.chunk_id) != progress.chunk_id:
                continue
            registered[intent.folder_uuid] += progress.verdict.registered if progress.verdict else 0
            if progress.state is not ChunkState.SUCCEEDED:
                unfinished.add(intent.folder_uuid)
            newest = intent if newest is None or intent.at > newest.at else newest
        return cls(dict(registered), newest.folder_uuid if newest else None, frozenset(unfinished))


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFinder:
    """Finds the folder of a source, and creates none.

    Args:
        known: what the state knows.
        notify: called with texts for people.
    """

    gateway: RegistrationGateway
    retry: RetryPolicy
    source: SourceSettings
    known: KnownFolders
    notify: Callable[[str], object]

    def find(self) -> str | None:
        """Return the UUID of the source's folder; None: it has none yet.

        Raises:
            NotFoundError: the folder that its objects are in is gone; or several have its name.
            HaltError: Encord can't be asked.
        """
        wanted, newest = self.source.encord.folder, self.known.newest
        found = self._named(wanted)
        if newest is None or found in self.known.registered:
            return found
        name = self._name_of(newest)
        if name is None and (found != wanted or newest in self.known.unfinished):
            raise self._gone(newest, found)
        self.notify(self._change(newest, name, found))
        return found or newest

    def refuse_gone(self) -> None:
        """Pass if every folder that something of the source was sent to is there.

        Raises:
            NotFoundError: one is not.
        """
        for folder_uuid in sorted(self.known.registered):
            if self._name_of(folder_uuid) is None:
                raise self._gone(folder_uuid, None)

    def _named(self, wanted: str) -> str | None:
        try:
            return self.retry.read(f"finding folder {wanted!r}", lambda: self.gateway.find_folder(wanted))
        except (NotFoundError, PermissionDeniedError) as error:
            if wanted in self.known.registered:
                raise self._gone(wanted, None) from error
            raise

    def _name_of(self, folder_uuid: str) -> str | None:
        """Return the name of a folder; None: it does not exist or may not be seen."""
        try:
            return self.retry.read(f"finding folder {folder_uuid}", lambda: self.gateway.folder_name(folder_uuid))
        except (NotFoundError, PermissionDeniedError):
            return None

    def _change(self, newest: str, name: str | None, found: str | None) -> str:
        source, wanted = self.source.name, self.source.encord.folder
        if found is None:
            return (
                f"The Encord folder of source {source}, {newest}, is named {name!r} now, and no folder is named {wanted!r}. "
                f"It is used as before. Set encord.folder of the source to {newest}. If new objects should go to another "
                "folder, make that one in Encord first."
            )
        now = f"is named {name!r}" if name is not None else "does not exist any more, or this key may not see it"
        return (
            f"New objects of source {source} go to Encord folder {found}. {self.known.registered[newest]:,} objects are "
            f"registered in folder {newest}, which {now}. Nothing of these is sent to the new one."
        )

    def _gone(self, folder_uuid: str, found: str | None) -> NotFoundError:
        source = self.source.name
        other = (
            f" The folder that is named {self.source.encord.folder!r} now, {found}, is another one." if found else ""
        )
        go_on = (
            "To leave that as it is, and register only new objects, make a folder in Encord and set encord.folder of the "
            "source to its UUID. "
        )
        return NotFoundError(
            f"Encord folder {folder_uuid}, in which {self.known.registered[folder_uuid]:,} objects of source {source} are "
            f"registered, does not exist any more, or this key may not see it.{other} Nothing was sent and no folder made. "
            "If the key's user lost access to it, give it back. A folder that was deleted can't be restored in Encord. "
            f"{'' if folder_uuid in self.known.unfinished else go_on}To register everything again, move the folder {source}/ "
            "out of the state, or give the source another name."
        )
