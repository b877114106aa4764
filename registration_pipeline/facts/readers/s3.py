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
    unquoted,
)
from registration_pipeline.foreign_text import masked
from registration_pipeline.inventory.s3.errors import s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.facts.reader import StoredObject

# Codes: Amazon S3 API reference, "Error responses". What is in none of these concerns the bucket or the credentials.
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
        self.permission = "obs:object:GetObject" if scheme == "obs" else "s3:GetObject"
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

    def _problem(self, error: ClientError, what: str) -> Exception:
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
            needs = f"{self.permission} on {self._granted_on}"
            needs += ", and kms:Decrypt on the key that it is encrypted with" if "kms" in words.lower() else ""
            return denied(what, code, needs, found["principal"] if found else "these credentials")
        if code in _NOT_NOW or status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
            return not_now(what, code)
        if code in _NOT_GIVEN or code.startswith("KMS."):
            return refused(what, f"{code}: {masked(words)}")
        return error
