"""Reads ranges of objects in S3 and stores that speak it, keys byte for byte.

What does not belong here: building the client (``project/clients/``), and errors that concern all objects of the bucket
(``inventory/s3/errors.py``).
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from registration_pipeline.bounds.connections import watch_pools
from registration_pipeline.facts.reader import ObjectDescription
from registration_pipeline.facts.readers.described import TagCounts, header_metadata
from registration_pipeline.facts.readers.reply import (
    READ_SECONDS,
    TRIES_OF_A_BODY,
    ReadLimit,
    RequestCounter,
    changed,
    checked,
    denied,
    gone,
    not_now,
    refused,
    silence_is_of_the_object,
    unchanged,
    unquoted,
)
from registration_pipeline.foreign_text import masked
from registration_pipeline.inventory.s3.errors import s3_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

    from registration_pipeline.facts.reader import StoredObject

# Codes: Amazon S3 API reference, "Error responses". What is in none of these concerns the bucket or the credentials.
_UNTOLD: Final = {"400", "401", "403", "BadRequest", "Forbidden", "Unauthorized"}
"""Codes that botocore makes of a status: replies to HeadObject have no body that says what is wrong."""
_GONE: Final = {"NoSuchKey", "NoSuchVersion", "404", "NotFound"}
_CHANGED: Final = {"PreconditionFailed", "412", "InvalidRange", "416"}
_DENIED: Final = {"AccessDenied", "AllAccessDisabled", "403", "Forbidden", "UnauthorizedAccess"}
_NOT_NOW: Final = {
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
}
_NOT_GIVEN: Final = {"InvalidObjectState", "MethodNotAllowed", "InvalidRequest", "400", "BadRequest"}
_NO_TAGS_AT_ALL: Final = {"NotImplemented", "MethodNotAllowed", "501", "NoSuchTagSet", "NoSuchTagSetError"}
_OF_AMAZON: Final = "aws:"
"""Begins the tags that Amazon's services set; no user can."""
_AMAZON: Final = re.compile(r"https://[a-z0-9.-]+[.]amazonaws[.]com(?:[.]cn)?(?:[/:]|\Z)")
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500
_PRINCIPAL: Final = re.compile(r"User: (?P<principal>arn:\S+) is not authorized")
_CUT: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class S3Reader:
    """``ObjectReader`` of a bucket.

    Args:
        client: a boto3 S3 client; it owns credentials, region, retries and timeouts.
        bucket: its name.
        source: the source's name, for error texts.
        scheme: of the source's objects, for texts: ``s3`` or ``obs``.
        seconds: the whole time that one read may take, repetitions included.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        *,
        source: str = "<name>",
        scheme: str = "s3",
        seconds: float = READ_SECONDS,
    ) -> None:
        watch_pools(AWSHTTPConnectionPool, AWSHTTPSConnectionPool)
        self._client, self._bucket, self._source, self._seconds = client, bucket, source, seconds
        self._place = f"{scheme}://{bucket}"
        actions = "obs:object" if scheme == "obs" else "s3"
        self.permission = f"{actions}:GetObject"
        self._tagging_permission = f"{actions}:GetObjectTagging"
        self._tag_counts = TagCounts(is_reliable=_is_amazon(client))
        self._granted_on = f"{bucket}/*" if scheme == "obs" else f"arn:aws:s3:::{bucket}/*"
        self._counter = RequestCounter()

    @property
    def requests(self) -> int:
        """How many reads were asked for so far; those that botocore repeats count once."""
        return self._counter.made

    @property
    def description(self) -> str:
        """The bucket and the API."""
        return f"{self._place} via GetObject"

    @property
    def description_permission(self) -> str:
        """What HeadObject and GetObjectTagging need."""
        return f"{self.permission} and {self._tagging_permission}"

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """See ``ObjectReader.read``."""
        what = f"{self._place}/{item.key}"
        end = min(start + length, item.size)
        with (
            silence_is_of_the_object(what),
            ReadLimit(what, end - start, self._seconds),
            s3_errors(bucket=self._bucket, source=self._source, permission=self.permission),
        ):
            return self._tried(item, what, start, end)

    def describe(self, item: StoredObject) -> ObjectDescription:
        """See ``ObjectReader.describe``."""
        what = f"{self._place}/{item.key}"
        with (
            silence_is_of_the_object(what),
            ReadLimit(what, 0, self._seconds),
            s3_errors(bucket=self._bucket, source=self._source, permission=self.permission),
        ):
            reply = self._head(item, what)
            if missing := int(reply.get("MissingMeta") or 0):
                problem = f"that {missing} values of its metadata can't be sent; write them again as ASCII"
                raise refused(what, problem)
            return ObjectDescription(
                metadata=header_metadata(reply.get("Metadata") or {}),
                tags=self._tags(item, what) if self._tag_counts.ask(reply.get("TagCount")) else {},
            )

    def _head(self, item: StoredObject, what: str) -> HeadObjectOutputTypeDef:
        self._counter.add()
        e_tag = unquoted(item.e_tag)
        is_usable = e_tag is not None and '"' not in e_tag
        condition: dict[str, Any] = {"IfMatch": f'"{e_tag}"'} if is_usable else {}
        try:
            reply = self._client.head_object(Bucket=self._bucket, Key=item.key, **condition)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _UNTOLD and item.size:
                self._tried(item, what, 0, 1)  # raises what is wrong, with the store's words
            raise self._problem(error, what) from None
        unchanged(item, what, size=reply.get("ContentLength"), version=unquoted(reply.get("ETag")), expected=e_tag)
        return reply

    def _tags(self, item: StoredObject, what: str) -> Mapping[str, str]:
        self._counter.add()
        try:
            reply = self._client.get_object_tagging(Bucket=self._bucket, Key=item.key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _NO_TAGS_AT_ALL:
                self._tag_counts.has_none()
                return {}
            raise self._problem(error, what, self._tagging_permission) from None
        self._tag_counts.answered()
        return {tag["Key"]: tag["Value"] for tag in reply["TagSet"] if not tag["Key"].startswith(_OF_AMAZON)}

    def _tried(self, item: StoredObject, what: str, start: int, end: int) -> bytes:
        for left in reversed(range(TRIES_OF_A_BODY)):
            try:
                return self._asked(item, what, start, end)
            except ClientError as error:
                raise self._problem(error, what) from None
            except _CUT:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _asked(self, item: StoredObject, what: str, start: int, end: int) -> bytes:
        self._counter.add()
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Key": item.key, "Range": f"bytes={start}-{end - 1}"}
        e_tag = unquoted(item.e_tag)
        if e_tag is not None and '"' not in e_tag:
            wanted["IfMatch"] = f'"{e_tag}"'
        reply = self._client.get_object(**wanted)
        found = unquoted(reply.get("ETag"))
        if e_tag is not None and found is not None and found != e_tag:
            raise changed(what)  # not every store knows the condition
        with closing(reply["Body"]) as body:  # as a context manager it would give what is below it, with other errors
            # One byte more shows that it would give more than was asked for.
            content: bytes = body.read(end - start + 1) if "ContentRange" not in reply else body.read()
        return checked(content, item, what, content_range=reply.get("ContentRange"), expected=end - start)

    def _problem(self, error: ClientError, what: str, permission: str | None = None) -> Exception:
        """Return what an answer says of the object; the error itself where it is about the bucket or the credentials."""
        said: Any = error.response.get("Error", {})
        code, words = str(said.get("Code", "")), str(said.get("Message", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _GONE:
            return gone(what)
        if code in _CHANGED:
            return changed(what)
        if code in _DENIED:
            found = _PRINCIPAL.search(words)
            needs = f"{permission or self.permission} on {self._granted_on}"
            needs += ", and kms:Decrypt on the key that it is encrypted with" if "kms" in words.lower() else ""
            return denied(what, code, needs, found["principal"] if found else "these credentials")
        if code in _NOT_NOW or status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
            return not_now(what, code)
        if code in _NOT_GIVEN or code.startswith("KMS."):
            return refused(what, f"{code}: {masked(words)}")
        return error


def _is_amazon(client: S3Client) -> bool:
    return _AMAZON.match(str(client.meta.endpoint_url)) is not None
