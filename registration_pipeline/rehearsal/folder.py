"""The folder that a rehearsal makes for itself: made under a name that nothing else has, and removed with all that is in it.

Nothing here is ever called with another folder than the one that was made. What does not belong here: what is tried in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    HaltError,
    RegistrationPipelineError,
    ServiceUnavailableError,
    SubmissionError,
)
from registration_pipeline.submission.gateway import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RemoteItem
    from registration_pipeline.submission.trial import TrialGateway

NAME_START: Final = "registration-pipeline rehearsal of "
"""What the names of all such folders begin with."""
_MOST_PAGES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a rehearsal waits, in seconds, and by which clock.

    Args:
        job: for an upload job; it is cancelled then, and the rehearsal ends.
        lag: for items to show in the folder after the job that registered them has ended.
        watch: in which the folder is watched for items that should not come.
        clean: for the folder to be empty and removed.
        hurry: the same after an interruption: a person waits.
        step: between two readings of the folder.
        monotonic: seconds that never go back.
    """

    job: float = 900.0
    lag: float = 60.0
    watch: float = 3.0
    clean: float = 120.0
    hurry: float = 6.0
    step: float = 0.5
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What could not be removed.

    Args:
        name: of the folder.
        folder_uuid: None: it was not found, so it was probably not made.
        item_uuids: of items that are in it still.
        why: what Encord said.
    """

    name: str
    folder_uuid: str | None
    item_uuids: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        items = f" It holds {len(self.item_uuids)} items: {', '.join(self.item_uuids)}." if self.item_uuids else ""
        where = f"folder {self.name!r} ({self.folder_uuid or 'UUID unknown: search for the name'})"
        return f"Encord {where} could not be removed: {self.why}.{items} Delete it in Encord; nothing else uses it."


@dataclass(slots=True)
class TrialFolder:
    """One folder in Encord from its making to its removal.

    Args:
        gateway: Encord.
        retry: how calls are repeated.
        name: a top-level folder's, that no other folder has.
        patience: how long to wait.
    """

    gateway: TrialGateway
    retry: RetryPolicy
    name: str
    patience: Patience
    uuid: str = ""
    _is_asked_for: bool = False
    _starts_in_doubt: int = 0
    _jobs: list[str] = field(default_factory=list)
    _items: set[str] = field(default_factory=set)
    _deleted: set[str] = field(default_factory=set)

    def make(self, description: str) -> None:
        """Create the folder. One whose creation has no certain answer is searched for by its name.

        Raises:
            HaltError: it can't be created.
        """
        self._is_asked_for = True
        try:
            self.uuid = self.retry.call(
                f"creating folder {self.name!r}", lambda: self.gateway.create_described_folder(self.name, description)
            )
        except AmbiguousError as error:
            found = self._find()
            if found is None:
                raise ServiceUnavailableError(f"The folder of the rehearsal could not be made: {error}") from error
            self.uuid = found
        except SubmissionError as error:
            raise HaltError(f"Encord refused to make the folder of the rehearsal: {error}") from error

    def job_is_sent(self) -> None:
        """Note that a job is about to be started: from now on there may be one whose id is not known.

        A refusal does not end that: a gateway may have passed the request on and refused it for itself.
        """
        self._starts_in_doubt += 1

    def remember_job(self, job_id: str) -> None:
        """Note a job, to be cancelled if it is still pending at the end."""
        self._jobs.append(job_id)
        self._starts_in_doubt -= 1

    def forget_job(self, job_id: str) -> None:
        """Note that a job has ended."""
        self._jobs.remove(job_id)

    def remember_items(self, item_uuids: Iterable[str]) -> None:
        """Note items of the folder: a listing may be behind."""
        self._items.update(set(item_uuids) - self._deleted)

    def items(self) -> tuple[RemoteItem, ...]:
        """Return what the folder's listing shows, by the very call that a sync uses."""
        items: list[RemoteItem] = []
        token: str | None = None
        for _ in range(_MOST_PAGES):
            page = self.retry.read(f"listing folder {self.uuid}", partial(self.gateway.items_page, self.uuid, token))
            items.extend(page.items)
            token = page.next_token
            if token is None:
                break
        self.remember_items(item.item_uuid for item in items)
        return tuple(items)

    def empty(self) -> float | None:
        """Delete every item that is known or listed, and return the seconds until the listing showed none; None: it did."""
        began = self.patience.monotonic()
        while listed := self.items():
            if self.patience.monotonic() - began > self.patience.clean:
                return None
            if not self._delete(listed):
                self.retry.pause(self.patience.step)
        return self.patience.monotonic() - began

    def remove(self, *, in_a_hurry: bool = False) -> Leftovers | None:
        """Cancel what is pending, delete every item and then the folder; returns what is left, if anything is.

        Args:
            in_a_hurry: not longer than ``Patience.hurry``.

        Raises:
            KeyboardInterrupt: Ctrl-C; ``left`` says what is there still.
        """
        if not self._is_asked_for:
            return None
        ends = self.patience.monotonic() + (self.patience.hurry if in_a_hurry else self.patience.clean)
        while True:
            try:
                if not self.uuid and not self._find_late():
                    return None
                if self._starts_in_doubt:
                    # A job without an id may still be on its way; what it registers must be seen to be removed.
                    self.retry.pause(self.patience.watch)
                    self._starts_in_doubt = 0
                self._cancel_pending()
                self._delete(self.items())
                self.retry.call(f"deleting folder {self.name!r}", lambda: self.gateway.delete_folder(self.uuid))
            except CredentialsError as error:
                return self.left(str(error).rstrip("."))
            except RegistrationPipelineError as error:
                problem = str(error).rstrip(".")
                if self._is_gone():
                    self._is_asked_for = False
                    return None
            else:
                self._is_asked_for = False
                return None
            if self.patience.monotonic() > ends:
                return self.left(problem)
            self.retry.pause(self.patience.step)

    def left(self, why: str) -> Leftovers | None:
        """Return what is there still as far as is known; None: nothing was made."""
        if not self._is_asked_for:
            return None
        return Leftovers(name=self.name, folder_uuid=self.uuid or None, item_uuids=tuple(sorted(self._items)), why=why)

    def _delete(self, listed: Sequence[RemoteItem]) -> bool:
        """Delete what is listed and was not deleted before: a listing may be behind, and a deletion is all or nothing."""
        item_uuids = [item.item_uuid for item in listed if item.item_uuid not in self._deleted]
        if item_uuids:
            what = f"deleting {len(item_uuids)} items of folder {self.uuid}"
            self.retry.call(what, lambda: self.gateway.delete_items(self.uuid, item_uuids))
            self._deleted.update(item_uuids)
            self._items.difference_update(item_uuids)
        return bool(item_uuids)

    def _cancel_pending(self) -> None:
        for job_id in list(self._jobs):
            if self._is_pending(job_id):
                cancel = partial(self.gateway.cancel_job, folder_uuid=self.uuid, job_id=job_id)
                self.retry.call(f"cancelling upload job {job_id}", cancel)
            self._jobs.remove(job_id)

    def _is_pending(self, job_id: str) -> bool:
        try:
            report = self.retry.call(
                f"polling upload job {job_id}",
                lambda: self.gateway.poll_job(folder_uuid=self.uuid, job_id=job_id, wait_seconds=0),
            )
        except SubmissionError:
            return False  # Encord does not know it any more
        return report.status is JobStatus.PENDING

    def _find_late(self) -> bool:
        """Search for the folder that may have been made although its making was cut short; the search may be behind."""
        self.uuid = self._find() or ""
        if not self.uuid:
            self.retry.pause(self.patience.watch)
            self.uuid = self._find() or ""
        return bool(self.uuid)

    def _find(self) -> str | None:
        return self.retry.read(f"finding folder {self.name!r}", lambda: self.gateway.find_folder(self.name))

    def _is_gone(self) -> bool:
        """Return whether Encord does not show the folder any more, by its UUID and by its name."""
        if not self.uuid:
            return False
        try:
            return self.name not in self.gateway.folders_named_like(self.name).values()
        except RegistrationPipelineError:
            return False
