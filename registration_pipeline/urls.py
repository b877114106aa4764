"""Key to objectUrl and back. An objectUrl is a pure function of source and key that never changes between runs.

What does not belong here: whether Encord would accept the URL (planning), and requests to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.settings.cross_checks import URL_STYLES
from registration_pipeline.settings.endpoints import (
    GOOGLE,
    amazon_endpoint,
    amazon_store,
    azure_store,
    otc_endpoint,
    otc_store,
    partition_of,
    partition_of_arn,
    partitions,
    store_at,
)
from registration_pipeline.settings.models import UrlStyle

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.settings.models import SourceSettings

# Encord's own forms: its documentation of private data, "AWS", "GCP", "Azure" and "OTC".
_BASES = {
    UrlStyle.S3: "s3://{bucket}/",
    UrlStyle.MRAP: "https://{arn}.s3-accesspoint.{suffix}/",
    UrlStyle.GS: "gs://{bucket}/",
    UrlStyle.HTTPS: "https://storage.cloud.google.com/{bucket}/",
    UrlStyle.AZURE: "https://{account}.blob.core.windows.net/{bucket}/",
    UrlStyle.OBS: "https://{bucket}.{host}/",
}
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search
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


def key_reader(source: SourceSettings) -> Callable[[str], str | None]:
    """Return the inverse of ``object_url`` for one source: the key of a URL, or None: the URL is not one of this bucket.

    The plain form ``s3://bucket/key`` (``gs://``, ``az://container@account/key``, ``obs://``) of the source's own scheme is
    read too, whatever its ``url_style``. In both forms what follows the bucket is percent-decoded, and a character that is
    not encoded is itself; a percent sign that is not followed by two hexadecimal digits, or bytes that are not UTF-8, are no
    key.

    Raises:
        ConfigurationError: the source lacks what its ``url_style`` needs.
    """
    location, base = source.location, _base(source)
    place = f"{location.bucket}@{location.account}" if location.account else location.bucket
    bases = (base,) if location.scheme is SourceScheme.FILE else (base, f"{location.scheme}://{place}/")

    def read(url: str) -> str | None:
        for start in bases:
            if url.startswith(start):
                return _decoded(url[len(start) :])
        return None

    return read


def _decoded(path: str) -> str | None:
    if "%" not in path:
        return path
    if _BARE_PERCENT(path):
        return None
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeError:
        return None


def _encoded(key: str) -> str:
    # quote never touches letters, digits and "-._~"; everything else goes byte by byte of UTF-8.
    return quote(key, safe="/", encoding="utf-8", errors="strict")


def obs_endpoint(source: SourceSettings) -> str:
    """Return where a source in OBS is reached: its own endpoint, else Open Telekom Cloud's of the region.

    Raises:
        ConfigurationError: neither is there.
    """
    return source.storage.endpoint_url or otc_endpoint(_region(source))


def stores_of_urls(source: SourceSettings) -> frozenset[str]:
    """Return the stores that the source's URLs lead to, as ``store_at`` names them: where it must be listed.

    One, but for ``s3://…`` URLs without ``storage.region``, which lead to S3 in any of Amazon's partitions.

    Raises:
        ConfigurationError: the source lacks what its ``url_style`` needs.
    """
    storage, style = source.storage, source.url_style
    if style == UrlStyle.S3:
        return frozenset(map(amazon_store, [partition_of(storage.region)] if storage.region else partitions()))
    if style == UrlStyle.MRAP:
        arn = _required(source, storage.access_point_arn, "access_point_arn")
        return frozenset({amazon_store(partition_of_arn(arn))})
    if style in {UrlStyle.HTTPS, UrlStyle.GS}:
        return frozenset({GOOGLE})
    if style == UrlStyle.AZURE:
        return frozenset({azure_store(source.location.account)})
    if style == UrlStyle.OBS:
        return frozenset({otc_store(_region(source))})
    return frozenset({store_at(source.location, _endpoint(source))})


def url_warning(source: SourceSettings) -> str | None:
    """Return why URLs of a source may not be readable although they are right, and what to do; None: no reason is known."""
    bucket = source.location.bucket
    if source.url_style != UrlStyle.VIRTUAL_HOSTED or "." not in bucket or not _base(source).startswith("https:"):
        return None
    return (
        f"the name of bucket {bucket} has dots, and the certificate of https://{bucket}.… is valid for names without: what "
        f"checks certificates can't read these URLs. Set `sources.{source.name}.url_style` to path or s3 before anything is "
        "registered"
    )


def _base(source: SourceSettings) -> str:
    """Return everything before the key, with the slash that ends it."""
    location, storage, style = source.location, source.storage, source.url_style
    if style not in URL_STYLES[location.scheme]:
        raise ConfigurationError(f"{style} is not for {location.scheme}:// sources", key=_key(source, "url_style"))
    bucket = _encoded(location.bucket)
    if style == UrlStyle.FILE:
        return f"file://{_encoded(str(location.path)).rstrip('/')}/"
    if style == UrlStyle.MRAP:
        arn = _required(source, storage.access_point_arn, "access_point_arn")
        return _BASES[style].format(arn=arn, suffix=partition_of_arn(arn).suffix)
    if style == UrlStyle.OBS:
        return _BASES[style].format(bucket=bucket, host=otc_endpoint(_region(source)).removeprefix("https://"))
    if style in _BASES:
        return _BASES[style].format(bucket=bucket, account=location.account)
    scheme, _, host = _endpoint(source).partition("://")
    return f"{scheme}://{host}/{bucket}/" if style == UrlStyle.PATH else f"{scheme}://{bucket}.{host}/"


def _endpoint(source: SourceSettings) -> str:
    scheme, storage = source.location.scheme, source.storage
    if scheme == SourceScheme.OBS:
        return obs_endpoint(source)
    if scheme == SourceScheme.S3:
        return storage.endpoint_url or amazon_endpoint(_region(source))
    return _required(source, storage.endpoint_url, "endpoint_url")


def _region(source: SourceSettings) -> str:
    return _required(source, source.storage.region, "region")


def _required(source: SourceSettings, value: str | None, name: str) -> str:
    if value is None:
        key = _key(source, f"storage.{name}")
        raise ConfigurationError(f"url_style {source.url_style} needs it; add storage.{name}", key=key)
    return value


def _key(source: SourceSettings, name: str) -> str:
    return f"sources.{source.name}.{name}"
