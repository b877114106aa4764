"""Where a source's chunks go: its Encord folder and integration, found, or the folder created when it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import AmbiguousError, PermanentError, ServiceUnavailableError

if TYPE_CHECKING:
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway

_CREATE_TRIES = 3
_SECONDS_BEFORE_LOOKING_AGAIN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The UUIDs that a source's manifests are sent with.

    Args:
        is_new: the folder was created just now, so that nothing can be in it.
    """

    folder_uuid: str
    integration_uuid: str | None
    is_new: bool = False


def resolve_target(gateway: RegistrationGateway, retry: RetryPolicy, source: SourceSettings) -> Target:
    """Find the source's integration and folder, and create the folder if there is none of that name.

    Raises:
        HaltError: the integration or folder can't be used; the message says what to change.
    """
    integration = source.encord.integration
    integration_uuid = (
        retry.read(f"finding integration {integration!r}", lambda: gateway.resolve_integration(integration))
        if integration
        else None
    )
    folder_uuid, is_new = _find_or_create(gateway, retry, source.encord.folder)
    return Target(folder_uuid=folder_uuid, integration_uuid=integration_uuid, is_new=is_new)


def ask_for_target(gateway: RegistrationGateway, retry: RetryPolicy, source: SourceSettings) -> None:
    """Ask Encord whether the source's key, integration and folder can be used, and create nothing: a missing folder is right.

    For before a listing, which can take hours: what is wrong here is wrong after it, too.

    Raises:
        HaltError: one of them can't be used; the message says what to change.
    """
    integration, folder = source.encord.integration, source.encord.folder
    if integration:
        retry.read(f"finding integration {integration!r}", lambda: gateway.resolve_integration(integration))
    retry.read(f"finding folder {folder!r}", lambda: gateway.find_folder(folder))


def _find_or_create(gateway: RegistrationGateway, retry: RetryPolicy, folder: str) -> tuple[str, bool]:
    """Search before and after every creation: one whose reply was lost has happened, or has not.

    The second value says that the folder was created by this call.
    """

    def find() -> str | None:
        return retry.read(f"finding folder {folder!r}", lambda: gateway.find_folder(folder))

    found = find()
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
    raise ServiceUnavailableError(
        f"The Encord folder {folder!r} could not be created ({problem}). Create it in Encord and set encord.folder to its "
        "UUID, or run again."
    )
