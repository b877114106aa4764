"""From the ``state`` setting to the store that keeps it.

What does not belong here: credentials and error texts of a store (``local.py``, ``bucket.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore

_BUCKET_SCHEMES = {"s3", "gs", "az"}


def open_state_store(uri: str) -> StateStore:
    """Return the store for ``uri``; nothing is read or written yet.

    Args:
        uri: a path, ``file:///path``, ``s3://bucket/prefix``, ``gs://bucket/prefix`` or
            ``az://container@account/prefix``.

    Raises:
        ConfigurationError: the text is none of these.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator:
        if not uri:
            raise ConfigurationError("it is empty; write a path, s3://…, gs://… or az://…", key="state")
        return LocalStateStore(Path(uri).expanduser())
    if scheme == "file":
        return LocalStateStore(Path(unquote(urlsplit(uri).path)))
    if scheme in _BUCKET_SCHEMES:
        # Lazy: obstore and boto3 load only where the state is in a bucket.
        from registration_pipeline.state.bucket import open_bucket_state_store

        return open_bucket_state_store(uri)
    raise ConfigurationError(
        f"the state can't be kept at {scheme}://…; write a path, s3://…, gs://… or az://…", key="state"
    )
