"""Where a source's chunks go: its Encord folder and integration, found, or the folder created when it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import (
    AmbiguousError,
    HaltError,
    NotFoundError,
    PermanentError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.submission.known_folders import FolderFinder, KnownFolders

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway

_CREATE_TRIES = 5
_SECONDS_BEFORE_LOOKING_AGAIN = 2.0
_NONE_KNOWN = KnownFolders()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The UUIDs that a source's manifests are sent with.

    Args:
        is_new: the folder was created just now, so that nothing can be in it.
    """

    folder_uuid: str
    integration_uuid: str | None
    is_new: bool = False


def resolve_target(
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    source: SourceSettings,
    *,
    known: KnownFolders = _NONE_KNOWN,
    notify: Callable[[str], object] = lambda _: None,
    before_creating: Callable[[], object] | None = None,
) -> Target:
    """Find the source's integration and folder, and create the folder if the source has none yet.

    Args:
        gateway: Encord.
        retry: how it is asked.
        source: which.
        known: the folders that something of the source was sent to.
        notify: called with texts for people.
        before_creating: called before a folder is made; then it is searched for once more, as another may have made it.

    Raises:
        HaltError: the integration or folder can't be used; the message says what to change.
    """
    integration = source.encord.integration
    integration_uuid = (
        retry.read(f"finding integration {integration!r}", lambda: gateway.resolve_integration(integration))
        if integration
        else None
    )
    finder = FolderFinder(gateway=gateway, retry=retry, source=source, known=known, notify=notify)
    found = finder.find()
    if not found and before_creating is not None:
        before_creating()
        found = finder.find()
    if found:
        return Target(folder_uuid=found, integration_uuid=integration_uuid)
    folder_uuid, is_new = _create(gateway, retry, source.encord.folder, finder.find)
    return Target(folder_uuid=folder_uuid, integration_uuid=integration_uuid, is_new=is_new)


def ask_for_target(
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    source: SourceSettings,
    known: Callable[[], KnownFolders] = lambda: _NONE_KNOWN,
) -> None:
    """Ask Encord whether the source's key, integration and folder can be used, and create nothing: a missing folder is right.

    For before a listing, which can take hours: what is wrong here is wrong after it, too.

    Args:
        gateway: Encord.
        retry: how it is asked.
        source: which.
        known: returns the folders that something of the source was sent to; called only if the folder is not found.

    Raises:
        HaltError: one of them can't be used; the message says what to change.
    """
    integration, folder = source.encord.integration, source.encord.folder
    if integration:
        retry.read(f"finding integration {integration!r}", lambda: gateway.resolve_integration(integration))
    try:
        if retry.read(f"finding folder {folder!r}", lambda: gateway.find_folder(folder)) is not None:
            return
    except (NotFoundError, PermissionDeniedError):
        _finder(gateway, retry, source, known()).find()
        raise
    _finder(gateway, retry, source, known()).find()


def _finder(
    gateway: RegistrationGateway, retry: RetryPolicy, source: SourceSettings, known: KnownFolders
) -> FolderFinder:
    # Its notices are given when the folder is used.
    return FolderFinder(gateway=gateway, retry=retry, source=source, known=known, notify=lambda _: None)


def _create(
    gateway: RegistrationGateway, retry: RetryPolicy, folder: str, find: Callable[[], str | None]
) -> tuple[str, bool]:
    """Create a folder, and search after every try: one that was not answered with the folder has happened, or has not.

    The second value says that the folder was created by this call.
    """
    found = None
    for _ in range(_CREATE_TRIES):
        if found:
            return found, False
        try:
            return retry.call(f"creating folder {folder!r}", lambda: gateway.create_folder(folder)), True
        except (AmbiguousError, PermanentError) as error:
            problem = error
            retry.pause(_SECONDS_BEFORE_LOOKING_AGAIN)
            found = find()
    if found:
        return found, False
    if isinstance(problem, AmbiguousError) and isinstance(problem.refusal, HaltError):
        raise problem.refusal
    raise ServiceUnavailableError(
        f"The Encord folder {folder!r} could not be created ({problem}). Create it in Encord and set encord.folder to its "
        "UUID, or run again."
    )
