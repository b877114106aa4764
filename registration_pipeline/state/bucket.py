"""The state in a bucket: S3, Google Cloud Storage or Azure, through obstore.

What does not belong here: what the names mean (``layout.py``), and listing the buckets that are registered
(``inventory/``): obstore changes some keys, which does no harm here, where the names are our own.
"""

from __future__ import annotations

import io
import mmap
import os
import tempfile
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PreconditionError,
)
from obstore.store import MemoryStore

from registration_pipeline.errors import (
    ConfigurationError,
    StateConflictError,
    StateError,
    StateNotFoundError,
)
from registration_pipeline.state.exclusive import require_exclusive_create
from registration_pipeline.state.names import check_name, check_prefix, is_legal
from registration_pipeline.state.providers import open_provider
from registration_pipeline.state.refusals import (
    is_undecided,
    is_without_bucket,
    no_bucket_text,
    refusal_text,
    undecided_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CONDITIONAL_UPLOAD_BYTES = 1 << 30
"""Files up to this size go up in one conditional request. S3 and Azure accept 5 GB in one; 1 GiB passes within the time
limit at 4 MB/s.

Multipart uploads can't be conditional in object_store 0.12, so for a longer file the name is only checked beforehand.
"""

_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between writes that S3 answered with 409 ConditionalRequestConflict: the name is perhaps not taken."""
_READ_AHEAD_BYTES = 1 << 20
_DOWNLOAD_CHUNK_BYTES = 8 << 20
_RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=120)}
# The whole time of one try, its body included. With the repetitions above, no small request takes more than three minutes.
_CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=60)}
_BULK_CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=300)}
"""For whole files, which may be large."""
_MOST_READ_BYTES = 1 << 30
"""Of a file that is read into memory at once: markers and entries are kilobytes, a ledger's part some hundred megabytes."""
_SMALL_BYTES = 4 << 10
"""Entries of journals and leases are smaller, and are not asked for as local files."""
_KEPT_BYTES = 16 << 20
"""Manifests of a thousand objects have half a megabyte, and a few are under way at once."""
_KEPT_FILE_BYTES = 8 << 20
"""Of one file: an inventory, or a plan, of a quarter of a million objects."""


class BucketStateStore:
    """``StateStore`` in a bucket; creating is conditional on the server, so of many writers exactly one wins.

    A write whose answer was lost and that was repeated reports a conflict, even if it was the first that worked: the
    careful reading, because the caller then reads what is there.

    Args:
        store: any obstore store, already pointing at the state's prefix.
        uri: where that is, for people.
        bulk: the same store with more time, for whole files; by default ``store``.
    """

    def __init__(self, store: ObjectStore, uri: str, *, bulk: ObjectStore | None = None) -> None:
        self._store, self._uri, self._bulk = store, uri.rstrip("/"), bulk
        self._is_exclusive = False
        self._written = _Written()

    @property
    def uri(self) -> str:
        """The bucket and prefix as a URL."""
        return self._uri

    def create(self, name: str, data: bytes) -> None:
        """See ``StateStore.create``."""
        self._put(name, data)
        self._written.keep(name, data)

    def create_from_file(self, name: str, path: Path) -> None:
        """See ``StateStore.create_from_file``. The file is mapped into memory, not read."""
        size = path.stat().st_size
        if size > CONDITIONAL_UPLOAD_BYTES:
            self._put_multipart(name, path)
        elif size == 0 or isinstance(self._store, MemoryStore):
            # An empty file can't be mapped; and a store in memory would keep the mapping instead of the bytes.
            self._put(name, path.read_bytes())
        else:
            with path.open("rb") as file:
                self._put(name, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), self._bulk)
        if _SMALL_BYTES <= size <= _KEPT_FILE_BYTES:
            self._written.keep(name, path.read_bytes())

    def read(self, name: str) -> bytes:
        """See ``StateStore.read``."""
        with self._translated(check_name(name)):
            found = obstore.get(self._store, name)
            size = found.meta["size"]
            if size <= _MOST_READ_BYTES:
                return bytes(found.bytes())
        raise StateError(
            f"{self.location(name)} has {size:,} bytes, more than the {_MOST_READ_BYTES:,} that are read at once. It was not "
            "written by this program: restore it from a backup."
        )

    def exists(self, name: str) -> bool:
        """See ``StateStore.exists``."""
        try:
            with self._translated(check_name(name)):
                obstore.head(self._store, name)
        except StateNotFoundError:
            return False
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """See ``StateStore.names``.

        The three clouds list in order of the name. SeaweedFS lists folder by folder, which sorts ``a/b/`` before ``a/b-1/``.
        """
        check_prefix(prefix)
        firsts, found = set[str](), list[str]()
        with self._translated(prefix):
            for page in obstore.list(self._store, prefix, chunk_size=1000):
                names = [entry["path"] for entry in page]
                if names and names[0] in firsts:
                    raise StateError(
                        f"The store lists {self._uri}/{prefix} without an end: {names[0]} came before. Nothing was changed. "
                        "Ask the store's vendor, or set `state` in registration.yaml to another place."
                    )
                firsts.update(names[:1])
                found += names
        found.sort()
        yield from found

    def folders(self, prefix: str) -> list[str]:
        """See ``StateStore.folders``."""
        check_prefix(prefix)
        with self._translated(prefix):
            found = obstore.list_with_delimiter(self._store, prefix)["common_prefixes"]
        return sorted(filter(is_legal, (PurePosixPath(folder).name for folder in found)))

    def delete(self, name: str) -> None:
        """See ``StateStore.delete``."""
        self._written.forget(name)
        try:
            with self._translated(check_name(name)):
                obstore.delete(self._store, name)
        except StateNotFoundError:
            return

    def open(self, name: str) -> IO[bytes]:
        """See ``StateStore.open``; reads ranges, 1 MiB ahead. What was written just now is not asked for.

        Inventories and plans are read a moment after they were written, and more than once. Digests are compared all the same.
        """
        if (written := self._written.get(name)) is not None:
            return io.BytesIO(written)
        with self._translated(check_name(name)):
            size = obstore.head(self._store, name)["size"]
        return io.BufferedReader(_RangeReader(self, name, size), _READ_AHEAD_BYTES)

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """See ``StateStore.local_file``; a copy in the temporary folder, not asked for again if it was written just now.

        A manifest is sent from a local file right after it was written, while the chunk occupies a slot.
        """
        check_name(name)
        written = self._written.get(name)
        with tempfile.TemporaryDirectory(prefix="registration-pipeline-") as folder:
            path = Path(folder) / PurePosixPath(name).name
            with self._translated(name), path.open("xb") as file:
                if written is not None:
                    file.write(written)
                else:
                    found = obstore.get(self._bulk or self._store, name)
                    for chunk in found.stream(min_chunk_size=_DOWNLOAD_CHUNK_BYTES):
                        file.write(chunk)
            yield path

    def require_exclusive_create(self) -> None:
        """See ``StateStore.require_exclusive_create``; tried once per process."""
        if not self._is_exclusive:
            require_exclusive_create(self)
            self._is_exclusive = True

    def location(self, name: str) -> str:
        """See ``StateStore.location``."""
        return f"{self._uri}/{name}"

    def read_range(self, name: str, start: int, end: int) -> memoryview:
        """Return bytes ``start`` up to, not including, ``end``; at least one."""
        with self._translated(name):
            return memoryview(obstore.get_range(self._store, name, start=start, end=end))

    def _put(self, name: str, data: bytes | mmap.mmap, store: ObjectStore | None = None) -> None:
        check_name(name)
        for pause in (*_PAUSES, None):
            with self._translated(name, is_write=True):
                try:
                    obstore.put(store or self._store, name, data, mode="create", use_multipart=False)
                except AlreadyExistsError as error:
                    if not is_undecided(error):
                        raise
                    if pause is None:
                        raise StateError(undecided_text(self.location(name))) from None
                else:
                    return
            time.sleep(pause or 0)

    def _put_multipart(self, name: str, path: Path) -> None:
        if self.exists(name):
            raise StateConflictError(self._conflict_text(name))
        with self._translated(name):
            obstore.put(
                self._bulk or self._store, name, path, use_multipart=True, chunk_size=64 << 20, max_concurrency=4
            )

    def _conflict_text(self, name: str) -> str:
        return f"{self.location(name)} exists already: another process wrote it first. Let it finish, then run again."

    @contextmanager
    def _translated(self, name: str, *, is_write: bool = False) -> Iterator[None]:
        """Turn obstore's exceptions into ours.

        What is quoted of them is said in ``refusals.py``.
        """
        try:
            yield
        except FileNotFoundError as error:
            if is_write or is_without_bucket(error):
                raise StateError(no_bucket_text(self._uri)) from None
            raise StateNotFoundError(
                f"The state has no {self.location(name)}. If it was moved or deleted, restore it from a backup."
            ) from None
        except (AlreadyExistsError, PreconditionError):
            raise StateConflictError(self._conflict_text(name)) from None
        except BaseError as error:
            raise StateError(refusal_text(self._uri, self.location(name), error)) from None
        except OSError as error:
            raise StateError(
                f"{self.location(name)} can't be copied to this machine: {error.strerror or error}. Free space in the "
                "temporary folder, or set TMPDIR to a folder with room."
            ) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # obstore's, when its settings make no sense to it
                raise
            raise ConfigurationError(
                f"{self._uri} can't be asked with the provider's variables in the environment; check its endpoint",
                key="state",
            ) from None


class _Written:
    """The contents of files that were written, those that were used last: they never change. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock, self._files, self._bytes = threading.Lock(), OrderedDict[str, bytes](), 0

    def keep(self, name: str, data: bytes) -> None:
        if not _SMALL_BYTES <= len(data) <= _KEPT_BYTES:
            return
        with self._lock:
            self._bytes += len(data) - len(self._files.pop(name, b""))
            self._files[name] = data
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._files.popitem(last=False)[1])

    def get(self, name: str) -> bytes | None:
        with self._lock:
            if name in self._files:
                self._files.move_to_end(name)
            return self._files.get(name)

    def forget(self, name: str) -> None:
        with self._lock:
            self._bytes -= len(self._files.pop(name, b""))


class _RangeReader(io.RawIOBase):
    """Random reads of one object, for ``io.BufferedReader`` to buffer."""

    def __init__(self, store: BucketStateStore, name: str, size: int) -> None:
        super().__init__()
        self._store, self._name, self._size, self._position = store, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        data = self._store.read_range(self._name, self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_bucket_state_store(uri: str, environ: Mapping[str, str] = os.environ) -> BucketStateStore:
    """Return the store for ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container@account/prefix``.

    Region, endpoint and credentials come from the environment under the names of each provider's own tools; for S3 the
    credentials come from botocore's chain, so that profiles, SSO and roles work.

    Args:
        uri: the state's place.
        environ: holds the region, and the endpoint, to allow plain http on loopback only.

    Raises:
        ConfigurationError: no bucket in ``uri``, or the provider can't be set up from the environment; names the variable.
        CredentialsError: AWS credentials can't be had.
    """
    # By hand: urlsplit would put buckets into lower case and cut prefixes at "?" and "#".
    scheme, _, rest = uri.partition("://")
    place, _, prefix = rest.partition("/")
    bucket, _, account = place.partition("@")
    if not bucket:
        raise ConfigurationError(f"it names no bucket; write {scheme}://<bucket>/<prefix>", key="state")
    try:
        store, bulk = (
            open_provider(
                scheme, bucket, account or None, prefix.strip("/") or None, environ, client=client, retries=_RETRIES
            )
            for client in (_CLIENT, _BULK_CLIENT)
        )
    except BaseError as error:
        raise ConfigurationError(
            f"the {scheme}:// store can't be set up from the environment ({type(error).__name__}); check the "
            "provider's variables, e.g. AWS_REGION, GOOGLE_APPLICATION_CREDENTIALS or AZURE_STORAGE_ACCOUNT_NAME",
            key="state",
        ) from None
    return BucketStateStore(store, uri, bulk=bulk)
