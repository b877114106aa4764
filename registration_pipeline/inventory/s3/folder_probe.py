"""Lists one folder of an S3 bucket with ListObjectsV2 and a delimiter, for the top-up of a report.

What does not belong here: listing a whole source (``lister.py``) and deciding which folders to list
(``inventory/reports/top_up.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.bounds import endless_listing
from registration_pipeline.inventory.reports.top_up import FolderPage
from registration_pipeline.inventory.reports.values import ValueProblemError, decoded_key
from registration_pipeline.inventory.s3.ends import KeyCountError, require_clear_ends, require_entries
from registration_pipeline.inventory.s3.errors import require_listing, s3_errors
from registration_pipeline.inventory.s3.limits import s3_limit
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client


class S3FolderProbe:
    """``FolderProbe`` of an S3 bucket.

    Args:
        client: a boto3 S3 client.
        bucket: its name.
        source: the source's name, for error texts.
        page_size: keys and folders per request.
        is_counted: refuse a page that says another number of entries than it has.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        *,
        source: str = "<name>",
        page_size: int = 1000,
        is_counted: bool = True,
    ) -> None:
        self._client, self._bucket, self._source, self._page_size = client, bucket, source, page_size
        self._is_counted = is_counted
        self.requests = 0
        require_clear_ends(client)

    def pages(self, folder: str) -> Iterator[FolderPage]:
        """See ``FolderProbe.pages``."""
        token: str | None = None
        pages = PageProgress()
        what = f"s3://{self._bucket}/{folder} via ListObjectsV2"
        while True:
            self.requests += 1
            resume: dict[str, Any] = {} if token is None else {"ContinuationToken": token}
            s3 = s3_errors(bucket=self._bucket, source=self._source)
            with s3_limit(what, self._source), s3, self._exact(folder):
                page = self._client.list_objects_v2(
                    Bucket=self._bucket,
                    Prefix=folder,
                    Delimiter="/",
                    MaxKeys=self._page_size,
                    EncodingType="url",
                    **resume,
                )
            require_listing(page, bucket=self._bucket, source=self._source)
            with self._exact(folder):
                if self._is_counted:
                    require_entries(page)
                found = self._page(page)
            yield found
            if not page.get("IsTruncated"):
                return
            following = page.get("NextContinuationToken")
            if not following or following == token:
                raise ListingError(
                    f"s3://{self._bucket}/{folder}: the store says that there is more, but not where to go on. Run again; if "
                    f"it happens again, set `sources.{self._source}.storage.top_up` to false."
                )
            is_empty = not (page.get("Contents") or page.get("CommonPrefixes"))
            if problem := pages.problem_with(following, is_empty=is_empty):
                raise endless_listing(what, problem, self._source)
            token = following

    @contextmanager
    def _exact(self, folder: str) -> Iterator[None]:
        try:
            yield
        except KeyCountError as error:
            raise ListingError(
                f"s3://{self._bucket}/{folder} can't be recorded exactly: {error}. Nothing was recorded. Run again; if it "
                f"happens again, set `sources.{self._source}.storage.top_up` to false, or, if the objects are all there and "
                f"only the number is wrong, `sources.{self._source}.storage.key_count`."
            ) from None
        except (KeyError, ValueError, OverflowError, pa.ArrowException) as error:
            missing = f"an entry has no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
            raise ListingError(
                f"s3://{self._bucket}/{folder} can't be recorded exactly: {missing}. Nothing was recorded. Run again; if it "
                f"happens again, set `sources.{self._source}.storage.top_up` to false."
            ) from None

    def _page(self, page: Any) -> FolderPage:
        is_encoded = page.get("EncodingType") == "url"
        contents = page.get("Contents", ())
        try:
            keys = [decoded_key(entry["Key"]) if is_encoded else entry["Key"] for entry in contents]
            folders = [
                decoded_key(entry["Prefix"]) if is_encoded else entry["Prefix"]
                for entry in page.get("CommonPrefixes", ())
            ]
        except ValueProblemError as problem:
            raise ListingError(
                f"Bucket {self._bucket}: {problem}. Fix it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None
        objects = inventory_batch(
            keys=keys,
            sizes=[entry["Size"] for entry in contents],
            last_modified=[entry["LastModified"] for entry in contents],
            e_tags=[entry["ETag"].strip('"') if "ETag" in entry else None for entry in contents],
            storage_classes=[entry.get("StorageClass") for entry in contents],
        )
        return FolderPage(objects, tuple(folders))
