"""Report files in buckets: S3 through boto3, Google Cloud Storage and Azure through obstore.

What does not belong here: what the files say, and listing the buckets that are registered. obstore changes some keys, which
does no harm here: providers choose the names of their reports, and those are plain.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ListingError, NotFoundError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.inventory.bounds import endless_listing
from registration_pipeline.inventory.reports.place import CHUNK_BYTES, Level, missing_file, setting
from registration_pipeline.inventory.s3.ends import KeyCountError, UnclearEndError, require_clear_ends, require_entries
from registration_pipeline.inventory.s3.errors import require_listing, s3_errors
from registration_pipeline.inventory.s3.limits import s3_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from obstore.store import ObjectStore

_NO_FILE = {"NoSuchKey", "404", "NotFound"}
_GOOGLE_PAYER = "x-goog-user-project"
_NOT_ALLOWED = {"AccessDenied", "403", "Forbidden"}


class S3Place:
    """A prefix of an S3 bucket.

    Args:
        client: a boto3 S3 client.
        bucket: its name.
        start: the folder to search; empty, or ending in ``/``.
        source: the source's name, for error texts.
        is_counted: refuse a page that says another number of entries than it has.
    """

    def __init__(
        self, client: S3Client, bucket: str, start: str = "", *, source: str = "<name>", is_counted: bool = True
    ) -> None:
        self._client, self._bucket, self.start, self._source = client, bucket, start, source
        self._is_counted = is_counted
        self.requests = 0
        require_clear_ends(client)

    def location(self, name: str) -> str:
        """See ``ReportPlace.location``."""
        return f"s3://{self._bucket}/{name}"

    def level(self, folder: str) -> Level:
        """See ``ReportPlace.level``."""
        folders: list[str] = []
        names: list[str] = []
        token: dict[str, Any] = {}
        pages = PageProgress()
        while True:
            self.requests += 1
            with s3_limit(self.location(folder), self._source), self._translated(folder):
                page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=folder, Delimiter="/", **token)
                if self._is_counted:
                    require_entries(page)
            require_listing(page, bucket=self._bucket, source=self._source)
            folders += (entry["Prefix"] for entry in page.get("CommonPrefixes", ()))
            names += (entry["Key"] for entry in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return Level(tuple(folders), tuple(names))
            following = page.get("NextContinuationToken") or ""
            is_empty = not (page.get("Contents") or page.get("CommonPrefixes"))
            if problem := pages.problem_with(following, is_empty=is_empty):
                raise endless_listing(self.location(folder), problem, self._source)
            token = {"ContinuationToken": following}

    def size(self, name: str) -> int | None:
        """See ``ReportPlace.size``."""
        self.requests += 1
        try:
            with s3_limit(self.location(name), self._source), self._translated(name):
                return self._client.head_object(Bucket=self._bucket, Key=name)["ContentLength"]
        except NotFoundError:
            return None

    def chunks(self, name: str) -> Iterator[bytes]:
        """See ``ReportPlace.chunks``."""
        self.requests += 1
        # However large it is: a chunk of it is in memory.
        limit = s3_limit(self.location(name), self._source, most_bytes=sys.maxsize)
        with self._translated(name):
            with limit:
                body = self._client.get_object(Bucket=self._bucket, Key=name)["Body"]
            while True:
                with limit:  # whose time starts again
                    chunk = body.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        key = setting(self._source)
        with s3_errors(bucket=self._bucket, source=self._source):
            try:
                yield
            except KeyCountError as error:
                raise ListingError(
                    f"{self.location(name)} can't be listed: {error}. Run again; if it happens again, ask who runs the store "
                    f"that answers for `{key}`. If the objects are all there and only the number is wrong, set "
                    f"`sources.{self._source}.storage.key_count` to false."
                ) from None
            except UnclearEndError as error:
                raise ListingError(
                    f"{self.location(name)} can't be listed: {error}. Run again; if it happens again, the store that "
                    f"answers for `{key}` can't be relied on: ask its vendor."
                ) from None
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                if code == "NoSuchBucket":
                    raise NotFoundError(f"Bucket {self._bucket} does not exist ({code}). Fix `{key}`.") from None
                if code in _NO_FILE:
                    raise missing_file(self.location(name), key) from None
                if code in _NOT_ALLOWED:
                    raise PermissionDeniedError(
                        f"Not allowed to read {self.location(name)} ({code}). Grant these credentials s3:ListBucket on "
                        f"arn:aws:s3:::{self._bucket} and s3:GetObject on arn:aws:s3:::{self._bucket}/* (and kms:Decrypt "
                        f"if the reports are encrypted with KMS), or fix `{key}`."
                    ) from None
                raise


class ObjectStorePlace:
    """A prefix of a Google Cloud Storage bucket or an Azure container.

    Args:
        store: an obstore store of the whole bucket.
        uri: where that is, for people, e.g. ``gs://reports``.
        start: the folder to search; empty, or ending in ``/``.
        source: the source's name, for error texts.
    """

    def __init__(self, store: ObjectStore, uri: str, start: str = "", *, source: str = "<name>") -> None:
        self._store, self._uri, self.start, self._setting = store, uri.rstrip("/"), start, setting(source)
        self.requests = 0

    def location(self, name: str) -> str:
        """See ``ReportPlace.location``."""
        return f"{self._uri}/{name}"

    def level(self, folder: str) -> Level:
        """See ``ReportPlace.level``."""
        import obstore

        self.requests += 1
        with self._translated(folder):
            found = obstore.list_with_delimiter(self._store, folder or None)
        folders = tuple(f"{path.rstrip('/')}/" for path in found["common_prefixes"])
        return Level(folders, tuple(entry["path"] for entry in found["objects"]))

    def size(self, name: str) -> int | None:
        """See ``ReportPlace.size``."""
        import obstore

        self.requests += 1
        try:
            with self._translated(name):
                return int(obstore.head(self._store, name)["size"])
        except NotFoundError:
            return None

    def chunks(self, name: str) -> Iterator[bytes]:
        """See ``ReportPlace.chunks``.

        Each chunk is a request of its own: obstore gives up on one that takes longer than 30 seconds, its body included, and
        files of reports can be gigabytes. If the file is replaced meanwhile, the store refuses the next chunk.
        """
        import obstore

        self.requests += 1
        with self._translated(name):
            meta = obstore.head(self._store, name)
        for start in range(0, int(meta["size"]), CHUNK_BYTES):
            self.requests += 1
            end = min(start + CHUNK_BYTES, int(meta["size"]))
            with self._translated(name):
                piece = obstore.get(self._store, name, options={"range": (start, end), "if_match": meta["e_tag"]})
                data = bytes(piece.bytes())
            yield data

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Turn obstore's exceptions into ours, without their texts: those hold request URLs, which can be signed."""
        from obstore.exceptions import BaseError, UnauthenticatedError
        from obstore.exceptions import PermissionDeniedError as RefusedError

        try:
            yield
        except FileNotFoundError:
            raise missing_file(self.location(name), self._setting) from None
        except (RefusedError, UnauthenticatedError) as error:
            raise PermissionDeniedError(
                f"Not allowed to read {self.location(name)} ({type(error).__name__}). Grant these credentials permission "
                f"to list and read there (storage.objects.list and storage.objects.get; Storage Blob Data Reader on Azure), "
                f"or fix `{self._setting}`."
            ) from None
        except BaseError as error:
            raise ServiceUnavailableError(
                f"The store did not serve {self.location(name)} ({type(error).__name__}). Check the network, the "
                f"provider's credentials in the environment and `{self._setting}`, then run again."
            ) from None


def open_google_place(
    bucket: str, start: str, *, source: str, user_project: str | None = None, config: Any = None, **client_options: Any
) -> ObjectStorePlace:
    """Return a place in Google Cloud Storage; credentials are Google's application default ones.

    Args:
        bucket: its name.
        start: the folder to search.
        source: the source's name, for error texts.
        user_project: the project that pays for the requests, for buckets whose owner does not.
        config: of obstore's store.
        client_options: of its HTTP client.
    """
    from obstore.store import GCSStore

    # Cloud Storage's XML API, which obstore speaks: request header "x-goog-user-project".
    payer: Any = {"default_headers": {_GOOGLE_PAYER: user_project}} if user_project else {}
    options: Any = payer | client_options
    store = GCSStore(bucket, config=config, client_options=options or None)
    return ObjectStorePlace(store, f"gs://{bucket}", start, source=source)


def open_azure_place(container: str, account: str | None, start: str, *, source: str) -> ObjectStorePlace:
    """Return a place in Azure Blob Storage; credentials come from the environment, as for a state there."""
    from obstore.store import AzureStore

    config: Any = {} if account is None else {"account_name": account}
    uri = f"az://{container}@{account}" if account else f"az://{container}"
    return ObjectStorePlace(AzureStore(container, config=config), uri, start, source=source)


class S3ConfigurationFilters:
    """``ConfigurationFilters`` from S3; None where the credentials may not read them.

    Args:
        client: a boto3 S3 client.
        bucket: the source's, which the configurations belong to.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket
        self._known: dict[str, str | None] = {}

    def prefix_of(self, configuration: str) -> str | None:
        """See ``ConfigurationFilters.prefix_of``."""
        if configuration not in self._known:
            self._known[configuration] = self._asked(configuration)
        return self._known[configuration]

    def _asked(self, configuration: str) -> str | None:
        try:
            answer = self._client.get_bucket_inventory_configuration(Bucket=self._bucket, Id=configuration)
        except (ClientError, BotoCoreError):
            # No permission, a configuration deleted since, a copy without a network: the report itself is still good.
            return None
        return answer["InventoryConfiguration"].get("Filter", {}).get("Prefix", "")
