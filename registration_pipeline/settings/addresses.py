"""The addresses in registration.yaml, parsed and checked: source URI, state, endpoint, Encord's domain.

What does not belong here: how an object's URL is written (``urls.py``). No error text quotes more of the address than its
scheme: it may come from the environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from registration_pipeline.foreign_text import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

# Wider than today's rule for new buckets (S3 user guide, "General purpose bucket naming rules"): buckets made in
# us-east-1 before March 2018 may have upper case, underscores and up to 255 characters.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
# Google's "Bucket naming guidelines"; with dots up to 222 characters.
_GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# Huawei's and Open Telekom Cloud's user guides, "Creating a bucket".
_OBS_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Azure's "Naming and referencing containers", with the two special ones that may hold a user's blobs; and "Storage
# account names".
_AZURE_CONTAINER = re.compile(r"\$root|\$web|(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
_AZURE_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")
_STATE_SCHEMES = ("s3", "gs", "az")
_NOT_OF_A_PREFIX = {"?": "a query (what follows a ?)", "#": "a fragment (what follows a #)"}


class SourceScheme(StrEnum):
    """Where a source's objects live."""

    S3 = "s3"
    GS = "gs"
    AZ = "az"
    OBS = "obs"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLocation:
    """A parsed source URI.

    Args:
        scheme: which kind of store.
        bucket: for Azure the container; empty for ``file://``.
        account: Azure's storage account; else empty.
        prefix: what follows the bucket in the URI, literally; empty for ``file://``, whose keys are paths below
            ``path``.
        path: the absolute directory of ``file://``; None for stores.
    """

    scheme: SourceScheme
    bucket: str = ""
    account: str = ""
    prefix: str = ""
    path: Path | None = None

    def below_prefix(self, key: str) -> str:
        """Return the part of a key that globs are matched against.

        A prefix that ends inside a name (``raw/cam``) counts up to its last slash: globs see ``camera-1/x.jpg``,
        never ``era-1/x.jpg``.
        """
        return key[self.prefix.rfind("/") + 1 :]


@lru_cache(maxsize=64)  # asked for by every use of a source's location; the answer is immutable
def parse_location(uri: str) -> SourceLocation:
    """Take a source URI apart.

    Raises:
        ValueError: it is none of the forms that ``SourceScheme`` names, or no store could have such a bucket.
    """
    written, separator, rest = uri.partition("://")
    if not separator or written not in set(SourceScheme):
        raise ValueError(
            "must be s3://bucket/prefix/, gs://bucket/prefix/, az://container@account/prefix/, obs://bucket/prefix/ or "
            f"file:///absolute/directory/{unknown_scheme(uri)}"
        )
    scheme = SourceScheme(written)
    if scheme == SourceScheme.FILE:
        return SourceLocation(scheme=scheme, path=_file_path(rest))
    place, _, prefix = rest.partition("/")
    refuse_query(prefix)
    if scheme == SourceScheme.AZ:
        bucket, account = _container_and_account(place)
        return SourceLocation(scheme=scheme, bucket=bucket, account=account, prefix=prefix)
    _check_bucket(place, scheme)
    return SourceLocation(scheme=scheme, bucket=place, prefix=prefix)


def refuse_query(prefix: str) -> None:
    """Refuse what was copied with a query or a fragment: a presigned URL would become a prefix, and its signature be kept.

    Keys may hold ``?`` and ``#``: inside the name of a folder, followed by a slash, they are characters as all others.

    Raises:
        ValueError: the prefix ends in a query or a fragment, or in what may be one.
    """
    for mark, what in _NOT_OF_A_PREFIX.items():
        _, found, after = prefix.partition(mark)
        name, is_folder, _ = after.partition("/")
        if found and ("=" in name or not is_folder or masked(after) != after):
            raise ValueError(_query_text(what))


def refuse_file_query(rest: str) -> None:
    """Refuse a query or a fragment in a file address, where names can be written without ``?`` and ``#``.

    Raises:
        ValueError: there is one.
    """
    if "?" in rest or "#" in rest:
        raise ValueError("a file address has no query and no fragment; write a ? in a name as %3F and a # as %23")


def _query_text(what: str) -> str:
    return f"holds {what}, which may hold a signature and has no meaning here; remove it"


def unknown_scheme(address: str) -> str:
    """Return the scheme of an address that is none of those known, as a clause to end a message with; else nothing."""
    scheme, separator, _ = address.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return ""
    return f"; {scheme}:// is none of these" + (
        ", which are in lower case" if scheme.lower() in set(SourceScheme) else ""
    )


def _check_bucket(bucket: str, scheme: str = SourceScheme.S3) -> None:
    if not bucket:
        raise ValueError(f"the bucket is missing; write {scheme}://bucket/prefix/")
    if scheme == SourceScheme.GS and not _GCS_BUCKET.fullmatch(bucket):
        raise ValueError("not a bucket name: 3 or more lower-case letters, digits, dots, hyphens and underscores")
    if scheme == SourceScheme.OBS and not _OBS_BUCKET.fullmatch(bucket):
        raise ValueError("not a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("not a bucket name: 3 or more letters, digits, dots, hyphens and underscores")


def _container_and_account(place: str) -> tuple[str, str]:
    container, _, account = place.partition("@")
    if not container or not account:
        raise ValueError("the container or the account is missing; write az://container@account/prefix/")
    if not _AZURE_CONTAINER.fullmatch(container):
        raise ValueError("not a container name: 3 to 63 lower-case letters, digits and single hyphens between them")
    if not _AZURE_ACCOUNT.fullmatch(account):
        raise ValueError(
            "not a storage account: 3 to 24 lower-case letters and digits, the name alone without .blob.core.windows.net"
        )
    return container, account


def _file_path(rest: str) -> Path:
    rest = rest.removeprefix("localhost")
    if not rest.startswith("/"):
        raise ValueError("a file address has three slashes and an absolute directory: file:///data/media/")
    refuse_file_query(rest)
    try:
        path = unquote(rest, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its percent-escapes are not UTF-8; write a percent sign itself as %25") from None
    if "\0" in path:
        raise ValueError("a directory name can't hold a zero byte (%00)")
    return Path(path)


def parse_state(state: str, *, folder: Path, environ: Mapping[str, str]) -> str:
    """Return the state's address: an absolute path, or a URL without trailing slash.

    Args:
        state: as written.
        folder: the configuration file's folder, which relative paths start from.
        environ: for ``~``.

    Raises:
        ValueError: neither a path nor an address that a state can live at.
    """
    scheme, separator, rest = state.partition("://")
    if not separator:
        if masked(state) != state:
            raise ValueError("holds a signature, password or key, which would become a folder's name; remove it")
        if "\0" in state:
            raise ValueError("a path can't hold a zero byte")
        home = environ.get("HOME")
        return str(folder / (home + state[1:] if home and (state == "~" or state.startswith("~/")) else state))
    if scheme == "file":
        return str(_file_path(rest))
    if scheme not in _STATE_SCHEMES:
        raise ValueError(f"must be a path, file:///…, s3://bucket/prefix, gs://… or az://…{unknown_scheme(state)}")
    _check_state_address(scheme, rest)
    return state.rstrip("/")


def _check_state_address(scheme: str, rest: str) -> None:
    for mark, what in _NOT_OF_A_PREFIX.items():
        if mark in rest:
            raise ValueError(_query_text(what))
    place = rest.partition("/")[0]
    if not place and scheme != "s3":
        raise ValueError(f"the bucket is missing; write {scheme}://bucket/prefix")
    if scheme == "az":
        container, separator, account = place.partition("@")
        # The account may come from the environment instead.
        _container_and_account(f"{container}@{account if separator else 'account'}")
    else:
        _check_bucket(place, scheme)


def parse_endpoint(url: str) -> str:
    """Return a store's endpoint without trailing slash.

    Raises:
        ValueError: not ``http(s)://host[:port][/path]``.
    """
    problem = "must be http://host:port or https://host, without user name, query and fragment"
    return _web_address(url, problem)


def parse_domain(url: str) -> str:
    """Return Encord's address without trailing slash.

    A path is refused because the SDK drops it for half of its calls (observed on encord 0.1.211).

    Raises:
        ValueError: not ``http(s)://host[:port]``.
    """
    problem = "must be https://host or https://host:port without a path, e.g. https://api.us.encord.com"
    address = _web_address(url, problem)
    if urlsplit(address).path:
        raise ValueError(problem)
    return address


def _web_address(url: str, problem: str) -> str:
    # Characters that an objectUrl may not hold are refused here, because the endpoint becomes a part of it.
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/\[\]-]+", url):
        raise ValueError(problem)
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(problem) from None
    if not parts.hostname or not port_is_valid or parts.netloc.endswith(":"):
        raise ValueError(problem)
    return url.rstrip("/")


def lies_within(state: str, location: SourceLocation) -> str | None:
    """Return the key that a state's files would be listed under if it is inside a source, or None."""
    if location.path is not None:
        if "://" in state:
            return None
        path, root = PurePosixPath(normpath(state)), PurePosixPath(normpath(location.path))
        return f"{path.relative_to(root)}/".removeprefix("./") if path.is_relative_to(root) else None
    scheme, _, rest = f"{state}/".partition("://")
    place, _, key = rest.partition("/")
    bucket, _, account = place.partition("@")
    # A state in OBS is written s3://, with the endpoint in the environment; an account can be there too.
    is_same_store = scheme == ("s3" if location.scheme == SourceScheme.OBS else location.scheme)
    is_same_bucket = is_same_store and bucket == location.bucket and account in {"", location.account}
    return key if is_same_bucket and key.startswith(location.prefix) else None
