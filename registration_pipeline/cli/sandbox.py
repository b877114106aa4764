"""Which objects the sandbox of the command opens: those of the sources, with the credentials of this machine.

What does not belong here: the sandbox itself, and opening.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.cli.output import notice
from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.config import LocalObjects, S3Objects
from registration_pipeline.settings import SourceScheme, load_settings
from registration_pipeline.settings.load import DEFAULT_FILE

if TYPE_CHECKING:
    from registration_pipeline.settings import SourceSettings

_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_SIGNED_AS = "us-east-1"
"""The region that S3-compatible stores take when none is set (the default of MinIO and moto)."""


def readers_for(config: Path | None, *, directory: Path | None, is_open: bool) -> tuple[LocalObjects | S3Objects, ...]:
    """Return what opens objects.

    Args:
        config: the file whose sources are opened; None: the default one, if it exists.
        directory: the only one whose files are opened.
        is_open: open the objects of the sources.

    Raises:
        UsageError: the directory does not exist, a store has no credentials, or the configuration is wrong.
    """
    if directory is not None and not directory.is_dir():
        raise UsageError(f"--read {directory} is not a directory. Name the directory of the source's files.")
    files = () if directory is None else (LocalObjects(root=directory.resolve()),)
    if not is_open:
        return files
    sources = _sources(config)
    if sources is None:
        endpoint = next(filter(None, map(os.environ.get, _ENDPOINT_VARIABLES)), None)
        stores = [S3Objects(endpoint_url=endpoint)] if endpoint else []
        return (*(files or (LocalObjects(),)), *map(_with_credentials, stores))
    for source in sources:
        if not _is_local(source) and source.storage.endpoint_url is None:
            notice(f"The objects of source {source.name} are accepted unopened: the sandbox can't open {source.uri}.")
    local = [LocalObjects()] if any(map(_is_local, sources)) else []
    stores = [_store(source) for source in sources if source.storage.endpoint_url is not None]
    return (*(files or local), *map(_with_credentials, dict.fromkeys(stores)))


def _sources(config: Path | None) -> "list[SourceSettings] | None":
    """Return the sources of the configuration; None: there is no configuration, and none was named."""
    if config is None and not os.environ.get("REGISTRATION_CONFIG") and not Path(DEFAULT_FILE).exists():
        return None
    return list(load_settings(config, os.environ).sources.values())


def _is_local(source: "SourceSettings") -> bool:
    return source.location.scheme is SourceScheme.FILE


def _store(source: "SourceSettings") -> S3Objects:
    storage = source.storage
    assert storage.endpoint_url is not None
    return S3Objects(endpoint_url=storage.endpoint_url, region=storage.region or _SIGNED_AS, profile=storage.profile)


def _with_credentials(store: S3Objects) -> S3Objects:
    """Return the store if there are credentials for it: else each of its objects would fail with the same text.

    Raises:
        UsageError: there are none.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        found = boto3.session.Session(profile_name=store.profile).get_credentials()
        problem = None if found is not None else "there are none"
    except BotoCoreError as error:
        problem = str(error)
    if problem is not None:
        raise UsageError(
            f"--open needs credentials for the store at {store.endpoint_url}: {problem}. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or start the sandbox without --open."
        )
    return store
