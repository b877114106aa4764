"""Lists an S3 bucket with ListObjectsV2, keys byte for byte.

What does not belong here: building the client (``orchestration/``) and its options (``s3_client.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.s3_errors import s3_errors
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef


class S3Lister:
    """``ObjectLister`` of the objects of a bucket below a prefix, page after page.

    Keys are asked for in URL encoding, because keys with control characters are no legal XML, and are decoded here
    rather than by botocore, which would put U+FFFD in the place of bytes that are not UTF-8.

    Args:
        client: a boto3 S3 client; it owns credentials, region, retries and timeouts.
        bucket: its name.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: keys per request; 1,000 is the most that S3 gives (API reference, ListObjectsV2).
    """

    def __init__(
        self, client: S3Client, bucket: str, prefix: str = "", *, source: str = "<name>", page_size: int = 1000
    ) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._source, self._page_size = source, page_size
        self._requests = 0

    @property
    def requests(self) -> int:
        """How many pages were asked for so far."""
        return self._requests

    @property
    def description(self) -> str:
        """The bucket, the prefix and the API."""
        return f"s3://{self._bucket}/{self._prefix} via ListObjectsV2"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is a page.

        Raises:
            NotFoundError: no such bucket, at least not in this region.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the client's retries.
            ListingError: the answer can't be recorded exactly.
        """
        token: str | None = None
        while True:
            page = self._page(token)
            contents = page.get("Contents")
            if contents:
                yield self._batch(contents, is_encoded=page.get("EncodingType") == "url")
            if not page.get("IsTruncated"):
                return
            following = page.get("NextContinuationToken")
            if not following or following == token:
                raise ListingError(
                    f"{self.description}: the store says that there is more, but not where to go on. Run again; if it "
                    "happens again, the store's ListObjectsV2 is broken: ask its vendor, or point "
                    f"`sources.{self._source}.uri` elsewhere."
                )
            token = following

    def _page(self, token: str | None) -> ListObjectsV2OutputTypeDef:
        self._requests += 1
        request: dict[str, Any] = {
            "Bucket": self._bucket,
            "Prefix": self._prefix,
            "MaxKeys": self._page_size,
            "EncodingType": "url",
        }
        if token is not None:
            request["ContinuationToken"] = token
        with s3_errors(bucket=self._bucket, source=self._source):
            page = self._client.list_objects_v2(**request)
        if "IsTruncated" not in page and "Name" not in page:
            # Any XML without <Contents>, such as a proxy's landing page, would else pass for an empty bucket.
            raise ListingError(
                f"What answers for bucket {self._bucket} does not speak S3. Check "
                f"`sources.{self._source}.storage.endpoint_url`."
            )
        return page

    def _batch(self, contents: list[ObjectTypeDef], *, is_encoded: bool) -> pa.RecordBatch:
        keys = [entry["Key"] for entry in contents]
        return inventory_batch(
            keys=[self._decoded(key) for key in keys] if is_encoded else keys,
            sizes=[entry["Size"] for entry in contents],
            last_modified=[entry["LastModified"] for entry in contents],
            e_tags=[_without_quotes(entry.get("ETag")) for entry in contents],
            storage_classes=[entry.get("StorageClass") for entry in contents],
        )

    def _decoded(self, key: str) -> str:
        # S3 writes a space as "+" and a plus sign as "%2B"; others write a space as "%20".
        data = unquote_to_bytes(key.replace("+", " "))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise ListingError(
                f"The key {key!r} (URL-encoded) in bucket {self._bucket} is not UTF-8, so no URL can stand for it. "
                f"Copy the object to another key and delete it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None


def _without_quotes(e_tag: str | None) -> str | None:
    return None if e_tag is None else e_tag.removeprefix('"').removesuffix('"')
