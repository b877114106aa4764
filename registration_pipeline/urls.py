"""Key to objectUrl and back. An objectUrl is a pure function of source and key that never changes between runs.

What does not belong here: whether Encord would take the URL (planning), and requests to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings_location import SourceScheme
from registration_pipeline.settings_models import UrlStyle

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.settings_models import SourceSettings

_NOTHING_TO_ENCODE = re.compile(r"[A-Za-z0-9\-._~/]*").fullmatch


def object_url(source: SourceSettings, key: str) -> str:
    """Return the objectUrl of a key. For many keys, ``url_writer`` is faster.

    Raises:
        ConfigurationError: the source lacks what its ``url_style`` needs.
    """
    return _base(source) + _encoded(key)


def url_writer(source: SourceSettings) -> Callable[[str], str]:
    """Return ``object_url`` for one source with the constant part worked out, for millions of keys.

    Raises:
        ConfigurationError: the source lacks what its ``url_style`` needs.
    """
    base = _base(source)

    def write(key: str) -> str:
        return base + (key if _NOTHING_TO_ENCODE(key) else _encoded(key))

    return write


def key_from_url(source: SourceSettings, url: str) -> str:
    """Return the key that an objectUrl of this source was made from.

    Raises:
        ValueError: the URL is not one of this source's bucket and style, or does not decode to UTF-8.
    """
    base = _base(source)
    if not url.startswith(base):
        raise ValueError(f"{url!r} does not start with {base!r}: it is not an objectUrl of source {source.name!r}")
    return unquote(url[len(base) :], errors="strict")


def _encoded(key: str) -> str:
    # quote never touches letters, digits and "-._~"; everything else goes byte by byte of UTF-8.
    return quote(key, safe="/", encoding="utf-8", errors="strict")


def _base(source: SourceSettings) -> str:
    """Return everything before the key, with the slash that ends it."""
    location, storage = source.location, source.storage
    if location.scheme == SourceScheme.FILE:
        return f"file://{_encoded(str(location.path)).rstrip('/')}/"
    if source.url_style == UrlStyle.S3:
        return f"s3://{location.bucket}/"
    if source.url_style == UrlStyle.MRAP:
        arn = _required(source, storage.access_point_arn, "access_point_arn")
        return f"https://{arn}.s3-accesspoint.amazonaws.com/"
    if source.url_style == UrlStyle.FILE:
        raise ConfigurationError("file is for file:/// sources only", key=_key(source, "url_style"))
    endpoint = storage.endpoint_url or f"https://s3.{_required(source, storage.region, 'region')}.amazonaws.com"
    if source.url_style == UrlStyle.PATH:
        return f"{endpoint}/{location.bucket}/"
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{location.bucket}.{host}/"


def _required(source: SourceSettings, value: str | None, name: str) -> str:
    if value is None:
        key = _key(source, f"storage.{name}")
        raise ConfigurationError(f"url_style {source.url_style} needs it; add storage.{name}", key=key)
    return value


def _key(source: SourceSettings, name: str) -> str:
    return f"sources.{source.name}.{name}"
