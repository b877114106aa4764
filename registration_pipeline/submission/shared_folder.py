"""Refuses a source that registers another's objects in the same folder, where only Encord knows that the folder is one.

One of the two names the folder, the other gives its UUID. What the configuration alone shows is refused when it is loaded
(``settings/overlaps.py``).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError, NotFoundError
from registration_pipeline.settings.overlaps import folder_in_doubt, folder_key, refusal

if TYPE_CHECKING:
    from registration_pipeline.settings import Settings, SourceSettings
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway


def refuse_shared_folder(
    gateway: RegistrationGateway, retry: RetryPolicy, settings: Settings, source: SourceSettings, folder_uuid: str
) -> None:
    """Pass if no other source registers objects of this one in its folder; asks nothing where the configuration shows it.

    Args:
        gateway: Encord.
        retry: how it is asked.
        settings: the configuration.
        source: which.
        folder_uuid: its folder.

    Raises:
        ConfigurationError: another source does.
        HaltError: Encord can't be asked.
    """
    for other in folder_in_doubt(source, list(settings.sources.values())):
        if folder_key(other) == folder_uuid or _uuid_of(gateway, retry, other) == folder_uuid:
            problem = f"{refusal(other, source)}. Encord's folder {other.encord.folder!r} is {source.encord.folder!r}"
            raise ConfigurationError(problem, file=str(settings.path), key=f"sources.{source.name}")


def _uuid_of(gateway: RegistrationGateway, retry: RetryPolicy, other: SourceSettings) -> str | None:
    """Return the folder of another source; None if it has none, or several, so that it can't be synced itself."""
    folder = other.encord.folder
    with suppress(NotFoundError):
        return retry.read(f"finding folder {folder!r}", partial(gateway.find_folder, folder))
    return None
