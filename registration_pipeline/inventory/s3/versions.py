"""Lists the current objects of a versioned S3 bucket with their version ids, through ListObjectVersions.

What does not belong here: listings without version ids (``lister.py``), which are many times faster: ListObjectVersions also
gives every older version, a thousand entries a request, and is read by botocore page after page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.bounds import endless_listing
from registration_pipeline.inventory.s3.ends import require_clear_ends
from registration_pipeline.inventory.s3.errors import require_listing, s3_errors
from registration_pipeline.inventory.s3.limits import s3_limit
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

_NULL_VERSION = "null"
"""What S3 calls the version of an object that was written while versioning was off (user guide, "Using versioning")."""


class S3VersionLister:
    """``ObjectLister`` of the current version of every object below a prefix; objects that are deleted now are left out.

    Args:
        client: a boto3 S3 client; it owns credentials, region, retries and timeouts.
        bucket: its name.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: entries per request, older versions and delete markers included; 1,000 is the most that S3 gives.

    Attributes:
        requests: how many pages were asked for so far.
    """

    def __init__(
        self, client: S3Client, bucket: str, prefix: str = "", *, source: str = "<name>", page_size: int = 1000
    ) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._source, self._page_size = source, page_size
        self.requests = 0
        require_clear_ends(client)

    @property
    def description(self) -> str:
        """The bucket, the prefix and the API."""
        return f"s3://{self._bucket}/{self._prefix} via ListObjectVersions"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is what a page holds of current versions.

        Raises:
            NotFoundError: no such bucket, at least not in this region.
            PermissionDeniedError: the principal may not list its versions.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the client's retries.
            ListingError: the answer can't be recorded exactly.
        """
        place: dict[str, str] = {}
        pages = PageProgress()
        while True:
            page = self._page(place)
            if batch := self._current(page):
                yield batch
            if not page.get("IsTruncated"):
                return
            following = {
                name: page[key]
                for name, key in (("KeyMarker", "NextKeyMarker"), ("VersionIdMarker", "NextVersionIdMarker"))
                if page.get(key)
            }
            if "KeyMarker" in following and page.get("EncodingType") == "url":
                following["KeyMarker"] = self._decoded(following["KeyMarker"])
            if not following or following == place:
                raise ListingError(
                    f"{self.description}: the store says that there is more, but not where to go on. Run again; if it happens "
                    f"again, its ListObjectVersions is broken: set `sources.{self._source}.storage.versions` to false."
                )
            is_empty = not (page.get("Versions") or page.get("DeleteMarkers"))
            if problem := pages.problem_with(str(following), is_empty=is_empty):
                raise endless_listing(self.description, problem, self._source)
            place = following

    def _page(self, place: dict[str, str]) -> Any:
        self.requests += 1
        request: Any = {
            "Bucket": self._bucket,
            "Prefix": self._prefix,
            "MaxKeys": self._page_size,
            "EncodingType": "url",
            **place,
        }
        limit = s3_limit(self.description, self._source)
        try:
            with limit, s3_errors(bucket=self._bucket, source=self._source, permission="s3:ListBucketVersions"):
                page = self._client.list_object_versions(**request)
        except ValueError as error:  # botocore's, of a time or number that is none
            raise self._unreadable(error) from None
        require_listing(page, bucket=self._bucket, source=self._source)
        return page

    def _current(self, page: Any) -> pa.RecordBatch | None:
        try:
            current = [version for version in page.get("Versions", ()) if version["IsLatest"]]
            return self._batch(current, is_url_encoded=page.get("EncodingType") == "url") if current else None
        except (KeyError, ValueError, OverflowError, pa.ArrowException) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> ListingError:
        missing = f"an entry has no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
        return ListingError(
            f"{self.description} can't be recorded exactly: {missing}. Nothing was recorded. Run again; if it happens again, "
            f"ask the store's vendor, or set `sources.{self._source}.storage.versions` to false."
        )

    def _batch(self, versions: list[Any], *, is_url_encoded: bool) -> pa.RecordBatch:
        keys = [version["Key"] for version in versions]
        return inventory_batch(
            keys=[self._decoded(key) for key in keys] if is_url_encoded else keys,
            sizes=[version["Size"] for version in versions],
            last_modified=[version["LastModified"] for version in versions],
            e_tags=[version["ETag"].strip('"') if version.get("ETag") else None for version in versions],
            storage_classes=[version.get("StorageClass") for version in versions],
            versions=[_version_id(version) for version in versions],
        )

    def _decoded(self, key: str) -> str:
        # S3 writes a space as "+" and a plus sign as "%2B"; others write a space as "%20".
        try:
            return unquote_to_bytes(key.replace("+", " ")).decode("utf-8")
        except UnicodeDecodeError:
            raise ListingError(
                f"The key {key!r} (URL-encoded) in bucket {self._bucket} is not UTF-8, so no URL can name it. "
                f"Copy the object to another key and delete it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None


def _version_id(version: Any) -> str | None:
    version_id = version.get("VersionId")
    return None if version_id in (None, "", _NULL_VERSION) else str(version_id)
